//! Every interleaving of adds, takes, restores and the end of a handle: no update is lost, none is
//! in two batches, and caps are exact. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod exploring;

use coalesce::{Added, WhenFull, WhenKeysFull};
use exploring::{builder, explore, total};

fn taken(added: Added<u8, u64>) -> u64 {
    match added {
        Added::Flushed(taken) => total(&taken),
        _ => 0,
    }
}

#[test]
fn take_against_add_against_handle_drop() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let adding = loom::thread::spawn(move || {
            for key in [1, 1, 2] {
                let _ = writer.add(key, ()).unwrap();
            }
            // The handle ends here.
        });
        let first = total(&buffer.take());
        adding.join().unwrap();
        let second = total(&buffer.take());
        assert_eq!(first + second, 3);
        assert_eq!(buffer.updates(), 0);
    });
}

#[test]
fn two_takes_against_an_add_share_what_is_there() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let _ = writer.add(1, ()).unwrap();
        let taker = buffer.clone();
        let taking = loom::thread::spawn(move || total(&taker.take()));
        let _ = writer.add(1, ()).unwrap();
        let here = total(&buffer.take());
        assert_eq!(here + taking.join().unwrap(), 2);
    });
}

#[test]
fn restore_against_add() {
    explore(|| {
        let buffer = builder().build().unwrap();
        let writer = buffer.writer();
        let _ = writer.add(1, ()).unwrap();
        let batch = buffer.take();
        let adding = loom::thread::spawn(move || {
            let _ = writer.add(1, ()).unwrap();
        });
        buffer.restore(batch);
        adding.join().unwrap();
        let all = buffer.take();
        assert_eq!((total(&all), all.keys()), (2, 1));
    });
}

#[test]
fn cap_holds_while_two_threads_reach_it() {
    explore(|| {
        let buffer = builder()
            .updates_max(1, WhenFull::FlushNow)
            .build()
            .unwrap();
        let (writer, other) = (buffer.writer(), buffer.writer());
        let adding = loom::thread::spawn(move || taken(writer.add(1, ()).unwrap()));
        let here = taken(other.add(2, ()).unwrap());
        assert!(buffer.updates() <= 1);
        let there = adding.join().unwrap();
        assert_eq!(here + there + total(&buffer.take()), 2);
        assert_eq!(buffer.updates(), 0);
    });
}

#[test]
fn no_update_is_refused_while_credits_lie_with_another_handle() {
    explore(|| {
        let buffer = builder().updates_max(8, WhenFull::Reject).build().unwrap();
        let (writer, other) = (buffer.writer(), buffer.writer());
        let adding = loom::thread::spawn(move || {
            // It has credits left when it is done.
            let _ = writer.add(1, ()).unwrap();
            writer
        });
        for _ in 0..7 {
            let _ = other.add(2, ()).unwrap();
        }
        let writer = adding.join().unwrap();
        assert!(writer.add(1, ()).is_err() && other.add(2, ()).is_err());
        assert_eq!(total(&buffer.take()), 8);
    });
}

#[test]
fn keys_of_two_handles_count_once_against_the_cap() {
    explore(|| {
        let buffer = builder().keys_max(1, WhenKeysFull::Reject).build().unwrap();
        let (writer, other) = (buffer.writer(), buffer.writer());
        let adding = loom::thread::spawn(move || {
            let added = writer.add(1, ()).is_ok();
            (writer, added)
        });
        let here = other.add(1, ()).is_ok();
        let batch = buffer.take();
        let (writer, there) = adding.join().unwrap();
        assert!(here && there, "the key is there, or there is room");
        assert!(writer.add(1, ()).is_ok() && other.add(1, ()).is_ok());
        let later = buffer.take();
        assert!(batch.keys() <= 1 && later.keys() == 1);
        assert_eq!(total(&batch) + total(&later), 4);
    });
}

#[test]
fn the_cap_on_keys_holds_against_a_take() {
    explore(|| {
        let buffer = builder().keys_max(1, WhenKeysFull::Reject).build().unwrap();
        let (writer, other) = (buffer.writer(), buffer.writer());
        let _ = other.add(1, ()).unwrap();
        // Now the key is merged, and another handle takes it up without a place of its own.
        assert!(other.add(2, ()).is_err());
        let adding = loom::thread::spawn(move || writer.add(1, ()).is_ok());
        let batch = buffer.take();
        let here = other.add(2, ()).is_ok();
        let there = adding.join().unwrap();
        let later = buffer.take();
        assert!(batch.keys() <= 1 && later.keys() <= 1, "beyond the cap");
        let accepted = 1 + u64::from(here) + u64::from(there);
        assert_eq!(total(&batch) + total(&later), accepted);
    });
}
