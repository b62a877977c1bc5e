//! Concurrent maps as peers, each in the quickest use that loses nothing.
//!
//! Where keys are kept, a take sets each count back to 0 and leaves the key: quicker, but the
//! memory of keys that never come again is never given back.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::keys::Key;
use super::{Add, Foldhash, Keyed, Totals};

impl<K: Key, S: BuildHasher + Clone + Default + Send + Sync> Keyed<K> for DashMap<K, u64, S> {
    type Adder<'a>
        = &'a Self
    where
        S: 'a;

    fn new() -> Self {
        Self::default()
    }

    fn adder(&self) -> &Self {
        self
    }

    fn take(&self, totals: &mut Totals<K>) {
        // Exact, since each shard is locked while its entries are removed.
        self.retain(|key, updates| {
            totals.see(key.borrow(), *updates);
            false
        });
    }
}

impl<K: Key, S: BuildHasher + Clone + Default> Add<K> for &DashMap<K, u64, S> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        if let Some(mut updates) = self.get_mut(key) {
            *updates += 1;
            return;
        }
        *self.entry(key.to_owned()).or_insert(0) += 1;
    }
}

pub(super) struct DashKept<K: Key>(DashMap<K, u64, Foldhash>);

impl<K: Key> Keyed<K> for DashKept<K> {
    type Adder<'a> = &'a DashMap<K, u64, Foldhash>;

    fn new() -> Self {
        Self(DashMap::default())
    }

    fn adder(&self) -> &DashMap<K, u64, Foldhash> {
        &self.0
    }

    fn take(&self, totals: &mut Totals<K>) {
        for mut entry in self.0.iter_mut() {
            let updates = std::mem::take(entry.value_mut());
            if updates > 0 {
                totals.see(entry.key().borrow(), updates);
            }
        }
    }
}

/// Counts are atomic, so that a hit changes no entry.
pub(super) struct Papaya<K: Key>(papaya::HashMap<K, AtomicU64, Foldhash>);

pub(super) struct PapayaAdder<'a, K: Key> {
    map: &'a papaya::HashMap<K, AtomicU64, Foldhash>,
    pinned: papaya::HashMapRef<'a, K, AtomicU64, Foldhash, papaya::LocalGuard<'a>>,
    adds: usize,
}

/// A pin is held for so many adds: long enough to cost nothing, short enough to let memory go.
const ADDS_PER_PIN: usize = 64;

impl<K: Key> Keyed<K> for Papaya<K> {
    type Adder<'a> = PapayaAdder<'a, K>;

    fn new() -> Self {
        Self(papaya::HashMap::with_hasher(Foldhash::default()))
    }

    fn adder(&self) -> PapayaAdder<'_, K> {
        PapayaAdder {
            map: &self.0,
            pinned: self.0.pin(),
            adds: 0,
        }
    }

    fn take(&self, totals: &mut Totals<K>) {
        for (key, updates) in &self.0.pin() {
            let updates = updates.swap(0, Ordering::Relaxed);
            if updates > 0 {
                totals.see(key.borrow(), updates);
            }
        }
    }
}

impl<K: Key> Add<K> for PapayaAdder<'_, K> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        self.adds += 1;
        if self.adds.is_multiple_of(ADDS_PER_PIN) {
            self.pinned = self.map.pin();
        }
        if let Some(updates) = self.pinned.get(key) {
            updates.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let updates = self
            .pinned
            .get_or_insert_with(key.to_owned(), AtomicU64::default);
        updates.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct Scc<K: Key>(scc::HashMap<K, u64, Foldhash>);

impl<K: Key> Keyed<K> for Scc<K> {
    type Adder<'a> = &'a Self;

    fn new() -> Self {
        Self(scc::HashMap::with_hasher(Foldhash::default()))
    }

    fn adder(&self) -> &Self {
        self
    }

    fn take(&self, totals: &mut Totals<K>) {
        self.0.retain_sync(|key, updates| {
            let updates = std::mem::take(updates);
            if updates > 0 {
                totals.see(key.borrow(), updates);
            }
            true
        });
    }
}

impl<K: Key> Add<K> for &Scc<K> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        if let Some(mut entry) = self.0.get_sync(key) {
            *entry.get_mut() += 1;
            return;
        }
        *self.0.entry_sync(key.to_owned()).or_insert(0).get_mut() += 1;
    }
}
