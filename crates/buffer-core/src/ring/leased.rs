//! What a lease holds, and how it gets back.

use std::sync::Arc;

use super::state::Taken;
use super::{Shared, Signal};
use crate::sync::{AtomicBool, Ordering};

/// Leased items and their way home.
pub(crate) struct LeasedItems<T> {
    ring: Arc<Shared<T>>,
    taken: Option<Taken<T>>,
    bytes: usize,
    acked: AtomicBool,
}

impl<T> LeasedItems<T> {
    pub(super) fn new(ring: Arc<Shared<T>>, taken: Taken<T>) -> Self {
        let bytes = taken.weights.iter().sum();
        Self {
            ring,
            taken: Some(taken),
            bytes,
            acked: AtomicBool::new(false),
        }
    }

    pub(crate) fn items(&self) -> &[T] {
        self.taken.as_ref().map_or(&[], |taken| &taken.items)
    }

    /// Only the one lease calls this, and once, since it consumes itself.
    pub(crate) fn acknowledge(&self) {
        let mut state = self.ring.state.lock();
        state.acknowledge(self.items().len(), self.bytes);
        let (after, closed) = (state.after(), state.closed);
        drop(state);
        // Read by the last owner's drop, which the reference count orders after this.
        self.acked.store(true, Ordering::Relaxed);
        if closed {
            // Whoever waits for items may learn that none will come back.
            self.ring.arrived.notify_all();
        }
        self.ring.finish(after, Signal::Room);
    }
}

impl<T> Drop for LeasedItems<T> {
    fn drop(&mut self) {
        if self.acked.load(Ordering::Relaxed) {
            return;
        }
        if let Some(taken) = self.taken.take() {
            let mut state = self.ring.state.lock();
            state.put_back(taken);
            let after = state.after();
            drop(state);
            self.ring.finish(after, Signal::Arrived);
        }
    }
}
