//! The list of keys: append-only, so that an id is an index for ever.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

use crate::chunked::Chunked;
use crate::sync::RwLock;
use crate::{KeyId, RegisterError, Sample};

/// Keys by id and ids by key, each key held once. Its lock is apart from that of the values, so
/// that looking up a name does not wait for a commit.
#[derive(Debug)]
pub(crate) struct Keys<K> {
    list: RwLock<List<K>>,
    /// Seeded anew for every service: keys may come from outside.
    hasher: RandomState,
    keys_max: usize,
}

#[derive(Debug)]
struct List<K> {
    by_id: Chunked<K>,
    by_key: HashTable<u32>,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self {
            by_id: Chunked::new(),
            by_key: HashTable::new(),
        }
    }
}

impl<K: Eq + Hash + Clone> Keys<K> {
    /// What the list takes for a key, without what the key owns on the heap: its place, and a place
    /// in a table that is half full at least.
    pub(crate) const BYTES: usize = size_of::<K>() + 2 * (size_of::<u32>() + 1);

    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            list: RwLock::default(),
            hasher: RandomState::new(),
            keys_max,
        }
    }

    /// The id of a key, after `enter` has made room for its values if the key is new.
    pub(crate) fn intern(
        &self,
        key: K,
        enter: impl FnOnce(usize) -> Result<(), RegisterError>,
    ) -> Result<KeyId, RegisterError> {
        if let Some(id) = self.id(&key) {
            return Ok(id);
        }
        let ids = self.intern_all(vec![key], enter)?;
        Ok(*ids.first().expect("one key has one id"))
    }

    /// The ids of keys, after `enter` has made room for the values of so many new ones. All or
    /// none.
    pub(crate) fn intern_all(
        &self,
        keys: Vec<K>,
        enter: impl FnOnce(usize) -> Result<(), RegisterError>,
    ) -> Result<Vec<KeyId>, RegisterError> {
        let hashes: Vec<u64> = keys.iter().map(|key| self.hasher.hash_one(key)).collect();
        let mut list = self.list.write();
        let known = list.by_id.len();
        // Those that are new get ids for the time being, in a table of their own.
        let mut ids = Vec::with_capacity(keys.len());
        let mut fresh: HashTable<(usize, u32)> = HashTable::new();
        for (nth, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            let number = match list.find(*hash, key) {
                Some(number) => number,
                None => {
                    let next = u32::try_from(known + fresh.len());
                    let next = next.expect("the builder allows no more keys than ids");
                    let is_same = |(other, _): &(usize, u32)| keys[*other] == *key;
                    let entry = fresh.entry(*hash, is_same, |(other, _)| hashes[*other]);
                    entry.or_insert((nth, next)).get().1
                }
            };
            ids.push(KeyId::from_number(number));
        }
        if fresh.is_empty() {
            return Ok(ids);
        }
        if known + fresh.len() > self.keys_max {
            return Err(RegisterError::KeyLimit {
                limit: self.keys_max,
            });
        }
        enter(fresh.len())?;
        for ((key, id), hash) in keys.into_iter().zip(&ids).zip(hashes) {
            if id.index() == list.by_id.len() {
                list.insert(hash, key, &self.hasher);
            }
        }
        Ok(ids)
    }

    pub(crate) fn id<Q>(&self, key: &Q) -> Option<KeyId>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let number = self.list.read().find(hash, key)?;
        Some(KeyId::from_number(number))
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<K> {
        self.list.read().by_id.get(id.index()).cloned()
    }

    /// The keys registered from this id on.
    pub(crate) fn from(&self, first: KeyId) -> Vec<(KeyId, K)> {
        let list = self.list.read();
        let ids = (first.number()..).map(KeyId::from_number);
        let keys = list.by_id.iter_from(first.index());
        ids.zip(keys.cloned()).collect()
    }

    /// Puts keys beside values that were copied out.
    pub(crate) fn name<V>(&self, values: Vec<(KeyId, Sample<V>)>) -> Vec<(K, V)> {
        let list = self.list.read();
        // A slot exists a moment before its key is listed, but holds no value then.
        let named = values.into_iter().filter_map(|(id, sample)| {
            let key = list.by_id.get(id.index())?;
            Some((key.clone(), sample.value))
        });
        named.collect()
    }
}

impl<K: Eq + Hash> List<K> {
    fn find<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_same = |number: &u32| self.by_id.at(*number as usize).borrow() == key;
        self.by_key.find(hash, is_same).copied()
    }

    fn insert(&mut self, hash: u64, key: K, hasher: &RandomState) {
        let number = u32::try_from(self.by_id.len());
        let number = number.expect("the builder allows no more keys than ids");
        self.by_id.push(key);
        let by_id = &self.by_id;
        let rehash = |number: &u32| hasher.hash_one(by_id.at(*number as usize));
        self.by_key.insert_unique(hash, number, rehash);
    }
}
