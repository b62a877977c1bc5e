//! Peers with a reader on another thread: a lock around the quickest store with one owner.

use super::alone::Roomy;
use super::{Append, Beside, Snapshot, Store};

macro_rules! locked {
    ($name:ident, $lock:ty, $new:expr, $write:expr, $read:expr) => {
        pub(super) struct $name($lock);

        impl Beside for $name {
            type Writer<'a> = &'a Self;
            type Reader<'a> = &'a Self;

            fn new(depth: usize) -> Self {
                Self($new(Roomy::new(depth)))
            }

            fn split(&mut self) -> (&Self, &Self) {
                (self, self)
            }
        }

        impl Append for &$name {
            #[inline(always)]
            fn append(&mut self, value: f64, time: i64) {
                $write(&self.0).append(value, time);
            }
        }

        impl Snapshot for &$name {
            #[inline(always)]
            fn last<R>(&mut self, count: usize, look: impl FnOnce(&[f64]) -> R) -> R {
                look($read(&self.0).newest(count))
            }
        }
    };
}

locked!(
    ParkingLotRwLock,
    parking_lot::RwLock<Roomy>,
    parking_lot::RwLock::new,
    parking_lot::RwLock::write,
    parking_lot::RwLock::read
);
locked!(
    ParkingLotMutex,
    parking_lot::Mutex<Roomy>,
    parking_lot::Mutex::new,
    parking_lot::Mutex::lock,
    parking_lot::Mutex::lock
);
locked!(
    StdRwLock,
    std::sync::RwLock<Roomy>,
    std::sync::RwLock::new,
    write,
    read
);
locked!(
    StdMutex,
    std::sync::Mutex<Roomy>,
    std::sync::Mutex::new,
    lock,
    lock
);

const UNPOISONED: &str = "nothing panics under the lock";

fn write(lock: &std::sync::RwLock<Roomy>) -> std::sync::RwLockWriteGuard<'_, Roomy> {
    lock.write().expect(UNPOISONED)
}

fn read(lock: &std::sync::RwLock<Roomy>) -> std::sync::RwLockReadGuard<'_, Roomy> {
    lock.read().expect(UNPOISONED)
}

fn lock(mutex: &std::sync::Mutex<Roomy>) -> std::sync::MutexGuard<'_, Roomy> {
    mutex.lock().expect(UNPOISONED)
}
