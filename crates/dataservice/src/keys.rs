//! The list of keys: append-only, so that an id is an index for ever.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::sync::RwLock;
use crate::{KeyId, KeyLimit};

/// Keys by id and ids by key. Its lock is apart from that of the values, so that looking up a name
/// does not wait for a commit.
#[derive(Debug)]
pub(crate) struct Keys<K> {
    list: RwLock<List<K>>,
    keys_max: usize,
}

#[derive(Debug)]
struct List<K> {
    by_id: Vec<K>,
    by_key: HashMap<K, KeyId>,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self {
            by_id: Vec::new(),
            by_key: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash + Clone> Keys<K> {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            list: RwLock::default(),
            keys_max,
        }
    }

    /// The id of a key, after `enter` has made room for its values if the key is new.
    pub(crate) fn intern(&self, key: K, enter: impl FnMut()) -> Result<KeyId, KeyLimit> {
        if let Some(id) = self.id(&key) {
            return Ok(id);
        }
        let ids = self.intern_all(vec![key], enter)?;
        Ok(*ids.first().expect("one key has one id"))
    }

    /// The ids of keys, after `enter` has made room for the values of each new one. All or none.
    pub(crate) fn intern_all(
        &self,
        keys: Vec<K>,
        mut enter: impl FnMut(),
    ) -> Result<Vec<KeyId>, KeyLimit> {
        // Copied before the lock is taken: a clone is foreign code.
        let copies = keys.clone();
        let mut list = self.list.write();
        let is_new = |key: &&K| !list.by_key.contains_key(*key);
        let new = copies.iter().filter(is_new).collect::<HashSet<_>>().len();
        if list.by_id.len() + new > self.keys_max {
            return Err(KeyLimit {
                limit: self.keys_max,
            });
        }
        let mut ids = Vec::with_capacity(keys.len());
        for (key, copy) in keys.into_iter().zip(copies) {
            let known = list.by_key.get(&key).copied();
            ids.push(known.unwrap_or_else(|| {
                let number =
                    u32::try_from(list.by_id.len()).expect("the builder allows no more than ids");
                let id = KeyId::from_number(number);
                enter();
                list.by_id.push(copy);
                list.by_key.insert(key, id);
                id
            }));
        }
        Ok(ids)
    }

    pub(crate) fn id<Q>(&self, key: &Q) -> Option<KeyId>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.list.read().by_key.get(key).copied()
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<K> {
        self.list.read().by_id.get(id.index()).cloned()
    }

    /// The keys registered from this id on.
    pub(crate) fn from(&self, first: KeyId) -> Vec<(KeyId, K)> {
        let list = self.list.read();
        let mut id = first;
        let mut keys = Vec::new();
        for key in list.by_id.get(first.index()..).unwrap_or_default() {
            keys.push((id, key.clone()));
            id = id.next();
        }
        keys
    }

    /// Puts keys beside values that were copied out.
    pub(crate) fn name<V>(&self, values: Vec<(KeyId, V)>) -> Vec<(K, V)> {
        let list = self.list.read();
        // A slot exists a moment before its key is listed, but holds no value then.
        let named = values
            .into_iter()
            .filter_map(|(id, value)| list.by_id.get(id.index()).map(|key| (key.clone(), value)));
        named.collect()
    }
}
