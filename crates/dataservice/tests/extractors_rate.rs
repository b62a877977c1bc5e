//! The change per second, of gauges and of counters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use dataservice::{ChangeRate, DataService, Extract, Extractor, Rate, Series, Spec, View};

const S: i64 = 1_000_000;

/// What is shown, the samples with their times, and what is expected of them.
type Case<T> = (&'static str, &'static [(i64, f64)], T);

fn rate(samples: &[(i64, f64)]) -> ChangeRate {
    let view = View::of(samples.iter().copied().collect());
    Rate::by_count(100).extract(view).into_output().unwrap()
}

fn counted(samples: &[(i64, f64)]) -> (Option<f64>, u64) {
    let view = View::of(samples.iter().copied().collect());
    let rate = Rate::by_count(100)
        .counter()
        .extract(view)
        .into_output()
        .unwrap();
    (rate.per_s(), rate.resets())
}

#[test]
fn the_rate_is_the_change_per_second_from_the_first_value_to_the_newest() {
    let cases: &[Case<Option<f64>>] = &[
        ("rising", &[(0, 1.0), (S, 5.0), (2 * S, 4.0)], Some(1.5)),
        ("falling", &[(0, 1.0), (S / 2, -1.0)], Some(-4.0)),
        ("one value has no rate", &[(S, 1.0)], None),
        ("equal times have none", &[(S, 1.0), (S, 2.0)], None),
        (
            "the last of equal times counts",
            &[(0, 9.0), (0, 1.0), (S, 9.0), (S, 2.0)],
            Some(1.0),
        ),
        (
            "NaN is left out",
            &[(0, f64::NAN), (S, 1.0), (2 * S, 3.0), (3 * S, f64::NAN)],
            Some(2.0),
        ),
        (
            "so is an infinity",
            &[(0, 1.0), (S, 3.0), (2 * S, f64::INFINITY)],
            Some(2.0),
        ),
        ("nothing but NaN", &[(0, f64::NAN), (S, f64::NAN)], None),
        (
            "a late value is left out",
            &[(0, 1.0), (3 * S, 7.0), (2 * S, 99.0), (4 * S, 9.0)],
            Some(2.0),
        ),
        (
            "a time from the future is left out once the next value is here",
            &[
                (0, 1.0),
                (S, 2.0),
                (9_000_000 * S, 5.0),
                (2 * S, 3.0),
                (3 * S, 4.0),
            ],
            Some(1.0),
        ),
    ];
    for (name, samples, per_s) in cases {
        assert_eq!(rate(samples).per_s(), *per_s, "{name}");
    }
    let shown = rate(&[(0, f64::NAN), (S, 1.0), (4 * S, 3.0), (5 * S, f64::NAN)]);
    assert_eq!(
        (shown.start_us(), shown.end_us(), shown.resets()),
        (S, 4 * S, 0)
    );
}

#[test]
fn a_counter_that_falls_was_reset() {
    let cases: &[Case<(Option<f64>, u64)>] = &[
        (
            "it grows",
            &[(0, 10.0), (S, 12.0), (2 * S, 16.0)],
            (Some(3.0), 0),
        ),
        (
            "a reset",
            &[(0, 98.0), (S, 100.0), (2 * S, 3.0), (5 * S, 8.0)],
            (Some(2.0), 1),
        ),
        (
            "two resets",
            &[(0, 5.0), (S, 1.0), (2 * S, 0.0), (4 * S, 3.0)],
            (Some(1.0), 2),
        ),
        (
            "a late value is no reset",
            &[(0, 1.0), (2 * S, 5.0), (S, 3.0), (4 * S, 9.0)],
            (Some(2.0), 0),
        ),
        (
            "nor is a correction",
            &[(0, 1.0), (S, 9.0), (S, 2.0), (2 * S, 3.0)],
            (Some(1.0), 0),
        ),
        (
            "nor is NaN",
            &[(0, 1.0), (S, f64::NAN), (2 * S, 3.0)],
            (Some(1.0), 0),
        ),
        ("one value", &[(0, 1.0)], (None, 0)),
    ];
    for (name, samples, expected) in cases {
        assert_eq!(counted(samples), *expected, "{name}");
    }
}

#[test]
fn a_rate_over_a_span_follows_the_newest_values() {
    let service: DataService<&str, u64> = DataService::new();
    let id = service.register("bytes").unwrap();
    let rate = Rate::by_duration(Duration::from_secs(10)).counter();
    let mut rates = service.subscribe(Spec::new().key(id, rate)).unwrap();
    service.put_many(id, (0..60).map(|i| (i * S, 5))).unwrap();
    service
        .put_many(id, (60..90).map(|i| (i * S, 5 + (i as u64 - 59) * 100)))
        .unwrap();
    let snapshot = rates.poll().unwrap();
    let Some(Extract::Rate(shown)) = snapshot.update(id).unwrap().extract() else {
        panic!("a rate is shown");
    };
    assert_eq!(shown.per_s(), Some(100.0));
    assert_eq!((shown.start_us(), shown.end_us()), (80 * S, 89 * S));
}

#[test]
fn the_ends_of_the_range_of_times_do_not_overflow() {
    let shown = rate(&[(i64::MIN, 0.0), (i64::MAX, 1.0)]);
    assert!(shown.per_s().unwrap() > 0.0);
    let none = View::of(Series::<f64>::empty());
    assert!(Rate::by_count(2).extract(none).into_output().is_none());
}
