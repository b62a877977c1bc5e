//! The ring between threads: nothing lost, nothing twice, order kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buffer_core::{Demand, LeaseError, Order, OverflowPolicy, Pushed, Ring, Waited};

const PATIENCE: Duration = Duration::from_secs(30);

const ORDERS: [Order; 2] = [Order::Global, Order::PerProducer];

#[test]
fn law_6_blocking_producers_lose_nothing_and_each_keeps_its_order() {
    const PRODUCERS: usize = 4;
    const EACH: u64 = 20_000;
    for order in ORDERS {
        let ring = Ring::builder(64)
            .order(order)
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
                            assert!(items.is_empty());
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
                assert_eq!(*number, next[*producer], "{order:?}");
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
}

#[test]
fn law_1_the_account_holds_while_producers_displace_and_others_look() {
    const PRODUCERS: usize = 3;
    const EACH: u64 = 100_000;
    for order in ORDERS {
        let ring = Ring::builder(1000).order(order).build().unwrap();
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let mut handle = ring.producer();
                std::thread::spawn(move || {
                    let mut displaced = 0;
                    for number in 0..EACH {
                        match handle.push((producer, number)) {
                            Pushed::Stored => {}
                            Pushed::Displaced { first, rest } => {
                                assert!(rest.is_empty());
                                assert!(first != (producer, number), "never the newest");
                                displaced += 1;
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    displaced
                })
            })
            .collect();
        let mut next = [0_u64; PRODUCERS];
        let mut drained = 0;
        let mut out = Vec::new();
        let mut done = false;
        while !done {
            done = threads.iter().all(std::thread::JoinHandle::is_finished);
            let stats = ring.stats();
            assert_eq!(
                stats.total_added,
                stats.total_acked + stats.dropped.total() + stats.current_size as u64
            );
            assert!(stats.current_size <= stats.max_size);
            out.clear();
            drained += ring.drain_into(&mut out) as u64;
            for (producer, number) in &out {
                assert!(*number >= next[*producer], "{order:?}");
                next[*producer] = number + 1;
            }
        }
        let displaced: u64 = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(drained + displaced, EACH * PRODUCERS as u64);
        assert_eq!(ring.stats().dropped.oldest, displaced);
    }
}

#[test]
fn waiters_for_room_are_served_in_order() {
    for order in ORDERS {
        let ring = Ring::builder(1)
            .order(order)
            .policy(OverflowPolicy::Block(PATIENCE))
            .build()
            .unwrap();
        assert!(ring.push(0).is_stored());
        let mut threads = Vec::new();
        for number in 1..=4 {
            let mut handle = ring.producer();
            threads.push(std::thread::spawn(move || {
                assert!(handle.push(number).is_stored());
            }));
            while ring.stats().waiting_for_room < number {
                std::thread::yield_now();
            }
        }
        assert!(ring.try_push(9).is_err(), "nobody passes those who wait");
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let lease = ring.lease_timeout(1, PATIENCE).unwrap();
            seen.extend_from_slice(&lease);
            lease.ack();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_wait_ends_when_its_demand_is_met_when_time_is_up_and_when_the_ring_closes() {
    for order in ORDERS {
        let ring = Ring::builder(100).order(order).build().unwrap();
        let mut handle = ring.producer();
        assert!(handle.push(0).is_stored());
        let moment = Duration::from_millis(1);
        assert_eq!(ring.wait(Demand::items(1), moment), Waited::Met);
        assert_eq!(ring.wait(Demand::items(2), moment), Waited::TimedOut);
        let thread = std::thread::spawn(move || {
            for number in 1..50 {
                assert!(handle.push(number).is_stored());
            }
            handle
        });
        assert_eq!(ring.wait(Demand::items(50), PATIENCE), Waited::Met);
        drop(thread.join().unwrap());
        ring.close();
        assert_eq!(ring.wait(Demand::items(51), PATIENCE), Waited::Closed);
        assert_eq!(ring.lease(100).unwrap().len(), 50);
    }
}

#[test]
fn leftovers_of_a_producer_that_ended_are_still_there() {
    let ring = Ring::builder(100)
        .order(Order::PerProducer)
        .build()
        .unwrap();
    for producer in 0..5 {
        let mut handle = ring.producer();
        std::thread::spawn(move || {
            for number in 0..10 {
                assert!(handle.push((producer, number)).is_stored());
            }
        })
        .join()
        .unwrap();
    }
    let mut all = Vec::new();
    assert_eq!(ring.drain_into(&mut all), 50);
    assert!(all.is_sorted());
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
    for order in ORDERS {
        wakes_when_met(order);
    }
}

fn wakes_when_met(order: Order) {
    let ring = Ring::builder(10).order(order).build().unwrap();
    let mut handle = ring.producer();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let demand = Demand {
        items: 3,
        bytes: usize::MAX,
    };
    assert!(ring.poll_queued(&mut context, demand).is_pending());
    for number in 0..2 {
        assert!(handle.push(number).is_stored());
        assert!(
            !flag.0.load(Ordering::SeqCst),
            "woken after {} items",
            number + 1
        );
    }
    assert!(handle.push(2).is_stored());
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
