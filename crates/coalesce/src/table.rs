//! A hash table whose entries lie in one vector, so that all of them are taken out at once.
//!
//! It is given the hash of each key and computes none. The index maps a hash to the first entry
//! with it; entries whose keys share a hash are chained.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::{Aggregate, Entry, Stamp};

pub(crate) struct Table<K, P> {
    index: HashMap<u64, usize, BuildHasherDefault<AlreadyHashed>>,
    slots: Vec<Slot<K, P>>,
    /// Updates in all entries together.
    updates: u64,
}

struct Slot<K, P> {
    entry: Entry<K, P>,
    /// The next entry whose key has the same hash.
    next: Option<usize>,
}

impl<K, P> Default for Table<K, P> {
    fn default() -> Self {
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            updates: 0,
        }
    }
}

impl<K: Eq, P> Table<K, P> {
    pub(crate) fn keys(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Place of a key, if it is there.
    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut at = self.index.get(&hash).copied();
        while let Some(place) = at {
            let slot = &self.slots[place];
            if slot.entry.key.borrow() == key {
                return Some(place);
            }
            at = slot.next;
        }
        None
    }

    /// Adds an update to the entry at `place`; returns what has to be dropped.
    pub(crate) fn absorb<A: Aggregate<Partial = P>>(
        &mut self,
        place: usize,
        aggregate: &A,
        update: A::Update,
        stamp: Stamp,
    ) -> Option<A::Update> {
        let entry = &mut self.slots[place].entry;
        let displaced = aggregate.absorb(&mut entry.partial, update, stamp);
        entry.updates += 1;
        self.updates += 1;
        displaced
    }

    /// Adds a whole entry to that at `place`; returns what has to be dropped.
    pub(crate) fn merge<A: Aggregate<Partial = P>>(
        &mut self,
        place: usize,
        aggregate: &A,
        other: Entry<K, P>,
    ) -> (K, Option<P>) {
        let entry = &mut self.slots[place].entry;
        let displaced = aggregate.merge(&mut entry.partial, other.partial);
        entry.updates += other.updates;
        self.updates += other.updates;
        (other.key, displaced)
    }

    /// Puts in the entry of a key that is not there.
    pub(crate) fn insert(&mut self, hash: u64, entry: Entry<K, P>) {
        self.updates += entry.updates;
        let place = self.slots.len();
        let next = self.index.insert(hash, place);
        self.slots.push(Slot { entry, next });
    }

    pub(crate) fn into_entries(self) -> impl ExactSizeIterator<Item = Entry<K, P>> {
        self.slots.into_iter().map(|slot| slot.entry)
    }
}

/// Passes a hash through.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The index only hashes `u64`, by the method below; this is a fair answer for the rest.
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
