//! Histories allocate nothing per append in the steady state, counted by the allocator itself.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use buffer_core::{ArrayHistory, Cursor, History, Room, Shape};

/// Counts the allocations of each thread, so that tests may run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() + layout.size().cast_signed()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() - layout.size().cast_signed()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(action: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    action();
    ALLOCATIONS.get() - before
}

#[test]
fn depth_zero_and_one_never_allocate() {
    for depth in [0, 1] {
        let count = allocations(|| {
            let mut history = History::with_room(depth, Room::new(100, 4.0).unwrap());
            for value in 0..10_000 {
                history.append(value, value);
                assert_eq!(history.window(9).len(), depth);
            }
            assert_eq!(history.since(Cursor::START).window.len(), depth);
        });
        assert_eq!(count, 0, "depth {depth}");
    }
}

#[test]
fn depth_zero_and_one_give_up_their_segment_once_the_readers_are_gone() {
    for depth in [0, 1] {
        let before = LIVE_BYTES.get();
        let mut history = History::new(depth);
        for value in 0..10_i64 {
            drop(history.append(value.to_string(), value));
        }
        let inline = LIVE_BYTES.get();
        let reader = history.reader();
        drop(history.append("10".to_owned(), 10));
        let held = reader.latest();
        drop(reader);
        for value in 11..20_i64 {
            let displaced = history.append(value.to_string(), value).displaced;
            assert_eq!(displaced.len(), 1);
        }
        assert_eq!(history.window(9).len(), depth);
        assert_eq!(history.latest().is_some(), depth == 1);
        assert_eq!(history.bytes().allocated, 0, "depth {depth}");
        assert_eq!(held.values(), &["10"][..depth], "it stays as it was");
        drop(held);
        let live = LIVE_BYTES.get();
        assert!(live <= inline + 8, "{live} of {inline} at depth {depth}");
        drop(history);
        assert_eq!(LIVE_BYTES.get(), before, "depth {depth}");
    }
}

#[test]
fn a_history_tells_what_it_allocates() {
    for depth in [0, 2, 3, 10, 100, 1000] {
        for readers in [0, 1] {
            let before = LIVE_BYTES.get();
            let mut history = History::new(depth);
            let readers: Vec<_> = (0..readers).map(|_| history.reader()).collect();
            for value in 0..5_000_i64 {
                history.append(value, value);
            }
            let live = (LIVE_BYTES.get() - before) as f64;
            let told = history.bytes().allocated as f64;
            assert!(
                (0.8 * live..=1.25 * live).contains(&told),
                "{told} of {live} at depth {depth}, {} readers",
                readers.len()
            );
        }
    }
}

#[test]
fn a_change_of_shape_leaves_no_spare_of_the_old_one() {
    let (wide, narrow) = (Shape::new(&[1000]).unwrap(), Shape::new(&[1]).unwrap());
    let mut history = ArrayHistory::new(4);
    let _reader = history.reader();
    for _ in 0..100 {
        history.append(wide, &[1.0; 1000], 0).unwrap();
    }
    // Room for ten arrays of 8000 bytes, twice beside a reader.
    let segment = 10 * 8_008;
    assert!(history.bytes().allocated >= 2 * segment);
    history.append(narrow, &[1.0], 0).unwrap();
    assert_eq!(history.len(), 4, "the old generation is retained");
    let allocated = history.bytes().allocated;
    assert!(allocated < segment + 4_000, "{allocated}");
}

#[test]
fn an_append_allocates_nothing_once_the_room_is_there() {
    let mut history = History::new(1000);
    let mut fill = |count| {
        for value in 0..count {
            history.append(f64::from(value), i64::from(value));
            assert!(!history.window(100).is_empty());
        }
    };
    fill(5_000);
    assert_eq!(allocations(|| fill(100_000)), 0);
}

#[test]
fn nor_does_it_beside_readers() {
    let mut history = History::new(100);
    let reader = history.reader();
    let mut fill = |count| {
        let mut cursor = Cursor::START;
        for value in 0..count {
            drop(history.append_deferred(f64::from(value), i64::from(value)));
            if value % 16 == 0 {
                history.publish();
                let since = reader.since(cursor);
                cursor = since.next;
                assert!(!reader.within(5).is_empty() && !reader.window(5).is_empty());
            }
        }
    };
    fill(5_000);
    assert_eq!(allocations(|| fill(100_000)), 0);
}

#[test]
fn nor_does_an_array() {
    let mut history = ArrayHistory::new(50);
    let shape = Shape::new(&[4, 4]).unwrap();
    let mut fill = |count| {
        for value in 0..count {
            history
                .append(shape, &[value; 16], i64::from(value))
                .unwrap();
            assert!(!history.window(10).is_empty());
        }
    };
    fill(1_000);
    assert_eq!(allocations(|| fill(10_000)), 0);
    let reader = history.reader();
    let mut fill = |count| {
        for value in 0..count {
            history
                .append(shape, &[value; 16], i64::from(value))
                .unwrap();
            assert_eq!(reader.window(10).rows(), 10);
        }
    };
    fill(1_000);
    assert_eq!(allocations(|| fill(10_000)), 0);
}

#[test]
fn values_with_destructors_are_moved_and_cost_a_few_allocations_per_turnover() {
    let mut history = History::new(1000);
    let reader = history.reader();
    let mut fill = |count: i32| {
        for value in 0..count {
            history.append(vec![(); 1], i64::from(value));
            assert_eq!(reader.latest().len(), 1);
        }
    };
    fill(5_000);
    let count = allocations(|| fill(15_000));
    assert!(count <= 10 * 4, "{count} allocations in 10 turnovers");
}
