//! Merging under the lock, in small portions: for statistics, and where a cap on keys or the number
//! of parts asks for it. What a take carries out is merged elsewhere, without a lock.
//!
//! If hashing, comparing or cloning a key panics, nothing changes. If merging panics, the entry at
//! hand is lost and counted.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::hub::{Central, Held, Parked, Source};
use crate::named::Bound;
use crate::shared::{KeysFull, Shared};
use crate::table::{Cursor, Table};
use crate::{Aggregate, CoalescerStats, Taken};

/// Entries that are merged under one holding of the lock.
#[cfg(not(loom))]
const PORTION: usize = 32;
#[cfg(loom)]
const PORTION: usize = 2;
/// Buckets, most of which may be empty, that are looked at under one holding of the lock.
const BUCKETS: usize = 1_024;

/// Parts that were handed over and wait for the next take, beside some for each handle.
const PARTS_MAX: usize = 64;

/// Updates in the buffer beyond which what comes back counts no more than one per entry: more than
/// there can ever be.
const RESTORED_MAX: u64 = 1 << 60;

/// What merging under a lock leaves to be dropped after unlocking.
pub(crate) struct Displaced<K, P> {
    partials: Vec<P>,
    keys: Vec<K>,
    tables: Vec<Table<K, P>>,
    batches: Vec<Taken<K, P>>,
}

impl<K, P> Displaced<K, P> {
    const fn new() -> Self {
        Self {
            partials: Vec::new(),
            keys: Vec::new(),
            tables: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Drops everything, and keeps the memory for the next portion.
    fn clear(&mut self) {
        self.partials.clear();
        self.keys.clear();
        self.tables.clear();
        self.batches.clear();
    }
}

impl<K: Hashed + Eq + Clone, P> Held<K, P> {
    /// Merges a portion of what was handed over last into what is merged already.
    fn merge_some<A, S>(&mut self, shared: &Shared<K, A, S>, displaced: &mut Displaced<K, P>)
    where
        A: Aggregate<Partial = P>,
        S: BuildHasher,
    {
        let mut buckets = BUCKETS;
        for _ in 0..PORTION {
            self.merge_one(shared, &mut buckets, displaced);
            if buckets == 0 || self.parked.is_empty() {
                return;
            }
        }
    }

    fn merge_one<A, S>(
        &mut self,
        shared: &Shared<K, A, S>,
        buckets: &mut usize,
        displaced: &mut Displaced<K, P>,
    ) where
        A: Aggregate<Partial = P>,
        S: BuildHasher,
    {
        let Self {
            parked,
            central,
            used,
            counts,
            ..
        } = self;
        let Some(parked) = parked.last_mut() else {
            return;
        };
        // Up to where something is taken out, a panic leaves everything as it was.
        let mut at = Cursor::default();
        let found = match &mut parked.source {
            Source::Table { table, walk, .. } => {
                let is_at_live = table.seek_live(walk, buckets);
                at = *walk;
                if !is_at_live && *buckets == 0 {
                    return;
                }
                let slot = is_at_live.then(|| table.slot(at)).flatten();
                slot.map(|slot| (slot.hash(), slot.key(), true))
            }
            Source::Batch(batch) => {
                let entry = batch.last();
                entry.map(|entry| (shared.hash(&entry.key), &entry.key, false))
            }
        };
        let Some((hash, key, keeps_key)) = found else {
            self.end_parked(displaced);
            return;
        };
        let slot = central.table.find(hash, &Bound(key));
        let is_reserved = match &shared.keys_full {
            KeysFull::Overflow { hash: of, key: k } => *of == hash && k == key,
            _ => false,
        };
        let copy = (keeps_key && slot.is_none()).then(|| key.clone());
        let out = match &mut parked.source {
            Source::Table { table, .. } => table.empty(at).map(|(p, updates)| (copy, p, updates)),
            Source::Batch(batch) => batch.pop().map(|e| (Some(e.key), e.partial, e.updates)),
        };
        let Some((key, partial, updates)) = out else {
            return;
        };
        parked.updates -= updates;
        // Until it is merged it is lost.
        *used -= updates;
        counts.lost += updates;
        match (slot, key) {
            (Some(slot), key) => {
                // Before the aggregate may panic.
                displaced.keys.extend(key);
                let spare = slot.merge(&shared.aggregate, partial, updates);
                displaced.partials.extend(spare);
            }
            (None, Some(key)) => {
                central.table.insert(hash, key, partial, updates);
                charge(parked, central, is_reserved);
            }
            (None, None) => displaced.partials.push(partial),
        }
        central.updates += updates;
        counts.lost -= updates;
        *used += updates;
    }

    fn end_parked(&mut self, displaced: &mut Displaced<K, P>) {
        let Some(Parked {
            source, charged, ..
        }) = self.parked.pop()
        else {
            return;
        };
        self.keys_used -= charged;
        match source {
            Source::Table {
                table, is_sparse, ..
            } if is_sparse => displaced.tables.push(table),
            Source::Table { table, lane, .. } => {
                displaced.tables.extend(self.give_back(lane, table));
            }
            Source::Batch(batch) => displaced.batches.push(batch),
        }
    }
}

/// Moves the charge of a key that is new there; what is left at the end was charged for keys that
/// were there already.
fn charge<K, P>(from: &mut Parked<K, P>, central: &mut Central<K, P>, is_reserved: bool) {
    if !is_reserved && from.charged > 0 {
        from.charged -= 1;
        central.charged += 1;
    }
}

impl<K, A, S> Shared<K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    /// Merges what was handed over until `left` parts are left, in portions, so that nobody waits
    /// for long.
    pub(crate) fn merge_parked(&self, left: usize) {
        let mut displaced = Displaced::new();
        loop {
            let mut hub = self.hub.lock();
            if hub.held.parked.len() <= left {
                return;
            }
            hub.held.merge_some(self, &mut displaced);
            drop(hub);
            displaced.clear();
        }
    }

    /// Brings back what was taken out; whoever takes next merges it.
    pub(crate) fn restore(&self, mut batch: Taken<K, A::Partial>) {
        // Batches that somebody made up may have such entries; they are dropped without a lock.
        let empty = batch.remove_empty();
        if !batch.is_empty() {
            self.restore_all(vec![batch]);
        }
        drop(empty);
    }

    /// Brings back batches without entries that have no updates.
    pub(crate) fn restore_all(&self, batches: Vec<Taken<K, A::Partial>>) {
        let mut hub = self.hub.lock();
        for mut batch in batches {
            // A sum that overflows would block the buffer, or lose the count.
            batch.limit_updates(RESTORED_MAX.saturating_sub(hub.held.used));
            let counts = &mut hub.held.counts;
            counts.restored = counts.restored.saturating_add(batch.updates());
            hub.held.force(batch);
        }
        // Credits that handles have were given when there was room.
        hub.park_all();
        drop(hub);
        self.settle();
    }

    pub(crate) fn stats(&self) -> CoalescerStats {
        self.hub.lock().park_all();
        loop {
            self.merge_parked(0);
            let hub = self.hub.lock();
            let held = &hub.held;
            if held.parked.is_empty() {
                let updates = (held.updates_held(), self.updates_max);
                let keys = held.central.table.live();
                return CoalescerStats::new(&held.counts, held.flushes, updates, keys);
            }
        }
    }

    /// Keeps the number of parts that wait for being merged in bounds.
    pub(crate) fn settle(&self) {
        let hub = self.hub.lock();
        let (parts, lanes) = (hub.held.parked.len(), hub.held.lanes.len());
        drop(hub);
        if parts > PARTS_MAX + 4 * lanes {
            self.merge_parked(PARTS_MAX / 2);
        }
    }
}
