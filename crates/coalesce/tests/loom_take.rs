//! Every interleaving of adds and takes: no update is lost, and none is in two batches.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p coalesce --release --test loom_take`

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    unused_must_use,
    reason = "a buffer that refuses what does not fit takes nothing out"
)]

use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;

use coalesce::{Added, Builder, Coalescer, Count, Taken, WhenFull};

/// A seed at random would make the runs of a model differ.
type Fixed = BuildHasherDefault<DefaultHasher>;

fn builder() -> Builder<u8, Count, Fixed> {
    Coalescer::builder(Count).hasher(Fixed::default())
}

fn total(taken: &Taken<u8, u64>) -> u64 {
    let partials: u64 = taken.into_iter().map(|entry| entry.partial).sum();
    assert_eq!(partials, taken.updates());
    partials
}

#[test]
fn take_against_add() {
    loom::model(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let adding = loom::thread::spawn(move || {
            for key in [1, 1, 2] {
                writer.add(key, ()).unwrap();
            }
        });
        let first = buffer.take();
        adding.join().unwrap();
        let second = buffer.take();
        assert_eq!(total(&first) + total(&second), 3);
        assert_eq!(buffer.updates(), 0);
    });
}

#[test]
fn restore_against_add() {
    loom::model(|| {
        let buffer = builder().build().unwrap();
        buffer.add(1, ()).unwrap();
        let batch = buffer.take();
        let writer = buffer.writer();
        let adding = loom::thread::spawn(move || writer.add(1, ()).unwrap());
        buffer.restore(batch);
        adding.join().unwrap();
        let all = buffer.take();
        assert_eq!((total(&all), all.keys()), (2, 1));
    });
}

#[test]
fn cap_holds_while_two_threads_reach_it() {
    loom::model(|| {
        let buffer = builder()
            .updates_max(1, WhenFull::FlushNow)
            .build()
            .unwrap();
        let writer = buffer.writer();
        let adding = loom::thread::spawn(move || taken(writer.add(1, ()).unwrap()));
        let here = taken(buffer.add(2, ()).unwrap());
        assert!(buffer.updates() <= 1);
        let there = adding.join().unwrap();
        assert_eq!(here + there + total(&buffer.take()), 2);
        assert_eq!(buffer.updates(), 0);
    });
}

fn taken(added: Added<u8, u64>) -> u64 {
    match added {
        Added::Flushed(taken) => total(&taken),
        _ => 0,
    }
}
