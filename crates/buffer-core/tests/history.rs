//! What a history keeps, what it shows, and what it says it missed.

#![cfg(not(loom))]

use std::cell::Cell;
use std::rc::Rc;

use buffer_core::{Cursor, Displaced, History, KeySeq, Room, RoomError};

fn seq(number: u64) -> KeySeq {
    KeySeq::new(number).expect("tests number from 1")
}

fn filled(depth: usize, count: i64) -> History<i64> {
    let mut history = History::new(depth);
    for value in 1..=count {
        history.append(value, value * 10);
    }
    history
}

#[test]
fn numbers_start_at_one_and_are_dense() {
    let mut history = History::new(2);
    assert_eq!(history.retained(), seq(1)..seq(1));
    let numbers: Vec<_> = (0..5)
        .map(|time| history.append((), time).seq.number())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(history.retained(), seq(4)..seq(6));
    assert_eq!(KeySeq::new(0), None);
    assert_eq!(KeySeq::FIRST.next(), seq(2));
    assert_eq!(seq(u64::MAX).next(), seq(u64::MAX));
    assert_eq!(Cursor::before(KeySeq::FIRST), Cursor::START);
}

#[test]
fn the_displaced_value_is_handed_back_oldest_first() {
    let mut history = filled(3, 3);
    assert_eq!(history.append(4, 40).displaced.into_newest(), Some(1));
    assert_eq!(history.append(5, 50).displaced.into_values(), [2]);
    assert_eq!(history.shrink(1).into_values(), [3, 4]);
    assert_eq!(history.append(6, 60).displaced.into_newest(), Some(5));
    assert_eq!(history.clear().into_values(), [6]);
    let displaced = history.append(7, 70).displaced;
    assert!(displaced.is_empty() && displaced.into_newest().is_none());
    assert_eq!(filled(9, 9).shrink(4).into_newest(), Some(5));
}

#[test]
fn depth_zero_counts_and_keeps_nothing() {
    let mut history = filled(0, 3);
    assert_eq!(history.append(9, 90).displaced.into_newest(), Some(9));
    assert!(history.is_empty() && history.latest().is_none());
    let since = history.since(Cursor::START);
    assert_eq!(
        (since.window.len(), since.missed, since.next),
        (0, 4, Cursor::after(seq(4)))
    );
    history.grow(1);
    history.append(10, 100);
    assert_eq!(history.latest().unwrap().seq, seq(5));
}

#[test]
fn depth_zero_and_one_allocate_nothing_per_key() {
    for depth in [0, 1] {
        assert!(filled(depth, 100).capacity() <= 1, "depth {depth}");
    }
    assert_eq!(filled(1000, 1).capacity(), 1, "one value so far");
    assert_eq!(filled(1000, 2).capacity(), 16, "the initial capacity");
    assert!(size_of::<History<f64>>() <= 56);
}

#[test]
fn room_is_two_and_a_half_times_the_depth_and_never_more() {
    for depth in [2, 3, 10, 100, 1000] {
        let capacity = filled(depth, 5000).capacity();
        let room = (depth * 5).div_ceil(2);
        assert!(
            capacity > depth && capacity <= room,
            "depth {depth}: {capacity}"
        );
    }
    let tight = Room::new(4, 1.5).unwrap();
    let mut history = History::with_room(100, tight);
    for time in 0..1000 {
        history.append(time, time);
    }
    assert!(history.capacity() <= 150);
}

#[test]
fn a_room_that_cannot_work_is_refused() {
    assert_eq!(Room::new(0, 2.5), Err(RoomError::InitialCapacity));
    for value in [1.0, f32::INFINITY, -2.0, 17.0] {
        assert_eq!(
            Room::new(16, value),
            Err(RoomError::OverAllocation { value })
        );
    }
    let error = Room::new(16, f32::NAN).unwrap_err();
    assert_eq!(
        error.to_string(),
        "over-allocation is NaN, allowed is 1.5 to 16"
    );
}

#[test]
fn growth_loses_nothing() {
    let mut history = filled(1, 1);
    for depth in [2, 3, 50, 51, 1000] {
        history.grow(depth);
        let next = history.appended() as i64 + 1;
        history.append(next, next * 10);
        assert_eq!(history.len() as u64, history.appended());
    }
    history.grow(4);
    assert_eq!(history.depth(), 1000, "growing never shrinks");
    assert_eq!(history.window(usize::MAX).values(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn shrinking_keeps_the_newest_and_returns_memory() {
    let mut history = filled(1000, 1000);
    assert_eq!(history.shrink(10).len(), 990);
    assert!(history.capacity() <= 25);
    assert_eq!(history.window(3).values(), [998, 999, 1000]);
    assert!(history.shrink(10).is_empty() && history.shrink(11).is_empty());
    assert_eq!(history.depth(), 10);
}

#[test]
fn a_window_of_100_is_no_cursor_but_since_misses_exactly_50_of_150() {
    let history = filled(100, 150);
    let since = history.since(Cursor::START);
    assert_eq!((since.window.len(), since.missed), (100, 50));
    assert_eq!(since.window.range(), seq(51)..seq(151));
}

#[test]
fn missed_is_exact_after_shrink_grow_and_clear() {
    let mut history = filled(10, 10);
    let cursor = Cursor::after(seq(4));
    assert_eq!(history.since(cursor).missed, 0);
    drop(history.shrink(3));
    assert_eq!(history.since(cursor).missed, 3);
    history.grow(100);
    history.append(11, 110);
    assert_eq!(
        (
            history.since(cursor).missed,
            history.since(cursor).window.len()
        ),
        (3, 4)
    );
    drop(history.clear());
    assert_eq!(history.since(cursor).missed, 7);
    assert_eq!(history.since(history.since(cursor).next).missed, 0);
}

#[test]
fn a_cursor_from_another_history_is_answered_as_if_at_the_newest() {
    let history = filled(5, 5);
    let since = history.since(Cursor::from_number(1_000));
    assert_eq!(
        (since.window.len(), since.missed, since.next.number()),
        (0, 0, 5)
    );
}

#[test]
fn entries_carry_number_time_and_value() {
    let history = filled(3, 5);
    let entries: Vec<_> = history
        .window(2)
        .iter()
        .map(|entry| (entry.seq.number(), entry.time, *entry.value))
        .collect();
    assert_eq!(entries, [(4, 40, 4), (5, 50, 5)]);
    assert_eq!(history.latest().unwrap().time, 50);
    assert_eq!(history.window(3).last(1).range(), seq(5)..seq(6));
}

#[test]
fn jitter_does_not_put_six_frames_into_a_window_of_five() {
    let mut random = 42_u64;
    let mut history = History::new(100);
    for frame in 0..1000_i64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let jitter = (random >> 33) as i64 % 40 - 20;
        history.append(frame, frame * 100 + jitter);
        if frame >= 10 {
            assert_eq!(history.within(500).len(), 5, "frame {frame}");
        }
    }
}

#[test]
fn a_time_from_the_future_does_not_pin_the_window_for_ever() {
    let mut history = History::new(1000);
    for value in 0..20 {
        history.append(value, value * 100);
    }
    history.append(20, i64::MAX);
    assert_eq!(
        history.within(500).values(),
        [20],
        "it rules while it is the newest"
    );
    for value in 21..26 {
        history.append(value, value * 100);
    }
    assert_eq!(history.within(500).values(), [21, 22, 23, 24, 25]);
    history.append(26, 2600);
    assert_eq!(history.within(500).values(), [22, 23, 24, 25, 26]);
}

#[test]
fn a_source_whose_clock_was_ahead_for_a_while_does_not_widen_the_window() {
    let mut history = History::new(1000);
    let year = 31_536_000_000;
    for value in 0..50 {
        history.append(value, year + value * 100);
    }
    for value in 50..60 {
        history.append(value, value * 100);
    }
    assert_eq!(history.within(500).values(), [55, 56, 57, 58, 59]);
}

#[test]
fn a_late_value_neither_hides_fresh_ones_nor_pulls_the_window_back() {
    let mut history = History::new(1000);
    for value in 0..20 {
        history.append(value, value * 100);
    }
    history.append(-1, 300);
    assert_eq!(
        history.latest().map(|entry| *entry.value),
        Some(-1),
        "order of arrival stays"
    );
    let values = history.within(500).values();
    assert_eq!(values, [14, 15, 16, 17, 18, 19, -1]);
    history.append(21, 2100);
    assert_eq!(history.within(500).values(), [17, 18, 19, -1, 21]);
}

#[test]
fn a_negative_span_selects_the_newest_time_only() {
    let history = filled(10, 10);
    assert_eq!(history.within(-5).values(), [10]);
    assert!(filled(10, 0).within(100).is_empty());
}

#[test]
fn nothing_displaced_is_dropped_inside() {
    struct Counted(Rc<Cell<usize>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let mut history = History::new(4);
    let mut displaced = Vec::new();
    for time in 0..100 {
        displaced.push(history.append(Counted(Rc::clone(&drops)), time).displaced);
    }
    displaced.push(history.shrink(2));
    displaced.push(history.clear());
    let len: usize = displaced.iter().map(Displaced::len).sum();
    assert_eq!((drops.get(), len), (0, 100));
    drop(displaced);
    assert_eq!(drops.get(), 100);
}

#[test]
fn sizes_are_told_in_bytes_not_in_counts_alone() {
    let mut history = History::new(10);
    for length in 0..100 {
        history.append("x".repeat(length), 0);
    }
    let bytes = history.bytes();
    assert_eq!(bytes.retained, 10 * (size_of::<String>() + 8));
    let room = 25 * (size_of::<String>() + 8);
    assert!((room..room + 700).contains(&bytes.allocated), "{bytes:?}");
    assert_eq!(history.heap_bytes(String::len), (90..100).sum::<usize>());
    assert_eq!(filled(1, 5).bytes().retained, 16);
    assert_eq!(filled(1, 5).bytes().allocated, 0);
}

#[test]
fn a_full_history_with_an_unbounded_window_goes_on_past_full() {
    let mut history = History::new(50);
    for value in 1..=1000_u64 {
        history.append(value, 0);
        let all = history.window(usize::MAX);
        assert_eq!(all.len() as u64, value.min(50));
        assert_eq!(all.values().last(), Some(&value));
        assert_eq!(history.within(i64::MAX).len(), all.len());
    }
}
