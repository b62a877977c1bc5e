//! What a batch does to a shard: keys that are there first, then, by a second lock, new ones.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;

use hashbrown::HashTable;

use crate::error::shown;
use crate::evidence::{Evidence, Rules};
use crate::keys::Reserved;
use crate::shard::shard_of;
use crate::tracker::{Shard, Slot};
use crate::{TrustTracker, UpdateError, Weights};

/// Updates whose places are fetched from memory together.
const FETCHED: usize = 16;

/// An update with the hash of its key.
pub(crate) struct Pending<'a, Q: ?Sized> {
    pub(crate) hash: u64,
    pub(crate) key: &'a Q,
    pub(crate) weights: Weights,
}

impl<K: Hash + Eq + Clone> TrustTracker<K> {
    /// Reserves room for the new keys of a batch.
    pub(crate) fn reserve<Q>(&self, pending: &[Pending<'_, Q>]) -> Result<Reserved<'_>, UpdateError>
    where
        K: Borrow<Q>,
        Q: Eq + Debug + ?Sized,
    {
        let mut reserved = self.room.reserved();
        if reserved.extend(pending.len()) {
            return Ok(reserved);
        }
        // Near the limit it matters which keys are new.
        let mut new: HashTable<&Pending<'_, Q>> = HashTable::new();
        for (index, update) in pending.iter().enumerate() {
            let Pending { hash, key, .. } = *update;
            let shard = self.shard(shard_of(hash));
            let is_there = shard.table.find(hash, |slot| slot.is(hash, key)).is_some();
            drop(shard);
            if is_there || new.find(hash, |other| other.key == key).is_some() {
                continue;
            }
            if !reserved.extend(1) {
                let (key, limit) = (shown(key), self.rules.keys_max);
                return Err(UpdateError::Keys { index, key, limit });
            }
            new.insert_unique(hash, update, |other| other.hash);
        }
        Ok(reserved)
    }

    /// Adds to the keys of a shard that are there, and returns the updates of the others.
    pub(crate) fn add_known<'a, 'b, Q>(
        &self,
        index: usize,
        updates: &[&'b Pending<'a, Q>],
    ) -> Vec<&'b Pending<'a, Q>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut new = Vec::new();
        let shard = &mut *self.shard(index);
        for chunk in updates.chunks(FETCHED) {
            shard.fetch(chunk);
            for &update in chunk {
                if !shard.add(&self.rules, update) {
                    new.push(update);
                }
            }
        }
        new
    }

    /// Adds keys to a shard.
    pub(crate) fn add_new<Q>(
        &self,
        index: usize,
        new: Vec<&Pending<'_, Q>>,
        reserved: &mut Reserved<'_>,
    ) where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        if new.is_empty() {
            return;
        }
        let mut keys: Vec<Option<K>> = new.iter().map(|one| Some(one.key.to_owned())).collect();
        let shard = &mut *self.shard(index);
        let room = new.len();
        shard.table.reserve(room, |slot| slot.hash);
        for (update, key) in new.into_iter().zip(&mut keys) {
            // The key may be twice in the batch, or have come from another thread meanwhile.
            if shard.add(&self.rules, update) {
                continue;
            }
            if let Some(key) = key.take() {
                let mut evidence = Evidence::prior(&self.rules, shard.now_us);
                evidence.add(&self.rules, shard.now_us, update.weights);
                let hash = update.hash;
                let slot = Slot {
                    hash,
                    evidence,
                    key,
                };
                shard.table.insert_unique(hash, slot, |slot| slot.hash);
                reserved.use_one();
            }
        }
    }
}

impl<K> Shard<K> {
    /// Looks for the hashes alone, so that the processor fetches several places from memory at a
    /// time: comparing keys in between would make it wait for each.
    #[inline]
    fn fetch<Q: ?Sized>(&self, updates: &[&Pending<'_, Q>]) {
        let mut seen = 0;
        for Pending { hash, .. } in updates {
            if let Some(slot) = self.table.find(*hash, |slot| slot.hash == *hash) {
                seen ^= slot.evidence.at_us;
            }
        }
        std::hint::black_box(seen);
    }

    /// Adds to a key that is there.
    #[inline]
    fn add<Q>(&mut self, rules: &Rules, update: &Pending<'_, Q>) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Pending { hash, key, weights } = *update;
        let slot = self.table.find_mut(hash, |slot| slot.is(hash, key));
        if let Some(slot) = slot {
            slot.evidence.add(rules, self.now_us, weights);
            return true;
        }
        false
    }
}

impl<K> Slot<K> {
    #[inline]
    pub(crate) fn is<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.hash == hash && self.key.borrow() == key
    }
}
