//! Takes over another configuration while everything runs.
//!
//! The file and the environment are read again as at the start. A configuration with a mistake is
//! refused as a whole; one that is sound is compared setting by setting, and what is different is
//! logged, without secrets. What cannot be changed while it runs is named and stays as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use gateway::ReloadOutcome;
use parking_lot::Mutex;
use pipeline::Pipeline;

use super::configure;
use super::undelivered::{Kept, keep_all};
use crate::program::arguments::RunArguments;
use crate::program::config::{Change, Config, Planned};
use crate::program::logs::LevelHandle;
use crate::program::output::with_causes;
use crate::program::storage::Place;

/// What is in effect, and what it takes to change it.
pub(super) struct Current {
    config: ArcSwap<Config>,
    arguments: RunArguments,
    level: LevelHandle,
    /// Where the sinks are, by name.
    places: Mutex<BTreeMap<String, Place>>,
    /// What earlier changes could not deliver.
    kept: Mutex<Vec<Result<Kept>>>,
    /// Held while something is changed.
    changing: tokio::sync::Mutex<()>,
}

impl Current {
    pub(super) fn new(
        config: Config,
        arguments: RunArguments,
        level: LevelHandle,
        places: BTreeMap<String, Place>,
    ) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            arguments,
            level,
            places: Mutex::new(places),
            kept: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// What is in effect.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Where the sinks are, by name.
    pub(super) fn places(&self) -> BTreeMap<String, Place> {
        self.places.lock().clone()
    }

    /// What changes could not deliver, once.
    pub(super) fn take_kept(&self) -> Vec<Result<Kept>> {
        std::mem::take(&mut self.kept.lock())
    }

    /// Waits until no change is under way.
    pub(super) async fn settled(&self) {
        drop(self.changing.lock().await);
    }

    /// Reads the configuration again, takes over what is different, and says in the log and as an
    /// answer what came of it.
    ///
    /// # Cancellation
    /// A change that has begun goes on in the pipeline, and this knows nothing of it: not to be
    /// cancelled before the program ends.
    pub(super) async fn reload(&self, pipeline: &Pipeline) -> ReloadOutcome {
        let _changing = self.changing.lock().await;
        match self.change(pipeline).await {
            Ok(changes) => {
                match changes.as_slice() {
                    [] => tracing::info!("the configuration was read again: nothing to change"),
                    changes => {
                        let count = changes.len();
                        tracing::info!(count, "the configuration was read again and has changed");
                    }
                }
                ReloadOutcome::Applied { changes }
            }
            Err(error) => {
                let mistakes: Vec<String> = with_causes(&error)
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .collect();
                for mistake in &mistakes {
                    tracing::error!("the configuration is refused: {mistake}");
                }
                tracing::error!("the configuration is as it was");
                ReloadOutcome::Refused { mistakes }
            }
        }
    }

    async fn change(&self, pipeline: &Pipeline) -> Result<Vec<String>> {
        let before = self.config();
        let after = self.read().await?;
        let changes = before.changes(&after);
        let said = changes.iter().map(say).collect();
        let after = after.keeping_what_needs_restart(&before);
        if changes.iter().any(Change::is_of_pipeline) {
            self.replan(pipeline, &before, &after).await?;
        }
        #[cfg(feature = "alerts")]
        if before.alert != after.alert {
            // They were checked with the rest, so that nothing is half done.
            pipeline.set_alerts(after.alerts())?;
        }
        let level = self.arguments.log_level.unwrap_or(after.log_level());
        self.level.set(level);
        for warning in after.warnings() {
            tracing::warn!("{warning}");
        }
        for change in &changes {
            tracing::info!("{}", say(change));
        }
        self.config.store(Arc::new(after));
        Ok(said)
    }

    async fn read(&self) -> Result<Config> {
        let arguments = self.arguments.clone();
        tokio::task::spawn_blocking(move || configure(&arguments)).await?
    }

    /// Leads records by other routes into other sinks.
    async fn replan(
        &self,
        pipeline: &Pipeline,
        before: &Arc<Config>,
        after: &Config,
    ) -> Result<()> {
        let (old, new) = (Arc::clone(before), after.clone());
        // A file that somebody has locked is waited for.
        let planned = tokio::task::spawn_blocking(move || new.plan(Some(&old))).await??;
        let Planned { plan, opened } = planned;
        let changed = pipeline
            .reconfigure(plan, after.shutdown.deadline)
            .await
            .map_err(|error| anyhow!(error))?;
        tracing::info!(
            kept = changed.kept,
            started = changed.started,
            ended = changed.ended,
            "the routes have changed"
        );
        let directory: PathBuf = after.fallback().to_owned();
        let mut places = self.places();
        let names: Vec<String> = after.sink_names();
        let kept = keep_all(&directory, &changed.sinks, &changed.undelivered, &places);
        for kept in &kept {
            match kept {
                Ok(kept) => tracing::warn!("{}", kept.advice()),
                Err(error) => tracing::error!("records are lost: {}", with_causes(error)),
            }
        }
        self.kept.lock().extend(kept);
        places.extend(opened);
        places.retain(|name, _| names.contains(name));
        *self.places.lock() = places;
        Ok(())
    }
}

fn say(change: &Change) -> String {
    match change.needs_restart() {
        true => format!("{change} (needs a restart, and is left as it was)"),
        false => change.to_string(),
    }
}
