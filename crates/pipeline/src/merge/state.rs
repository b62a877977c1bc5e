//! What the lock of a merger guards: the counts, the keys, and those who wait.

use std::task::Waker;
use std::time::Instant;

use buffer_core::Refusal;
use coalesce::Writer;

use super::aggregate::Merging;
use super::counts::MergerStats;
use super::slots::{MergeKey, Slots};
use super::store::Parts;

pub(super) struct State {
    pub(super) writer: Writer<MergeKey, Merging>,
    pub(super) slots: Slots,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) acked: u64,
    pub(super) purged: u64,
    /// Updates that wait: in the coalescer or set aside.
    pub(super) buffered: usize,
    pub(super) leased: usize,
    pub(super) updates_max: usize,
    /// When the oldest of those in the coalescer was accepted.
    pub(super) oldest: Option<Instant>,
    pub(super) aside: Option<Aside>,
    pub(super) is_lent: bool,
    /// Whether somebody was refused for want of room since the last take.
    pub(super) was_refused: bool,
    /// Pushes that wait for room.
    pub(super) waiting: usize,
    pub(super) is_closed: bool,
    /// Those who wait until so many updates are there.
    pub(super) watchers: Vec<(Waker, usize)>,
}

/// A batch that came back and may have been written: it is leased again as it is.
pub(super) struct Aside {
    pub(super) parts: Parts,
    pub(super) oldest: Option<Instant>,
}

/// The most tasks that wait; one more wakes the one that has waited the longest.
const WATCHERS_MAX: usize = 64;

impl State {
    /// An empty store.
    pub(super) fn new(
        writer: Writer<MergeKey, Merging>,
        keys_max: usize,
        updates_max: usize,
    ) -> Self {
        Self {
            writer,
            slots: Slots::new(keys_max),
            accepted: 0,
            refused: 0,
            acked: 0,
            purged: 0,
            buffered: 0,
            leased: 0,
            updates_max,
            oldest: None,
            aside: None,
            is_lent: false,
            was_refused: false,
            waiting: 0,
            is_closed: false,
            watchers: Vec::new(),
        }
    }

    pub(super) fn stats(&self) -> MergerStats {
        MergerStats {
            offered: self.accepted + self.refused,
            accepted: self.accepted,
            refused: self.refused,
            acked: self.acked,
            purged: self.purged,
            buffered_updates: self.buffered,
            leased_updates: self.leased,
            keys: self.slots.live(),
            keys_max: self.slots.keys_max(),
            updates_max: self.updates_max,
        }
    }

    pub(super) fn refuse(&mut self, updates: usize, refusal: Option<Refusal>) {
        self.refused += updates as u64;
        self.was_refused |= updates > 0 && refusal != Some(Refusal::Closed);
    }

    /// What waited is on loan; says how many updates that is.
    pub(super) fn lend(&mut self, parts: &Parts) -> u64 {
        let mut updates = 0;
        for part in parts {
            self.slots.lend(part.key.slot, part.updates);
            updates += part.updates;
        }
        self.buffered -= updates as usize;
        self.leased += updates as usize;
        updates
    }

    /// What was on loan is gone: so many updates.
    pub(super) fn settle(&mut self, parts: &Parts, updates: u64) {
        for part in parts {
            self.slots.settle(part.key.slot, part.updates);
        }
        self.leased -= updates as usize;
    }

    /// When the oldest of what waits was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let aside = self.aside.as_ref().and_then(|aside| aside.oldest);
        earlier(self.oldest, aside)
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffered + self.leased >= self.updates_max
    }

    /// Whether so much waits that a task that waits for it is to be woken.
    pub(super) fn meets(&self, updates: usize) -> bool {
        let wants_room = self.was_refused || self.waiting > 0 || self.is_full();
        self.is_closed || self.buffered >= updates.max(1) || (self.buffered > 0 && wants_room)
    }

    /// Remembers whom to wake, at the least of its demands. Gives back what is to be dropped after
    /// unlocking, and who is one too many, to be woken.
    pub(super) fn watch(&mut self, waker: Waker, updates: usize) -> (Option<Waker>, Option<Waker>) {
        let is_own = |(known, _): &(Waker, usize)| known.will_wake(&waker);
        let own = self.watchers.iter().position(is_own);
        let (own, before) = own.map(|own| self.watchers.remove(own)).unzip();
        let updates = before.map_or(updates, |before| updates.min(before));
        self.watchers.push((waker, updates));
        let oldest = (self.watchers.len() > WATCHERS_MAX).then(|| self.watchers.remove(0).0);
        (own, oldest)
    }

    /// Those whose demand is met, to be woken after unlocking.
    pub(super) fn met(&mut self) -> Vec<Waker> {
        // Most pushes find nobody who waits for so little.
        if !self
            .watchers
            .iter()
            .any(|(_, updates)| self.meets(*updates))
        {
            return Vec::new();
        }
        let watchers = std::mem::take(&mut self.watchers);
        let (met, left): (Vec<_>, Vec<_>) = watchers
            .into_iter()
            .partition(|(_, updates)| self.meets(*updates));
        self.watchers = left;
        met.into_iter().map(|(waker, _)| waker).collect()
    }
}

pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

pub(super) fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
