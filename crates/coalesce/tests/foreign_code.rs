//! What keys, values and aggregates do when they are dropped or panic harms nobody else.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    unused_must_use,
    reason = "a buffer that refuses what does not fit takes nothing out"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coalesce::{Added, Aggregate, Coalescer, Last, Stamp, WhenFull, WhenKeysFull};

/// Locks the whole buffer when it is dropped, which hangs if a part of it is locked already.
#[derive(Clone)]
struct LocksOnDrop(Option<Coalescer<Named, Last<LocksOnDrop>>>);

impl Drop for LocksOnDrop {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            assert!(buffer.stats().updates_offered > 0);
        }
    }
}

/// A key that does the same.
#[derive(Clone)]
struct Named {
    name: u8,
    _locks: LocksOnDrop,
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Named {}

impl std::hash::Hash for Named {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[test]
fn law_3_no_strangers_drop_runs_under_a_lock() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let buffer = Coalescer::builder(Last::new())
            .updates_max(4, WhenFull::FlushNow)
            .build()
            .unwrap();
        let value = || LocksOnDrop(Some(buffer.clone()));
        let key = |name| Named {
            name,
            _locks: value(),
        };
        for _ in 0..20 {
            // Displaces values, throws spare keys away, and takes with an update under way.
            for name in [1, 1, 2, 1] {
                drop(buffer.add(key(name), value()));
            }
            let batch = buffer.take();
            drop(buffer.add(key(1), value()));
            buffer.restore(batch);
        }
        drop(buffer.take());
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(30))
        .expect("a drop ran under a lock");
}

/// Panics at 13.
struct Superstitious;

impl Aggregate for Superstitious {
    type Update = u64;
    type Partial = u64;

    fn start(&self, update: u64, _stamp: Stamp) -> u64 {
        assert_ne!(update, 13);
        update
    }

    fn absorb(&self, partial: &mut u64, update: u64, stamp: Stamp) -> Option<u64> {
        *partial += self.start(update, stamp);
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        *partial += other;
        None
    }
}

#[test]
fn law_1_conservation_through_a_panicking_aggregate() {
    let buffer = Coalescer::builder(Superstitious)
        .updates_max(3, WhenFull::FlushNow)
        .keys_max(3, WhenKeysFull::Reject)
        .flush_at(None)
        .build()
        .unwrap();
    let panics = |key| {
        let add = AssertUnwindSafe(|| buffer.add(key, 13));
        assert!(catch_unwind(add).is_err());
        let stats = buffer.stats();
        assert_eq!(stats.current_buffer_size, buffer.updates());
        assert_eq!(stats.updates_buffered, buffer.updates());
    };
    for key in ["a", "b", "c"] {
        panics("a");
        panics("b");
        panics("new");
        buffer.add(key, 1).unwrap();
    }
    // The buffer is full, so these would flush it, and must not lose it.
    panics("a");
    panics("new");
    assert_eq!(buffer.take().updates(), 3);
    for key in ["a", "b", "c"] {
        assert_eq!(
            buffer.add(key, 1),
            Ok(Added::Buffered),
            "a panic used up a place"
        );
    }
}

/// A key that locks the buffer when it is dropped.
#[derive(Clone)]
struct Caller(u8, Coalescer<Caller, Grumpy>);

impl Drop for Caller {
    fn drop(&mut self) {
        // Locks the handle of this thread, and all that was handed over.
        let _ = self.1.capacity();
        let _ = self.1.add_many([]).accepted;
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Caller {}

impl std::hash::Hash for Caller {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Panics at 13, as the first update or as what is merged.
struct Grumpy;

impl Aggregate for Grumpy {
    type Update = u64;
    type Partial = u64;

    fn start(&self, update: u64, _stamp: Stamp) -> u64 {
        assert_ne!(update, 13);
        update
    }

    fn absorb(&self, partial: &mut u64, update: u64, _stamp: Stamp) -> Option<u64> {
        *partial += update;
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        assert_ne!(other, 13);
        *partial += other;
        None
    }
}

/// Runs `test` in a thread, and waits for its end.
fn ends(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(30))
        .expect("a drop ran under a lock");
}

#[test]
fn a_key_is_dropped_outside_of_locks_when_statistics_panic() {
    ends(|| {
        let buffer = Coalescer::new(Grumpy);
        let key = |name| Caller(name, buffer.clone());
        assert_eq!(buffer.add_many([(key(1), 6), (key(1), 7)]).accepted, 2);
        let batch = buffer.take();
        buffer.restore(batch);
        buffer.add(key(1), 1).is_ok();
        let stats = AssertUnwindSafe(|| buffer.stats().updates_lost);
        assert!(catch_unwind(stats).is_err());
        assert_eq!(buffer.stats().updates_lost, 2);
    });
}
#[test]
fn a_key_is_dropped_outside_of_locks_when_starting_panics() {
    ends(|| {
        let buffer = Coalescer::new(Grumpy);
        let key = |name| Caller(name, buffer.clone());
        buffer.add(key(1), 1).is_ok();
        drop(buffer.take());
        for name in [1, 2] {
            let add = AssertUnwindSafe(|| buffer.add(key(name), 13).is_ok());
            assert!(catch_unwind(add).is_err());
        }
        assert_eq!(buffer.updates(), 0);
    });
}
