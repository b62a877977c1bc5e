//! Subscribers that come, change what they watch, and go.

use std::sync::Arc;

use super::State;
use crate::after::After;
use crate::builder::Settings;
use crate::signal::Signal;
use crate::subscriber::{Entry, Subscriber};
use crate::watch::{Need, Watch, WatchIndex, Watcher};
use crate::{Backpressure, Closed, KeyId, Requirement};

/// Where a subscriber begins with a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// What it holds now is unseen, and nothing before that is missed.
    Now,
    /// Everything up to now was seen.
    Seen,
    /// The key changed since it was seen: so many updates came, or it was cleared.
    Unseen(u64),
}

/// A history shrinks when what is needed fell to this part of its depth.
const SHRINK_RATIO: usize = 4;

impl<V: Clone> State<V> {
    pub(crate) fn enter(&mut self, signal: Arc<Signal>, backpressure: Backpressure) -> u32 {
        let subscriber = Subscriber::new(signal, backpressure);
        self.blocking_subscribers += usize::from(subscriber.is_blocking());
        self.subscribers.insert(subscriber)
    }

    pub(crate) fn leave(&mut self, number: u32, settings: &Settings<V>) {
        self.give_up(number, settings);
        self.subscribers.remove(number);
    }

    /// Closes a subscription: it watches nothing any more, and its reader is told once.
    pub(super) fn close(
        &mut self,
        number: u32,
        why: Closed,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) {
        let settled = self.settled(number);
        self.give_up(number, settings);
        if let Some(subscriber) = self.subscribers.get_mut(number) {
            subscriber.settled = settled;
            subscriber.closed = Some(why);
            if subscriber.signal.mark() {
                after.wakes.push(Arc::clone(&subscriber.signal));
            }
        }
    }

    fn give_up(&mut self, number: u32, settings: &Settings<V>) {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return;
        };
        let is_blocking = subscriber.is_blocking() && subscriber.closed.is_none();
        self.blocking_subscribers -= usize::from(is_blocking);
        subscriber.dirty.clear();
        let entries = std::mem::take(&mut subscriber.entries);
        for (entry, watched) in (0..).zip(entries) {
            if let Some(watched) = watched {
                let watcher = Watcher {
                    subscriber: number,
                    entry,
                };
                self.detach(watcher, watched.id, watched.need, is_blocking, settings);
            }
        }
    }

    /// Begins to watch a key. The next poll shows it if there is anything that was not seen.
    pub(crate) fn watch(
        &mut self,
        number: u32,
        id: KeyId,
        (requirement, need): (Requirement, Need),
        start: Start,
        settings: &Settings<V>,
    ) -> u32 {
        let slot = self.slots.at(id.index());
        let (appended, len) = (slot.appended(), slot.len() as u64);
        let (unseen, is_changed) = match start {
            Start::Now => (len, len > 0),
            Start::Seen => (0, false),
            Start::Unseen(unseen) => (unseen, true),
        };
        let cursor = appended - unseen.min(appended);
        let subscriber = present(&mut self.subscribers, number);
        let is_blocking = subscriber.is_blocking();
        let is_paused = subscriber.is_paused;
        let at = subscriber.insert(Entry {
            id,
            requirement,
            need,
            cursor,
            start: cursor,
            is_told: is_paused && is_changed,
        });
        if is_changed && !is_paused {
            subscriber.dirty.push(at);
            subscriber.signal.mark();
        }
        let index = self.ensure_watch(id);
        let watch = present_watch(&mut self.watches, index);
        let watcher = Watcher {
            subscriber: number,
            entry: at,
        };
        watch.watchers.push(watcher);
        if !is_changed {
            watch.clean.push(watcher);
        }
        watch.blocking += u32::from(is_blocking);
        self.need(id, need, settings);
        at
    }

    /// Reads a key another way from now on; the cursor stays where it is.
    pub(crate) fn rewatch(
        &mut self,
        number: u32,
        at: u32,
        (requirement, need): (Requirement, Need),
        settings: &Settings<V>,
    ) {
        let subscriber = present(&mut self.subscribers, number);
        let Some(Some(entry)) = subscriber.entries.get_mut(at as usize) else {
            return;
        };
        let before = std::mem::replace(&mut entry.need, need);
        entry.requirement = requirement;
        let id = entry.id;
        self.need(id, need, settings);
        self.forget(id, before, settings);
    }

    /// Stops watching a key. How many updates of it were seen, or counted as missed.
    pub(crate) fn unwatch(&mut self, number: u32, at: u32, settings: &Settings<V>) -> u64 {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return 0;
        };
        let entry = subscriber.entries.get_mut(at as usize);
        let Some(entry) = entry.and_then(Option::take) else {
            return 0;
        };
        let is_blocking = subscriber.is_blocking();
        subscriber.vacant.push(at);
        let watcher = Watcher {
            subscriber: number,
            entry: at,
        };
        let was_clean = self.detach(watcher, entry.id, entry.need, is_blocking, settings);
        if !was_clean {
            let subscriber = present(&mut self.subscribers, number);
            subscriber.dirty.retain(|other| *other != at);
            if subscriber.dirty.is_empty() && subscriber.revised.is_empty() {
                subscriber.signal.clear();
            }
        }
        entry.cursor - entry.start
    }

    /// From now on commits pass this subscriber by.
    pub(crate) fn pause(&mut self, number: u32) {
        let subscriber = present(&mut self.subscribers, number);
        if subscriber.closed.is_some() {
            return;
        }
        if std::mem::replace(&mut subscriber.is_paused, true) {
            return;
        }
        // What waits to be polled still does afterwards.
        for at in subscriber.dirty.drain(..) {
            if let Some(Some(entry)) = subscriber.entries.get_mut(at as usize) {
                entry.is_told = true;
            }
        }
        subscriber.signal.clear();
    }

    /// Tells a subscriber again what changes, and what did while it was paused. Whether there is
    /// something to poll.
    pub(crate) fn unpause(&mut self, number: u32) -> bool {
        let subscriber = present(&mut self.subscribers, number);
        if !std::mem::take(&mut subscriber.is_paused) {
            return false;
        }
        let Subscriber {
            entries,
            dirty,
            signal,
            revised,
            ..
        } = subscriber;
        for (at, entry) in (0..).zip(entries) {
            if let Some(entry) = entry
                && std::mem::take(&mut entry.is_told)
            {
                dirty.push(at);
            }
        }
        let is_pending = !dirty.is_empty() || !revised.is_empty();
        if is_pending {
            signal.mark();
        }
        is_pending
    }

    /// How many values of a key are kept for a watcher with this need.
    pub(crate) fn granted(&self, id: KeyId, need: Need) -> usize {
        let watch = self.slots.at(id.index()).watch();
        let watch = watch.and_then(|index| self.watches.get(index.place()));
        let cut_to = watch.and_then(|watch| watch.cut_to);
        need.depth_max.min(cut_to.unwrap_or(usize::MAX)).max(1)
    }

    /// The need of an entry.
    pub(crate) fn need_of(&self, number: u32, at: u32) -> Option<(KeyId, Need)> {
        let subscriber = self.subscribers.get(number)?;
        let entry = subscriber.entries.get(at as usize)?.as_ref()?;
        Some((entry.id, entry.need))
    }

    pub(super) fn ensure_watch(&mut self, id: KeyId) -> WatchIndex {
        let slot = self.slots.at_mut(id.index());
        if let Some(index) = slot.watch() {
            return index;
        }
        let index = WatchIndex::new(self.watches.insert(Watch::default()));
        slot.set_watch(Some(index));
        index
    }

    /// Somebody counts on this from now on. The history grows at once and loses nothing.
    fn need(&mut self, id: KeyId, need: Need, settings: &Settings<V>) {
        let index = self.ensure_watch(id);
        let watch = present_watch(&mut self.watches, index);
        watch.add(need);
        self.bring_about(id, settings);
    }

    /// Makes a history as deep as its watch says, if it is less deep.
    pub(super) fn bring_about(&mut self, id: KeyId, settings: &Settings<V>) {
        let slot = self.slots.at_mut(id.index());
        let watch = slot.watch().and_then(|at| self.watches.get_mut(at.place()));
        let Some(watch) = watch else { return };
        let depth = watch.deepest(settings.limits.depth_default);
        let was_deep = matches!(slot, crate::slot::Slot::Deep { .. });
        let before = slot.depth();
        self.memory.charge(slot.grow(depth, &settings.registry));
        if slot.depth() > before {
            watch.resizes += 1;
            self.counts.resizes += 1;
        }
        if depth.saturating_mul(SHRINK_RATIO) > slot.depth() {
            watch.listed = None;
        }
        if let crate::slot::Slot::Deep { deep, .. } = slot {
            (deep.span_us, deep.span_depth_max) = watch.span();
            if !was_deep {
                self.became_deep(id);
            }
        }
    }

    fn forget(&mut self, id: KeyId, need: Need, settings: &Settings<V>) {
        let slot = self.slots.at_mut(id.index());
        let Some(index) = slot.watch() else { return };
        let watch = present_watch(&mut self.watches, index);
        watch.forget(need);
        if let crate::slot::Slot::Deep { deep, .. } = slot {
            (deep.span_us, deep.span_depth_max) = watch.span();
        }
        let needed = watch.deepest(settings.limits.depth_default);
        if needed.saturating_mul(SHRINK_RATIO) <= slot.depth() && watch.listed.is_none() {
            watch.listed = Some(self.too_deep.push(id));
        }
        if watch.is_idle() {
            slot.set_watch(None);
            self.watches.remove(index.place());
        }
    }

    /// Whether the watcher had seen everything.
    fn detach(
        &mut self,
        watcher: Watcher,
        id: KeyId,
        need: Need,
        is_blocking: bool,
        settings: &Settings<V>,
    ) -> bool {
        let Some(index) = self.slots.at(id.index()).watch() else {
            return false;
        };
        let watch = present_watch(&mut self.watches, index);
        let was_clean = watch.remove(watcher);
        watch.blocking -= u32::from(is_blocking);
        self.forget(id, need, settings);
        was_clean
    }

    pub(super) fn became_deep(&mut self, id: KeyId) {
        // The list is cleaned of those that are deep no more when it doubled.
        if self.deep.len() == self.deep.capacity() {
            let slots = &self.slots;
            self.deep.sort_unstable();
            self.deep.dedup();
            self.deep
                .retain(|id| matches!(slots.at(id.index()), crate::slot::Slot::Deep { .. }));
        }
        self.deep.push(id);
    }
}

/// Whether a history of `depth` is deep enough to shrink to `needed`.
pub(super) fn is_too_deep(needed: usize, depth: usize) -> bool {
    needed.saturating_mul(SHRINK_RATIO) <= depth
}

pub(super) fn present(
    subscribers: &mut crate::slab::Slab<Subscriber>,
    number: u32,
) -> &mut Subscriber {
    subscribers
        .get_mut(number)
        .expect("a subscriber is present until it leaves")
}

pub(super) fn present_watch(
    watches: &mut crate::slab::Slab<Watch>,
    index: WatchIndex,
) -> &mut Watch {
    watches
        .get_mut(index.place())
        .expect("a watch is present while a slot names it")
}
