//! What order updates have, and what the aggregates that need it make of it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::num::NonZeroUsize;

use coalesce::{Aggregate, Append, Change, Changes, Coalescer, Entry, First, Last, MinMax, Writer};
use proptest::prelude::*;

fn only<K, P>(taken: coalesce::Taken<K, P>) -> Entry<K, P> {
    let mut entries = taken.into_entries();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// Adds to one key by several handles, each number greater than the one before.
fn in_turns<A: Aggregate<Update = u32>>(
    buffer: &Coalescer<(), A>,
    turns: &[usize],
) -> Vec<Writer<(), A>> {
    let writers: Vec<_> = (0..4).map(|_| buffer.writer()).collect();
    let mut before: Option<usize> = None;
    for (number, &turn) in (0..).zip(turns) {
        if let Some(before) = before.filter(|&before| before != turn) {
            writers[turn].follow(writers[before].newest());
        }
        let _ = writers[turn].add((), number).unwrap();
        before = Some(turn);
    }
    writers
}

proptest! {
    #[test]
    fn last_and_first_follow_an_order_that_is_handed_over(
        turns in prop::collection::vec(0..4_usize, 1..40),
    ) {
        let newest = Coalescer::new(Last::new());
        let _writers = in_turns(&newest, &turns);
        let taken = only(newest.take());
        prop_assert_eq!(taken.partial.into_value() as usize, turns.len() - 1);
        prop_assert_eq!(taken.updates as usize, turns.len());
        let oldest = Coalescer::new(First::new());
        let _writers = in_turns(&oldest, &turns);
        prop_assert_eq!(only(oldest.take()).partial.into_value(), 0);
    }

    #[test]
    fn append_keeps_the_newest_in_order_and_counts_the_others(
        turns in prop::collection::vec(0..4_usize, 1..40),
        values_max in 1..9_usize,
    ) {
        let buffer = Coalescer::new(Append::new(NonZeroUsize::new(values_max).unwrap()));
        let _writers = in_turns(&buffer, &turns);
        let partial = only(buffer.take()).partial;
        let all: Vec<u32> = (0..turns.len() as u32).collect();
        let dropped = all.len().saturating_sub(values_max);
        prop_assert_eq!(partial.dropped() as usize, dropped);
        prop_assert_eq!(partial.into_values(), &all[dropped..]);
    }

    #[test]
    fn min_and_max_are_those_of_all_handles(
        values in prop::collection::vec((0..4_usize, -1e9..1e9_f64), 1..40),
    ) {
        let buffer = Coalescer::new(MinMax);
        let writers: Vec<_> = (0..4).map(|_| buffer.writer()).collect();
        for &(writer, value) in &values {
            let _ = writers[writer].add((), value).unwrap();
        }
        let all = values.iter().map(|(_, value)| *value);
        let range = only(buffer.take()).partial;
        prop_assert_eq!(range.min(), all.clone().fold(f64::INFINITY, f64::min));
        prop_assert_eq!(range.max(), all.fold(f64::NEG_INFINITY, f64::max));
    }
}

#[test]
fn updates_of_one_handle_keep_their_order_through_takes_and_statistics() {
    let buffer = Coalescer::new(Last::new());
    let writer = buffer.writer();
    let mut batches = Vec::new();
    for number in 0..30 {
        let _ = writer.add((), number).unwrap();
        match number % 3 {
            0 => batches.push(buffer.take()),
            1 => assert_eq!(buffer.stats().unique_keys, 1),
            _ => {}
        }
    }
    for batch in batches {
        buffer.restore(batch);
    }
    let entry = only(buffer.take());
    assert_eq!((entry.partial.into_value(), entry.updates), (29, 30));
}

#[test]
fn what_was_added_before_a_take_is_older_than_what_is_added_after_it() {
    let buffer = Coalescer::new(Last::new());
    let (busy, idle) = (buffer.writer(), buffer.writer());
    for number in 0..100 {
        let _ = busy.add((), number).unwrap();
    }
    let failed = buffer.take();
    let _ = idle.add((), 1_000).unwrap();
    buffer.restore(failed);
    assert_eq!(only(buffer.take()).partial.into_value(), 1_000);
}

#[test]
fn a_tombstone_reaches_the_sink_and_is_older_than_what_is_put_later() {
    let buffer = Coalescer::new(Changes::new());
    let (one, other) = (buffer.writer(), buffer.writer());
    let _ = one.add("valve", Change::Put("open")).unwrap();
    other.follow(one.newest());
    let _ = other.add("valve", Change::Delete).unwrap();
    let deleted = buffer.take();
    assert_eq!(deleted.entries()[0].partial.value(), &Change::Delete);
    assert_eq!(deleted.updates(), 2);
    let _ = one.add("valve", Change::Put("new")).unwrap();
    buffer.restore(deleted);
    let entry = only(buffer.take());
    assert_eq!(entry.partial.into_value(), Change::Put("new"));
    assert_eq!(entry.updates, 3);
}

#[test]
fn append_of_a_batch_that_came_back_is_before_what_came_since() {
    let buffer = Coalescer::new(Append::new(NonZeroUsize::new(3).unwrap()));
    let writer = buffer.writer();
    assert_eq!(writer.add_many([((), 1), ((), 2)]).accepted, 2);
    let failed = buffer.take();
    assert_eq!(writer.add_many([((), 3), ((), 4)]).accepted, 2);
    buffer.restore(failed);
    let partial = only(buffer.take()).partial;
    assert_eq!(partial.dropped(), 1);
    assert_eq!(partial.into_values(), [2, 3, 4]);
}

#[cfg(feature = "quantiles")]
mod quantiles {
    use super::*;
    use coalesce::Quantiles;

    proptest! {
        #[test]
        fn quantiles_are_within_their_bound_over_all_handles(
            values in prop::collection::vec((0..4_usize, 1e-3..1e6_f64), 1..300),
            quantile in 0.0..=1.0_f64,
        ) {
            let buffer = Coalescer::builder(Quantiles).flush_at(None).build().unwrap();
            let writers: Vec<_> = (0..4).map(|_| buffer.writer()).collect();
            for &(writer, value) in &values {
                let _ = writers[writer].add((), value).unwrap();
            }
            let sketch = only(buffer.take()).partial;
            let mut sorted: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            sorted.sort_by(f64::total_cmp);
            let rank = (quantile * (sorted.len() - 1) as f64) as usize;
            let estimate = sketch.quantile(quantile).unwrap();
            prop_assert!((estimate - sorted[rank]).abs() <= 0.0101 * sorted[rank]);
            prop_assert_eq!(sketch.count() as usize, sorted.len());
            prop_assert_eq!((sketch.min(), sketch.max()), (sorted[0], sorted[sorted.len() - 1]));
        }
    }

    #[test]
    fn values_without_a_place_among_quantiles_are_refused() {
        assert_eq!(
            Quantiles.check(&f64::NAN).unwrap_err().to_string(),
            "value is NaN, but must be finite"
        );
        let buffer = Coalescer::new(Quantiles);
        assert_eq!(
            buffer.add_many([((), 0.0), ((), -5.0), ((), 5.0)]).accepted,
            3
        );
        let sketch = only(buffer.take()).partial;
        assert_eq!(sketch.quantile(0.5), Some(0.0));
        assert_eq!(sketch.quantile(1.5), None);
    }
}

#[test]
fn adds_without_a_handle_keep_the_order_of_threads_that_wait_for_each_other() {
    let buffer = Coalescer::new(Last::new());
    for round in 0..20_u32 {
        let in_a_thread = |values: std::ops::Range<u32>| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for value in values {
                        let _ = buffer.add("one by one", value).unwrap();
                        assert_eq!(buffer.add_many([("together", value)]).accepted, 1);
                    }
                });
            });
        };
        // Threads come to lanes of their own, where different numbers of updates were added.
        in_a_thread(0..10 + round);
        in_a_thread(100..101);
        let values = buffer.take().into_iter().map(|e| e.partial.into_value());
        assert_eq!(values.collect::<Vec<_>>(), [100, 100]);
    }
}
