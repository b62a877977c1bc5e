//! Locked maps as peers: one, or one per shard. A take swaps each map with an empty one of the
//! same size, under its lock, and reads it afterwards.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::keys::Key;
use super::{Add, Foldhash, Keyed, Totals};

const SHARDS: usize = 64;

type Map<K> = HashMap<K, u64, Foldhash>;

#[inline(always)]
fn add<K: Key>(map: &mut Map<K>, key: &K::Query) {
    if let Some(updates) = map.get_mut(key) {
        *updates += 1;
        return;
    }
    map.insert(key.to_owned(), 1);
}

/// Shows what was taken, and leaves the map empty with its memory.
fn drain<K: Key>(map: &mut Map<K>, totals: &mut Totals<K>) {
    for (key, updates) in map.drain() {
        totals.see(key.borrow(), updates);
    }
}

macro_rules! one_lock {
    ($name:ident, $mutex:ident, $lock:expr) => {
        pub(super) struct $name<K> {
            map: $mutex<Map<K>>,
            /// Only takes use it, one after the other.
            spare: $mutex<Map<K>>,
        }

        impl<K: Key> Keyed<K> for $name<K> {
            type Adder<'a> = &'a Self;

            fn new() -> Self {
                Self {
                    map: $mutex::new(Map::default()),
                    spare: $mutex::new(Map::default()),
                }
            }

            fn adder(&self) -> &Self {
                self
            }

            fn take(&self, totals: &mut Totals<K>) {
                let mut spare = $lock(&self.spare);
                std::mem::swap(&mut *$lock(&self.map), &mut *spare);
                drain(&mut spare, totals);
            }
        }

        impl<K: Key> Add<K> for &$name<K> {
            #[inline(always)]
            fn add(&mut self, key: &K::Query) {
                add(&mut $lock(&self.map), key);
            }
        }
    };
}

use parking_lot::Mutex as ParkingLotMutex;
use std::sync::Mutex as StdLock;

one_lock!(StdMutex, StdLock, lock);
one_lock!(ParkingLot, ParkingLotMutex, ParkingLotMutex::lock);

/// The guard of a lock under which nothing panics.
fn lock<T>(mutex: &StdLock<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under the lock")
}

/// A lock on cache lines of its own.
#[repr(align(128))]
struct Shard<K>(ParkingLotMutex<Map<K>>);

pub(super) struct Sharded<K> {
    shards: Vec<Shard<K>>,
    hasher: Foldhash,
    spare: ParkingLotMutex<Map<K>>,
}

impl<K: Key> Keyed<K> for Sharded<K> {
    type Adder<'a> = &'a Self;

    fn new() -> Self {
        let shard = |_| Shard(ParkingLotMutex::new(Map::default()));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: Foldhash::default(),
            spare: ParkingLotMutex::new(Map::default()),
        }
    }

    fn adder(&self) -> &Self {
        self
    }

    fn take(&self, totals: &mut Totals<K>) {
        let mut spare = self.spare.lock();
        for shard in &self.shards {
            std::mem::swap(&mut *shard.0.lock(), &mut *spare);
            drain(&mut spare, totals);
        }
    }
}

impl<K: Key> Add<K> for &Sharded<K> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        add(&mut self.shards[shard].0.lock(), key);
    }
}
