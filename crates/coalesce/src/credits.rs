//! How many updates and keys a handle may put in before it has to ask again.
//!
//! Credits come in chunks, so that the count that all handles share is written rarely. A chunk is
//! at most a fixed size, and at most an even share of half the room that is left, so that chunks
//! shrink to single credits as a cap comes near. Before anybody is refused, and before a flush is
//! said to be due, credits that lie unused with others are collected: so a cap is exact, and is
//! reached by updates, not by credits.

use crate::hub::{Held, Hub};

/// Credits of a chunk where there are caps.
#[cfg(not(loom))]
const CHUNK: u64 = 1_024;
#[cfg(loom)]
const CHUNK: u64 = 2;
/// Credits of a chunk where there are none: more than anybody adds between two takes.
const UNLIMITED: u64 = 1 << 40;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) updates_max: Option<u64>,
    /// Keys that may be there beside the overflow key.
    pub(crate) keys_max: Option<u64>,
    pub(crate) flush_at: Option<u64>,
    /// Whether one key has a reserved place.
    pub(crate) has_overflow_key: bool,
}

/// Credits for the update at hand, and for more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) chunk: u64,
    pub(crate) is_due: bool,
}

/// What there is for a key that is to get its first update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRoom {
    /// A place, and a chunk of further ones.
    Chunk(u64),
    /// A place, if it turns out that the key is new: few are left.
    Last,
    /// None, but merging what was handed over, or what is on its way in, may show that there is.
    Unmerged,
    Full,
}

/// The handle that asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asking {
    /// One thread's: what it lacks it does not have.
    Own(usize),
    /// One that threads share: another thread may have got credits for it meanwhile, or a place for
    /// the same key.
    Shared(usize),
}

impl Asking {
    pub(crate) const fn number(self) -> usize {
        match self {
            Self::Own(lane) | Self::Shared(lane) => lane,
        }
    }

    /// The handle, if it is known to hold nothing that it does not use.
    const fn alone(self) -> Option<usize> {
        match self {
            Self::Own(lane) => Some(lane),
            Self::Shared(_) => None,
        }
    }
}

impl<K, P> Hub<K, P> {
    /// Credits for an update of this handle, which has none left; `None` if there is no room.
    pub(crate) fn grant(&mut self, caps: &Caps, lane: Asking) -> Option<Grant> {
        let room = |held: &Held<K, P>| caps.updates_max.map(|max| max.saturating_sub(held.used));
        let until_due = |held: &Held<K, P>| {
            let flush_at = caps.flush_at.filter(|_| !held.is_due)?;
            Some((flush_at - 1).saturating_sub(held.used))
        };
        let reached = |held: &Held<K, P>| room(held) == Some(0) || until_due(held) == Some(0);
        if reached(&self.held) && self.held.is_loose_beside(lane.alone()) {
            self.park_all();
        }
        let held = &mut self.held;
        if room(held) == Some(0) {
            return None;
        }
        held.is_due |= until_due(held) == Some(0);
        held.used += 1;
        let mut chunk = UNLIMITED;
        for left in [room(held), until_due(held)].into_iter().flatten() {
            chunk = chunk.min(left / (2 * held.lane_count.max(1))).min(CHUNK);
        }
        held.used += chunk;
        let is_due = held.is_due;
        if let Some(state) = held.lane_mut(lane.number()) {
            // What a shared handle got before may be unused.
            state.is_loose = chunk > 0 || state.is_loose && lane.alone().is_none();
        }
        Some(Grant { chunk, is_due })
    }
}

impl<K, P> Held<K, P> {
    /// What there is for one more key of this handle, which has no credits for keys left.
    ///
    /// If several threads use the handle, the key may be on its way in by another one.
    pub(crate) fn key_room(&self, caps: &Caps, lane: Asking) -> KeyRoom {
        let Some(keys_max) = caps.keys_max else {
            return KeyRoom::Chunk(UNLIMITED);
        };
        let room = keys_max.saturating_sub(self.keys_used);
        let chunk = (room / (4 * self.lane_count.max(1))).min(CHUNK / 2);
        if chunk > 0 {
            return KeyRoom::Chunk(chunk);
        }
        let is_alone = self.central.table.live() == 0
            && self.parked.is_empty()
            && !self.is_keyed_beside(lane.alone())
            && !caps.has_overflow_key;
        let is_exact = is_alone
            || self.parked.is_empty() && !self.lanes.iter().flatten().any(|lane| lane.is_keyed);
        match room {
            0 if is_exact => KeyRoom::Full,
            0 => KeyRoom::Unmerged,
            _ => KeyRoom::Last,
        }
    }

    /// Takes a ticket for a key back, unused.
    pub(crate) fn discharge(&mut self, lane: usize) {
        self.keys_used -= 1;
        if let Some(lane) = self.lane_mut(lane) {
            lane.key_tickets -= 1;
        }
    }

    /// Charges the place of one key, and a chunk of further ones, to a handle.
    pub(crate) fn charge(&mut self, lane: usize, chunk: u64) {
        self.keys_used += 1 + chunk;
        if let Some(lane) = self.lane_mut(lane) {
            lane.is_keyed = true;
            lane.key_tickets += 1;
        }
    }
}
