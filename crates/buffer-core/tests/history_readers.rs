//! What readers on other threads see of a history, and who drops what.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use buffer_core::{Cursor, History, Room};

fn filled(depth: usize, count: i64) -> History<i64> {
    let mut history = History::new(depth);
    for value in 1..=count {
        history.append(value, value * 10);
    }
    history
}

#[test]
fn a_snapshot_stays_as_it_was_whatever_the_writer_does() {
    let mut history = filled(4, 6);
    let reader = history.reader();
    let snapshots: Vec<_> = (7..200)
        .map(|value| {
            history.append(value, value * 10);
            (value, reader.window(3))
        })
        .collect();
    drop(history.shrink(2));
    drop(history.clear());
    drop(history);
    for (value, snapshot) in snapshots {
        assert_eq!(snapshot.values(), [value - 2, value - 1, value]);
        assert_eq!(snapshot.times()[2], value * 10);
        assert_eq!(snapshot.range().end.number(), value as u64 + 1);
        assert_eq!(snapshot.latest().unwrap().seq.number(), value as u64);
    }
}

#[test]
fn a_snapshot_copies_nothing() {
    let mut history = filled(100, 100);
    let reader = history.reader();
    let (long, short) = (reader.window(100), reader.latest());
    assert_eq!(&raw const long.values()[99], &raw const short.values()[0]);
    let owned_by_the_writer = history.window(1).values();
    assert_eq!(
        &raw const owned_by_the_writer[0],
        &raw const short.values()[0]
    );
}

#[test]
fn a_reader_sees_all_that_is_retained_when_it_comes() {
    for depth in [0, 1, 2, 50] {
        let mut history = filled(depth, 70);
        let reader = history.reader();
        assert_eq!(reader.published(), 70);
        let all = reader.window(usize::MAX);
        assert_eq!(all.window(), history.window(usize::MAX), "depth {depth}");
        assert_eq!(all.len(), depth);
        let since = reader.since(Cursor::START);
        assert_eq!((since.missed, since.next.number()), (70 - depth as u64, 70));
    }
}

#[test]
fn depth_zero_and_one_have_readers_too() {
    let mut history = filled(0, 3);
    let reader = history.reader();
    assert_eq!(history.append(4, 40).displaced.into_newest(), Some(4));
    assert!(reader.latest().is_empty());
    assert_eq!(
        (reader.since(Cursor::START).missed, reader.published()),
        (4, 4)
    );
    history.grow(1);
    for value in 5..100 {
        history.append(value, value * 10);
        let newest = reader.latest();
        assert_eq!(newest.values(), [value]);
        assert_eq!(
            reader.since(Cursor::from_number(value as u64 - 2)).missed,
            1
        );
    }
}

#[test]
fn a_batch_of_up_to_the_depth_becomes_visible_at_once() {
    let mut history = filled(5, 5);
    let reader = history.reader();
    for batch in 1..50 {
        let start = batch * 5;
        for value in start + 1..=start + 5 {
            drop(history.append_deferred(value, value * 10));
            let seen = reader.window(5);
            assert_eq!(seen.values().last(), Some(&start), "batch {batch}");
            assert_eq!(history.latest().unwrap().value, &value, "the owner sees it");
        }
        history.publish();
        assert_eq!(reader.published(), start as u64 + 5);
        let all: Vec<i64> = (start + 1..=start + 5).collect();
        assert_eq!(reader.window(5).values(), all);
    }
}

#[test]
fn another_reader_does_not_publish_an_open_batch_and_the_first_after_all_left_does() {
    let mut history = filled(5, 5);
    let reader = history.reader();
    drop(history.append_deferred(6, 60));
    let second = history.reader();
    assert_eq!((reader.published(), second.published()), (5, 5));
    assert_eq!(second.latest().values(), [5]);
    drop((reader, second));
    assert_eq!(history.reader().published(), 6);
}

#[test]
fn a_deferred_append_or_a_shrink_whose_clone_panics_publishes_nothing() {
    let tally = Arc::new(Tally::default());
    // Full, and with a batch as long as the depth, at once.
    let mut history = History::with_room(4, Room::new(8, 2.0).unwrap());
    let reader = history.reader();
    for number in 1..=4 {
        history.append(Counted::new(number, &tally), 0);
    }
    for number in 5..=8 {
        drop(history.append_deferred(Counted::new(number, &tally), 0));
    }
    let held = reader.window(4);
    tally.refuse_after.store(1, Ordering::Relaxed);
    let append = || history.append_deferred(Counted::new(9, &tally), 0);
    assert!(catch_unwind(AssertUnwindSafe(append)).is_err());
    assert_eq!((history.appended(), reader.published()), (8, 4));
    assert!(catch_unwind(AssertUnwindSafe(|| history.shrink(3))).is_err());
    assert_eq!((history.depth(), reader.published()), (4, 4));
    tally.refuse_after.store(0, Ordering::Relaxed);
    drop(history.append_deferred(Counted::new(9, &tally), 0));
    assert_eq!((history.appended(), reader.published()), (9, 8));
    assert_eq!(held.values()[3].number, 4);
}

#[test]
fn a_batch_longer_than_the_depth_never_hides_everything() {
    let mut history = filled(3, 3);
    let reader = history.reader();
    for value in 4..100 {
        drop(history.append_deferred(value, value * 10));
        assert!(!reader.latest().is_empty(), "after {value}");
        assert!(reader.published() + 3 >= value as u64);
    }
}

#[test]
fn growth_loses_nothing_and_brings_nothing_back() {
    let mut history = filled(3, 10);
    let reader = history.reader();
    history.append(11, 110);
    history.grow(8);
    assert_eq!(reader.window(9).values(), [9, 10, 11]);
    assert_eq!(history.window(9).values(), [9, 10, 11]);
    for value in 12..=30 {
        history.append(value, value * 10);
        let expected: Vec<i64> = (9.max(value - 7)..=value).collect();
        assert_eq!(reader.window(9).values(), expected);
        assert_eq!(history.window(9).values(), expected);
    }
}

#[test]
fn missed_is_exact_for_readers_after_shrink_grow_and_clear() {
    let mut history = filled(10, 10);
    let reader = history.reader();
    let cursor = Cursor::from_number(4);
    assert_eq!(reader.since(cursor).missed, 0);
    assert_eq!(history.shrink(3).len(), 7);
    assert_eq!(reader.since(cursor).missed, 3);
    history.grow(100);
    history.append(11, 110);
    let since = reader.since(cursor);
    assert_eq!(
        (since.missed, since.window.values()),
        (3, &[8, 9, 10, 11][..])
    );
    assert_eq!(history.clear().len(), 4);
    let since = reader.since(cursor);
    assert_eq!(
        (since.missed, since.window.len(), since.next.number()),
        (7, 0, 11)
    );
    assert_eq!(reader.since(Cursor::from_number(99)).missed, 0);
}

#[test]
fn a_span_selects_the_same_for_readers_and_the_owner() {
    let mut history = History::new(50);
    let reader = history.reader();
    for value in 0..300_i64 {
        let late = if value % 40 == 0 { -700 } else { 0 };
        history.append(value, value * 100 + value % 7 + late);
        for span in [-1, 0, 150, 500, 100_000] {
            assert_eq!(reader.within(span).window(), history.within(span));
        }
    }
}

#[test]
fn once_the_readers_are_gone_the_history_is_its_owners_again() {
    let mut history = filled(4, 4);
    let reader = history.reader();
    let held = reader.window(4);
    drop(reader);
    let mut displaced = Vec::new();
    for value in 5..40 {
        displaced.extend(history.append(value, 0).displaced.into_values());
        assert_eq!(
            history.window(9).values(),
            [value - 3, value - 2, value - 1, value]
        );
    }
    assert!(!displaced.is_empty(), "values are handed back again");
    assert_eq!(displaced.last(), Some(&35));
    let private = filled(4, 40).bytes();
    assert_eq!(history.bytes(), private, "neither board nor spare is kept");
    assert_eq!(held.values(), [1, 2, 3, 4]);
    assert_eq!(history.reader().window(9).values(), [36, 37, 38, 39]);
}

/// A value that counts the living, and may refuse to be cloned.
struct Counted {
    number: u64,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    living: AtomicUsize,
    clones: AtomicU64,
    locked: AtomicBool,
    refuse_after: AtomicU64,
}

impl Counted {
    fn new(number: u64, tally: &Arc<Tally>) -> Self {
        tally.living.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            tally: Arc::clone(tally),
        }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        let clones = self.tally.clones.fetch_add(1, Ordering::Relaxed) + 1;
        let limit = self.tally.refuse_after.load(Ordering::Relaxed);
        assert!(limit == 0 || clones <= limit, "a clone that panics");
        Self::new(self.number, &self.tally)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(
            !self.tally.locked.load(Ordering::Relaxed),
            "dropped under the caller's lock"
        );
        self.tally.living.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn law_3_no_destructor_runs_inside_an_append_shrink_or_clear() {
    let tally = Arc::new(Tally::default());
    let mut history = History::with_room(5, Room::new(2, 1.5).unwrap());
    let reader = history.reader();
    for number in 1..300 {
        let value = Counted::new(number, &tally);
        let held = (number % 3 == 0).then(|| reader.window(3));
        tally.locked.store(true, Ordering::Relaxed);
        let appended = history.append(value, 0);
        let shrunk = (number % 50 == 0).then(|| history.shrink(3));
        let cleared = (number % 70 == 0).then(|| history.clear());
        history.grow(5);
        tally.locked.store(false, Ordering::Relaxed);
        drop((appended, shrunk, cleared, held));
    }
    drop((history, reader));
    assert_eq!(
        tally.living.load(Ordering::Relaxed),
        0,
        "and each runs once"
    );
}

#[test]
fn what_nobody_holds_is_moved_and_what_a_snapshot_holds_is_cloned() {
    let tally = Arc::new(Tally::default());
    let mut history = History::new(10);
    let reader = history.reader();
    for number in 1..1000 {
        history.append(Counted::new(number, &tally), 0);
        assert_eq!(reader.latest().values()[0].number, number);
    }
    assert_eq!(tally.clones.load(Ordering::Relaxed), 0);
    let room = history.capacity();
    let living = tally.living.load(Ordering::Relaxed);
    assert!(living <= room, "{living} live in a room of {room}");

    let held = reader.window(10);
    for number in 1000..2000 {
        history.append(Counted::new(number, &tally), 0);
    }
    let clones = tally.clones.load(Ordering::Relaxed);
    assert!(
        (1..=10).contains(&clones),
        "only the turnover that found it held: {clones}"
    );
    let living = tally.living.load(Ordering::Relaxed);
    assert!(
        living <= 2 * room,
        "the room, and what the snapshot pins: {living}"
    );
    assert_eq!(held.values()[9].number, 999);
}

#[test]
fn a_panicking_clone_leaves_the_history_as_it_was() {
    let tally = Arc::new(Tally::default());
    let mut history = History::new(4);
    let reader = history.reader();
    for number in 1..=4 {
        history.append(Counted::new(number, &tally), 0);
    }
    let _held = reader.window(4);
    tally.refuse_after.store(2, Ordering::Relaxed);
    let mut appended = 4;
    let mut panics = 0;
    for number in 5..40 {
        let append = || history.append(Counted::new(number, &tally), 0);
        if catch_unwind(AssertUnwindSafe(append)).is_ok() {
            appended = number;
            continue;
        }
        panics += 1;
        assert_eq!(history.appended(), appended);
        assert_eq!(reader.published(), appended);
        let numbers: Vec<u64> = history
            .window(4)
            .values()
            .iter()
            .map(|v| v.number)
            .collect();
        assert_eq!(numbers, Vec::from_iter(appended - 3..=appended));
        let seen = reader.window(4);
        assert_eq!(
            seen.values().iter().map(|v| v.number).collect::<Vec<_>>(),
            numbers
        );
        tally.refuse_after.store(0, Ordering::Relaxed);
        break;
    }
    assert_eq!(panics, 1);
    let value = Counted::new(appended + 1, &tally);
    assert_eq!(history.append(value, 0).seq.number(), appended + 1);
    drop((history, reader, _held));
    assert_eq!(tally.living.load(Ordering::Relaxed), 0, "nothing leaked");
}

#[test]
fn writer_and_readers_on_threads_agree_on_every_value() {
    const LAST: i64 = 60_000;
    let mut history = History::new(64);
    let done = AtomicBool::new(false);
    let reader = history.reader();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (reader, done) = (reader.clone(), &done);
            scope.spawn(move || {
                let mut cursor = Cursor::START;
                let (mut seen, mut missed) = (0_u64, 0_u64);
                loop {
                    let last_round = done.load(Ordering::Acquire);
                    let since = reader.since(cursor);
                    for entry in since.window.window().iter() {
                        assert_eq!(*entry.value, entry.seq.number() as i64);
                        assert_eq!(entry.time, *entry.value * 2);
                    }
                    assert!(since.window.len() <= 64);
                    seen += since.window.len() as u64;
                    missed += since.missed;
                    assert_eq!(since.next.number(), seen + missed);
                    cursor = since.next;
                    if last_round {
                        assert_eq!(seen + missed, LAST as u64);
                        return;
                    }
                }
            });
        }
        for value in 1..=LAST {
            drop(history.append_deferred(value, value * 2));
            if value % 7 == 0 {
                history.publish();
            }
        }
        history.publish();
        done.store(true, Ordering::Release);
    });
}
