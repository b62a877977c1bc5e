//! The choices a ring is built from.

use std::sync::Arc;

use super::state::{Room, State};
use super::{Listener, Ring, Shared, Weigher};
use crate::error::RingError;
use crate::overflow::OverflowPolicy;
use crate::sync::{Condvar, Mutex};
use crate::watermark::{Crossing, Gauge, Watermark};

/// The most items a ring can be asked to hold.
const CAPACITY_MAX: usize = 1 << 40;

/// The choices a ring is built from; see [`Ring::builder`].
#[must_use]
pub struct RingBuilder<T> {
    capacity: usize,
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
            policy: OverflowPolicy::DropOldest,
            watermark: Watermark::default(),
            listener: None,
            max_bytes: usize::MAX,
            weigher: None,
        }
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
        if self.max_bytes == 0 {
            return Err(RingError::Bytes);
        }
        let room = Room {
            items: self.capacity,
            bytes: self.max_bytes,
        };
        let state = State::new(
            room,
            self.weigher.is_some(),
            self.policy,
            Gauge::new(self.watermark),
        );
        Ok(Ring {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                arrived: Condvar::new(),
                room: Condvar::new(),
                listener: self.listener,
                weigher: self.weigher,
            }),
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
