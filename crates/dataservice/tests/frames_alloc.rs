//! A copy into a pool's frame allocates nothing in the steady state, counted by the allocator.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use dataservice::{Frame, FramePool, Shape};

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
fn a_copy_allocates_nothing_once_frames_came_back() {
    let (pool, shape) = (FramePool::new(1 << 20), Shape::new(&[16, 16]).unwrap());
    let mut history = VecDeque::with_capacity(20);
    let mut run = |count: u32| {
        for n in 0..count {
            let copied = pool.copy(shape, &[n; 256]).unwrap();
            let filled = pool.fill(shape, |elements| elements.fill(n));
            assert_eq!(copied, filled);
            if history.len() == 10 {
                history.pop_front();
            }
            history.push_back(copied.clone());
        }
    };
    run(50);
    assert_eq!(allocations(|| run(10_000)), 0);
}

#[test]
fn a_frame_tells_what_it_takes_and_a_dropped_pool_frees_it() {
    let before = LIVE_BYTES.get();
    let (pool, shape) = (FramePool::new(1 << 20), Shape::new(&[16, 16]).unwrap());
    let empty = LIVE_BYTES.get();
    let frame: Frame<f32> = pool.copy(shape, &[1.0; 256]).unwrap();
    let live = LIVE_BYTES.get() - empty;
    assert_eq!(frame.heap_bytes(), live.cast_unsigned());
    drop(frame);
    let kept = pool.copy(shape, &[1.0; 256]).unwrap();
    let other = pool.copy(shape, &[2.0; 256]).unwrap();
    drop(other);
    drop(pool);
    drop(kept);
    assert_eq!(LIVE_BYTES.get(), before);
}
