//! A bounded ring with many producers and batch consumers.
//!
//! There is one lock and one queue, and the order is the global order of acceptance; or, with
//! [`Order::PerProducer`], each [`Producer`] owns a stripe before the queue, which only it and a
//! consumer touch, so that a push costs no atomic read-modify-write. Capacity counts queued and
//! leased items alike, so memory stays bounded while a consumer is slow.
//!
//! Evicted items, wakers and listeners are handled after the lock is released.
//!
//! Where to read on: `push` for what a producer sees, `consume` for the other end, `state` for
//! what the lock protects, `stripe` and [`handover`](crate::handover) for the fast path.

mod builder;
mod consume;
mod credits;
mod leased;
mod producer;
mod push;
mod queue;
mod shared;
mod signal;
mod state;
mod stripe;
mod waiting;

use std::sync::Arc;

pub use builder::{Order, RingBuilder};
pub use consume::{Demand, Waited};
pub(crate) use leased::LeasedItems;
pub use producer::Producer;
use shared::Shared;

use crate::error::RingError;
use crate::stats::RingStats;

/// A bounded ring; a clone is another handle to the same one.
///
/// ```
/// use buffer_core::{OverflowPolicy, Pushed, Ring};
/// let ring = Ring::builder(2).policy(OverflowPolicy::DropOldest).build()?;
/// assert_eq!(ring.push("a"), Pushed::Stored);
/// assert_eq!(ring.push("b"), Pushed::Stored);
/// assert_eq!(ring.push("c"), Pushed::Displaced { first: "a", rest: vec![] });
/// assert_eq!(ring.stats().overflow_count(), 1);
/// # Ok::<(), buffer_core::RingError>(())
/// ```
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Ring<T> {
    /// A ring of so many items that drops the oldest when it is full.
    ///
    /// # Errors
    /// When `capacity` is 0.
    pub fn new(capacity: usize) -> Result<Self, RingError> {
        RingBuilder::new(capacity).build()
    }

    /// A ring with more choices.
    pub fn builder(capacity: usize) -> RingBuilder<T> {
        RingBuilder::new(capacity)
    }

    /// A producer's own handle: its stripe, where the ring has stripes.
    #[must_use]
    pub fn producer(&self) -> Producer<T> {
        Producer::new(self.clone())
    }

    /// Changes the capacity. Growing loses nothing; shrinking evicts the oldest queued items,
    /// counts them and hands them back. Leased items stay on loan.
    ///
    /// # Errors
    /// When `capacity` is 0.
    pub fn resize(&self, capacity: usize) -> Result<Vec<T>, RingError> {
        builder::check_capacity(capacity)?;
        let mut state = self.shared.lock();
        let evicted = state.resize(capacity);
        self.shared.unlock(state);
        Ok(evicted)
    }

    /// Closes the ring: pushes are refused from now on, what is in it can still be leased.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.close();
        self.shared.unlock(state);
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Items in the ring, leased ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut state = self.shared.lock();
        if !state.has_idle_credits() {
            return state.current_size();
        }
        state.collect();
        let len = state.current_size();
        self.shared.unlock(state);
        len
    }

    /// Whether nothing is in the ring, not even on loan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts, all of one moment.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        let mut state = self.shared.lock();
        let stats = state.stats();
        self.shared.unlock(state);
        stats
    }
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut state = self.shared.lock();
        let (stats, watchers) = (state.stats(), state.watchers.len());
        self.shared.unlock(state);
        out.debug_struct("Ring")
            .field("stats", &stats)
            .field("watchers", &watchers)
            .finish_non_exhaustive()
    }
}
