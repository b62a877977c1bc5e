//! The choices a ring is built from.

use std::sync::Arc;

use super::Ring;
use super::shared::{Listener, Shared, Weigher};
use super::state::{Room, State};
use crate::error::RingError;
use crate::overflow::OverflowPolicy;
use crate::watermark::{Crossing, Gauge, Watermark};

/// The most items a ring can be asked to hold.
const CAPACITY_MAX: usize = 1 << if usize::BITS < 64 { 28 } else { 40 };

/// The most bytes, so that sums of weights do not overflow.
const BYTES_MAX: usize = isize::MAX.cast_unsigned();

/// In which order a ring gives out what was pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// The order of acceptance, across all producers; the oldest of all is displaced first. Every
    /// push takes the ring's one lock.
    #[default]
    Global,
    /// The order of each producer, none between them, nor between a handle and the shared push:
    /// each [`Producer`](crate::Producer) has a
    /// stripe of its own, pushes without a lock, and in a full ring displaces its own oldest, so
    /// long as it holds its share. What is taken out at once comes stripe by stripe.
    ///
    /// A ring that weighs its items has no stripes, and keeps the global order.
    PerProducer,
}

/// The choices a ring is built from; see [`Ring::builder`].
#[must_use]
pub struct RingBuilder<T> {
    capacity: usize,
    order: Order,
    policy: OverflowPolicy,
    watermark: Watermark,
    listener: Option<Listener>,
    max_bytes: usize,
    weigher: Option<Weigher<T>>,
}

impl<T> RingBuilder<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            order: Order::Global,
            policy: OverflowPolicy::DropOldest,
            watermark: Watermark::default(),
            listener: None,
            max_bytes: usize::MAX,
            weigher: None,
        }
    }

    /// In which order items come out; the global one unless said.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What a push does when the ring is full; drop the oldest unless said.
    pub fn policy(mut self, policy: OverflowPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The marks at which a crossing is reported.
    pub fn watermark(mut self, watermark: Watermark) -> Self {
        self.watermark = watermark;
        self
    }

    /// Called once per crossing of the watermark, after the lock is released, by the thread that
    /// caused it.
    pub fn on_crossing(mut self, listener: impl Fn(Crossing) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Bounds the ring in bytes too. `weigh` says what an item weighs; it runs outside the lock.
    /// An item heavier than `max_bytes` is refused.
    pub fn max_bytes(
        mut self,
        max_bytes: usize,
        weigh: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.max_bytes = max_bytes;
        self.weigher = Some(Box::new(weigh));
        self
    }

    /// The ring.
    ///
    /// # Errors
    /// When the capacity, in items or bytes, is 0.
    pub fn build(self) -> Result<Ring<T>, RingError> {
        check_capacity(self.capacity)?;
        if self.weigher.is_some() && !(1..=BYTES_MAX).contains(&self.max_bytes) {
            return Err(RingError::Bytes {
                max_bytes: self.max_bytes,
                limit: BYTES_MAX,
            });
        }
        let room = Room {
            items: self.capacity,
            bytes: self.max_bytes,
        };
        let weighed = self.weigher.is_some();
        let gauge = Gauge::new(self.watermark, room.items);
        let state = State::new(room, weighed, self.policy, gauge);
        let striped = self.order == Order::PerProducer && !weighed;
        let shared = Shared::new(state, striped, self.listener, self.weigher);
        Ok(Ring {
            shared: Arc::new(shared),
        })
    }
}

pub(super) fn check_capacity(capacity: usize) -> Result<(), RingError> {
    if (1..=CAPACITY_MAX).contains(&capacity) {
        Ok(())
    } else {
        Err(RingError::Capacity {
            capacity,
            limit: CAPACITY_MAX,
        })
    }
}
