//! Flush at intervals, as long as there is something to flush.

use std::time::{Duration, Instant};

use crate::buffered::Buffered;
use crate::error::wait_in_range;
use crate::{Decision, FlushPolicy, Flushed, Load, Outcome, PolicyError, Reason};

/// Flushes when the last flush is so long ago, unless the buffer is empty.
///
/// The interval counts from the end of the last flush that delivered. If it has run out when an
/// item comes into the empty buffer, it starts again at that item's arrival: the first item
/// after a quiet hour waits for company instead of being flushed alone. A flush that failed
/// does not start it again.
///
/// There is a deadline while the buffer holds something: the end of the interval. The push into the
/// empty buffer sets it, further pushes leave it where it is, and the end of a flush that delivered
/// puts it an interval later, or takes it away if nothing is left.
///
/// What a flush left behind waits for another interval; where a wait is promised, use
/// [`Age`](crate::Age).
#[derive(Debug, Clone)]
pub struct Interval {
    interval: Duration,
    /// Where the interval counts from: the last flush, or the first item after a pause.
    since: Option<Instant>,
    buffered: Buffered,
}

impl Interval {
    /// Flushes every `interval`.
    ///
    /// # Errors
    /// If `interval` is zero or longer than [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn new(interval: Duration) -> Result<Self, PolicyError> {
        Ok(Self {
            interval: wait_in_range("interval", interval)?,
            since: None,
            buffered: Buffered::default(),
        })
    }

    fn ends_at(&self) -> Option<Instant> {
        self.since?.checked_add(self.interval)
    }

    fn decide(&self, now: Instant) -> Decision {
        match self.next_deadline() {
            Some(deadline) if now >= deadline => Decision::Flush(Reason::Interval),
            _ => Decision::Wait,
        }
    }
}

impl FlushPolicy for Interval {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let was_empty = self.buffered.oldest().is_none();
        let now = self.buffered.accept(now, pushed);
        if let (true, Some(first)) = (was_empty, self.buffered.oldest())
            && self.ends_at().is_none_or(|end| first >= end)
        {
            self.since = Some(first);
        }
        self.decide(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        // An empty buffer has nothing to wake up for.
        self.buffered.oldest().and_then(|_| self.ends_at())
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        self.decide(now)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        if flushed.outcome() == Outcome::Delivered {
            self.since = Some(now);
        }
        self.decide(now)
    }

    fn deadline_reason(&self) -> Reason {
        Reason::Interval
    }
}
