//! Corners of a ring: what waits, what panics, what is larger than it can be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use buffer_core::{Demand, LeaseError, Order, OverflowPolicy, Ring, RingError, Waited, Watermark};

const ORDERS: [Order; 2] = [Order::Global, Order::PerProducer];
const PATIENCE: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(1);

fn ring(capacity: usize, order: Order, policy: OverflowPolicy) -> Ring<usize> {
    let builder = Ring::builder(capacity).order(order).policy(policy);
    builder.build().unwrap()
}

#[test]
fn a_wait_on_a_closed_ring_with_a_lease_outstanding_ends_in_time() {
    for order in ORDERS {
        let ring = ring(4, order, OverflowPolicy::Reject);
        assert!(ring.push(1).is_stored());
        let lease = ring.lease(1).unwrap();
        ring.close();
        let error = ring.lease_timeout(1, MOMENT).err();
        assert_eq!(error, Some(LeaseError::Empty), "it may still come back");
        lease.ack();
        let error = ring.lease_timeout(1, PATIENCE).err();
        assert_eq!(error, Some(LeaseError::Closed));
    }
}

#[test]
fn a_lease_that_comes_back_to_a_closed_ring_wakes_who_waits() {
    for order in ORDERS {
        let ring = ring(4, order, OverflowPolicy::Reject);
        assert!(ring.push(1).is_stored());
        let lease = ring.lease(1).unwrap();
        ring.close();
        let waiting = {
            let ring = ring.clone();
            std::thread::spawn(move || ring.lease_timeout(1, PATIENCE).map(|lease| lease[0]))
        };
        drop(lease);
        assert_eq!(waiting.join().unwrap(), Ok(1));
    }
}

#[test]
fn a_waiting_lease_of_nothing_is_a_lease_of_one() {
    let ring = ring(4, Order::Global, OverflowPolicy::Reject);
    assert!(ring.push(7).is_stored());
    assert_eq!(ring.lease_timeout(0, MOMENT).unwrap()[..], [7]);
    assert!(ring.lease(0).is_none());
}

#[test]
fn nobody_passes_one_whose_turn_it_is() {
    for order in ORDERS {
        for _ in 0..20 {
            let ring = ring(10, order, OverflowPolicy::Block(PATIENCE));
            for number in 0..10 {
                assert!(ring.push(number).is_stored());
            }
            let mut handle = ring.producer();
            let waiting = std::thread::spawn(move || handle.push(10).is_stored());
            while ring.stats().waiting_for_room == 0 {
                std::thread::yield_now();
            }
            ring.lease(1).unwrap().ack();
            // It was called, and is perhaps not awake yet: its place is not free.
            assert!(ring.try_push(11).is_err());
            assert!(waiting.join().unwrap());
            let seen = ring.lease(10).unwrap().to_vec();
            assert_eq!(seen, (1..=10).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_push_that_has_no_patience_does_not_stand_in_the_way() {
    for order in ORDERS {
        let ring = ring(1, order, OverflowPolicy::Block(Duration::ZERO));
        assert!(ring.push(1).is_stored());
        assert!(!ring.push(2).is_stored());
        assert_eq!(ring.stats().waiting_for_room, 0);
    }
}

#[test]
fn a_demand_beyond_the_capacity_is_met_by_a_full_ring() {
    for order in ORDERS {
        let ring = ring(100, order, OverflowPolicy::Block(PATIENCE));
        let waiting = {
            let ring = ring.clone();
            std::thread::spawn(move || ring.wait(Demand::items(50), PATIENCE))
        };
        assert_eq!(ring.resize(20).unwrap(), []);
        let mut handle = ring.producer();
        for number in 0..20 {
            assert!(handle.push(number).is_stored());
        }
        assert_eq!(waiting.join().unwrap(), Waited::Met);
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_with_two_demands_is_woken_by_the_smaller() {
    let ring = ring(200, Order::Global, OverflowPolicy::Reject);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    for items in [2, 100] {
        assert_eq!(
            ring.poll_queued(&mut context, Demand::items(items)),
            Poll::Pending
        );
    }
    assert!(ring.push(0).is_stored());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    assert!(ring.push(1).is_stored());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn law_2_tasks_that_are_gone_do_not_add_up() {
    let ring = ring(200, Order::Global, OverflowPolicy::Reject);
    for _ in 0..1000 {
        let waker = Waker::from(Arc::new(Wakes::default()));
        let mut context = Context::from_waker(&waker);
        let _ = ring.poll_queued(&mut context, Demand::items(100));
    }
    let kept = format!("{ring:?}");
    assert!(kept.contains("watchers: 64"), "{kept}");
}

#[test]
fn law_10_a_listener_that_panics_costs_no_room_and_no_wake_up() {
    for order in ORDERS {
        let ring: Ring<usize> = Ring::builder(4)
            .order(order)
            .policy(OverflowPolicy::Block(MOMENT))
            .watermark(Watermark::new(100.0, 50.0).unwrap())
            .on_crossing(|_| std::panic::resume_unwind(Box::new("a listener that fails")))
            .build()
            .unwrap();
        let mut items = vec![0, 1, 2, 3, 4, 5];
        let failed = catch_unwind(AssertUnwindSafe(|| ring.push_many(&mut items)));
        assert!(failed.is_err());
        assert_eq!(ring.stats().waiting_for_room, 0);
        let mut out = Vec::new();
        let drained = catch_unwind(AssertUnwindSafe(|| ring.drain_into(&mut out)));
        assert!(drained.is_err(), "it is told of the way down, too");
        let mut handle = ring.producer();
        let mut stored = 0;
        for number in 0..4 {
            let push = AssertUnwindSafe(|| handle.push(number).is_stored());
            stored += usize::from(catch_unwind(push).unwrap_or(true));
        }
        assert_eq!((stored, ring.len()), (4, 4), "{order:?}");
    }
}

#[test]
fn law_11_weights_that_would_overflow_are_refused() {
    let limit = usize::MAX;
    let built = Ring::<usize>::builder(4)
        .max_bytes(limit, |weight| *weight)
        .build();
    assert!(matches!(built, Err(RingError::Bytes { max_bytes, .. }) if max_bytes == limit));
    let most = isize::MAX as usize;
    let ring = Ring::builder(4)
        .policy(OverflowPolicy::Reject)
        .max_bytes(most, |weight| *weight)
        .build()
        .unwrap();
    assert!(ring.push(most).is_stored());
    assert!(!ring.push(2).is_stored());
    assert!(!ring.push(usize::MAX).is_stored());
    assert!(ring.push(0).is_stored());
    assert_eq!(ring.stats().current_bytes, most);
}

#[test]
fn the_way_down_is_reported_at_the_mark_with_stripes_too() {
    for order in ORDERS {
        let down_at = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&down_at);
        let ring: Ring<usize> = Ring::builder(1000)
            .order(order)
            .on_crossing(move |crossing| seen.store(crossing.current_size, Ordering::Relaxed))
            .build()
            .unwrap();
        let mut handle = ring.producer();
        for number in 0..850 {
            assert!(handle.push(number).is_stored());
        }
        assert_eq!(down_at.load(Ordering::Relaxed), 800);
        while down_at.load(Ordering::Relaxed) == 800 {
            ring.lease(1).unwrap().ack();
        }
        assert_eq!(down_at.load(Ordering::Relaxed), 700, "{order:?}");
    }
}

#[test]
fn marks_are_where_the_percentages_say() {
    for (pct, items) in [(16.1, 161), (32.2, 322), (100.0, 1000), (0.05, 1)] {
        let crossed = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&crossed);
        let ring: Ring<usize> = Ring::builder(1000)
            .watermark(Watermark::new(pct, 0.0).unwrap())
            .on_crossing(move |crossing| seen.store(crossing.current_size, Ordering::Relaxed))
            .build()
            .unwrap();
        for number in 0..1000 {
            assert!(ring.push(number).is_stored());
        }
        assert_eq!(crossed.load(Ordering::Relaxed), items, "{pct} %");
    }
}

#[test]
fn nothing_fits_always_unless_the_ring_is_closed() {
    let ring = ring(1, Order::Global, OverflowPolicy::Reject);
    assert!(ring.push(1).is_stored());
    assert_eq!(ring.try_push_all(&mut vec![]), Ok(()));
    ring.close();
    assert!(ring.try_push_all(&mut vec![]).is_err());
}

#[test]
fn a_wait_does_not_outlast_its_time_because_others_take_what_comes() {
    let ring = ring(100, Order::Global, OverflowPolicy::DropOldest);
    let stop = Arc::new(AtomicUsize::new(0));
    let taker = {
        let (ring, stop) = (ring.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut out = Vec::new();
            while stop.load(Ordering::Relaxed) == 0 {
                let _ = ring.push(1);
                out.clear();
                ring.drain_into(&mut out);
            }
        })
    };
    let started = Instant::now();
    for _ in 0..20 {
        let _ = ring.wait(Demand::items(90), MOMENT);
    }
    // Far more than it needs: a busy machine is slow, a wait without an end is not this quick.
    assert!(started.elapsed() < PATIENCE);
    stop.store(1, Ordering::Relaxed);
    taker.join().unwrap();
}
