//! One race per model. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buffer_core::{Demand, LeaseError, Order, OverflowPolicy, Pushed, Ring};

const FOREVER: Duration = Duration::from_secs(3600);
const ORDERS: [Order; 2] = [Order::Global, Order::PerProducer];

/// Explores a model with either order, and says if there was nothing to explore.
fn explore(model: impl Fn(Order) + Send + Sync + 'static) {
    let model = Arc::new(model);
    for order in ORDERS {
        let runs = Arc::new(AtomicUsize::new(0));
        let (counted, model) = (Arc::clone(&runs), Arc::clone(&model));
        loom::model(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model(order);
        });
        assert!(runs.load(Ordering::Relaxed) > 1, "{order:?}");
    }
}

fn ring(capacity: usize, order: Order, policy: OverflowPolicy) -> Ring<u32> {
    Ring::builder(capacity)
        .order(order)
        .policy(policy)
        .build()
        .unwrap()
}

#[test]
fn push_against_drain_and_close() {
    explore(|order| {
        let ring = ring(2, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || {
            let stored = usize::from(producer.push(1).is_stored());
            stored + usize::from(producer.push(2).is_stored())
        });
        let closing = {
            let ring = ring.clone();
            loom::thread::spawn(move || ring.close())
        };
        let mut seen = Vec::new();
        ring.drain_into(&mut seen);
        closing.join().unwrap();
        let stored = pushing.join().unwrap();
        // What was stored after the last look is still there.
        ring.drain_into(&mut seen);
        assert_eq!(seen.len(), stored);
        assert!(seen.is_sorted());
        assert!(ring.lease(1).is_none());
    });
}

#[test]
fn a_waiting_consumer_against_push_and_close() {
    explore(|order| {
        let ring = ring(2, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let pushing = {
            let ring = ring.clone();
            loom::thread::spawn(move || {
                let stored = usize::from(producer.push(1).is_stored());
                ring.close();
                stored
            })
        };
        let mut seen = 0;
        loop {
            match ring.lease_timeout(2, FOREVER) {
                Ok(lease) => {
                    seen += lease.len();
                    lease.ack();
                }
                Err(error) => break assert_eq!(error, LeaseError::Closed),
            }
        }
        assert_eq!(seen, pushing.join().unwrap());
    });
}

#[test]
fn a_waiting_consumer_against_a_push_that_needs_no_lock() {
    explore(|order| {
        let ring = ring(8, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || {
            assert!(producer.push(1).is_stored());
            assert!(producer.push(2).is_stored());
            producer
        });
        // A lost wake-up would be a deadlock here, which loom reports.
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let lease = ring.lease_timeout(2, FOREVER).unwrap();
            seen.extend_from_slice(&lease);
            lease.ack();
        }
        assert_eq!(seen, [1, 2]);
        drop(pushing.join().unwrap());
    });
}

#[test]
fn a_dropped_lease_against_push() {
    explore(|order| {
        let ring = ring(2, order, OverflowPolicy::DropOldest);
        let mut producer = ring.producer();
        assert_eq!(producer.push(1), Pushed::Stored);
        let pushing = loom::thread::spawn(move || {
            assert!(producer.push(2).is_stored());
        });
        drop(ring.lease(1));
        pushing.join().unwrap();
        let mut seen = Vec::new();
        ring.drain_into(&mut seen);
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn a_dropped_lease_against_a_blocked_push() {
    explore(|order| {
        let ring = ring(1, order, OverflowPolicy::Block(FOREVER));
        let mut producer = ring.producer();
        assert_eq!(ring.push(1), Pushed::Stored);
        let pushing = loom::thread::spawn(move || producer.push(2).is_stored());
        drop(ring.lease(1));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let lease = ring.lease_timeout(1, FOREVER).unwrap();
            seen.extend_from_slice(&lease);
            lease.ack();
        }
        assert!(pushing.join().unwrap());
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn blocked_pushes_get_their_turns() {
    explore(|order| {
        let ring = ring(1, order, OverflowPolicy::Block(FOREVER));
        assert_eq!(ring.push(0), Pushed::Stored);
        let pushing: Vec<_> = (1..3)
            .map(|number| {
                let mut producer = ring.producer();
                loom::thread::spawn(move || producer.push(number).is_stored())
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let lease = ring.lease_timeout(1, FOREVER).unwrap();
            seen.extend_from_slice(&lease);
            lease.ack();
        }
        for thread in pushing {
            assert!(thread.join().unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    });
}

#[test]
fn a_push_in_passing_against_one_that_was_called() {
    explore(|order| {
        let ring = ring(3, order, OverflowPolicy::Block(FOREVER));
        for number in 0..3 {
            assert_eq!(ring.push(number), Pushed::Stored);
        }
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || producer.push(3).is_stored());
        ring.lease(1).unwrap().ack();
        // It may take the place, or find that it belongs to the other; it never takes its turn.
        let passed = usize::from(ring.try_push(4).is_ok());
        if passed == 1 {
            ring.lease(1).unwrap().ack();
        }
        assert!(pushing.join().unwrap());
        assert_eq!(ring.stats().total_added as usize, 4 + passed);
    });
}

#[test]
fn a_producer_that_ends_against_drain() {
    explore(|order| {
        let ring = ring(4, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || {
            assert!(producer.push(1).is_stored());
            assert!(producer.push(2).is_stored());
        });
        let mut seen = Vec::new();
        ring.drain_into(&mut seen);
        pushing.join().unwrap();
        ring.drain_into(&mut seen);
        assert_eq!(seen, [1, 2]);
        assert!(ring.is_empty());
    });
}

#[test]
fn two_consumers_against_push() {
    explore(|order| {
        let ring = ring(4, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let ring = ring.clone();
                loom::thread::spawn(move || ring.lease_timeout(1, FOREVER).map(|l| l.ack()))
            })
            .collect();
        assert!(producer.push(1).is_stored());
        assert!(producer.push(2).is_stored());
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), Ok(()));
        }
        assert_eq!(ring.stats().total_acked, 2);
    });
}

#[test]
fn resize_against_push() {
    explore(|order| {
        let ring = ring(2, order, OverflowPolicy::DropOldest);
        let mut producer = ring.producer();
        assert_eq!(ring.push(1), Pushed::Stored);
        let pushing = loom::thread::spawn(move || {
            assert!(producer.push(2).is_stored());
        });
        let evicted = ring.resize(1).unwrap().len() as u64;
        pushing.join().unwrap();
        let stats = ring.stats();
        assert_eq!(stats.dropped.resized, evicted);
        assert_eq!(stats.total_added, 2);
        assert_eq!(stats.dropped.total() + stats.current_size as u64, 2);
        assert!(stats.current_size <= 1);
    });
}

#[test]
fn displacing_against_drain() {
    explore(|order| {
        let ring = ring(1, order, OverflowPolicy::DropOldest);
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || {
            let mut displaced = 0;
            for number in 0..3 {
                if let Pushed::Displaced { .. } = producer.push(number) {
                    displaced += 1;
                }
            }
            displaced
        });
        let mut seen = Vec::new();
        ring.drain_into(&mut seen);
        let displaced = pushing.join().unwrap();
        ring.drain_into(&mut seen);
        assert_eq!(seen.len() + displaced, 3);
        assert!(seen.is_sorted());
        assert_eq!(ring.stats().dropped.oldest, displaced as u64);
    });
}

#[test]
fn displacing_what_others_pushed_against_drain() {
    explore(|order| {
        let ring = ring(2, order, OverflowPolicy::DropOldest);
        let mut producer = ring.producer();
        assert!(ring.push(0).is_stored());
        assert!(ring.push(1).is_stored());
        let pushing = loom::thread::spawn(move || {
            let mut displaced = Vec::new();
            for number in 2..4 {
                if let Pushed::Displaced { first, .. } = producer.push(number) {
                    displaced.push(first);
                }
            }
            displaced
        });
        let mut seen = Vec::new();
        ring.drain_into(&mut seen);
        let displaced = pushing.join().unwrap();
        ring.drain_into(&mut seen);
        assert!(seen.is_sorted() && displaced.is_sorted());
        seen.extend(displaced);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    });
}

struct Notify(loom::sync::Mutex<bool>, loom::sync::Condvar);

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn waker_against_push() {
    explore(|order| {
        let ring = ring(4, order, OverflowPolicy::Reject);
        let mut producer = ring.producer();
        let pushing = loom::thread::spawn(move || {
            assert!(producer.push(1).is_stored());
            assert!(producer.push(2).is_stored());
            producer
        });
        let notify = Arc::new(Notify(
            loom::sync::Mutex::new(false),
            loom::sync::Condvar::new(),
        ));
        let waker = Waker::from(Arc::clone(&notify));
        let mut context = Context::from_waker(&waker);
        // A lost wake-up would be a deadlock here, which loom reports.
        while ring.poll_queued(&mut context, Demand::items(2)) == Poll::Pending {
            let mut raised = notify.0.lock().unwrap();
            while !*raised {
                raised = notify.1.wait(raised).unwrap();
            }
            *raised = false;
        }
        drop(pushing.join().unwrap());
        assert_eq!(ring.len(), 2);
    });
}
