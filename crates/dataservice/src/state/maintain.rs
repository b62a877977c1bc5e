//! What is done now and then: histories shrink, idle keys go, cut grants are given back.

use std::time::Instant;

use super::State;
use super::watch::is_too_deep;
use crate::after::After;
use crate::builder::Settings;
use crate::slot::Slot;
use crate::{Closed, KeyId};

/// Keys that one call sweeps at most, so that it holds the lock for a fraction of a millisecond.
const SWEEP_KEYS_MAX: usize = 16_384;

/// How often the sweep comes by an idle key before the key goes.
const IDLE_ROUNDS: u8 = 4;

/// Histories that one call shrinks at most.
const SHRINKS_MAX: usize = 256;

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

impl<V: Clone> State<V> {
    pub(crate) fn maintain(
        &mut self,
        now: Instant,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> Maintained {
        let mut maintained = Maintained::default();
        self.shrink_unneeded(now, settings, &mut maintained, after);
        self.expire(now, settings, &mut maintained, after);
        self.give_back(settings, &mut maintained, after);
        self.disconnect(settings, after);
        self.disconnect_feeds(after);
        self.keep_to_limit(after);
        maintained
    }

    fn shrink_unneeded(
        &mut self,
        now: Instant,
        settings: &Settings<V>,
        maintained: &mut Maintained,
        after: &mut After<V>,
    ) {
        let mut later = Vec::new();
        while let Some(id) = self.too_deep.pop() {
            if maintained.histories >= SHRINKS_MAX {
                later.push(id);
                break;
            }
            let needed = self.needed(id).max(settings.limits.depth_default);
            let slot = self.slots.at(id.index());
            let depth = slot.depth();
            let watch = slot.watch().and_then(|at| self.watches.get_mut(at.place()));
            let Some(watch) = watch else { continue };
            if is_too_deep(needed, depth) {
                let since = *watch.too_deep_since.get_or_insert(now);
                if now.saturating_duration_since(since) < settings.limits.shrink_after {
                    later.push(id);
                    continue;
                }
                maintained.histories += 1;
                maintained.displaced += self.shrink(id, needed, after) as u64;
            }
            self.unlist(id);
        }
        self.too_deep.append(&mut later);
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

    /// It left the list of histories that may shrink.
    pub(super) fn unlist(&mut self, id: KeyId) {
        let slot = self.slots.at_mut(id.index());
        let Some(index) = slot.watch() else { return };
        if let Some(watch) = self.watches.get_mut(index.place()) {
            watch.listed = false;
            watch.too_deep_since = None;
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
    ) {
        let Some(idle_after) = settings.limits.idle_after else {
            return;
        };
        let since = *self.sweep.round_since.get_or_insert(now);
        if self.sweep.next >= self.slots.len() {
            if now.saturating_duration_since(since) < idle_after / u32::from(IDLE_ROUNDS) {
                return;
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
    }

    /// Gives keys back what was cut, when half of the memory is free.
    fn give_back(
        &mut self,
        settings: &Settings<V>,
        maintained: &mut Maintained,
        after: &mut After<V>,
    ) {
        if self.bytes() < self.memory.limit / 2 {
            self.retain(settings.limits.resume_updates, after);
        }
        while self.bytes() < self.memory.limit / 2 {
            let Some(id) = self.cut.pop() else { return };
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
    }

    /// Closes subscriptions that are overrun and asked for that, also if they never poll.
    fn disconnect(&mut self, settings: &Settings<V>, after: &mut After<V>) {
        let asks = |it: &crate::subscriber::Subscriber| {
            it.backpressure == crate::Backpressure::Disconnect && it.closed.is_none()
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
