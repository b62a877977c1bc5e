//! Merging what several handles hand over.
//!
//! A take owns what it carried out, and merges it without a lock. Tables are walked in the order of
//! their hashes, and the index of what is merged so far is in that order too: merging a second
//! table touches memory as it goes along, one part after the other, and needs a few bytes per key
//! beside the batch.
//!
//! If foreign code panics, the entry at hand is lost and counted, and all others go back.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::hash::Hash;
use crate::hub::{Held, Parked, Source};
use crate::named::Bound;
use crate::shared::{KeysFull, Shared};
use crate::table::{Cursor, Slot, Table};
use crate::{Aggregate, Entry, Stamp, TakeReason, Taken};

/// Entries that are merged under one holding of the lock.
#[cfg(not(loom))]
const PORTION: usize = 512;
#[cfg(loom)]
const PORTION: usize = 2;

/// What merging under a lock leaves to be dropped after unlocking.
pub(crate) struct Displaced<K, P> {
    partials: Vec<P>,
    keys: Vec<K>,
    tables: Vec<Table<K, P>>,
}

impl<K, P> Default for Displaced<K, P> {
    fn default() -> Self {
        Self {
            partials: Vec::new(),
            keys: Vec::new(),
            tables: Vec::new(),
        }
    }
}

impl<K: Hashed + Eq + Clone, P> Held<K, P> {
    /// Merges a portion of what was handed over last into what is merged already.
    pub(crate) fn merge_some<A, S>(
        &mut self,
        shared: &Shared<K, A, S>,
        displaced: &mut Displaced<K, P>,
    ) where
        A: Aggregate<Partial = P>,
        S: BuildHasher,
    {
        for _ in 0..PORTION {
            let Some(parked) = self.parked.last_mut() else {
                return;
            };
            let next = match &mut parked.source {
                Source::Table { table, walk, .. } => next_of_table(table, walk),
                Source::Batch(batch) => batch.pop().map(|entry| (None, entry)),
            };
            let Some((hash, entry)) = next else {
                self.end_parked(displaced);
                continue;
            };
            let updates = entry.updates;
            parked.updates -= updates;
            // Until it is merged it is lost.
            self.used -= updates;
            self.counts.lost += updates;
            let hash = hash.unwrap_or_else(|| shared.hash(&entry.key));
            self.merge_entry(shared, hash, entry, displaced);
            self.central.updates += updates;
            self.counts.lost -= updates;
            self.used += updates;
        }
    }

    fn merge_entry<A, S>(
        &mut self,
        shared: &Shared<K, A, S>,
        hash: Hash,
        entry: Entry<K, P>,
        displaced: &mut Displaced<K, P>,
    ) where
        A: Aggregate<Partial = P>,
    {
        let Entry {
            key,
            partial,
            updates,
        } = entry;
        if let Some(slot) = self.central.table.find(hash, &Bound(&key)) {
            let spare = slot.merge(&shared.aggregate, partial, updates);
            displaced.partials.extend(spare);
            displaced.keys.push(key);
            return;
        }
        let is_reserved = match &shared.keys_full {
            KeysFull::Overflow { hash: of, key: k } => *of == hash && *k == key,
            _ => false,
        };
        self.central.table.insert(hash, key, partial, updates);
        // What is left at the end was charged for keys that were there already.
        if let Some(parked) = self.parked.last_mut()
            && !is_reserved
            && parked.charged > 0
        {
            parked.charged -= 1;
            self.central.charged += 1;
        }
    }

    fn end_parked(&mut self, displaced: &mut Displaced<K, P>) {
        let Some(Parked {
            source, charged, ..
        }) = self.parked.pop()
        else {
            return;
        };
        self.keys_used -= charged;
        if let Source::Table { table, lane, .. } = source {
            displaced.tables.extend(self.give_back(lane, table));
        }
    }
}

/// The next entry of a table that keeps its keys.
fn next_of_table<K: Clone, P>(
    table: &mut Table<K, P>,
    walk: &mut Cursor,
) -> Option<(Option<Hash>, Entry<K, P>)> {
    let at = table.next_live(walk)?;
    let slot = table.slot(at)?;
    let (hash, key) = (slot.hash(), slot.key().clone());
    let (partial, updates) = table.empty(at)?;
    let entry = Entry {
        key,
        partial,
        updates,
    };
    Some((Some(hash), entry))
}

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
        drop(out.idle);
        let mut merging = Merging::new(self, out.sources, out.updates);
        merging.merge_all();
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
                Source::Table { table, walk, lane } => {
                    let keeps_keys = lane.is_some();
                    if keeps_keys && table.is_mostly_idle() {
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
        let Some(entry) = batch.pop() else {
            return false;
        };
        parked.updates -= entry.updates;
        let hash = self.shared.hash(&entry.key);
        match self.index.find(hash, &entry.key, &self.merged) {
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
        let merged = std::mem::take(&mut self.merged);
        // Nothing is left to go back.
        self.updates = 0;
        let mut spare = Vec::new();
        let mut hub = self.shared.hub.lock();
        for parked in self.sources.drain(..) {
            if let Source::Table { table, lane, .. } = parked.source {
                spare.extend(hub.held.give_back(lane, table));
            }
        }
        if !merged.is_empty() {
            hub.held.record(reason);
        }
        drop(hub);
        drop(spare);
        merged
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

/// Where in a batch the keys are: hashes in their order, each with a place in the batch.
struct Index {
    /// Upper bits of a hash, and one more than the place; or 0.
    places: Vec<u64>,
}

impl Index {
    /// Bits of an entry that are the place.
    const PLACE: u64 = (1 << 40) - 1;

    /// For up to this many keys; for none if it is not needed.
    fn new(keys: usize) -> Self {
        Self {
            places: vec![0; if keys == 0 { 0 } else { keys + keys / 2 + 8 }],
        }
    }

    #[inline]
    fn find<K: Eq, P>(&self, hash: Hash, key: &K, merged: &Taken<K, P>) -> Option<usize> {
        let mut at = hash.place_in_order(self.places.len());
        loop {
            match self.places.get(at) {
                None if self.places.is_empty() => return None,
                None => at = 0,
                Some(0) => return None,
                Some(entry) => {
                    let place = (entry & Self::PLACE) as usize - 1;
                    if tag(hash) == entry & !Self::PLACE
                        && merged.entries().get(place).is_some_and(|e| e.key == *key)
                    {
                        return Some(place);
                    }
                    at += 1;
                }
            }
        }
    }

    fn insert(&mut self, hash: Hash, place: usize) {
        if self.places.is_empty() {
            return;
        }
        let mut at = hash.place_in_order(self.places.len());
        while *self.places.get(at).unwrap_or(&1) != 0 {
            at = if at < self.places.len() { at + 1 } else { 0 };
        }
        self.places[at] = tag(hash) | (place as u64 + 1);
    }
}

/// Lower bits of a hash, since neighbours have the upper ones in common.
fn tag(hash: Hash) -> u64 {
    hash.lowest() << 40
}
