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
        /// The others. An item displaces more than one only if it is heavier than `first`, or if
        /// the ring was made smaller while items were on loan.
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

/// What became of many pushed items. Those that are not in the ring are in the caller's vector
/// now, in this order: the displaced, oldest first; those dropped on arrival; the refused.
///
/// The vector's buffer is used for that, so pushing into a ring that has room, or that is steadily
/// full, allocates nothing. Under a policy that only refuses, such as `Block`, the vector holds
/// what is still to be pushed; under one that drops, clear it before it is filled again: what is in
/// it would be pushed once more.
///
/// ```
/// use buffer_core::Ring;
///
/// let ring = Ring::new(3)?;
/// let mut items = vec![1, 2, 3, 4, 5];
/// let pushed = ring.push_many(&mut items);
/// assert_eq!((pushed.accepted, pushed.displaced), (5, 2));
/// assert_eq!(pushed.displaced_of(&items), [1, 2]);
/// items.clear();
/// # Ok::<(), buffer_core::RingError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a push may have refused or displaced items"]
pub struct PushedMany {
    /// How many of the items were accepted: those in the ring and those dropped on arrival.
    pub accepted: usize,
    /// How many items fell out of the ring to make room.
    pub displaced: usize,
    /// How many of the items were accepted and dropped.
    pub dropped: usize,
    /// Why the remaining items were refused, if any were.
    pub refusal: Option<Refusal>,
}

impl PushedMany {
    /// Those of the caller's items that fell out of the ring, oldest first.
    #[must_use]
    pub fn displaced_of<'a, T>(&self, items: &'a [T]) -> &'a [T] {
        &items[..self.displaced.min(items.len())]
    }

    /// Those of the caller's items that were accepted and dropped.
    #[must_use]
    pub fn dropped_of<'a, T>(&self, items: &'a [T]) -> &'a [T] {
        let end = (self.displaced + self.dropped).min(items.len());
        &items[self.displaced.min(end)..end]
    }

    /// Those of the caller's items that were refused, in order.
    #[must_use]
    pub fn refused_of<'a, T>(&self, items: &'a [T]) -> &'a [T] {
        &items[(self.displaced + self.dropped).min(items.len())..]
    }

    /// All that was offered is in the ring, in the place of so many others.
    pub(crate) fn displacing(accepted: usize, displaced: usize) -> Self {
        Self {
            accepted,
            displaced,
            ..Self::default()
        }
    }
}
