//! One race per model. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};

use buffer_core::{ArrayHistory, Cursor, History, Pool, Reader, Room, Shape};

/// Room for one more value than the depth of 2: every append after the third turns over.
fn tight() -> Room {
    Room::new(3, 1.5).unwrap()
}

fn check<T: PartialEq<u64> + std::fmt::Debug>(reader: &Reader<T>) {
    let snapshot = reader.window(2);
    let first = snapshot.range().start.number();
    for (number, value) in (first..).zip(snapshot.values()) {
        assert_eq!(*value, number);
    }
    assert_eq!(snapshot.len(), 2, "turnover hides nothing");
    assert_eq!(snapshot.times(), [first as i64, first as i64 + 1]);
}

#[test]
fn a_snapshot_against_turnover() {
    loom::model(|| {
        let mut history = History::with_room(2, tight());
        history.append(1_u64, 1);
        history.append(2, 2);
        let reader = history.reader();
        let reading = loom::thread::spawn(move || {
            check(&reader);
            check(&reader);
        });
        for value in 3..6 {
            history.append(value, value as i64);
        }
        reading.join().unwrap();
        assert_eq!(history.window(2).values(), [4, 5]);
    });
}

/// A value with a destructor, so that turnover moves what no snapshot holds.
#[derive(Debug)]
struct Counted(u64, StdArc<AtomicUsize>);

impl Counted {
    fn new(number: u64, living: &StdArc<AtomicUsize>) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(number, StdArc::clone(living))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0, &self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PartialEq<u64> for Counted {
    fn eq(&self, number: &u64) -> bool {
        self.0 == *number
    }
}

#[test]
fn a_snapshot_against_a_turnover_that_moves_or_clones() {
    loom::model(|| {
        let living = StdArc::new(AtomicUsize::new(0));
        let pool = Pool::new(1 << 16);
        let mut history = History::with_room(2, tight()).with_pool(&pool);
        for number in 1..3 {
            history.append(Counted::new(number, &living), number as i64);
        }
        let reader = history.reader();
        let reading = loom::thread::spawn(move || check(&reader));
        for number in 3..6 {
            drop(history.append(Counted::new(number, &living), number as i64));
        }
        reading.join().unwrap();
        assert!(history.window(2).values().iter().eq(&[4, 5]));
        drop(history);
        assert_eq!(living.load(Ordering::SeqCst), 0, "each is dropped once");
    });
}

#[test]
fn publish_against_a_reader_with_a_cursor() {
    loom::model(|| {
        let mut history = History::with_room(2, tight());
        let reader = history.reader();
        let reading = loom::thread::spawn(move || {
            let (mut cursor, mut seen, mut missed) = (Cursor::START, 0, 0);
            for _ in 0..2 {
                let since = reader.since(cursor);
                assert!(since.next >= cursor);
                missed += since.missed;
                for entry in since.window.window().iter() {
                    assert_eq!(*entry.value, entry.seq.number());
                    seen += 1;
                }
                assert_eq!(since.next.number(), seen + missed);
                assert_ne!(since.next.number(), 1, "a batch is seen whole");
                cursor = since.next;
            }
        });
        for batch in [1_u64, 3] {
            drop(history.append_deferred(batch, 0));
            drop(history.append_deferred(batch + 1, 0));
            history.publish();
        }
        reading.join().unwrap();
        assert_eq!(history.reader().published(), 4);
    });
}

#[test]
fn the_last_reader_leaves_against_turnover() {
    loom::model(|| {
        let mut history = History::with_room(2, tight());
        history.append(1_u64, 1);
        history.append(2, 2);
        let reader = history.reader();
        let leaving = loom::thread::spawn(move || {
            let snapshot = reader.window(2);
            drop(reader);
            assert_eq!(snapshot.values()[1], snapshot.values()[0] + 1);
        });
        for value in 3..7 {
            history.append(value, value as i64);
        }
        leaving.join().unwrap();
        assert_eq!(history.window(9).values(), [5, 6]);
    });
}

#[test]
fn shrink_and_clear_against_a_reader() {
    loom::model(|| {
        let mut history = History::with_room(2, tight());
        history.append(1_u64, 1);
        history.append(2, 2);
        let reader = history.reader();
        let reading = loom::thread::spawn(move || {
            let since = reader.since(Cursor::START);
            let len = since.window.len() as u64;
            assert_eq!(since.missed + len, since.next.number());
            assert!(
                since
                    .window
                    .values()
                    .iter()
                    .all(|value| (1..=3).contains(value))
            );
        });
        drop(history.shrink(1));
        drop(history.clear());
        history.append(3, 3);
        reading.join().unwrap();
        assert_eq!(history.window(9).values(), [3]);
    });
}

#[test]
fn a_change_of_shape_against_a_reader() {
    loom::model(|| {
        let (one, two) = (Shape::new(&[1]).unwrap(), Shape::new(&[2]).unwrap());
        let mut history = ArrayHistory::with_room(4, tight());
        history.append(one, &[1_u64], 1).unwrap();
        let reader = history.reader();
        let reading = loom::thread::spawn(move || {
            let mut cursor = Cursor::START;
            for _ in 0..2 {
                let since = reader.since(cursor);
                assert_eq!(since.missed, 0, "no generation is cleared");
                for row in since.window.matrix().iter() {
                    assert_eq!(row[0], cursor.number() + 1);
                    cursor = Cursor::from_number(row[0]);
                }
                assert_eq!(cursor, since.next);
            }
        });
        history.append(two, &[2, 2], 2).unwrap();
        reading.join().unwrap();
        assert_eq!(history.len(), 2);
    });
}
