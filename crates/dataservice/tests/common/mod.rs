//! What several test files share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use dataservice::{Extract, KeyId, Snapshot, Subscription};

/// Counts the calls of a waker. A subscription uses a waker up by its first call; how many wakes a
/// service gave in all is told by its statistics.
pub(crate) struct WakeCount(AtomicUsize);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl WakeCount {
    pub(crate) fn watch<V: Clone>(subscription: &Subscription<V>) -> Arc<Self> {
        let count = Arc::new(Self(AtomicUsize::new(0)));
        subscription.set_waker(Waker::from(Arc::clone(&count)));
        count
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The values of one key in a snapshot; none if it is not in it.
pub(crate) fn values<V: Clone>(snapshot: &Snapshot<Extract<V>>, id: KeyId) -> Vec<V> {
    snapshot
        .update(id)
        .map_or_else(Vec::new, |update| update.values().to_vec())
}
