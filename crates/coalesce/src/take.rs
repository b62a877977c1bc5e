//! Taking everything out.
//!
//! A take owns what it carried out, and merges it without a lock. Tables are walked in the order of
//! their hashes, and the index of what is merged so far is in that order too: merging a second
//! table touches memory as it goes along, one part after the other, and needs a few bytes per key
//! beside the batch.
//!
//! If foreign code panics, everything that was carried out goes back, but for the entry that the
//! aggregate was merging, which is counted as lost.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::hash::Hash;
use crate::hub::{Parked, Source};
use crate::index::Index;
use crate::shared::Shared;
use crate::table::{Cursor, Slot, Table};
use crate::{Aggregate, Entry, Stamp, TakeReason, Taken};

impl<K, A, S> Shared<K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    /// Takes everything out; with `extra` in it, which is never in the buffer.
    pub(crate) fn take_with(
        &self,
        reason: TakeReason,
        extra: Option<(Hash, K, A::Update)>,
    ) -> Taken<K, A::Partial> {
        let extra = extra.map(|(hash, key, update)| self.start_alone(hash, key, update));
        let mut hub = self.hub.lock();
        let mut out = hub.take_out();
        if let Some(parked) = extra {
            hub.held.count_passing();
            out.updates += parked.updates;
            out.sources.push(parked);
        }
        drop(hub);
        let mut merging = Merging::new(self, out.sources, out.updates);
        merging.merge_all();
        // Keys that panic when they are dropped find the take guarded.
        drop(out.idle);
        merging.end(reason)
    }

    /// A part of a batch with one update, newer than all that was handed over by now.
    fn start_alone(&self, hash: Hash, key: K, update: A::Update) -> Parked<K, A::Partial> {
        let mut hub = self.hub.lock();
        hub.park_all();
        hub.held.clock += 1;
        let stamp = Stamp::new(hub.held.clock, u32::MAX);
        drop(hub);
        let mut table = Table::new();
        table.insert(hash, key, self.aggregate.start(update, stamp), 1);
        Parked {
            source: Source::table(table, None),
            updates: 1,
            charged: 0,
        }
    }
}

/// A take under way, after it carried everything out.
struct Merging<'a, K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    shared: &'a Shared<K, A, S>,
    /// What is not merged yet, and emptied tables.
    sources: Vec<Parked<K, A::Partial>>,
    merged: Taken<K, A::Partial>,
    index: Index,
    /// Updates that were carried out, and are here unless they were lost.
    updates: u64,
}

impl<'a, K, A, S> Merging<'a, K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    fn new(shared: &'a Shared<K, A, S>, sources: Vec<Parked<K, A::Partial>>, updates: u64) -> Self {
        let keys = sources.iter().map(|parked| parked.source.keys());
        let (most, all) = (keys.clone().max().unwrap_or(0), keys.sum::<usize>());
        // A single table has each key once.
        let is_single = match &*sources {
            [] => true,
            [parked] => matches!(parked.source, Source::Table { .. }),
            _ => false,
        };
        Self {
            shared,
            merged: Taken::with_capacity(most),
            index: Index::new(if is_single { 0 } else { all }),
            sources,
            updates,
        }
    }

    fn merge_all(&mut self) {
        for index in 0..self.sources.len() {
            match &mut self.sources[index].source {
                Source::Batch(_) => while self.merge_next_of_batch(index) {},
                Source::Table {
                    table,
                    walk,
                    lane,
                    is_sparse,
                } => {
                    let keeps_keys = lane.is_some();
                    if keeps_keys && *is_sparse {
                        // The slots are elsewhere then; statistics may have walked a part.
                        *walk = Cursor::default();
                        drop(table.forget_idle());
                    }
                    while self.merge_next_of_table(index, keeps_keys) {}
                }
            }
        }
    }

    fn merge_next_of_table(&mut self, index: usize, keeps_keys: bool) -> bool {
        let parked = &mut self.sources[index];
        let Source::Table { table, walk, .. } = &mut parked.source else {
            return false;
        };
        let Some(at) = table.next_live(walk) else {
            return false;
        };
        let Some(slot) = table.slot(at) else {
            return false;
        };
        let (hash, key) = (slot.hash(), slot.key());
        if let Some(place) = self.index.find(hash, key, &self.merged) {
            if let Some((partial, updates)) = table.empty(at) {
                parked.updates -= updates;
                let aggregate = &self.shared.aggregate;
                drop(self.merged.merge(aggregate, place, partial, updates));
            }
            return true;
        }
        // A panicking clone leaves everything where it was.
        let copy = keeps_keys.then(|| key.clone());
        let out = match copy {
            Some(key) => table
                .empty(at)
                .map(|(partial, updates)| (key, partial, updates)),
            None => table.remove(at).and_then(Slot::into_parts),
        };
        if let Some((key, partial, updates)) = out {
            parked.updates -= updates;
            self.index.insert(hash, self.merged.keys());
            self.merged.push(Entry {
                key,
                partial,
                updates,
            });
        }
        true
    }

    fn merge_next_of_batch(&mut self, index: usize) -> bool {
        let parked = &mut self.sources[index];
        let Source::Batch(batch) = &mut parked.source else {
            return false;
        };
        let Some(entry) = batch.last() else {
            return false;
        };
        // A panic here leaves it where it was.
        let hash = self.shared.hash(&entry.key);
        let place = self.index.find(hash, &entry.key, &self.merged);
        let Some(entry) = batch.pop() else {
            return false;
        };
        parked.updates -= entry.updates;
        match place {
            Some(place) => {
                let aggregate = &self.shared.aggregate;
                let (partial, updates) = (entry.partial, entry.updates);
                drop(self.merged.merge(aggregate, place, partial, updates));
            }
            None => {
                self.index.insert(hash, self.merged.keys());
                self.merged.push(entry);
            }
        }
        true
    }

    /// Gives the handles their tables back.
    fn end(mut self, reason: TakeReason) -> Taken<K, A::Partial> {
        let mut spare = Vec::with_capacity(self.sources.len());
        let mut hub = self.shared.hub.lock();
        for parked in self.sources.drain(..) {
            match parked.source {
                Source::Table { table, lane, .. } => {
                    let unwanted = hub.held.give_back(lane, table);
                    spare.extend(unwanted.map(|table| Source::table(table, None)));
                }
                emptied @ Source::Batch(_) => spare.push(emptied),
            }
        }
        drop(hub);
        // Should a key panic when it is dropped, what is merged goes back.
        drop(spare);
        if !self.merged.is_empty() {
            self.shared.hub.lock().held.record(reason);
        }
        // Nothing is left to go back.
        self.updates = 0;
        std::mem::take(&mut self.merged)
    }
}

impl<K, A, S> Drop for Merging<'_, K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    /// After a panic everything but the entry at hand goes back.
    fn drop(&mut self) {
        if self.updates == 0 {
            return;
        }
        let merged = std::mem::take(&mut self.merged);
        let mut hub = self.shared.hub.lock();
        let held = &mut hub.held;
        let mut left = merged.updates();
        held.force(merged);
        for mut parked in self.sources.drain(..) {
            left += parked.updates;
            parked.charged = parked.source.keys() as u64;
            held.used += parked.updates;
            held.keys_used += parked.charged;
            if let Source::Table { walk, .. } = &mut parked.source {
                *walk = Cursor::default();
            }
            held.parked.push(parked);
        }
        held.counts.flushed -= self.updates;
        held.counts.lost += self.updates - left;
    }
}
