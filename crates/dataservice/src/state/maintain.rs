//! What is done now and then: histories shrink, idle keys go, cut grants are given back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::State;
use super::watch::is_too_deep;
use crate::after::After;
use crate::builder::Settings;
use crate::slot::Slot;
use crate::{Closed, KeyId};

/// Keys that are swept at most while the lock is held, so that this takes a fraction of a
/// millisecond.
const SWEEP_KEYS_MAX: usize = 16_384;

/// How often the sweep comes by an idle key before the key goes.
const IDLE_ROUNDS: u8 = 4;

/// Histories that are looked at while the lock is held, to shrink or to grow again.
const RESIZES_MAX: usize = 256;

/// What [`DataService::maintain`](crate::DataService::maintain) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// How many histories shrank.
    pub histories: usize,
    /// How many values were displaced by that.
    pub displaced: u64,
    /// Keys that were removed since nothing was put for so long.
    pub expired: Vec<KeyId>,
    /// How many keys got back what they had lost for lack of memory.
    pub regrown: usize,
}

/// Where the sweep for idle keys is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    next: usize,
    /// When this round began; `None` between rounds.
    round_since: Option<Instant>,
}

/// Histories that may be deeper than anyone needs, in the order in which they became so. None is
/// looked at before the grace period of all before it is over. Each has a mark, which its watch has
/// too; one that was needed meanwhile has lost it, and its place here means nothing.
#[derive(Debug, Default)]
pub(super) struct TooDeep {
    /// Since the last maintenance.
    unseen: Vec<Listed>,
    /// With the maintenance that saw them first.
    waiting: VecDeque<(Instant, Vec<Listed>)>,
    mark: u32,
}

type Listed = (KeyId, u32);

impl TooDeep {
    /// Its mark.
    pub(super) fn push(&mut self, id: KeyId) -> u32 {
        self.mark = self.mark.wrapping_add(1);
        self.unseen.push((id, self.mark));
        self.mark
    }

    /// One of them, due or not.
    pub(super) fn pop(&mut self) -> Option<Listed> {
        while let Some((_, listed)) = self.waiting.front_mut() {
            if let Some(one) = listed.pop() {
                return Some(one);
            }
            self.waiting.pop_front();
        }
        self.unseen.pop()
    }

    /// The grace period of those that were not seen before begins.
    fn see(&mut self, now: Instant) {
        if !self.unseen.is_empty() {
            self.waiting
                .push_back((now, std::mem::take(&mut self.unseen)));
        }
    }

    /// One whose grace period is over.
    fn due(&mut self, now: Instant, grace: Duration) -> Option<Listed> {
        while let Some((since, listed)) = self.waiting.front_mut() {
            if now.saturating_duration_since(*since) < grace {
                return None;
            }
            if let Some(one) = listed.pop() {
                return Some(one);
            }
            self.waiting.pop_front();
        }
        None
    }
}

impl Maintained {
    pub(crate) fn add(&mut self, part: Self) {
        self.histories += part.histories;
        self.displaced += part.displaced;
        self.expired.extend(part.expired);
        self.regrown += part.regrown;
    }
}

impl<V: Clone> State<V> {
    /// A part of what has to be done, and whether there is more.
    pub(crate) fn maintain(
        &mut self,
        now: Instant,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> (Maintained, bool) {
        let mut maintained = Maintained::default();
        let is_more = self.shrink_unneeded(now, settings, &mut maintained, after)
            | self.expire(now, settings, &mut maintained, after)
            | self.give_back(settings, &mut maintained, after);
        self.disconnect(settings, after);
        self.disconnect_feeds(after);
        self.keep_to_limit(after);
        (maintained, is_more)
    }

    fn shrink_unneeded(
        &mut self,
        now: Instant,
        settings: &Settings<V>,
        maintained: &mut Maintained,
        after: &mut After<V>,
    ) -> bool {
        self.too_deep.see(now);
        for _ in 0..RESIZES_MAX {
            let due = self.too_deep.due(now, settings.limits.shrink_after);
            let Some((id, mark)) = due else {
                return false;
            };
            if !self.is_listed(id, mark) {
                continue;
            }
            let needed = self.needed(id).max(settings.limits.depth_default);
            if is_too_deep(needed, self.slots.at(id.index()).depth()) {
                maintained.histories += 1;
                maintained.displaced += self.shrink(id, needed, after) as u64;
            }
            self.unlist(id);
        }
        true
    }

    /// How deep a key has to be for those who watch it.
    pub(super) fn needed(&self, id: KeyId) -> usize {
        let watch = self.slots.at(id.index()).watch();
        let watch = watch.and_then(|at| self.watches.get(at.place()));
        watch.map_or(1, |watch| {
            let (span_us, depth_max) = watch.span();
            let needed = watch.deepest(1);
            // A span needs twice what it holds, so that it does not soon grow again.
            match self.slots.at(id.index()) {
                Slot::Deep { deep, .. } if span_us > 0 => {
                    let within = deep.kept.within(span_us, depth_max).len();
                    needed.max(within.saturating_mul(2).min(depth_max))
                }
                _ => needed,
            }
        })
    }

    /// Whether it has not been needed since it was listed with this mark.
    pub(super) fn is_listed(&self, id: KeyId, mark: u32) -> bool {
        let watch = self.slots.at(id.index()).watch();
        let watch = watch.and_then(|at| self.watches.get(at.place()));
        watch.is_some_and(|watch| watch.listed == Some(mark))
    }

    /// It left the list of histories that may shrink.
    pub(super) fn unlist(&mut self, id: KeyId) {
        let slot = self.slots.at_mut(id.index());
        let Some(index) = slot.watch() else { return };
        if let Some(watch) = self.watches.get_mut(index.place()) {
            watch.listed = None;
            if watch.is_idle() {
                slot.set_watch(None);
                self.watches.remove(index.place());
            }
        }
    }

    /// Removes keys for which nothing was put for the time to live. A round of the sweep takes a
    /// quarter of that time, so that a key goes after one to one and a quarter of it.
    fn expire(
        &mut self,
        now: Instant,
        settings: &Settings<V>,
        maintained: &mut Maintained,
        after: &mut After<V>,
    ) -> bool {
        let Some(idle_after) = settings.limits.idle_after else {
            return false;
        };
        let since = *self.sweep.round_since.get_or_insert(now);
        if self.sweep.next >= self.slots.len() {
            if now.saturating_duration_since(since) < idle_after / u32::from(IDLE_ROUNDS) {
                return false;
            }
            self.sweep.next = 0;
            self.sweep.round_since = Some(now);
        }
        let first = self.sweep.next;
        let end = self.slots.len().min(first + SWEEP_KEYS_MAX);
        for index in first..end {
            if self.slots.at_mut(index).is_idle_for(IDLE_ROUNDS) {
                let number = u32::try_from(index).expect("ids have 32 bits");
                maintained.expired.push(KeyId::from_number(number));
            }
        }
        self.sweep.next = end;
        self.counts.expired += maintained.expired.len() as u64;
        if let Some(value) = self.clear(&maintained.expired, settings, after) {
            after.value(value);
        }
        self.sweep.next < self.slots.len()
    }

    /// Gives keys back what was cut, when half of the memory is free.
    fn give_back(
        &mut self,
        settings: &Settings<V>,
        maintained: &mut Maintained,
        after: &mut After<V>,
    ) -> bool {
        if self.bytes() < self.memory.limit / 2 {
            self.retain(settings.limits.resume_updates, after);
        }
        for _ in 0..RESIZES_MAX {
            if self.bytes() >= self.memory.limit / 2 {
                return false;
            }
            let Some(id) = self.cut.pop() else {
                return false;
            };
            let index = self.ensure_watch(id);
            let before = self.slots.at(id.index()).depth();
            super::watch::present_watch(&mut self.watches, index).cut_to = None;
            self.bring_about(id, settings);
            let slot = self.slots.at_mut(id.index());
            maintained.regrown += usize::from(slot.depth() > before);
            if super::watch::present_watch(&mut self.watches, index).is_idle() {
                slot.set_watch(None);
                self.watches.remove(index.place());
            }
        }
        true
    }

    /// Closes subscriptions that are overrun and asked for that, also if they never poll.
    fn disconnect(&mut self, settings: &Settings<V>, after: &mut After<V>) {
        let asks = |it: &crate::subscriber::Subscriber| {
            it.backpressure == crate::Backpressure::Disconnect
                && it.closed.is_none()
                // It cannot poll, and is judged when it can.
                && !it.is_paused
        };
        let all = self.subscribers.iter();
        let asking: Vec<u32> = all.filter(|(_, it)| asks(it)).map(|(n, _)| n).collect();
        for number in asking {
            if self.is_overrun(number) {
                self.close(number, Closed::Overrun, settings, after);
            }
        }
    }
}
