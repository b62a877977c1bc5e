//! What a policy knows of the buffer: how much is in it, since when, and the latest time seen.

use std::time::Instant;

use crate::{Flushed, Load};

/// The account of one buffer, kept by each policy for itself so that each can be used alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffered {
    /// Latest time seen; an earlier one is clamped to it.
    latest: Option<Instant>,
    items: usize,
    bytes: usize,
    /// Arrival of the oldest item; `None` exactly if there are no items.
    oldest: Option<Instant>,
}

impl Buffered {
    /// Takes in the time, and returns it or the latest seen if it jumped back.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        now
    }

    /// Takes in a load, and returns the clamped time.
    pub(crate) fn accept(&mut self, now: Instant, pushed: Load) -> Instant {
        let now = self.advance(now);
        if pushed.items() > 0 {
            self.items = self.items.saturating_add(pushed.items());
            self.bytes = self.bytes.saturating_add(pushed.bytes());
            let arrival = pushed.first_arrival(now);
            self.oldest = Some(self.oldest.map_or(arrival, |oldest| oldest.min(arrival)));
        }
        now
    }

    /// Replaces the account by what is left after a flush, and returns the clamped time.
    pub(crate) fn settle(&mut self, now: Instant, flushed: &Flushed) -> Instant {
        let now = self.advance(now);
        let remainder = flushed.remainder();
        self.items = remainder.items();
        self.bytes = remainder.bytes();
        self.oldest = remainder.oldest().map(|oldest| oldest.min(now));
        now
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }
}
