//! One race per model. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use buffer_core::handover::Slots;

/// Explores a model, and says if there was nothing to explore: then it would prove nothing.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    assert!(runs.load(Ordering::Relaxed) > 10);
}

#[test]
fn a_take_against_writes_loses_nothing_and_takes_nothing_twice() {
    explore(|| {
        let mut slots = Slots::new();
        let slot = slots.add(Vec::new(), Vec::new());
        let writer = loom::thread::spawn(move || {
            for number in 0..3 {
                slot.write(|items: &mut Vec<u32>| items.push(number));
            }
        });
        let mut taken = Vec::new();
        for _ in 0..2 {
            slots.take(|items| taken.append(items));
        }
        writer.join().unwrap();
        slots.take(|items| taken.append(items));
        assert_eq!(taken, [0, 1, 2]);
    });
}

#[test]
fn a_take_from_two_writers_waits_for_each_of_them() {
    explore(|| {
        let mut slots = Slots::new();
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let slot = slots.add(0, 0);
                loom::thread::spawn(move || slot.write(|sum: &mut u32| *sum += 1 + writer))
            })
            .collect();
        let mut taken = 0;
        slots.take(|sum| taken += std::mem::take(sum));
        for writer in writers {
            writer.join().unwrap();
        }
        slots.take(|sum| taken += std::mem::take(sum));
        assert_eq!(taken, 3);
    });
}

#[test]
fn a_slot_that_ends_gives_back_what_it_holds() {
    explore(|| {
        let slots = loom::sync::Arc::new(loom::sync::Mutex::new(Slots::new()));
        let mut slot = slots.lock().unwrap().add(Vec::new(), Vec::new());
        let writer = {
            let slots = loom::sync::Arc::clone(&slots);
            loom::thread::spawn(move || {
                slot.write(|items: &mut Vec<u32>| items.push(1));
                let mut left = Vec::new();
                let mut slots = slots.lock().unwrap();
                slots.retire(&mut slot, |items| left.append(items));
                left
            })
        };
        let mut taken = Vec::new();
        slots.lock().unwrap().take(|items| taken.append(items));
        taken.extend(writer.join().unwrap());
        assert_eq!(taken, [1]);
        assert!(slots.lock().unwrap().is_empty());
    });
}

#[test]
fn a_take_that_does_not_wait_leaves_an_interrupted_write_to_the_next() {
    explore(|| {
        let mut slots = Slots::new();
        let slot = slots.add(Vec::new(), Vec::new());
        let writer = loom::thread::spawn(move || {
            for number in 0..2 {
                slot.write(|items: &mut Vec<u32>| items.push(number));
            }
        });
        let mut taken = Vec::new();
        slots.take_ready(|items| taken.append(items));
        slots.take_ready(|items| taken.append(items));
        writer.join().unwrap();
        slots.take(|items| taken.append(items));
        assert_eq!(taken, [0, 1]);
    });
}

#[test]
fn a_panic_of_the_taker_leaves_the_rest_to_the_next_take() {
    explore(|| {
        let mut slots = Slots::new();
        let slots_of_writers: Vec<_> = (0..2).map(|_| slots.add(Vec::new(), Vec::new())).collect();
        let mut own = slots_of_writers.into_iter();
        let (first, second) = (own.next().unwrap(), own.next().unwrap());
        first.write(|items: &mut Vec<u32>| items.push(0));
        let writer = loom::thread::spawn(move || {
            for number in 1..3 {
                second.write(|items: &mut Vec<u32>| items.push(number));
            }
        });
        let mut taken = Vec::new();
        slots.take_ready(|items| taken.append(items));
        first.write(|items| items.push(3));
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            slots.take_ready(|_| std::panic::resume_unwind(Box::new("a taker that fails")));
        }));
        slots.take_ready(|items| taken.append(items));
        writer.join().unwrap();
        slots.take(|items| taken.append(items));
        drop(failed);
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3]);
    });
}
