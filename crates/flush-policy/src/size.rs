//! Flush when enough has come together: by number of items or by bytes.

use std::time::Instant;

use crate::buffered::Buffered;
use crate::error::count_at_least;
use crate::{Decision, FlushPolicy, Flushed, Load, PolicyError, Reason};

/// Flushes when the buffer holds at least so many items.
///
/// By itself it leaves a remainder below that number where it is; combine it with [`Age`].
///
/// It has no deadline until a push, or the remainder of a flush, reaches the number. Then the
/// deadline is that moment, until the flush ends.
///
/// [`Age`]: crate::Age
#[derive(Debug, Clone)]
pub struct Size {
    items_min: usize,
    buffered: Buffered,
    due: Due,
}

impl Size {
    /// Flushes at `items`.
    ///
    /// # Errors
    /// If `items` is 0.
    pub fn new(items: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            items_min: count_at_least("size", items, 1)?,
            buffered: Buffered::default(),
            due: Due::default(),
        })
    }

    fn decide(&mut self, now: Instant) -> Decision {
        let reached = self.buffered.items() >= self.items_min;
        self.due.decide(now, reached.then_some(Reason::Size))
    }
}

impl FlushPolicy for Size {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let now = self.buffered.accept(now, pushed);
        self.decide(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.due.since()
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        self.decide(now)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        self.due = Due::default();
        self.decide(now)
    }

    fn deadline_reason(&self) -> Reason {
        Reason::Size
    }
}

/// Flushes when the items in the buffer weigh at least so many bytes.
///
/// An item larger than that is flushed alone or with what waits before it; the policy splits
/// nothing.
///
/// It has no deadline until a push, or the remainder of a flush, reaches the number. Then the
/// deadline is that moment, until the flush ends.
#[derive(Debug, Clone)]
pub struct Bytes {
    bytes_min: usize,
    buffered: Buffered,
    due: Due,
}

impl Bytes {
    /// Flushes at `bytes`.
    ///
    /// # Errors
    /// If `bytes` is 0.
    pub fn new(bytes: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            bytes_min: count_at_least("bytes", bytes, 1)?,
            buffered: Buffered::default(),
            due: Due::default(),
        })
    }

    fn decide(&mut self, now: Instant) -> Decision {
        let reached = self.buffered.items() > 0 && self.buffered.bytes() >= self.bytes_min;
        self.due.decide(now, reached.then_some(Reason::Bytes))
    }
}

impl FlushPolicy for Bytes {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let now = self.buffered.accept(now, pushed);
        self.decide(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.due.since()
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        self.decide(now)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        self.due = Due::default();
        self.decide(now)
    }

    fn deadline_reason(&self) -> Reason {
        Reason::Bytes
    }
}

/// Since when a condition that does not depend on time has held.
///
/// It is shown as a deadline in the past, so that a decision that was not followed comes again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Due {
    since: Option<Instant>,
}

impl Due {
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(crate) fn decide(&mut self, now: Instant, due: Option<Reason>) -> Decision {
        match due {
            Some(reason) => {
                self.since.get_or_insert(now);
                Decision::Flush(reason)
            }
            None => Decision::Wait,
        }
    }
}
