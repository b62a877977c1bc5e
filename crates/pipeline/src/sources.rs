//! What the pipeline knows of its sources beside their records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sinks::ScopeName;
use tokio::sync::watch;

use crate::PipelineError;
use crate::intake::Targets;

/// Sources that are named; others are counted with the last one.
const NAMED_MAX: usize = 1_000;

/// Sources that ended, and records that lead nowhere.
#[derive(Default)]
pub(crate) struct Sources {
    /// Those that ended though nobody stopped them, with the reason.
    stopped: Mutex<BTreeMap<String, String>>,
    unrouted: AtomicU64,
    /// Counts the pushes after which something critical is shown.
    pub(crate) urgent: watch::Sender<u64>,
    /// Where those led whose intakes are gone: their rows may still wait, and they may come back.
    gone: Mutex<BTreeMap<ScopeName, Targets>>,
    /// Those on their way in.
    coming: Mutex<BTreeSet<ScopeName>>,
}

impl Sources {
    pub(crate) fn stopped(&self, name: &ScopeName, reason: &str) {
        let mut stopped = self.stopped.lock();
        if stopped.len() < NAMED_MAX {
            stopped.insert(name.to_string(), reason.to_owned());
        }
    }

    pub(crate) fn resumed(&self, name: &ScopeName) {
        self.stopped.lock().remove(name.as_str());
    }

    /// A source is on its way in; hands over where it led when it was here before.
    pub(crate) fn come(&self, name: &ScopeName) -> Result<Option<Targets>, PipelineError> {
        if !self.coming.lock().insert(name.clone()) {
            return Err(PipelineError::ScopeOpen {
                name: name.to_string(),
            });
        }
        Ok(self.gone.lock().remove(name))
    }

    /// It has arrived, or has turned back to where it was.
    pub(crate) fn came(&self, name: &ScopeName, before: Option<Targets>) {
        if let Some(before) = before {
            self.left(name, before);
        }
        self.coming.lock().remove(name);
    }

    /// Its last intake is gone.
    pub(crate) fn left(&self, name: &ScopeName, targets: Targets) {
        let before = self.gone.lock().insert(name.clone(), targets);
        // Not under the lock.
        drop(before);
    }

    /// Each with its reason.
    pub(crate) fn all_stopped(&self) -> Vec<String> {
        let stopped = self.stopped.lock();
        let shown = |(name, reason): (&String, &String)| format!("{name}: {reason}");
        stopped.iter().map(shown).collect()
    }

    /// Records that no route matches.
    pub(crate) fn unrouted(&self, records: u64) {
        self.unrouted.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn all_unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }
}
