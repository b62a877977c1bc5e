//! No decision allocates: counted by the allocator itself, per thread.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator can only be counted by being one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use flush_policy::{
    Age, FlushCounts, FlushPolicy, FlushSpec, Flushed, Interval, JitterSpec, Load, Manual, Outcome,
    Preset, Remainder, Size, all_of,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // The thread may be ending; then nobody looks at the count any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Ten thousand rounds of everything that a driver calls.
fn drive(policy: &mut dyn FlushPolicy, counts: &mut FlushCounts) {
    let start = Instant::now();
    for round in 0..10_000_u64 {
        let now = start + Duration::from_millis(round * 7);
        let _ = policy.on_push(now, Load::new(3, 64));
        let later = policy
            .next_deadline()
            .map_or(now, |deadline| deadline.max(now));
        let decision = policy.on_deadline(later);
        black_box((policy.deadline_reason(), policy.batch_items()));
        if let Some(reason) = decision.reason() {
            counts.record(reason, Outcome::Delivered);
        }
        let took = Duration::from_millis(round % 120);
        let left = Remainder::new((round % 40) as usize, 0, now);
        let flushed = match round % 5 {
            0 => Flushed::failed(left),
            _ => Flushed::delivered(left),
        };
        let _ = policy.on_flushed(later, flushed.wrote(30, took));
    }
}

#[test]
fn no_decision_allocates() {
    let before = allocations();
    drop(black_box(vec![1_u8; 100]));
    assert_eq!(allocations() - before, 1, "allocations are not counted");

    let everything = FlushSpec::new()
        .size(20)
        .bytes(1_000)
        .age(Duration::from_millis(50))
        .interval(Duration::from_millis(80))
        .adaptive(flush_policy::AdaptiveSpec::new())
        .jitter(JitterSpec::new(20, 1));
    let wait = Duration::from_millis(50);
    let parts = [
        Size::new(3).unwrap().boxed(),
        Age::new(wait).unwrap().boxed(),
        Interval::new(wait).unwrap().boxed(),
    ];
    let mut policies = [
        Manual.boxed(),
        FlushSpec::from(Preset::HighVolume).build().unwrap(),
        everything.build().unwrap(),
        all_of(parts).unwrap().boxed(),
    ];
    let mut counts = FlushCounts::default();
    for policy in &mut policies {
        let before = allocations();
        drive(policy.as_mut(), &mut counts);
        assert_eq!(allocations() - before, 0, "{policy:?}");
    }
    assert!(counts.total().delivered > 10_000);
}
