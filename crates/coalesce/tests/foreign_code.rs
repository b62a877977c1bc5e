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
