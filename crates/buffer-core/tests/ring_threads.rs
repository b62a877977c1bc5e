//! The ring between threads: nothing lost, nothing twice, order kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buffer_core::{Demand, LeaseError, OverflowPolicy, Ring};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn blocking_producers_lose_nothing_and_each_keeps_its_order() {
    const PRODUCERS: usize = 4;
    const EACH: u64 = 5_000;
    let ring = Ring::builder(64)
        .policy(OverflowPolicy::Block(PATIENCE))
        .build()
        .unwrap();
    let threads: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let mut handle = ring.producer();
            std::thread::spawn(move || {
                let mut number = 0;
                while number < EACH {
                    if number % 7 == 0 {
                        let mut items: Vec<_> = (number..EACH.min(number + 13))
                            .map(|n| (producer, n))
                            .collect();
                        number += items.len() as u64;
                        let outcome = handle.push_many(&mut items);
                        assert_eq!(outcome.refusal, None);
                    } else {
                        assert!(handle.push((producer, number)).is_stored());
                        number += 1;
                    }
                }
            })
        })
        .collect();
    let mut next = [0_u64; PRODUCERS];
    let mut round = 0_u64;
    while next.iter().sum::<u64>() < EACH * PRODUCERS as u64 {
        let lease = ring.lease_timeout(50, PATIENCE).unwrap();
        round += 1;
        if round.is_multiple_of(5) {
            continue; // A failed delivery: the lease puts its items back.
        }
        for (producer, number) in lease.iter() {
            assert_eq!(*number, next[*producer]);
            next[*producer] += 1;
        }
        lease.ack();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let stats = ring.stats();
    assert_eq!(stats.total_added, EACH * PRODUCERS as u64);
    assert_eq!(
        (stats.total_acked, stats.dropped.total()),
        (stats.total_added, 0)
    );
}

#[test]
fn a_closing_ring_wakes_those_who_wait_for_room_and_for_items() {
    let ring: Ring<u32> = Ring::builder(1)
        .policy(OverflowPolicy::Block(PATIENCE))
        .build()
        .unwrap();
    let waiting_for_items = {
        let ring = ring.clone();
        std::thread::spawn(move || {
            loop {
                match ring.lease_timeout(1, PATIENCE) {
                    Ok(lease) => drop(lease),
                    Err(error) => return error,
                }
                if ring.is_closed() {
                    let mut rest = Vec::new();
                    ring.drain_into(&mut rest);
                }
            }
        })
    };
    assert!(ring.push(1).is_stored());
    let waiting_for_room = {
        let ring = ring.clone();
        std::thread::spawn(move || ring.push(2).is_stored())
    };
    while ring.stats().total_added < 1 {
        std::thread::yield_now();
    }
    ring.close();
    assert!(!waiting_for_room.join().unwrap());
    assert_eq!(waiting_for_items.join().unwrap(), LeaseError::Closed);
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_when_its_demand_is_met_and_not_before() {
    let ring = Ring::new(10).unwrap();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let demand = Demand {
        items: 3,
        bytes: usize::MAX,
    };
    assert!(ring.poll_queued(&mut context, demand).is_pending());
    for number in 0..2 {
        assert!(ring.push(number).is_stored());
        assert!(
            !flag.0.load(Ordering::SeqCst),
            "woken after {} items",
            number + 1
        );
    }
    assert!(ring.push(2).is_stored());
    assert!(flag.0.swap(false, Ordering::SeqCst));
    assert_eq!(ring.poll_queued(&mut context, demand), Poll::Ready(()));
    let far = Demand {
        items: 100,
        bytes: usize::MAX,
    };
    assert!(ring.poll_queued(&mut context, far).is_pending());
    ring.close();
    assert!(flag.0.load(Ordering::SeqCst), "closing wakes whoever waits");
}
