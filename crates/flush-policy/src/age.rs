//! Flush when the oldest item has waited long enough.

use std::time::{Duration, Instant};

use crate::buffered::Buffered;
use crate::error::wait_in_range;
use crate::{Decision, FlushPolicy, Flushed, Load, PolicyError, Reason};

/// Flushes when the oldest item in the buffer has waited so long.
///
/// The age counts from the arrival of the *first* item that is still there, so a trickle does not
/// postpone the flush, and what a flush leaves behind keeps the age it has. It is a promise: no
/// combination by [`any_of`](crate::any_of) lengthens it.
///
/// The deadline is the arrival of that first item plus the age. A push sets it when the buffer was
/// empty, and brings it forward when it reports an item that is older than all others; the end of a
/// flush puts it to the oldest item that is left, or takes it away.
#[derive(Debug, Clone)]
pub struct Age {
    age_max: Duration,
    buffered: Buffered,
}

impl Age {
    /// Flushes at the age `age_max`.
    ///
    /// # Errors
    /// If `age_max` is zero or longer than [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn new(age_max: Duration) -> Result<Self, PolicyError> {
        Ok(Self {
            age_max: wait_in_range("age", age_max)?,
            buffered: Buffered::default(),
        })
    }

    fn decide(&self, now: Instant) -> Decision {
        match self.next_deadline() {
            Some(deadline) if now >= deadline => Decision::Flush(Reason::Age),
            _ => Decision::Wait,
        }
    }
}

impl FlushPolicy for Age {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let now = self.buffered.accept(now, pushed);
        self.decide(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.buffered.oldest()?.checked_add(self.age_max)
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        self.decide(now)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        self.decide(now)
    }
}
