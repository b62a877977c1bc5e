//! What a lease holds, and how it gets back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::{Run, Taken};
use super::shared::Shared;
use crate::sync::{AtomicBool, Ordering};

/// Leased items and their way home.
pub(crate) struct LeasedItems<T> {
    ring: Arc<Shared<T>>,
    /// The number of the first item.
    first: u64,
    items: Vec<T>,
    weights: VecDeque<usize>,
    bytes: usize,
    /// Buffers that were emptied when the items were brought together.
    emptied: Vec<Run<T>>,
    acked: AtomicBool,
}

impl<T> LeasedItems<T> {
    pub(super) fn new(ring: Arc<Shared<T>>, mut taken: Taken<T>) -> Self {
        taken.merge();
        Self {
            ring,
            first: taken.first,
            bytes: taken.head.bytes(),
            items: taken.head.items.into(),
            weights: taken.head.weights,
            emptied: taken.tail,
            acked: AtomicBool::new(false),
        }
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    /// Only the one lease calls this, and once, since it consumes itself.
    pub(crate) fn acknowledge(&self) {
        let mut state = self.ring.lock();
        state.acknowledge(self.items.len(), self.bytes);
        // Read by the last owner's drop, which the reference count orders after this.
        self.acked.store(true, Ordering::Relaxed);
        self.ring.unlock(state);
    }
}

impl<T> Drop for LeasedItems<T> {
    fn drop(&mut self) {
        let mut run = Run {
            items: std::mem::take(&mut self.items).into(),
            weights: std::mem::take(&mut self.weights),
        };
        let mut emptied = std::mem::take(&mut self.emptied);
        if self.acked.load(Ordering::Relaxed) {
            run.items.clear();
            run.weights.clear();
            emptied.push(run);
        } else {
            let mut state = self.ring.lock();
            state.put_back(self.first, run);
            self.ring.unlock(state);
        }
        self.ring.recycle(emptied);
    }
}
