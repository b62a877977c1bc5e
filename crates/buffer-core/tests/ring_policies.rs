//! What a push says and does when the ring is full, by policy.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer_core::{
    Demand, Direction, LeaseError, Order, OverflowPolicy, Pushed, Refusal, Ring, RingError,
    Watermark,
};

fn full(policy: OverflowPolicy) -> Ring<u32> {
    let ring = Ring::builder(3).policy(policy).build().unwrap();
    for number in 1..=3 {
        assert_eq!(ring.push(number), Pushed::Stored);
    }
    ring
}

#[test]
fn law_2_every_policy_keeps_the_ring_bounded_and_hands_back_what_is_not_in_it() {
    let table = [
        (
            OverflowPolicy::DropOldest,
            Pushed::Displaced {
                first: 1,
                rest: vec![],
            },
            vec![2, 3, 4],
        ),
        (
            OverflowPolicy::DropNewest,
            Pushed::Dropped(4),
            vec![1, 2, 3],
        ),
        (
            OverflowPolicy::Reject,
            Pushed::Refused(Refusal::Full, 4),
            vec![1, 2, 3],
        ),
        (
            OverflowPolicy::Block(Duration::ZERO),
            Pushed::Refused(Refusal::TimedOut, 4),
            vec![1, 2, 3],
        ),
    ];
    for (policy, outcome, left) in table {
        let ring = full(policy);
        assert_eq!(ring.push(4), outcome, "{policy:?}");
        assert_eq!(ring.peek(10), left, "{policy:?}");
        assert_eq!(ring.len(), 3, "{policy:?}");
    }
}

#[test]
fn law_1_a_drop_is_never_counted_as_an_acknowledgement() {
    let ring = full(OverflowPolicy::DropOldest);
    for number in 4..=10 {
        assert!(ring.push(number).is_stored());
    }
    let stats = ring.stats();
    assert_eq!(
        (stats.total_added, stats.dropped.oldest, stats.total_acked),
        (10, 7, 0)
    );
    assert_eq!(stats.overflow_count(), 7);
    assert!((stats.overflow_rate_pct() - 70.0).abs() < 1e-9);
    assert!((stats.utilization_pct() - 100.0).abs() < 1e-9);
}

#[test]
fn push_many_keeps_the_refused_with_the_caller_in_order() {
    let ring = Ring::builder(3)
        .policy(OverflowPolicy::Reject)
        .build()
        .unwrap();
    let mut items = vec![1, 2, 3, 4, 5];
    let outcome = ring.push_many(&mut items);
    assert_eq!(
        (outcome.accepted, outcome.refusal),
        (3, Some(Refusal::Full))
    );
    assert_eq!(items, [4, 5]);
    let stats = ring.stats();
    assert_eq!(
        (stats.total_offered, stats.total_added, stats.total_refused),
        (5, 3, 2)
    );
}

#[test]
fn try_push_never_displaces_whatever_the_policy() {
    let ring = full(OverflowPolicy::DropOldest);
    assert_eq!(ring.try_push(4), Err((Refusal::Full, 4)));
    assert_eq!(ring.peek(1), [1]);
}

#[test]
fn try_push_all_stores_all_or_nothing() {
    let ring = Ring::builder(4)
        .max_bytes(100, |number: &u32| *number as usize)
        .build()
        .unwrap();
    let mut items = vec![1, 2, 3];
    assert_eq!(ring.try_push_all(&mut items), Ok(()));
    assert!(items.is_empty());
    for (items, refusal) in [
        (vec![4, 5], Refusal::Full),
        (vec![95], Refusal::Full),
        (vec![101], Refusal::TooHeavy),
        (vec![1; 5], Refusal::TooHeavy),
    ] {
        let mut offered = items.clone();
        assert_eq!(ring.try_push_all(&mut offered), Err(refusal), "{items:?}");
        assert_eq!(offered, items);
    }
    let stats = ring.stats();
    assert_eq!(
        (stats.total_offered, stats.total_added, stats.total_refused),
        (12, 3, 9)
    );
}

#[test]
fn law_6_dropped_leases_return_in_order_whatever_order_they_are_dropped_in() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let ring = Ring::new(20).unwrap();
        for number in 0..10 {
            assert!(ring.push(number).is_stored());
        }
        let mut leases = [ring.lease(3), ring.lease(2), ring.lease(4)];
        for index in order {
            leases[index] = None;
        }
        assert_eq!(
            ring.peek(20),
            (0..10).collect::<Vec<_>>(),
            "order {order:?}"
        );
        let mut all = Vec::new();
        assert_eq!(ring.drain_into(&mut all), 10);
        assert_eq!(all, (0..10).collect::<Vec<_>>(), "order {order:?}");
    }
}

#[test]
fn a_lease_lost_in_a_panic_puts_its_items_back() {
    let ring = full(OverflowPolicy::Reject);
    let inner = ring.clone();
    let panicked = std::thread::spawn(move || {
        let _lease = inner.lease(2).unwrap();
        panic!("the consumer failed");
    });
    assert!(panicked.join().is_err());
    assert_eq!(ring.peek(3), [1, 2, 3]);
    assert_eq!(ring.stats().leased, 0);
}

#[test]
fn shared_items_outlive_an_acknowledged_lease_and_delay_the_return_of_a_dropped_one() {
    let ring = full(OverflowPolicy::Reject);
    let lease = ring.lease(2).unwrap();
    let items = lease.share();
    lease.ack();
    assert_eq!(&items[..], [1, 2]);
    assert_eq!(ring.stats().total_acked, 2);
    let lease = ring.lease(1).unwrap();
    let items = lease.share();
    drop(lease);
    assert_eq!(
        (ring.stats().leased, ring.stats().queued),
        (1, 0),
        "somebody still reads it"
    );
    drop(items);
    assert_eq!((ring.stats().leased, ring.stats().queued), (0, 1));
}

#[test]
fn leased_items_are_not_displaced() {
    let ring = full(OverflowPolicy::DropOldest);
    let lease = ring.lease(3).unwrap();
    assert_eq!(ring.push(4), Pushed::Dropped(4));
    assert_eq!(&lease[..], [1, 2, 3]);
    assert_eq!(ring.stats().dropped.newest, 1);
}

#[test]
fn resize_up_loses_nothing_and_down_evicts_the_oldest_and_counts_them() {
    let ring = full(OverflowPolicy::Reject);
    assert_eq!(ring.resize(5).unwrap(), Vec::<u32>::new());
    assert!(ring.push(4).is_stored());
    assert_eq!(ring.resize(2).unwrap(), [1, 2]);
    assert_eq!(ring.peek(5), [3, 4]);
    assert_eq!(ring.stats().dropped.resized, 2);
    assert_eq!(
        ring.resize(0),
        Err(RingError::Capacity {
            capacity: 0,
            limit: 1 << 40
        })
    );
}

#[test]
fn bytes_bound_the_ring_and_an_oversized_item_leaks_no_room() {
    let ring = Ring::builder(100)
        .max_bytes(10, |text: &String| text.len())
        .build()
        .unwrap();
    assert_eq!(ring.push("aaaa".into()), Pushed::Stored);
    assert_eq!(ring.push("bbbb".into()), Pushed::Stored);
    let huge = "c".repeat(11);
    assert_eq!(
        ring.push(huge.clone()),
        Pushed::Refused(Refusal::TooHeavy, huge)
    );
    assert_eq!(
        ring.push("dddddddd".into()),
        Pushed::Displaced {
            first: "aaaa".into(),
            rest: vec!["bbbb".into()]
        }
    );
    assert_eq!(ring.stats().current_bytes, 8);
    assert_eq!(ring.push("ee".into()), Pushed::Stored);
    let lease = ring
        .lease_up_to(Demand {
            items: 10,
            bytes: 9,
        })
        .unwrap();
    assert_eq!(lease.len(), 1, "two would weigh ten");
    lease.ack();
    assert_eq!(ring.stats().current_bytes, 2);
}

#[test]
fn crossing_the_watermark_is_reported_once_each_way_not_on_every_push() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let ring = Ring::builder(10)
        .watermark(Watermark::new(80.0, 70.0).unwrap())
        .on_crossing(move |crossing| {
            log.lock()
                .unwrap()
                .push((crossing.direction, crossing.current_size));
        })
        .build()
        .unwrap();
    for number in 0..30 {
        let _ = ring.push(number);
    }
    for _ in 0..10 {
        if let Some(lease) = ring.lease(1) {
            lease.ack();
        }
    }
    assert_eq!(
        *seen.lock().unwrap(),
        [(Direction::Up, 8), (Direction::Down, 7)]
    );
}

#[test]
fn law_3_evicted_values_and_listeners_run_after_the_lock_is_released() {
    // Both call back into the ring: under its lock they would wait for themselves for ever.
    struct Nosy(Ring<Option<Nosy>>, Arc<AtomicU64>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.1.fetch_add(1 + self.0.len() as u64, Ordering::Relaxed);
        }
    }
    let calls = Arc::new(AtomicU64::new(0));
    let ring: Ring<Option<Nosy>> = Ring::new(1).unwrap();
    assert!(
        ring.push(Some(Nosy(ring.clone(), Arc::clone(&calls))))
            .is_stored()
    );
    assert!(ring.push(None).is_stored());
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "one drop, which saw a ring of one"
    );
}

#[test]
fn a_closed_ring_refuses_pushes_and_can_still_be_drained() {
    let ring = full(OverflowPolicy::DropOldest);
    ring.close();
    assert_eq!(ring.push(4), Pushed::Refused(Refusal::Closed, 4));
    let lease = ring.lease_timeout(10, Duration::from_secs(5)).unwrap();
    assert_eq!(&lease[..], [1, 2, 3]);
    lease.ack();
    assert_eq!(
        ring.lease_timeout(1, Duration::from_secs(5)).unwrap_err(),
        LeaseError::Closed
    );
    let empty: Ring<u32> = Ring::new(1).unwrap();
    assert_eq!(
        empty.lease_timeout(1, Duration::ZERO).unwrap_err(),
        LeaseError::Empty
    );
}

#[test]
fn impossible_choices_are_refused_with_the_value() {
    assert_eq!(
        Ring::<u32>::new(0).unwrap_err().to_string(),
        "capacity is 0, expected 1 to 1099511627776"
    );
    assert_eq!(
        Watermark::new(70.0, 80.0).unwrap_err().to_string(),
        "watermark is 70 % up and 80 % down, expected 0 <= down < up <= 100"
    );
    assert!(Watermark::new(f64::NAN, 1.0).is_err());
}

#[test]
fn a_single_producer_displaces_exactly_the_oldest_with_stripes_too() {
    let ring = Ring::builder(10).order(Order::PerProducer).build().unwrap();
    let mut producer = ring.producer();
    let mut next = 0;
    let mut oldest = 0;
    for round in 0..50 {
        for _ in 0..7 {
            match producer.push(next) {
                Pushed::Displaced { first, .. } => {
                    assert_eq!(first, oldest);
                    oldest += 1;
                }
                other => assert_eq!(other, Pushed::Stored),
            }
            next += 1;
        }
        match round % 4 {
            0 => {
                let lease = ring.lease(3).unwrap();
                assert_eq!(lease[0], oldest);
                oldest += lease.len();
                lease.ack();
            }
            1 => drop(ring.lease(3)),
            2 => assert_eq!(ring.peek(1), [oldest]),
            _ => {}
        }
    }
}
