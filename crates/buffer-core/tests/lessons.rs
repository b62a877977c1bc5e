//! Faults of other buffers, which this one must not have; each with either order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buffer_core::{Direction, Order, OverflowPolicy, Pushed, Ring, RingBuilder};

const ORDERS: [Order; 2] = [Order::Global, Order::PerProducer];
const POLICIES: [OverflowPolicy; 4] = [
    OverflowPolicy::DropOldest,
    OverflowPolicy::DropNewest,
    OverflowPolicy::Reject,
    OverflowPolicy::Block(Duration::ZERO),
];

fn builder(capacity: usize, order: Order, policy: OverflowPolicy) -> RingBuilder<u32> {
    Ring::builder(capacity).order(order).policy(policy)
}

fn each(check: impl Fn(Order, OverflowPolicy)) {
    for order in ORDERS {
        for policy in POLICIES {
            check(order, policy);
        }
    }
}

#[test]
fn the_maximum_size_is_enforced_and_not_only_reported() {
    each(|order, policy| {
        let ring = builder(10, order, policy).build().unwrap();
        let mut producers: Vec<_> = (0..4).map(|_| ring.producer()).collect();
        for number in 0..100 {
            let _ = producers[number as usize % 4].push(number);
            assert!(ring.len() <= 10, "{order:?} {policy:?}");
        }
        assert_eq!(ring.stats().utilization_pct(), 100.0);
        assert_eq!(ring.lease(100).unwrap().len(), 10);
    });
}

#[test]
fn an_eviction_is_not_counted_as_a_delivery() {
    each(|order, policy| {
        let ring = builder(10, order, policy).build().unwrap();
        let mut producer = ring.producer();
        for number in 0..25 {
            let _ = producer.push(number);
        }
        let stats = ring.stats();
        assert_eq!((stats.total_acked, stats.total_leased), (0, 0));
        assert_eq!(stats.dropped.total() + stats.total_refused, 15);
    });
}

#[test]
fn a_push_never_reports_a_success_that_was_none() {
    each(|order, policy| {
        let ring = builder(3, order, policy).build().unwrap();
        let mut producer = ring.producer();
        let mut held: Vec<u32> = Vec::new();
        for number in 0..20 {
            match producer.push(number) {
                Pushed::Stored => held.push(number),
                Pushed::Displaced { first, .. } => {
                    held.retain(|known| *known != first);
                    held.push(number);
                }
                Pushed::Dropped(item) | Pushed::Refused(_, item) => assert_eq!(item, number),
            }
        }
        assert_eq!(ring.peek(10), held, "{order:?} {policy:?}");
        ring.close();
        assert!(matches!(producer.push(20), Pushed::Refused(..)));
        assert_eq!(ring.peek(10), held);
    });
}

#[test]
fn closing_leaves_what_is_in_the_ring_to_be_drained() {
    each(|order, policy| {
        let ring = builder(10, order, policy).build().unwrap();
        let mut producer = ring.producer();
        for number in 0..5 {
            assert!(producer.push(number).is_stored());
        }
        ring.close();
        let mut out = Vec::new();
        ring.drain_into(&mut out);
        assert_eq!(out, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn changing_the_size_while_in_use_loses_no_message_unnoticed() {
    each(|order, policy| {
        let ring = builder(4, order, policy).build().unwrap();
        let mut producer = ring.producer();
        let (mut stored, mut lost) = (0, 0);
        for number in 0..200_u32 {
            match producer.push(number) {
                Pushed::Stored => stored += 1,
                Pushed::Displaced { rest, .. } => {
                    stored += 1;
                    lost += 1 + rest.len();
                }
                _ => {}
            }
            if number % 3 == 0 {
                let capacity = 1 + (number as usize * 7) % 20;
                lost += ring.resize(capacity).unwrap().len();
            }
        }
        assert_eq!(stored - lost, ring.len(), "{order:?} {policy:?}");
    });
}

#[test]
fn there_is_one_report_per_crossing_and_not_one_per_push() {
    for order in ORDERS {
        let reports = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let seen = Arc::clone(&reports);
        let ring = builder(100, order, OverflowPolicy::DropOldest)
            .on_crossing(move |crossing| {
                let up = crossing.direction == Direction::Up;
                assert_eq!(up, crossing.current_size >= 80, "no earlier, no later");
                seen[usize::from(up)].fetch_add(1, Ordering::Relaxed);
            })
            .build()
            .unwrap();
        let counts = || {
            reports
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed))
        };
        let mut producers: Vec<_> = (0..3).map(|_| ring.producer()).collect();
        for number in 0..79 {
            let _ = producers[number as usize % 3].push(number);
        }
        assert_eq!(counts(), [0, 0], "{order:?}");
        let _ = producers[0].push(79);
        assert_eq!(counts(), [0, 1], "{order:?}");
        for number in 80..1000 {
            let _ = producers[number as usize % 3].push(number);
        }
        assert_eq!(counts(), [0, 1], "{order:?}");
        ring.lease(29).unwrap().ack();
        assert_eq!(counts(), [0, 1], "71 are left");
        ring.lease(1).unwrap().ack();
        assert_eq!(counts(), [1, 1], "70 are left");
    }
}
