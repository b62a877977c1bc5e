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
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
