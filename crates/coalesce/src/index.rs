//! Where in a batch the keys are, while a take merges them.

use crate::Taken;
use crate::hash::Hash;

/// Where in a batch the keys are: hashes in their order, each with a place in the batch.
pub(crate) struct Index {
    /// Upper bits of a hash, and one more than the place; or 0.
    places: Vec<u64>,
}

impl Index {
    /// Bits of an entry that are the place.
    const PLACE: u64 = (1 << 40) - 1;

    /// For up to this many keys; for none if it is not needed.
    pub(crate) fn new(keys: usize) -> Self {
        Self {
            places: vec![0; if keys == 0 { 0 } else { keys + keys / 2 + 8 }],
        }
    }

    #[inline]
    pub(crate) fn find<K: Eq, P>(
        &self,
        hash: Hash,
        key: &K,
        merged: &Taken<K, P>,
    ) -> Option<usize> {
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

    pub(crate) fn insert(&mut self, hash: Hash, place: usize) {
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
