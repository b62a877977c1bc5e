//! The inside of a coalescer: shards, each a locked table, and credits for the caps.
//!
//! A key always belongs to the same shard. At most one shard is locked at a time, but for the
//! statistics, which lock all in order. Under a lock run the comparison of keys, the aggregate and
//! the allocator; hashing, cloning and dropping do not.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;

use crate::credits::{Claim, Credits};
use crate::sync::{Guard, Mutex};
use crate::table::Table;
use crate::tally::Counts;
use crate::{
    AddError, AddResult, Added, Aggregate, Builder, CoalescerStats, Entry, FlushesByReason, Stamp,
    TakeReason, Taken, WhenFull, WhenKeysFull,
};

#[cfg(not(loom))]
const SHARDS: usize = 64;
#[cfg(loom)]
const SHARDS: usize = 2;

pub(crate) struct Shared<K, A: Aggregate, S> {
    aggregate: A,
    hasher: S,
    updates_max: Option<u64>,
    when_full: WhenFull,
    keys_max: Option<u64>,
    keys_full: KeysFull<K>,
    flush_at: Option<u64>,
    updates: Credits,
    keys: Credits,
    shards: Box<[LockedShard<K, A>]>,
    flushes: Mutex<FlushesByReason>,
}

type LockedShard<K, A> = Aligned<Mutex<Shard<K, A>>>;

/// Keeps neighbouring locks off each other's cache lines, and off the pair that is prefetched.
#[repr(align(128))]
struct Aligned<T>(T);

struct Shard<K, A: Aggregate> {
    table: Table<K, A::Partial>,
    counts: Counts,
    stamps: u64,
}

enum KeysFull<K> {
    Reject,
    FlushNow,
    Overflow { hash: u64, key: K },
}

/// Under which key an update is put in.
#[derive(Clone, Copy)]
enum Route {
    Own,
    Overflow,
}

impl<K, A, S> Shared<K, A, S>
where
    K: Hash + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    pub(crate) fn new(settings: Builder<K, A, S>) -> Self {
        let flush_at = settings.flush_at_effective();
        let (keys_full, reserved) = match settings.when_keys_full {
            WhenKeysFull::Reject => (KeysFull::Reject, 0),
            WhenKeysFull::FlushNow => (KeysFull::FlushNow, 0),
            WhenKeysFull::OverflowKey(key) => {
                let hash = settings.hasher.hash_one(&key);
                (KeysFull::Overflow { hash, key }, 1)
            }
        };
        let shards = (0..SHARDS).map(|_| Aligned(Mutex::new(Shard::default())));
        Self {
            aggregate: settings.aggregate,
            hasher: settings.hasher,
            updates_max: settings.updates_max,
            when_full: settings.when_full,
            keys_max: settings.keys_max,
            keys_full,
            flush_at,
            updates: Credits::new(settings.updates_max),
            // The place of the overflow key is not given to others.
            keys: Credits::new(settings.keys_max.map(|max| max - reserved)),
            shards: shards.collect(),
            flushes: Mutex::new(FlushesByReason::default()),
        }
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates.used()
    }

    pub(crate) fn add(&self, hash: u64, key: K, update: A::Update) -> AddResult<K, A> {
        if let Err(cause) = self.aggregate.check(&update) {
            self.shard(hash).counts.invalid += 1;
            return Err(AddError::Invalid { key, update, cause });
        }
        match self.updates.claim() {
            Some(claim) => self.put(Route::Own, hash, key, update, claim),
            None => self.put_beyond_updates(hash, key, update),
        }
    }

    /// Adds without owning a key as long as it is there; otherwise `own` is called, outside the
    /// lock.
    pub(crate) fn add_ref<Q>(
        &self,
        hash: u64,
        key: &Q,
        update: A::Update,
        own: impl FnOnce(&Q) -> K,
    ) -> AddResult<K, A>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.aggregate.check(&update).is_err() {
            // The slow path finds the same fault and reports it with the key.
            return self.add(hash, own(key), update);
        }
        let Some(claim) = self.updates.claim() else {
            return self.put_beyond_updates(hash, own(key), update);
        };
        match self.absorb_present(Route::Own, hash, key, update) {
            Ok(()) => Ok(self.added(claim)),
            Err(update) => self.put(Route::Own, hash, own(key), update, claim),
        }
    }

    /// Puts an update under its key, making an entry for it if need be and if there is room.
    fn put(
        &self,
        route: Route,
        hash: u64,
        key: K,
        update: A::Update,
        claim: Claim<'_>,
    ) -> AddResult<K, A> {
        let mut shard = self.shard(hash);
        if let Some(place) = shard.table.find(hash, &key) {
            let displaced = shard.absorb(place, &self.aggregate, update, route);
            drop(shard);
            drop((displaced, key));
            return Ok(self.added(claim));
        }
        let key_claim = match &self.keys_full {
            // Its place is reserved.
            KeysFull::Overflow { key: overflow, .. } if *overflow == key => {
                self.keys.force(1);
                None
            }
            _ => match self.keys.claim() {
                Some(key_claim) => Some(key_claim),
                None => {
                    drop(shard);
                    return self.put_beyond_keys(hash, key, update, claim);
                }
            },
        };
        shard.insert(hash, key, &self.aggregate, update, route);
        drop(shard);
        key_claim.map(Claim::keep);
        Ok(self.added(claim))
    }

    /// Adds to the entry of a key if there is one, else hands the update back.
    fn absorb_present<Q>(
        &self,
        route: Route,
        hash: u64,
        key: &Q,
        update: A::Update,
    ) -> Result<(), A::Update>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut shard = self.shard(hash);
        let Some(place) = shard.table.find(hash, key) else {
            return Err(update);
        };
        let displaced = shard.absorb(place, &self.aggregate, update, route);
        drop(shard);
        drop(displaced);
        Ok(())
    }

    fn put_beyond_updates(&self, hash: u64, key: K, update: A::Update) -> AddResult<K, A> {
        match self.when_full {
            WhenFull::Reject => {
                self.shard(hash).counts.updates_full += 1;
                let updates_max = self.updates_max.unwrap_or(u64::MAX);
                Err(AddError::UpdatesFull {
                    key,
                    update,
                    updates_max,
                })
            }
            WhenFull::FlushNow => Ok(Added::Flushed(
                self.take_with(TakeReason::Capacity, Some((hash, key, update))),
            )),
        }
    }

    fn put_beyond_keys(
        &self,
        hash: u64,
        key: K,
        update: A::Update,
        claim: Claim<'_>,
    ) -> AddResult<K, A> {
        match &self.keys_full {
            KeysFull::Reject => {
                drop(claim);
                self.shard(hash).counts.keys_full += 1;
                let keys_max = self.keys_max.unwrap_or(u64::MAX);
                Err(AddError::KeysFull {
                    key,
                    update,
                    keys_max,
                })
            }
            KeysFull::FlushNow => {
                drop(claim);
                Ok(Added::Flushed(self.take_with(
                    TakeReason::Capacity,
                    Some((hash, key, update)),
                )))
            }
            KeysFull::Overflow { hash, key } => {
                match self.absorb_present(Route::Overflow, *hash, key, update) {
                    Ok(()) => Ok(self.added(claim)),
                    Err(update) => self.put(Route::Overflow, *hash, key.clone(), update, claim),
                }
            }
        }
    }

    fn added(&self, claim: Claim<'_>) -> Added<K, A::Partial> {
        let total = claim.keep();
        match self.flush_at {
            Some(flush_at) if total >= flush_at => Added::FlushDue,
            _ => Added::Buffered,
        }
    }

    /// Takes everything out, shard by shard; with `extra` in it, which is in the buffer only while
    /// its shard is locked and so needs no room. Its shard comes first: should the aggregate panic,
    /// nothing has been taken yet.
    pub(crate) fn take_with(
        &self,
        reason: TakeReason,
        mut extra: Option<(u64, K, A::Update)>,
    ) -> Taken<K, A::Partial> {
        let mut tables = Vec::new();
        let first = extra.as_ref().map_or(0, |(hash, ..)| shard_of(*hash));
        for index in (first..SHARDS).chain(0..first) {
            let mut shard = self.shards[index].0.lock();
            let (updates, keys) = (shard.table.updates(), shard.table.keys() as u64);
            let displaced =
                extra
                    .take()
                    .map(|(hash, key, update)| match shard.table.find(hash, &key) {
                        Some(place) => {
                            let update = shard.absorb(place, &self.aggregate, update, Route::Own);
                            Some((key, update))
                        }
                        None => {
                            shard.insert(hash, key, &self.aggregate, update, Route::Own);
                            None
                        }
                    });
            if shard.table.keys() == 0 {
                continue;
            }
            shard.counts.flushed += shard.table.updates();
            let table = mem::take(&mut shard.table);
            drop(shard);
            drop(displaced);
            self.updates.release(updates);
            self.keys.release(keys);
            tables.push(table);
        }
        let mut taken = Taken::with_capacity(tables.iter().map(Table::keys).sum());
        for table in tables {
            taken.extend(table.into_entries());
        }
        if !taken.is_empty() {
            self.flushes.lock().record(reason);
        }
        taken
    }

    pub(crate) fn restore(&self, taken: Taken<K, A::Partial>) {
        for entry in taken {
            let hash = self.hash(&entry.key);
            let updates = entry.updates;
            self.updates.force(updates);
            let mut shard = self.shard(hash);
            let displaced = match shard.table.find(hash, &entry.key) {
                Some(place) => Some(shard.table.merge(place, &self.aggregate, entry)),
                None => {
                    self.keys.force(1);
                    shard.table.insert(hash, entry);
                    None
                }
            };
            shard.counts.restored += updates;
            drop(shard);
            drop(displaced);
        }
    }

    pub(crate) fn stats(&self) -> CoalescerStats {
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.0.lock()).collect();
        let flushes = *self.flushes.lock();
        let sum = |count: fn(&Shard<K, A>) -> u64| shards.iter().map(|shard| count(shard)).sum();
        let refused_invalid: u64 = sum(|shard| shard.counts.invalid);
        let refused_keys_full: u64 = sum(|shard| shard.counts.keys_full);
        let refused_updates_full: u64 = sum(|shard| shard.counts.updates_full);
        let updates_refused = refused_invalid + refused_keys_full + refused_updates_full;
        let updates_buffered: u64 = sum(|shard| shard.counts.accepted);
        let updates_flushed: u64 = sum(|shard| shard.counts.flushed);
        let current_buffer_size: u64 = sum(|shard| shard.table.updates());
        let flush_operations = flushes.total();
        let manual_flushes = flushes.of(TakeReason::Manual);
        CoalescerStats {
            updates_offered: updates_buffered + updates_refused,
            updates_buffered,
            updates_refused,
            refused_invalid,
            refused_keys_full,
            refused_updates_full,
            updates_overflowed: sum(|shard| shard.counts.overflowed),
            updates_flushed,
            updates_restored: sum(|shard| shard.counts.restored),
            flush_operations,
            auto_flushes: flush_operations - manual_flushes,
            manual_flushes,
            flushes_by_reason: flushes,
            current_buffer_size,
            unique_keys: sum(|shard| shard.table.keys() as u64),
            avg_updates_per_flush: match flush_operations {
                0 => 0.0,
                _ => updates_flushed as f64 / flush_operations as f64,
            },
            buffer_utilization_pct: self
                .updates_max
                .map_or(0.0, |max| current_buffer_size as f64 / max as f64 * 100.0),
        }
    }

    fn shard(&self, hash: u64) -> Guard<'_, Shard<K, A>> {
        self.shards[shard_of(hash)].0.lock()
    }
}

impl<K: Eq, A: Aggregate> Shard<K, A> {
    fn absorb(
        &mut self,
        place: usize,
        aggregate: &A,
        update: A::Update,
        route: Route,
    ) -> Option<A::Update> {
        let stamp = self.stamp();
        let displaced = self.table.absorb(place, aggregate, update, stamp);
        self.accepted(route);
        displaced
    }

    fn insert(&mut self, hash: u64, key: K, aggregate: &A, update: A::Update, route: Route) {
        let partial = aggregate.start(update, self.stamp());
        self.table.insert(
            hash,
            Entry {
                key,
                partial,
                updates: 1,
            },
        );
        self.accepted(route);
    }

    fn accepted(&mut self, route: Route) {
        self.counts.accepted += 1;
        if let Route::Overflow = route {
            self.counts.overflowed += 1;
        }
    }

    /// Stamps go on through takes, so what comes back is older than what is there.
    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp::new(self.stamps)
    }
}

impl<K, A: Aggregate> Default for Shard<K, A> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            counts: Counts::default(),
            stamps: 0,
        }
    }
}

/// Mixes the hash once more, since the table uses its bits as they are.
fn shard_of(hash: u64) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (hash.wrapping_mul(GOLDEN) >> 48) as usize % SHARDS
}
