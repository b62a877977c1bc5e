//! One test for each fault that aggregation is known for, with several threads where it needs
//! them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    unused_must_use,
    reason = "a buffer that refuses what does not fit takes nothing out"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use coalesce::{
    AddError, Added, Aggregate, Coalescer, Count, Evidence, Last, SettingsError, SuccessFailure,
    Sum, TakeReason, WhenFull, WhenKeysFull,
};

const THREADS: u64 = 4;
const ADDS: u64 = 50_000;

fn unbounded_updates<A: Aggregate>(aggregate: A) -> Coalescer<u64, A> {
    Coalescer::builder(aggregate)
        .updates_max(None, WhenFull::Reject)
        .keys_max(1_000_000, WhenKeysFull::Reject)
        .flush_at(None)
        .build()
        .unwrap()
}

/// Adds from several threads while another takes; every fourth batch is brought back.
fn hammer(keys: u64) -> BTreeMap<u64, u64> {
    let buffer = unbounded_updates(Sum);
    let done = AtomicBool::new(false);
    let mut totals: BTreeMap<u64, u64> = BTreeMap::new();
    thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let mut totals: BTreeMap<u64, u64> = BTreeMap::new();
            for turn in 0_u64.. {
                let last = done.load(Ordering::Acquire);
                let batch = buffer.take();
                if turn % 4 == 0 && !last {
                    buffer.restore(batch);
                } else {
                    for entry in batch {
                        assert_eq!(entry.partial, entry.updates as f64);
                        *totals.entry(entry.key).or_default() += entry.updates;
                    }
                }
                let stats = buffer.stats();
                assert_eq!(
                    stats.updates_buffered + stats.updates_restored,
                    stats.updates_flushed + stats.current_buffer_size
                );
                if last {
                    break;
                }
            }
            totals
        });
        let adding: Vec<_> = (0..THREADS)
            .map(|thread| {
                let writer = buffer.writer();
                scope.spawn(move || {
                    for i in 0..ADDS {
                        assert_eq!(writer.add((thread + i) % keys, 1.0), Ok(Added::Buffered));
                    }
                })
            })
            .collect();
        for thread in adding {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Release);
        totals.append(&mut taking.join().unwrap());
    });
    assert_eq!(buffer.stats().current_buffer_size, 0);
    totals
}

#[test]
fn law_1_no_add_is_lost_or_taken_twice_beside_concurrent_takes() {
    let totals = hammer(500);
    assert_eq!(totals.len(), 500);
    assert!(
        totals
            .values()
            .all(|&updates| updates == THREADS * ADDS / 500)
    );
}

#[test]
fn one_hot_key_is_counted_exactly() {
    assert_eq!(hammer(1), BTreeMap::from([(0, THREADS * ADDS)]));
}

#[test]
fn law_2_caps_hold_at_every_moment() {
    let buffer = Coalescer::builder(Count)
        .updates_max(64, WhenFull::FlushNow)
        .keys_max(10, WhenKeysFull::OverflowKey(u64::MAX))
        .build()
        .unwrap();
    let taken: u64 = thread::scope(|scope| {
        let adding: Vec<_> = (0..THREADS)
            .map(|thread| {
                let buffer = &buffer;
                scope.spawn(move || {
                    let mut taken = 0;
                    for i in 0..5_000 {
                        if let Added::Flushed(batch) = buffer.add(i * (thread + 1), ()).unwrap() {
                            taken += batch.updates();
                        }
                        let stats = buffer.stats();
                        assert!(stats.current_buffer_size <= 64 && stats.unique_keys <= 10);
                        assert!(stats.buffer_utilization_pct <= 100.0);
                    }
                    taken
                })
            })
            .collect();
        adding
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(taken + buffer.take().updates(), THREADS * 5_000);
}

#[test]
fn maximum_size_is_enforced_and_not_only_reported() {
    let buffer = Coalescer::new(Sum);
    for i in 0..1_000 {
        buffer.add(i, 1.0).unwrap();
    }
    assert_eq!(buffer.stats().buffer_utilization_pct, 100.0);
    let refused = buffer.add(7, 2.5).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "update of key 7 does not fit: updates_max is 1000"
    );
    assert_eq!(refused.into_update(), (7, 2.5));
    assert_eq!(buffer.stats().refused_updates_full, 1);
}

#[test]
fn key_cap_does_not_drop_silently() {
    let buffer = Coalescer::builder(Sum)
        .keys_max(2, WhenKeysFull::Reject)
        .build()
        .unwrap();
    buffer.add("a", 1.0).unwrap();
    buffer.add("b", 1.0).unwrap();
    buffer.add("a", 1.0).unwrap();
    let refused = buffer.add("c", 9.0).unwrap_err();
    assert_eq!(refused.to_string(), "key \"c\" does not fit: keys_max is 2");
    assert_eq!(
        refused,
        AddError::KeysFull {
            key: "c",
            update: 9.0,
            keys_max: 2
        }
    );
    assert_eq!(buffer.stats().refused_keys_full, 1);
}

#[test]
fn overflow_key_keeps_totals_exact() {
    let buffer = Coalescer::builder(Sum)
        .keys_max(3, WhenKeysFull::OverflowKey("other".to_owned()))
        .build()
        .unwrap();
    for key in ["a", "b", "c", "d", "a", "c"] {
        buffer.add_ref(key, 1.0).unwrap();
    }
    let stats = buffer.stats();
    assert_eq!((stats.unique_keys, stats.updates_overflowed), (3, 3));
    let batch = buffer.take();
    let sums: BTreeMap<_, _> = batch.into_iter().map(|e| (e.key, e.partial)).collect();
    let expected = [("a", 2.0), ("b", 1.0), ("other", 3.0)];
    assert_eq!(
        sums,
        expected.map(|(key, sum)| (key.to_owned(), sum)).into()
    );
}

#[test]
fn flush_now_hands_everything_to_the_caller_that_reached_the_cap() {
    let buffer = Coalescer::builder(Last::new())
        .updates_max(2, WhenFull::FlushNow)
        .build()
        .unwrap();
    buffer.add("a", 1).unwrap();
    buffer.add("b", 2).unwrap();
    let Added::Flushed(batch) = buffer.add("a", 3).unwrap() else {
        panic!("the third update does not fit");
    };
    let values: BTreeMap<_, _> = batch
        .into_iter()
        .map(|e| (e.key, e.partial.into_value()))
        .collect();
    assert_eq!(values, BTreeMap::from([("a", 3), ("b", 2)]));
    let stats = buffer.stats();
    assert_eq!((stats.auto_flushes, stats.manual_flushes), (1, 0));
    assert_eq!(stats.flushes_by_reason.of(TakeReason::Capacity), 1);
    assert_eq!(stats.current_buffer_size, 0);
}

#[test]
fn weights_that_are_negative_or_not_finite_are_refused_with_key_and_value() {
    let buffer = Coalescer::new(SuccessFailure);
    buffer.add("w", Evidence::Success(1.0)).unwrap();
    for (weight, shown) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (-1.0, "-1")] {
        let refused = buffer.add("w", Evidence::Success(weight)).unwrap_err();
        let because = "but must be finite and at least 0";
        assert_eq!(
            refused.to_string(),
            format!("update of key \"w\" is invalid: weight is {shown}, {because}")
        );
    }
    assert_eq!(buffer.stats().refused_invalid, 3);
    let entry = buffer.take().into_iter().next().unwrap();
    assert_eq!((entry.partial.success_weight(), entry.updates), (1.0, 1));
}

#[test]
fn one_bad_update_of_many_costs_one() {
    let buffer = Coalescer::new(Sum);
    let added = buffer.add_many([("a", 1.0), ("b", f64::NAN), ("c", 3.0)]);
    assert_eq!((added.accepted, added.refused.len()), (2, 1));
}

#[test]
fn leftovers_of_a_thread_that_ended_are_taken() {
    let buffer = Coalescer::new(Count);
    thread::scope(|scope| {
        let writer = buffer.writer();
        scope.spawn(move || writer.add("a", ()).unwrap());
    });
    assert_eq!(buffer.take().updates(), 1);
}

#[test]
fn sink_that_takes_long_does_not_stop_adds() {
    // The batch is out of the buffer and no lock is held while it is delivered.
    let buffer = Coalescer::new(Count);
    buffer.add("a", ()).unwrap();
    let batch = buffer.take();
    let writer = buffer.writer();
    let added = thread::spawn(move || writer.add("a", ()).unwrap())
        .join()
        .unwrap();
    assert_eq!(added, Added::Buffered);
    assert_eq!((batch.updates(), buffer.updates()), (1, 1));
}

#[test]
fn failed_batch_is_merged_back_once_and_in_part_if_need_be() {
    let buffer = Coalescer::new(Sum);
    for (key, value) in [("a", 1.0), ("b", 2.0), ("b", 3.0)] {
        buffer.add(key, value).unwrap();
    }
    let failed = buffer
        .take()
        .into_iter()
        .filter(|entry| entry.key == "b")
        .collect();
    buffer.add("b", 10.0).unwrap();
    buffer.restore(failed);
    let batch = buffer.take();
    assert_eq!((batch.updates(), batch.keys()), (3, 1));
    assert_eq!(batch.entries()[0].partial, 15.0);
}

#[test]
fn restore_is_not_refused_by_a_full_buffer() {
    let buffer = Coalescer::builder(Count)
        .updates_max(2, WhenFull::Reject)
        .build()
        .unwrap();
    buffer.add("a", ()).unwrap();
    buffer.add("a", ()).unwrap();
    let failed = buffer.take();
    buffer.add("b", ()).unwrap();
    buffer.restore(failed);
    assert_eq!(buffer.updates(), 3);
    assert!(
        buffer.add("b", ()).is_err(),
        "beyond the cap nothing new comes in"
    );
    assert_eq!(buffer.take().updates(), 3);
    buffer.add("b", ()).unwrap();
}

#[test]
fn flush_is_due_until_somebody_takes() {
    let buffer = Coalescer::new(Count);
    for i in 1..=150 {
        let expected = if i < 100 {
            Added::Buffered
        } else {
            Added::FlushDue
        };
        assert_eq!(buffer.add((), ()), Ok(expected), "update {i}");
    }
    assert_eq!(buffer.take_for(TakeReason::Size).updates(), 150);
    assert_eq!(buffer.add((), ()), Ok(Added::Buffered));
}

#[test]
fn many_updates_say_whether_they_caused_a_flush() {
    let buffer = Coalescer::builder(Count)
        .updates_max(4, WhenFull::FlushNow)
        .flush_at(3)
        .build()
        .unwrap();
    let add = |n| buffer.add_many([("a", ()); 8].into_iter().take(n));
    let added = add(2);
    assert!(!added.is_flush_due && added.flushed.is_empty());
    let added = add(1);
    assert!(added.is_flush_due && added.flushed.is_empty());
    // One fits, the next takes all five out, and one is left.
    let added = add(3);
    assert!(!added.is_flush_due);
    assert_eq!(added.flushed[0].updates(), 5);
    assert_eq!(buffer.updates(), 1);
}

#[test]
fn take_that_takes_nothing_is_not_counted() {
    let buffer: Coalescer<u8, Count> = Coalescer::new(Count);
    assert!(buffer.take().is_empty());
    assert!(buffer.take_for(TakeReason::Interval).is_empty());
    let stats = buffer.stats();
    assert_eq!(
        (stats.flush_operations, stats.avg_updates_per_flush),
        (0, 0.0)
    );
    buffer
        .add_many([(1, ()), (2, ()), (2, ())])
        .accepted
        .checked_sub(3)
        .unwrap();
    assert_eq!(buffer.take().keys(), 2);
    buffer.add(1, ()).unwrap();
    assert_eq!(buffer.take_for(TakeReason::Shutdown).keys(), 1);
    let stats = buffer.stats();
    assert_eq!((stats.auto_flushes, stats.manual_flushes), (1, 1));
    assert_eq!(stats.avg_updates_per_flush, 2.0);
}

#[test]
fn impossible_settings_name_field_value_and_limit() {
    fn check(settings: coalesce::Builder<u8, Count>, message: &str) {
        let error: SettingsError = settings.build().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let settings = || Coalescer::builder(Count);
    check(
        settings().updates_max(0, WhenFull::Reject),
        "updates_max is 0, but must be at least 1",
    );
    check(
        settings().keys_max(0, WhenKeysFull::Reject),
        "keys_max is 0, but must be at least 1",
    );
    check(
        settings().flush_at(0),
        "flush_at is 0, but must be at least 1",
    );
    check(
        settings().flush_at(2_000),
        "flush_at is 2000, but must be at most updates_max, which is 1000",
    );
    check(
        settings().updates_max(None, WhenFull::Reject),
        "updates_max and keys_max are both off, but at least one must be set",
    );
    assert!(settings().updates_max(5, WhenFull::Reject).build().is_ok());
}
