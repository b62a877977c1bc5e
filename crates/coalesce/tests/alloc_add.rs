//! What adding and taking costs in memory, counted by the allocator.
//!
//! One test at a time: the counts are of the whole process.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    unsafe_code,
    reason = "an allocator can only be written with unsafe code"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use coalesce::{Coalescer, Key, Sum, WhenFull, WhenKeysFull};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations that `run` makes.
fn calls(run: impl FnOnce()) -> usize {
    let before = CALLS.load(Ordering::Relaxed);
    run();
    CALLS.load(Ordering::Relaxed) - before
}

fn adds_in_the_steady_state_do_not_allocate() {
    let buffer = Coalescer::<String, Sum>::builder(Sum)
        .updates_max(100_000, WhenFull::Reject)
        .keys_max(10_000, WhenKeysFull::Reject)
        .flush_at(50_000)
        .build()
        .unwrap();
    let writers = [buffer.writer(), buffer.writer()];
    let names: Vec<String> = (0..2_000)
        .map(|key| format!("a key of some length {key}"))
        .collect();
    let round = |expected: Option<usize>| {
        let made = calls(|| {
            for writer in &writers {
                let bound = writer.bind(names[7].clone());
                for name in &names {
                    let _ = writer.add_ref(name.as_str(), 1.0).unwrap();
                    let _ = bound.add(2.0).unwrap();
                }
            }
        });
        // Binding clones the key, once per writer.
        assert!(
            expected.is_none_or(|most| made <= most),
            "{made} allocations"
        );
        assert_eq!(buffer.take().keys(), 2_000);
    };
    // Each handle has two tables that learn the keys.
    for _ in 0..4 {
        round(None);
    }
    for _ in 0..10 {
        round(Some(2));
    }
}

fn adds_of_many_in_the_steady_state_do_not_allocate() {
    let buffer = Coalescer::new(Sum);
    let writer = buffer.writer();
    let short = || (0..90).map(|key| (Key::from(["a", "b", "c"][key % 3]), 1.0));
    for turn in 0..10 {
        let made = calls(|| assert_eq!(writer.add_many(short()).accepted, 90));
        assert!(turn < 4 || made == 0, "{made} allocations in turn {turn}");
        assert_eq!(buffer.take().keys(), 3);
    }
}

fn memory_is_given_back_after_a_burst() {
    let buffer = Coalescer::<u64, Sum>::builder(Sum)
        .updates_max(None, WhenFull::Reject)
        .keys_max(1_000_000, WhenKeysFull::Reject)
        .build()
        .unwrap();
    let (busy, idle) = (buffer.writer(), buffer.writer());
    let before = BYTES.load(Ordering::Relaxed);
    for _ in 0..2 {
        for key in 0..200_000 {
            let _ = busy.add(key, 1.0).unwrap();
            let _ = idle.add(key, 1.0).unwrap();
        }
        assert_eq!(buffer.take().keys(), 200_000);
    }
    assert!(buffer.capacity() >= 200_000);
    assert!(BYTES.load(Ordering::Relaxed) - before > 4_000_000);
    // One handle goes on with a few keys, the other one is not used any more.
    for _ in 0..4 {
        let _ = busy.add(1, 1.0).unwrap();
        assert_eq!(buffer.take().keys(), 1);
    }
    assert!(
        buffer.capacity() < 1_000,
        "room for {} keys",
        buffer.capacity()
    );
    let left = BYTES.load(Ordering::Relaxed) - before;
    assert!(left < 100_000, "{left} bytes are left of a burst");
}

fn dropped_coalescer_leaves_nothing() {
    let before = BYTES.load(Ordering::Relaxed);
    let buffer = Coalescer::<String, Sum>::new(Sum);
    let writer = buffer.writer();
    for key in 0..300 {
        let _ = writer.add(format!("key {key}"), 1.0).unwrap();
        let _ = buffer.add(format!("other {key}"), 1.0).unwrap();
    }
    buffer.restore(buffer.take());
    let _ = writer.add("last".to_owned(), 1.0).unwrap();
    drop((writer, buffer));
    assert_eq!(BYTES.load(Ordering::Relaxed), before);
}

#[test]
fn memory() {
    // Other threads of the harness would be counted too, so there is one test.
    adds_in_the_steady_state_do_not_allocate();
    adds_of_many_in_the_steady_state_do_not_allocate();
    memory_is_given_back_after_a_burst();
    dropped_coalescer_leaves_nothing();
}
