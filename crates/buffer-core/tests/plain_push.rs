//! Pushes that do nothing but store an item, and hand it back when there is more to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use buffer_core::{Demand, OverflowPolicy, Ring, Watermark};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Items that weigh what they are.
fn weighed(capacity: usize, max_bytes: usize) -> Ring<usize> {
    Ring::builder(capacity)
        .max_bytes(max_bytes, |weight| *weight)
        .policy(OverflowPolicy::DropOldest)
        .watermark(Watermark::default())
        .build()
        .unwrap()
}

#[test]
fn an_item_with_room_is_stored_and_counted() {
    let ring = weighed(100, 1_000);
    assert_eq!(ring.push_plainly(10), Ok(()));
    assert_eq!(ring.push_plainly(20), Ok(()));
    let stats = ring.stats();
    assert_eq!((stats.total_added, stats.current_bytes), (2, 30));
    assert_eq!(&ring.lease(10).unwrap()[..], &[10, 20]);
}

#[test]
fn an_item_without_room_comes_back_and_nothing_is_displaced_or_counted() {
    let by_items = weighed(1, 1_000);
    assert!(by_items.push(1).is_stored());
    assert_eq!(by_items.push_plainly(2), Err(2));
    let by_bytes = weighed(100, 10);
    assert_eq!(by_bytes.push_plainly(11), Err(11));
    assert!(by_bytes.push_plainly(6).is_ok());
    assert_eq!(by_bytes.push_plainly(5), Err(5));
    for ring in [by_items, by_bytes] {
        let stats = ring.stats();
        assert_eq!((stats.total_offered, stats.current_size), (1, 1));
    }
}

#[test]
fn a_closed_ring_takes_nothing() {
    let ring = weighed(10, 100);
    ring.close();
    assert_eq!(ring.push_plainly(1), Err(1));
    assert_eq!(ring.stats().total_refused, 0);
}

#[test]
fn whoever_waits_for_items_or_bytes_is_left_to_the_other_pushes() {
    for demand in [
        Demand {
            items: 2,
            bytes: 1_000,
        },
        Demand {
            items: 10,
            bytes: 30,
        },
    ] {
        let ring = weighed(100, 1_000);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(ring.poll_queued(&mut context, demand).is_pending());
        assert_eq!(ring.push_plainly(20), Ok(()));
        assert_eq!(ring.push_plainly(20), Err(20), "{demand:?}");
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        assert!(ring.push(20).is_stored());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "{demand:?}");
        // Nobody waits any more.
        assert_eq!(ring.push_plainly(20), Ok(()));
    }
}

#[test]
fn a_crossing_of_the_watermark_is_left_to_the_other_pushes() {
    let crossings = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&crossings);
    let ring = Ring::builder(10)
        .on_crossing(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let plain = (0..10).take_while(|item| ring.push_plainly(*item).is_ok());
    assert_eq!(plain.count(), 7);
    assert!(ring.push(7).is_stored());
    assert_eq!(crossings.load(Ordering::SeqCst), 1);
    assert_eq!(ring.push_plainly(8), Ok(()));
}

#[test]
fn leases_of_any_size_keep_the_order_and_the_weights() {
    for take in [1, 3, 5, 7, 9, 10] {
        let ring = weighed(100, 10_000);
        for item in 1..=10 {
            assert_eq!(ring.push_plainly(item), Ok(()));
        }
        let lease = ring.lease(take).unwrap();
        assert!(lease.iter().copied().eq(1..=take));
        assert_eq!(ring.stats().queued_bytes, (take + 1..=10).sum::<usize>());
        drop(lease);
        let lease = ring.lease(take).unwrap();
        assert!(lease.iter().copied().eq(1..=take));
        lease.ack();
        let mut rest = Vec::new();
        ring.drain_into(&mut rest);
        assert!(rest.iter().copied().eq(take + 1..=10));
        assert_eq!(ring.stats().current_bytes, 0);
    }
}
