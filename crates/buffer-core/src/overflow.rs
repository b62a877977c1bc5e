//! What happens when a buffer is full, and what became of a push.

use std::time::Duration;

/// What a push does when the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The oldest queued items make room, are counted and handed back. What is leased is not
    /// displaced: when leases hold the whole ring, the new item is dropped instead.
    DropOldest,
    /// The new item is accepted, dropped at once, counted and handed back.
    DropNewest,
    /// The new item is refused and handed back; nothing is stored.
    Reject,
    /// The caller waits for room, for so long at the most, and is refused then.
    Block(Duration),
}

/// Why an item was refused. A refused item was never in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room, and the policy is not to make any.
    #[error("the ring is full")]
    Full,
    /// There was no room for as long as the policy waits.
    #[error("the ring stayed full for as long as a push waits")]
    TimedOut,
    /// The ring was closed.
    #[error("the ring is closed")]
    Closed,
    /// What was pushed is more than the ring can ever hold.
    #[error("this is more than the whole ring can hold")]
    TooHeavy,
}

/// What became of one pushed item. Everything that is not in the ring is handed back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a push may have refused or displaced an item"]
pub enum Pushed<T> {
    /// The item is in the ring.
    Stored,
    /// The item is in the ring, and these fell out, oldest first.
    Displaced {
        /// The oldest that fell out.
        first: T,
        /// The others; only an item heavier than `first` displaces more than one.
        rest: Vec<T>,
    },
    /// The item was accepted and dropped, and is counted as such.
    Dropped(T),
    /// The item was refused.
    Refused(Refusal, T),
}

impl<T> Pushed<T> {
    /// Whether the item is in the ring.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored | Self::Displaced { .. })
    }
}

/// What became of many pushed items; those that were refused stay with the caller.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a push may have refused or displaced items"]
pub struct PushedMany<T> {
    /// How many of the items are accepted: those in the ring and those dropped as the newest.
    pub accepted: usize,
    /// What fell out to make room, oldest first.
    pub displaced: Vec<T>,
    /// What was accepted and dropped.
    pub dropped: Vec<T>,
    /// Why the remaining items were refused, if any were.
    pub refusal: Option<Refusal>,
}

impl<T> Default for PushedMany<T> {
    fn default() -> Self {
        Self {
            accepted: 0,
            displaced: Vec::new(),
            dropped: Vec::new(),
            refusal: None,
        }
    }
}
