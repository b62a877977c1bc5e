//! The hand-over between threads, with either barrier.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use buffer_core::handover::{Barrier, Slots};

fn barriers() -> Vec<Barrier> {
    let mut barriers = vec![Barrier::Symmetric];
    if Barrier::detect() == Barrier::Asymmetric {
        barriers.push(Barrier::Asymmetric);
    }
    barriers
}

#[test]
fn the_swap_loses_no_write_in_flight_and_gives_none_out_twice() {
    const WRITERS: usize = 3;
    const EACH: usize = 200_000;
    for barrier in barriers() {
        let mut slots = Slots::with_barrier(barrier);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let slot = slots.add(Vec::new(), Vec::new());
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        slot.write(|items: &mut Vec<_>| items.push((writer, number)));
                    }
                })
            })
            .collect();
        let mut next = [0; WRITERS];
        let mut count = 0;
        while count < WRITERS * EACH {
            slots.take(|items| {
                for (writer, number) in items.drain(..) {
                    assert_eq!(number, next[writer], "{barrier:?}");
                    next[writer] += 1;
                    count += 1;
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        slots.take(|items| assert!(items.is_empty()));
    }
}

#[test]
fn a_panic_in_a_write_does_not_stop_the_next_take() {
    let mut slots = Slots::new();
    let slot = slots.add(Vec::new(), Vec::new());
    let failed = catch_unwind(AssertUnwindSafe(|| {
        slot.write(|items: &mut Vec<u32>| {
            items.push(1);
            std::panic::resume_unwind(Box::new("a write that fails"));
        });
    }));
    assert!(failed.is_err());
    slot.write(|items| items.push(2));
    let mut taken = Vec::new();
    slots.take(|items| taken.append(items));
    assert_eq!(taken, [1, 2]);
}

#[test]
fn a_write_inside_a_write_of_the_same_slot_is_refused() {
    let mut slots = Slots::new();
    let slot = slots.add(0, 0);
    let nested = catch_unwind(AssertUnwindSafe(|| {
        slot.write(|_| slot.write(|sum| *sum += 1));
    }));
    assert!(nested.is_err());
    slot.write(|sum| *sum += 1);
    slots.take(|sum| assert_eq!(*sum, 1));
}

#[test]
fn an_idle_slot_is_left_alone() {
    let mut slots = Slots::new();
    let busy = slots.add(0, 0);
    let _idle = slots.add(0, 0);
    busy.write(|sum| *sum += 1);
    let mut taken = 0;
    slots.take(|sum| {
        taken += 1;
        *sum = 0;
    });
    slots.take(|_| taken += 1);
    assert_eq!(taken, 1, "one container of one slot, once");
}

#[test]
fn a_slot_that_was_dropped_is_taken_from_once_more_and_forgotten() {
    let mut slots = Slots::new();
    for number in 0..100 {
        let slot = slots.add(Vec::new(), Vec::new());
        slot.write(|items: &mut Vec<u32>| items.push(number));
    }
    assert_eq!(slots.len(), 100);
    let mut taken = Vec::new();
    slots.take(|items| taken.append(items));
    assert_eq!(taken, (0..100).collect::<Vec<_>>());
    assert!(slots.is_empty());
}

#[test]
fn a_panic_while_a_slot_is_retired_loses_nothing() {
    let mut slots = Slots::new();
    let mut slot = slots.add(Vec::new(), Vec::new());
    slot.write(|items: &mut Vec<u32>| items.push(1));
    let failed = catch_unwind(AssertUnwindSafe(|| {
        slots.retire(&mut slot, |_| std::panic::resume_unwind(Box::new("fails")));
    }));
    assert!(failed.is_err());
    let mut taken = Vec::new();
    slots.take(|items| taken.append(items));
    assert_eq!(taken, [1]);
}
