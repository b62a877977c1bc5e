//! What the pipeline knows of its sources beside their records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sinks::ScopeName;

/// Sources that are named; others are counted with the last one.
const NAMED_MAX: usize = 1_000;

/// Sources that ended, and records that lead nowhere.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Those that ended though nobody stopped them, with the reason.
    stopped: Mutex<BTreeMap<String, String>>,
    unrouted: AtomicU64,
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
