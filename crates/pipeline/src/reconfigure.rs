//! Changes the sinks and routes of a running pipeline.
//!
//! Records are accepted all the time. Those that come after the change go to the new lanes, which
//! wait until the lanes that they take the place of are empty: so the order of each key is kept,
//! and a scope is opened again only behind its last row.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use sinks::Entry;

use crate::intake::open_soon;
use crate::opening::Opening;
use crate::queue::now;
use crate::reading::read_route;
use crate::route::Route;
use crate::shape::Shape;
use crate::shutdown::{close, left_of, reports};
use crate::{Pipeline, PipelineError, Plan, SinkReport};

/// How a change of a running pipeline went.
#[derive(Debug)]
pub struct Reconfigured {
    /// Routes that went on as they were.
    pub kept: usize,
    /// Routes that were started.
    pub started: usize,
    /// Routes that were drained and ended.
    pub ended: usize,
    /// What the ended routes had accepted and could not deliver in time. It counts as quarantined
    /// in the account of the pipeline: whoever asked for the change keeps it.
    pub undelivered: Vec<Entry>,
    /// The same sink by sink.
    pub sinks: Vec<SinkReport>,
}

impl Pipeline {
    /// Takes over another plan. Routes and sinks that are the same go on; routes that are gone,
    /// changed, or lead to another sink are drained, for so long at the most, and what they could
    /// not deliver is handed back.
    ///
    /// A shutdown meanwhile is the earlier end of the draining, and its report has what was not
    /// delivered.
    ///
    /// # Errors
    /// When the plan is impossible, or the pipeline was shut down; then nothing has changed.
    ///
    /// # Cancellation
    /// The change goes on.
    pub async fn reconfigure(
        &self,
        plan: Plan,
        drain_within: Duration,
    ) -> Result<Reconfigured, PipelineError> {
        let pipeline = self.clone();
        let change = tokio::spawn(async move { pipeline.change(plan, drain_within).await });
        match change.await {
            Ok(outcome) => outcome,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    async fn change(
        &self,
        plan: Plan,
        drain_within: Duration,
    ) -> Result<Reconfigured, PipelineError> {
        let core = self.core();
        let mut random = core.changing.lock().await;
        let _draining = core.draining.lock().await;
        if core.is_stopping.load(Ordering::Acquire) {
            return Err(PipelineError::Ended);
        }
        let before = core.shape.load_full();
        let after = Arc::new(Shape::start(&plan, &before, &core.telemetry, &mut random)?);
        let ended: Vec<Arc<Route>> = before
            .routes
            .iter()
            .filter(|route| !after.has(route))
            .cloned()
            .collect();
        // Their names may be used again: the new scopes are opened only once these are done.
        let given_up = ended.iter().map(|route| route.give_up_scopes());
        let given_up: Vec<_> = given_up.collect();
        core.ending.lock().extend(ended.iter().cloned());
        // A source that waits for room holds its intake meanwhile.
        let (pipeline, to) = (self.clone(), Arc::clone(&after));
        let led = tokio::task::spawn_blocking(move || pipeline.lead(&to));
        let openings = match led.await {
            Ok(Ok(openings)) => openings,
            Ok(Err(error)) => {
                // No source was led away. What was started has nothing to do and ends.
                core.ending.lock().clear();
                let kept = ended.iter().zip(given_up);
                kept.for_each(|(route, scopes)| route.keep_scopes(scopes));
                after.close_but(&before);
                return Err(error);
            }
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        let (undelivered, sinks) = self.drain(&ended, &before, drain_within).await;
        let closing = before.sinks.iter().filter(|sink| !after.has_sink(sink));
        join_all(closing.map(close)).await;
        open_soon(openings);
        Ok(Reconfigured {
            kept: after
                .routes
                .iter()
                .filter(|route| before.has(route))
                .count(),
            started: after
                .routes
                .iter()
                .filter(|route| !before.has(route))
                .count(),
            ended: ended.len(),
            undelivered,
            sinks,
        })
    }

    /// Leads all sources to the new shape, or leaves them where they are.
    fn lead(&self, after: &Arc<Shape>) -> Result<Vec<Opening>, PipelineError> {
        let core = self.core();
        let _leading = core.leading.lock();
        let openings = core.lead_to(after)?;
        let stop = core.stop.lock();
        core.shape.store(Arc::clone(after));
        if core.is_stopping.load(Ordering::Acquire) {
            after.queues().for_each(|queue| queue.close(stop.deadline));
        }
        Ok(openings)
    }

    /// Empties routes that have ended, and counts them with those that are gone.
    async fn drain(
        &self,
        ended: &[Arc<Route>],
        before: &Shape,
        within: Duration,
    ) -> (Vec<Entry>, Vec<SinkReport>) {
        let deadline = now().checked_add(within);
        let queues = || ended.iter().flat_map(|route| route.queues());
        queues().for_each(|queue| queue.close(deadline));
        join_all(queues().map(|queue| queue.wait_ended())).await;
        let left = left_of(&before.sinks, queues()).await;
        let mut stop = self.core().stop.lock();
        if self.core().is_stopping.load(Ordering::Acquire) {
            // Whoever asked for the end gets it; until then it is pending.
            stop.keep(left);
            return (Vec::new(), Vec::new());
        }
        let mut ending = self.core().ending.lock();
        let mut retired = self.core().retired.lock();
        for route in ended {
            if let (_, Some(mut reading)) = read_route(route, now()) {
                reading.retire();
                match &mut *retired {
                    Some(retired) => retired.add(&reading),
                    None => *retired = Some(reading),
                }
            }
        }
        ending.clear();
        drop((stop, ending, retired));
        let (undelivered, mut reports) = reports(left);
        reports.retain(|report| !report.undelivered.is_empty());
        (undelivered, reports)
    }
}
