//! Every interleaving of threads that share a handle, of statistics, and of a batch that comes back
//! while another is taken. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod exploring;

use coalesce::{WhenFull, WhenKeysFull};
use exploring::{builder, explore, total};

#[test]
fn threads_that_share_a_handle_lose_nothing() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let other = buffer.clone();
        let adding = loom::thread::spawn(move || {
            let _ = other.add(1, ()).unwrap();
            let _ = other.add(2, ()).unwrap();
        });
        let _ = buffer.add(1, ()).unwrap();
        let first = total(&buffer.take());
        adding.join().unwrap();
        assert_eq!(first + total(&buffer.take()), 3);
        assert_eq!(buffer.updates(), 0);
    });
}

#[test]
fn one_key_of_two_threads_that_share_a_handle_has_room() {
    explore(|| {
        let buffer = builder().keys_max(1, WhenKeysFull::Reject).build().unwrap();
        let other = buffer.clone();
        let adding = loom::thread::spawn(move || other.add(1, ()).is_ok());
        let here = buffer.add(1, ()).is_ok();
        let there = adding.join().unwrap();
        assert!(here && there, "the key is there, or there is room");
        assert!(buffer.add(2, ()).is_err());
        assert_eq!(total(&buffer.take()), 2);
    });
}

#[test]
fn no_update_is_refused_while_the_shared_handle_has_credits() {
    explore(|| {
        let buffer = builder().updates_max(3, WhenFull::Reject).build().unwrap();
        let adding = [(); 2].map(|()| {
            let buffer = buffer.clone();
            loom::thread::spawn(move || buffer.add(1, ()).is_ok())
        });
        let here = buffer.add(1, ()).is_ok();
        let there = adding.map(|thread| thread.join().unwrap());
        assert!(here && there == [true; 2], "there is room for three");
        assert!(buffer.add(1, ()).is_err());
        assert_eq!(total(&buffer.take()), 3);
    });
}

#[test]
fn statistics_against_adds_are_of_one_moment() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let _ = writer.add(1, ()).unwrap();
        let adding = loom::thread::spawn(move || {
            let _ = writer.add(1, ()).unwrap();
            let _ = writer.add(2, ()).unwrap();
        });
        let stats = buffer.stats();
        assert!((1..=3).contains(&stats.current_buffer_size));
        assert_eq!(stats.updates_buffered, stats.current_buffer_size);
        assert_eq!(stats.unique_keys == 2, stats.current_buffer_size == 3);
        adding.join().unwrap();
        assert_eq!(total(&buffer.take()), 3);
    });
}

#[test]
fn restore_against_take() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let _ = writer.add(1, ()).unwrap();
        let batch = buffer.take();
        let _ = writer.add(1, ()).unwrap();
        let other = buffer.clone();
        let taking = loom::thread::spawn(move || total(&other.take()));
        buffer.restore(batch);
        let there = taking.join().unwrap();
        assert_eq!(there + total(&buffer.take()), 2);
        assert_eq!(buffer.updates(), 0);
    });
}
