//! Making updates visible.

use super::{KeyShape, State};
use crate::after::After;
use crate::buffer::Left;
use crate::builder::Settings;
use crate::log::Cleared;
use crate::slot::Slot;
use crate::watch::{Watch, WatchIndex};
use crate::{CommitSeq, KeyId, Schema};

use buffer_core::{Cursor, KeySeq};

/// An update on its way in.
#[derive(Debug)]
pub(crate) struct Staged<V> {
    pub(crate) id: KeyId,
    pub(crate) time_us: i64,
    pub(crate) value: V,
}

impl<V: Clone> State<V> {
    /// Makes all staged updates visible.
    pub(crate) fn commit(
        &mut self,
        staged: &mut Vec<Staged<V>>,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> CommitSeq {
        let count = staged.len() as u64;
        try_out(staged, settings);
        let place = self.is_logging().then(|| self.push_to_log(staged, after));
        // What could panic on usual ways is done, clones for the log and what values are asked:
        // from here on nothing is undone.
        let is_plain = settings.weigh.is_none() && settings.describe.is_none();
        for (nth, update) in staged.drain(..).enumerate() {
            let seq = if is_plain {
                self.put(update, settings, after)
            } else {
                self.put_described(update, settings, after)
            };
            if let Some(place) = place {
                self.log.number(place + nth, seq);
            }
        }
        self.counts.updates += count;
        self.finish_commit(after)
    }

    /// Makes one update visible.
    pub(crate) fn commit_one(
        &mut self,
        update: Staged<V>,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> CommitSeq {
        try_out(std::slice::from_ref(&update), settings);
        let place = self.is_logging().then(|| {
            let place = self.log.reserve(1, after);
            let value = update.value.clone();
            self.log.push(update.id, update.time_us, value);
            place
        });
        let seq = if settings.weigh.is_none() && settings.describe.is_none() {
            self.put(update, settings, after)
        } else {
            self.put_described(update, settings, after)
        };
        if let Some(place) = place {
            self.log.number(place, seq);
        }
        self.counts.updates += 1;
        self.finish_commit(after)
    }

    /// Takes away every value of keys. It is a commit if there was one, so that who watches them
    /// learns of it. The newest value of the last key that had one is returned.
    pub(crate) fn clear(
        &mut self,
        ids: &[KeyId],
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> Option<V> {
        let mut newest = None;
        let mut cleared = 0;
        let commit_seq = self.commit_seq.next();
        for id in ids {
            let (mut values, kept, len, bytes) = self.slots.at_mut(id.index()).clear();
            if len == 0 {
                continue;
            }
            cleared += 1;
            let weight: usize = match settings.weigh {
                Some(weigh) => values.iter().map(weigh).sum(),
                None => 0,
            };
            self.memory.charge(bytes - weight as isize);
            self.counts.values -= 1;
            self.counts.displaced += len as u64;
            if let Some(earlier) = std::mem::replace(&mut newest, values.pop()) {
                after.value(earlier);
            }
            after.left(match kept {
                Some(kept) => Left::Kept(values, Box::new(kept)),
                None => Left::Registered(values),
            });
            if self.is_logging() {
                let appended = self.slots.at(id.index()).appended();
                let up_to = Cursor::from_number(appended);
                self.log.clear(Cleared { id: *id, up_to }, commit_seq);
            }
            let slot = self.slots.at(id.index());
            let appended = slot.appended();
            if let Some(index) = slot.watch() {
                if let Some(watch) = self.watches.get_mut(index.place()) {
                    watch.cleared_up_to = appended;
                }
                self.tell(index, after);
            }
        }
        if cleared > 0 {
            self.finish_commit(after);
        }
        newest
    }

    pub(super) fn is_logging(&self) -> bool {
        self.log.retain > 0 || self.feeds_open > 0
    }

    fn push_to_log(&mut self, staged: &[Staged<V>], after: &mut After<V>) -> usize {
        let place = self.log.reserve(staged.len(), after);
        self.log.copy(staged);
        place
    }

    #[inline(always)]
    fn put(&mut self, update: Staged<V>, settings: &Settings<V>, after: &mut After<V>) -> u64 {
        let slot = self.slots.at_mut(update.id.index());
        let watch = slot.watch();
        let seq = match slot.put_newest(update.time_us, update.value) {
            Ok((seq, displaced)) => {
                self.counts.displaced += 1;
                after.value(displaced);
                seq
            }
            Err(value) => {
                let update = Staged { value, ..update };
                self.put_deep(update, settings, after)
            }
        };
        if let Some(watch) = watch {
            self.tell(watch, after);
        }
        seq
    }

    fn put_deep(&mut self, update: Staged<V>, settings: &Settings<V>, after: &mut After<V>) -> u64 {
        let Staged { id, time_us, value } = update;
        let depth_default = settings.limits.depth_default;
        let slot = self.slots.at_mut(id.index());
        let wanted = match (slot.watch(), &slot) {
            (Some(watch), Slot::Empty { .. }) => {
                let watch = self.watches.get(watch.place());
                watch.map_or(depth_default, |watch| watch.deepest(depth_default))
            }
            _ => depth_default,
        };
        let was_deep = matches!(slot, Slot::Deep { .. });
        let put = slot.put(time_us, value, wanted, &settings.registry, after);
        if !was_deep && let Slot::Deep { watch, deep, .. } = slot {
            let watch = watch.and_then(|index| self.watches.get(index.place()));
            (deep.span_us, deep.span_depth_max) = watch.map_or((0, 0), Watch::span);
            self.became_deep(id);
        }
        self.counts.values += usize::from(put.was_empty);
        self.counts.displaced += put.left_len as u64;
        self.memory.charge(put.bytes);
        put.seq
    }

    /// As [`put`](Self::put), for a service that weighs values or looks at their shape.
    fn put_described(
        &mut self,
        update: Staged<V>,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> u64 {
        let id = update.id;
        let schema = settings.describe.map(|describe| describe(&update.value));
        if let Some(weigh) = settings.weigh {
            let gained = weigh(&update.value);
            self.memory.charge(gained as isize);
        }
        let before = after.values.len();
        let seq = self.put(update, settings, after);
        if let Some(weigh) = settings.weigh {
            let lost: usize = after.values[before..].iter().map(weigh).sum();
            self.memory.charge(-(lost as isize));
        }
        if let Some(schema) = schema {
            self.note_shape(id, schema, seq);
        }
        seq
    }

    fn note_shape(&mut self, id: KeyId, schema: Schema, seq: u64) {
        if self.shapes.len() <= id.index() {
            self.shapes.resize(id.index() + 1, None);
        }
        let start = KeySeq::new(seq).unwrap_or(KeySeq::FIRST);
        let shape = &mut self.shapes[id.index()];
        match shape {
            None => {
                *shape = Some(KeyShape {
                    schema,
                    generation: 0,
                    start,
                });
            }
            Some(shape) if shape.schema != schema => {
                *shape = KeyShape {
                    schema,
                    generation: shape.generation + 1,
                    start,
                };
            }
            Some(_) => {}
        }
    }

    /// Gives the commit its number, and tells the feeds.
    fn finish_commit(&mut self, after: &mut After<V>) -> CommitSeq {
        self.commit_seq = self.commit_seq.next();
        if self.is_logging() {
            let chunks = self.log.bytes();
            self.log.mark(self.commit_seq);
            for (_, feed) in self.feeds.iter_mut() {
                if !feed.is_paused && feed.closed.is_none() && feed.signal.mark() {
                    after.wakes.push(std::sync::Arc::clone(&feed.signal));
                }
            }
            if self.log.bytes() != chunks {
                self.trim_log(after);
            }
        }
        self.keep_to_limit(after);
        self.counts.wakes += after.wakes.len() as u64;
        self.commit_seq
    }

    /// Tells every watcher of a key that it changed, and collects whom to wake.
    #[inline(always)]
    pub(super) fn tell(&mut self, index: WatchIndex, after: &mut After<V>) {
        let Some(watch) = self.watches.get_mut(index.place()) else {
            return;
        };
        if watch.clean.is_empty() {
            return;
        }
        std::hint::cold_path();
        for watcher in watch.clean.drain(..) {
            if let Some(subscriber) = self.subscribers.get_mut(watcher.subscriber)
                && subscriber.tell(watcher.entry)
            {
                after.wakes.push(std::sync::Arc::clone(&subscriber.signal));
            }
        }
    }
}

/// Asks values what they will be asked in the middle of the commit: if that panics, it does so
/// before anything has changed.
fn try_out<V>(staged: &[Staged<V>], settings: &Settings<V>) {
    for update in staged {
        if let Some(weigh) = settings.weigh {
            weigh(&update.value);
        }
        if let Some(describe) = settings.describe {
            describe(&update.value);
        }
    }
}
