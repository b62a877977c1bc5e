//! A plot gets as many points as it can show, and they look like all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dataservice::{
    DataService, Downsampled, Extract, Extractor, Requirement, Series, Spec, View, downsample,
};
use proptest::collection::vec;
use proptest::prelude::*;

const NAN: f64 = f64::NAN;

fn wave(len: usize) -> (Vec<i64>, Vec<f64>) {
    let values = (0..len).map(|i| (i as f64 / 700.0).sin() + (i as f64 / 13.0).cos() * 0.1);
    (
        (0..len as i64).map(|i| i * 1_000).collect(),
        values.collect(),
    )
}

/// The values where they are drawn, of which the gaps are `None`.
fn drawn(series: &Series<f64>) -> Vec<(i64, Option<f64>)> {
    let points = series.iter().map(|sample| (sample.time_us, *sample.value));
    points
        .map(|(time_us, value)| (time_us, (!value.is_nan()).then_some(value)))
        .collect()
}

#[test]
fn lesson_a_plot_of_1_000_pixels_is_not_sent_100_000_points() {
    let service: DataService<&str, f32> = DataService::new();
    let id = service.register("pressure").unwrap();
    let plot = Downsampled::new(Requirement::Count(100_000), 1_000);
    let mut plot = service.subscribe(Spec::new().key(id, plot)).unwrap();
    let (times_us, mut values) = wave(100_000);
    values[54_321] = 50.0;
    values[54_400] = -50.0;
    let samples = times_us.iter().zip(&values);
    service
        .put_many(
            id,
            samples.map(|(time_us, value)| (*time_us, *value as f32)),
        )
        .unwrap();
    let snapshot = plot.poll().unwrap();
    let update = snapshot.update(id).unwrap();
    assert_eq!((update.missed(), update.filtered()), (0, 0));
    let Some(Extract::Plot(points)) = update.extract() else {
        panic!("a plot is shown");
    };
    assert_eq!(points.len(), 1_000);
    assert_eq!(
        (points.times_us()[0], points.times_us()[999]),
        (0, 99_999_000)
    );
    assert!(points.values().contains(&50.0) && points.values().contains(&-50.0));
}

#[test]
fn fewer_points_than_asked_for_are_shown_as_they_are() {
    let (times_us, values) = ([5, 5, 3, 9], [1.0, NAN, 2.0, f64::INFINITY]);
    for points in [4, 5, 1_000] {
        let plot = downsample(&times_us, &values, points);
        assert_eq!(plot.times_us(), times_us);
        let bits = |values: &[f64]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(plot.values()), bits(&values));
    }
    assert!(downsample(&[], &[], 10).is_empty());
    assert_eq!(downsample(&[1, 2], &[1.0], 10).len(), 1);
    assert_eq!(
        downsample(&[1, 2, 3], &[1.0, 2.0, 3.0], 0).times_us(),
        [1, 3]
    );
    let mut none = Downsampled::new(Requirement::Count(9), 9);
    assert!(
        none.extract(View::of(Series::<f64>::empty()))
            .into_output()
            .is_none()
    );
}

#[test]
fn gaps_stay_visible_and_keep_their_width() {
    let (times_us, mut values) = wave(10_000);
    values[..10].fill(NAN);
    values[3_000..3_500].fill(NAN);
    values[7_000] = f64::INFINITY;
    values[9_990..].fill(NAN);
    let plot = downsample(&times_us, &values, 100);
    assert!(
        plot.len() <= 100 && plot.len() > 80,
        "{} points",
        plot.len()
    );
    let drawn = drawn(&plot);
    let at = |time_us: i64| drawn.iter().position(|(time, _)| *time == time_us).unwrap();
    assert_eq!(
        (drawn[0], drawn[drawn.len() - 1]),
        ((0, None), (9_999_000, None))
    );
    assert_eq!(
        drawn[1].0, 10_000,
        "the curve begins where the first gap ends"
    );
    assert_eq!(drawn[at(3_000_000)].1, None);
    assert_eq!(drawn[at(3_000_000) - 1].0, 2_999_000);
    assert_eq!(drawn[at(3_000_000) + 1].0, 3_500_000);
    assert_eq!(plot.values()[at(7_000_000)], f64::INFINITY);
    assert_eq!(drawn[at(7_000_000) - 1].0, 6_999_000);
}

#[test]
fn of_too_many_gaps_the_longest_stay() {
    let (times_us, mut values) = wave(10_000);
    for at in (1..10_000).step_by(2) {
        values[at] = NAN;
    }
    values[5_000..5_100].fill(NAN);
    let plot = downsample(&times_us, &values, 40);
    assert!(plot.len() <= 40);
    let gaps: Vec<_> = drawn(&plot)
        .into_iter()
        .filter(|(_, value)| value.is_none())
        .collect();
    assert!(
        gaps.len() <= 10 && gaps.contains(&(4_999_000, None)),
        "{gaps:?}"
    );
    assert!(plot.len() - gaps.len() >= 20);
}

#[test]
fn neither_a_burst_nor_a_sparse_stretch_loses_its_shape() {
    // A zigzag with a point per second, in which a burst lasts one millisecond.
    let zigzag = |i: i64| if i % 2 == 0 { 1.0 } else { -1.0 };
    let mut samples: Vec<(i64, f64)> = (0..40).map(|i| (i * 1_000_000, zigzag(i))).collect();
    let burst = (0..20_000).map(|i| (20_000_001 + i / 20, (i as f64 / 3_000.0).sin() * 5.0));
    samples.splice(21..21, burst);
    let (times_us, values): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
    let plot = downsample(&times_us, &values, 400);
    let sparse = plot
        .times_us()
        .iter()
        .filter(|time_us| **time_us % 1_000_000 == 0)
        .count();
    assert!(sparse >= 35, "{sparse} of 40 sparse points are left");
    assert!(
        plot.len() - sparse >= 100,
        "{} points of the burst",
        plot.len() - sparse
    );
    let largest = plot.values().iter().copied().fold(0.0, f64::max);
    assert!(largest > 4.999);
}

#[test]
fn lesson_a_time_from_the_future_does_not_take_the_whole_plot() {
    let (mut times_us, values) = wave(10_000);
    // Nanoseconds taken for microseconds.
    times_us[9_999] *= 1_000;
    let plot = downsample(&times_us, &values, 200);
    assert!(plot.len() > 90, "{} points", plot.len());
    times_us[9_999] /= 1_000;
    times_us[5_000] *= 1_000;
    let plot = downsample(&times_us, &values, 200);
    assert_eq!(plot.len(), 200);
}

#[test]
fn times_of_an_epoch_and_at_the_ends_of_their_range_are_fine() {
    let (times_us, values) = wave(10_000);
    let here = downsample(&times_us, &values, 100);
    let epoch: Vec<i64> = times_us.iter().map(|t| t + 1_800_000_000_000_000).collect();
    assert_eq!(downsample(&epoch, &values, 100).values(), here.values());
    let mut ends = times_us;
    (ends[0], ends[9_999]) = (i64::MIN, i64::MAX);
    let plot = downsample(&ends, &values, 100);
    assert_eq!(
        (plot.times_us()[0], *plot.times_us().last().unwrap()),
        (i64::MIN, i64::MAX)
    );
}

#[test]
fn runs_that_each_last_as_long_as_there_is_time_are_no_overflow() {
    let times_us: Vec<i64> = (0..40)
        .map(|i| if i % 4 < 2 { i64::MIN } else { i64::MAX })
        .collect();
    let values: Vec<f64> = (0..40)
        .map(|i| if i % 4 == 0 { NAN } else { f64::from(i) })
        .collect();
    for points in 2..40 {
        let plot = downsample(&times_us, &values, points);
        assert!(plot.len() <= points && !plot.is_empty(), "{points} points");
        let last = plot.latest().unwrap();
        assert_eq!((last.time_us, *last.value), (i64::MAX, 39.0));
    }
}

#[test]
fn between_gaps_at_both_ends_three_points_show_a_number_and_two_do_not() {
    let times_us: Vec<i64> = (0..100).collect();
    let values: Vec<f64> = (0..100)
        .map(|i| if (10..90).contains(&i) { 1.0 } else { NAN })
        .collect();
    for (points, numbers) in [(2, 0), (3, 1), (10, 8)] {
        let plot = downsample(&times_us, &values, points);
        let shown = plot.values().iter().filter(|value| !value.is_nan());
        assert_eq!((shown.count(), plot.len()), (numbers, points));
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -100.0..100.0,
        2 => Just(NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::MAX), Just(f64::MIN)],
    ]
}

proptest! {
    #[test]
    fn a_plot_is_a_part_of_the_curve_with_both_ends_and_no_more_points_than_asked_for(
        samples in vec((0_i64..30, any_value()), 0..700),
        points in 0_usize..120,
        goes_back in any::<bool>(),
    ) {
        let mut time_us = 0;
        let (times_us, values): (Vec<i64>, Vec<f64>) = samples
            .into_iter()
            .map(|(step, value)| {
                time_us += if goes_back { step - 10 } else { step };
                (time_us, value)
            })
            .unzip();
        let plot = downsample(&times_us, &values, points);
        prop_assert!(plot.len() <= points.max(2));
        let bits = |times_us: &[i64], values: &[f64]| -> Vec<(i64, u64)> {
            times_us.iter().copied().zip(values.iter().map(|value| value.to_bits())).collect()
        };
        let (all, shown) = (bits(&times_us, &values), bits(plot.times_us(), plot.values()));
        prop_assert_eq!(all.first(), shown.first());
        prop_assert_eq!(all.last(), shown.last());
        let mut rest = all.iter();
        prop_assert!(shown.iter().all(|point| rest.any(|other| other == point)));
    }

    #[test]
    fn a_long_curve_without_gaps_gets_every_point_asked_for(
        values in vec(-100.0..100.0, 200..2_000),
        points in 3_usize..100,
    ) {
        let times_us: Vec<i64> = (0..values.len() as i64).collect();
        let plot = downsample(&times_us, &values, points);
        prop_assert_eq!(plot.len(), points);
        prop_assert!(plot.times_us().is_sorted_by(|a, b| a < b));
    }
}
