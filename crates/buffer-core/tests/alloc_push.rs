//! Pushing allocates nothing once a ring has found its size.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use buffer_core::{Order, OverflowPolicy, Producer, Pushed, Ring};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no count any more, and is not under test.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = LIVE_BYTES.try_with(|live| live.set(live.get().wrapping_add(layout.size())));
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let _ = LIVE_BYTES.try_with(|live| live.set(live.get().wrapping_sub(layout.size())));
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const CAPACITY: usize = 1000;

fn rings(policy: OverflowPolicy) -> Vec<(Ring<u64>, Producer<u64>)> {
    [Order::Global, Order::PerProducer]
        .into_iter()
        .map(|order| {
            let ring = Ring::builder(CAPACITY)
                .order(order)
                .policy(policy)
                .build()
                .unwrap();
            let producer = ring.producer();
            (ring, producer)
        })
        .collect()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1);
}

#[test]
fn a_push_into_a_full_ring_allocates_nothing() {
    for (ring, mut producer) in rings(OverflowPolicy::DropOldest) {
        let mut lost = 0;
        for number in 0..4 * CAPACITY as u64 {
            lost += u64::from(matches!(producer.push(number), Pushed::Displaced { .. }));
        }
        let count = allocations(|| {
            for number in 0..10 * CAPACITY as u64 {
                lost += u64::from(matches!(producer.push(number), Pushed::Displaced { .. }));
            }
        });
        assert_eq!(count, 0, "{ring:?}");
        assert_eq!(lost, 13 * CAPACITY as u64);
    }
}

#[test]
fn a_push_of_many_into_a_full_ring_allocates_nothing() {
    for (ring, mut producer) in rings(OverflowPolicy::DropOldest) {
        let mut items = Vec::with_capacity(32);
        let mut push = || {
            items.clear();
            items.extend(0..32);
            producer.push_many(&mut items).displaced
        };
        for _ in 0..200 {
            push();
        }
        let mut displaced = 0;
        let count = allocations(|| {
            for _ in 0..500 {
                displaced += push();
            }
        });
        assert_eq!(count, 0, "{ring:?}");
        assert_eq!(displaced, 500 * 32);
    }
}

#[test]
fn pushes_between_drains_allocate_nothing() {
    for (ring, mut producer) in rings(OverflowPolicy::Reject) {
        let mut out = Vec::new();
        let mut pushing = 0;
        for round in 0..20 {
            let count = allocations(|| {
                for number in 0..CAPACITY as u64 {
                    assert!(producer.push(number).is_stored());
                }
            });
            // The first rounds find the size of the buffers that are exchanged.
            if round >= 5 {
                pushing += count;
            }
            out.clear();
            assert_eq!(ring.drain_into(&mut out), CAPACITY);
        }
        assert_eq!(pushing, 0, "{ring:?}");
    }
}

#[test]
fn pushes_between_leases_allocate_nothing() {
    for (ring, mut producer) in rings(OverflowPolicy::Reject) {
        let mut pushing = 0;
        for round in 0..20 {
            let count = allocations(|| {
                for number in 0..500 {
                    assert!(producer.push(number).is_stored());
                }
            });
            if round >= 5 {
                pushing += count;
            }
            for _ in 0..5 {
                ring.lease(100).unwrap().ack();
            }
        }
        assert_eq!(pushing, 0, "{ring:?}");
    }
}

#[test]
fn law_2_an_empty_ring_keeps_buffers_for_a_few_times_its_capacity() {
    const PRODUCERS: usize = 8;
    const ROUNDS: usize = 3;
    let before = LIVE_BYTES.get();
    let ring = Ring::builder(CAPACITY * 10)
        .order(Order::PerProducer)
        .build()
        .unwrap();
    let mut producers: Vec<_> = (0..PRODUCERS).map(|_| ring.producer()).collect();
    for _ in 0..ROUNDS {
        for producer in &mut producers {
            for number in 0..10 * CAPACITY as u64 {
                assert!(producer.push(number).is_stored());
            }
            ring.lease(usize::MAX).unwrap().ack();
        }
    }
    let places = LIVE_BYTES.get().wrapping_sub(before) / size_of::<u64>();
    assert!(places <= 5 * 10 * CAPACITY, "{places} places");
    assert_eq!(ring.resize(10).unwrap(), []);
    let places = LIVE_BYTES.get().wrapping_sub(before) / size_of::<u64>();
    assert!(
        places <= 2 * CAPACITY,
        "{places} places after it was made small"
    );
}
