//! Deadbands, separations, filters and maps around extractors, and what they count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use buffer_core::{ArrayHistory, Shape};
use dataservice::{
    Aggregated, Aggregation, DataService, Deadband, Downsampled, Extract, Extractor, LatestValue,
    MinSeparation, Rate, Requirement, Rule, Sample, Series, SinceLast, Spec, View, WindowByCount,
    WindowByDuration,
};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Which of these values pass, one after the other.
fn passing(mut rule: impl Rule<f64>, values: &[f64]) -> Vec<usize> {
    let samples = values.iter().enumerate();
    let passes = samples.filter_map(|(at, value)| {
        let time_us = at as i64;
        rule.passes(Sample { time_us, value }).then_some(at)
    });
    passes.collect()
}

#[test]
fn a_deadband_judges_by_the_last_value_that_passed() {
    let absolute = Deadband::absolute(0.5);
    let percent = Deadband::percent(10.0);
    let cases: &[(&str, Deadband, &[f64], &[usize])] = &[
        ("the first passes", absolute, &[0.0], &[0]),
        (
            "the edge is within",
            absolute,
            &[1.0, 1.5, 0.5, 1.75, 1.25],
            &[0, 3],
        ),
        (
            "creeping adds up",
            absolute,
            &[0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5],
            &[0, 3, 6],
        ),
        (
            "the sign does not count",
            Deadband::absolute(-0.5),
            &[1.0, 1.4, 1.6],
            &[0, 2],
        ),
        (
            "0 lets every change pass",
            Deadband::absolute(0.0),
            &[1.0, 1.0, 1.1, 1.1],
            &[0, 2],
        ),
        (
            "so does NaN",
            Deadband::absolute(NAN),
            &[1.0, 1.0, 1.1, 1.1],
            &[0, 2],
        ),
        (
            "percent of the last",
            percent,
            &[100.0, 109.0, 111.0, 120.0, 123.0],
            &[0, 2, 4],
        ),
        ("of its size", percent, &[-100.0, -109.0, -111.0], &[0, 2]),
        (
            "of nothing is nothing",
            percent,
            &[0.0, 0.0, 1e-9, 0.0],
            &[0, 2, 3],
        ),
        (
            "one report on entering NaN and one on leaving",
            absolute,
            &[1.0, NAN, NAN, NAN, 1.0, 1.0],
            &[0, 1, 4],
        ),
        ("NaN first", absolute, &[NAN, NAN, 1.0, 1.1], &[0, 2]),
        (
            "infinities",
            absolute,
            &[1.0, INF, INF, -INF, -INF, 1.0, 1.1],
            &[0, 1, 3, 5],
        ),
        (
            "infinities in percent",
            percent,
            &[1.0, INF, INF, -INF, 1.0],
            &[0, 1, 3, 4],
        ),
    ];
    for (name, deadband, values, expected) in cases {
        assert_eq!(passing(*deadband, values), *expected, "{name}");
    }
}

#[test]
fn a_deadband_reads_whatever_measures_something() {
    let mut changes = SinceLast::default().deadband(Deadband::absolute(1.0));
    let values = [Some(1_u8), None, None, Some(5), Some(6), Some(7)];
    let extracted = changes.extract(View::of((0..).zip(values).collect()));
    assert_eq!(extracted.filtered(), 2);
    let shown: Extract<Option<u8>> = extracted.into_output().unwrap();
    assert_eq!(shown.values(), [Some(1), None, Some(5), Some(7)]);
}

#[test]
fn a_separation_is_of_event_time_between_values_that_pass() {
    let ms = |ms: i64| ms * 1_000;
    let mut rule = MinSeparation::new(Duration::from_millis(10));
    let passes = [0, 9, 10, 19, 20, 21, 40].map(|at| {
        rule.passes(Sample {
            time_us: ms(at),
            value: &0,
        })
    });
    assert_eq!(passes, [true, false, true, false, true, false, true]);
}

#[test]
fn lesson_a_value_from_the_future_does_not_hold_back_all_that_follow() {
    let mut rule = MinSeparation::new(Duration::from_secs(1));
    let year_us = 31_536_000_000_000;
    let passes = [0, year_us, 1_000_000, 1_500_000, 2_000_000]
        .map(|time_us| rule.passes(Sample { time_us, value: &0 }));
    assert_eq!(passes, [true, true, true, false, true]);
}

#[test]
fn the_newest_value_held_back_by_a_separation_is_shown_by_a_snapshot_or_superseded() {
    let mut latest = LatestValue.min_separation(Duration::from_micros(10));
    let mut poll = |time_us, value, fresh, appended| {
        let view = View::of(Series::one(Sample { time_us, value }));
        let extracted = latest.extract(view.with_history(fresh, appended));
        let filtered = extracted.filtered();
        let shown: Option<Extract<i32>> = extracted.into_output();
        (shown.map(|shown| shown.values()[0]), filtered)
    };
    assert_eq!(poll(0, 1, 1, 1), (Some(1), 0));
    assert_eq!(poll(5, 2, 1, 2), (None, 1));
    assert_eq!(poll(10, 3, 1, 3), (Some(3), 0), "superseded");
    assert_eq!(poll(15, 4, 1, 4), (None, 1));
    assert_eq!(poll(15, 4, 0, 4), (Some(4), 0), "the source fell silent");
    assert_eq!(poll(15, 4, 0, 4), (Some(4), 0));
    assert_eq!(poll(20, 5, 1, 5), (None, 1));
}

#[test]
fn a_window_shows_what_passed_for_as_long_as_it_is_in_the_window() {
    let mut window = WindowByCount::new(4).filter(|sample: Sample<&i64>| *sample.value % 3 != 0);
    let mut poll = |values: std::ops::Range<i64>, fresh: usize| {
        let appended = values.end as u64;
        let view = View::of(values.map(|value| (value, value)).collect());
        let extracted = window.extract(view.with_history(fresh, appended));
        let filtered = extracted.filtered();
        (
            extracted
                .into_output()
                .map(|shown: Extract<i64>| shown.values().to_vec()),
            filtered,
        )
    };
    assert_eq!(poll(0..4, 4), (Some(vec![1, 2]), 2));
    assert_eq!(poll(1..5, 1), (Some(vec![1, 2, 4]), 0));
    assert_eq!(poll(3..7, 2), (Some(vec![4, 5]), 1));
    assert_eq!(poll(3..7, 0), (Some(vec![4, 5]), 0), "nothing is fresh");
    assert_eq!(poll(6..10, 3), (Some(vec![7, 8]), 1));
    assert_eq!(poll(9..13, 3), (Some(vec![10, 11]), 1));
    assert_eq!(poll(12..13, 1), (None, 1), "nothing fresh passed");
}

#[test]
fn of_several_rules_the_one_added_last_judges_first() {
    let big = |sample: Sample<&f64>| *sample.value >= 10.0;
    let mut both = SinceLast::default()
        .deadband(Deadband::absolute(1.5))
        .filter(big);
    let view = View::of((0..).zip([10.0, 5.0, 11.0, 12.0, 9.0]).collect());
    let extracted = both.extract(view.clone());
    assert_eq!(extracted.filtered(), 3);
    assert_eq!(extracted.into_output().unwrap().values(), [10.0, 12.0]);
    let mut other = SinceLast::default()
        .filter(big)
        .deadband(Deadband::absolute(1.5));
    let extracted = other.extract(view);
    assert_eq!(extracted.filtered(), 3);
    assert_eq!(extracted.into_output().unwrap().values(), [10.0, 11.0]);
}

#[test]
fn each_key_has_a_memory_of_its_own_and_a_clear_wipes_it() {
    let service: DataService<&str, f64> = DataService::new();
    let ids = [
        service.register("a").unwrap(),
        service.register("b").unwrap(),
    ];
    let deadband = LatestValue.deadband(Deadband::absolute(5.0));
    let mut changes = service.subscribe(Spec::new().keys(ids, deadband)).unwrap();
    let mut poll = |id, value| {
        service.put(id, 0, value).unwrap();
        let snapshot = changes.poll();
        let update = snapshot.as_ref().and_then(|snapshot| snapshot.update(id));
        update.map_or_else(Vec::new, |update| update.values().to_vec())
    };
    assert_eq!(
        (poll(ids[0], 1.0), poll(ids[1], 2.0)),
        (vec![1.0], vec![2.0])
    );
    assert_eq!((poll(ids[0], 3.0), poll(ids[1], 9.0)), (vec![], vec![9.0]));

    let stats = changes.stats();
    assert_eq!(
        (stats.committed, stats.delivered, stats.filtered),
        (4, 3, 1)
    );

    let mut rule = LatestValue.deadband(Deadband::absolute(5.0));
    let mut shows = |view: View<f64>| rule.extract(view).into_output().is_some();
    let view = |value, appended| {
        View::of(Series::one(Sample { time_us: 0, value })).with_history(1, appended)
    };
    assert!(shows(view(1.0, 1)) && !shows(view(2.0, 2)));
    assert!(!shows(View::of(Series::empty()).with_history(0, 2)));
    assert!(shows(view(1.0, 3)), "the first value after a clear");
}

/// What is shown of 5.0 and of 5.5 soon after it, and then of that again, each time after a clear
/// with nobody looking in between if this is said.
fn shown_around_clears<E>(extractor: E, clears: bool) -> Vec<Vec<f64>>
where
    E: Extractor<f64, Output = Extract<f64>> + 'static,
{
    let service: DataService<&str, f64> = DataService::new();
    let id = service.register("a").unwrap();
    let mut sifted = service.subscribe(Spec::new().key(id, extractor)).unwrap();
    let mut poll = || {
        let snapshot = sifted.poll();
        let update = snapshot.as_ref().and_then(|snapshot| snapshot.update(id));
        update.map_or_else(Vec::new, |update| update.values().to_vec())
    };
    let mut shown = Vec::new();
    for (time_us, value) in [(0, 5.0), (1, 5.5), (2, 5.5)] {
        if clears {
            service.clear(&[id]);
        }
        service.put(id, time_us, value).unwrap();
        shown.push(poll());
        service.put(id, time_us, value).unwrap();
        assert!(poll().is_empty(), "only the first after a clear passes");
    }
    shown
}

#[test]
fn a_clear_between_two_polls_wipes_the_memory_of_each_rule_though_values_followed() {
    let band = Deadband::absolute(5.0);
    let apart = Duration::from_micros(100);
    let held_back: [&[f64]; 3] = [&[5.0], &[], &[]];
    let anew: [&[f64]; 3] = [&[5.0], &[5.5], &[5.5]];
    for (clears, expected) in [(false, held_back), (true, anew)] {
        let latest = LatestValue.deadband(band);
        assert_eq!(shown_around_clears(latest, clears), expected);
        let every = SinceLast::default().min_separation(apart);
        assert_eq!(shown_around_clears(every, clears), expected);
        let window = WindowByCount::new(9).deadband(band).min_separation(apart);
        assert_eq!(
            shown_around_clears(window, clears),
            expected,
            "one in another"
        );
    }
}

#[test]
fn a_map_turns_what_is_shown_and_keeps_the_count() {
    let largest = SinceLast::default()
        .filter(|sample: Sample<&i32>| *sample.value > 0)
        .map(|shown: Extract<i32>| shown.values().iter().copied().max());
    let mut largest = largest.clone();
    let extracted = largest.extract(View::of((0..).zip([3, -1, 7]).collect()));
    assert_eq!(
        (extracted.filtered(), extracted.into_output()),
        (1, Some(Some(7)))
    );
    // A box of an extractor is one, too.
    let boxed: Box<dyn Extractor<i32, Output = Extract<i32>>> = Box::new(LatestValue);
    let mut boxed = boxed.map(|shown: Extract<i32>| shown.values()[0] * 2);
    let extracted = boxed.extract(View::of(Series::one(Sample {
        time_us: 0,
        value: 4,
    })));
    assert_eq!(extracted.into_output(), Some(8));
}

#[test]
fn lesson_a_window_of_five_periods_holds_five_frames_though_the_clock_jitters() {
    let service: DataService<&str, u32> = DataService::new();
    let id = service.register("frames").unwrap();
    let window = WindowByDuration::new(Duration::from_millis(500));
    let mut frames = service.subscribe(Spec::new().key(id, window)).unwrap();
    let jitter_us = [0, 9_000, -14_000, 3_000, -20_000, 17_000, -2_000, 11_000];
    for frame in 0..40_u32 {
        let time_us = i64::from(frame) * 100_000 + jitter_us[frame as usize % jitter_us.len()];
        service.put(id, time_us, frame).unwrap();
        let seen = frames.poll().unwrap().update(id).unwrap().values().len();
        assert_eq!(seen, (frame as usize + 1).min(5), "frame {frame}");
    }
}

#[test]
fn lesson_a_time_in_nanoseconds_does_not_pin_a_window_of_microseconds() {
    let service: DataService<&str, i64> = DataService::new();
    let id = service.register("level").unwrap();
    let window = WindowByDuration::new(Duration::from_secs(10));
    let mean = Aggregated::by_duration(Duration::from_secs(10)).show(Aggregation::Count);
    let mut windows = service.subscribe(Spec::new().key(id, window)).unwrap();
    let mut counts = service.subscribe(Spec::new().key(id, mean)).unwrap();
    let second_us = 1_000_000;
    for second in 1_000..1_100 {
        let wrong = if second == 1_050 { 1_000 } else { 1 };
        service.put(id, second * second_us * wrong, second).unwrap();
        let seen = windows.poll().unwrap().update(id).unwrap().values().len();
        let shown = counts.poll().unwrap();
        let Some(Extract::Summary(summary)) = shown.update(id).unwrap().extract() else {
            panic!("a summary is shown");
        };
        assert_eq!(summary.count(), seen as u64);
        match second - 1_000 {
            before @ 0..10 => assert_eq!(seen as i64, before + 1),
            50 => assert_eq!(seen, 1, "it rules until the next one comes"),
            _ => assert!((9..=11).contains(&seen), "{seen} values at {second}"),
        }
    }
}

#[test]
fn values_of_an_earlier_shape_stay_out_of_what_is_computed_and_rules_begin_anew() {
    let mut arrays = ArrayHistory::new(2);
    for row in [&[0.0][..], &[0.0, 0.0]] {
        let shape = Shape::new(&[row.len()]).unwrap();
        arrays.append(shape, row, 0).unwrap();
    }
    let next = arrays.window(1).generation();
    let values = [1.0, 2.0, 4.0, 4.0].into_iter();
    let all: Series<f64> = (0..).map(|i| i * 1_000_000).zip(values).collect();
    let before = || View::of(all.clone().last(0)).with_history(0, 0);
    let old = || View::of(all.clone()).with_history(4, 4);
    let new = || {
        View::of(all.clone())
            .with_history(3, 5)
            .with_generation(next, 2)
    };
    assert_eq!(
        (old().uniform().len(), new().uniform(), new().fresh()),
        (4, &[4.0, 4.0][..], 3)
    );
    assert!(before().is_empty());

    let mut sum = Aggregated::by_count(4).show(Aggregation::Sum);
    assert_eq!(sum.extract(old()).into_output().unwrap().sum(), 11.0);
    let extracted = sum.extract(new());
    assert_eq!(
        extracted.filtered(),
        1,
        "one fresh value has the earlier shape"
    );
    let summary = extracted.into_output().unwrap();
    assert_eq!((summary.sum(), summary.start_us()), (8.0, 2_000_000));

    let extracted = Rate::by_count(4).extract(new());
    assert_eq!(
        (
            extracted.filtered(),
            extracted.into_output().unwrap().per_s()
        ),
        (1, Some(0.0))
    );
    let mut plot = Downsampled::new(Requirement::Count(4), 10);
    let extracted = plot.extract(new());
    assert_eq!(
        (extracted.filtered(), extracted.into_output().unwrap().len()),
        (1, 2)
    );

    let latest = || View::of(all.clone().last(1));
    let mut change = LatestValue.deadband(Deadband::absolute(1.0));
    assert!(change.extract(latest()).into_output().is_some());
    assert!(
        change
            .extract(latest().with_history(1, 2))
            .into_output()
            .is_none()
    );
    let other = latest().with_history(1, 3).with_generation(next, 1);
    assert!(
        change.extract(other).into_output().is_some(),
        "the first of another shape"
    );
    // A sum behind a filter is told of the change, too.
    let mut sum = Aggregated::by_count(4).filter(|sample: Sample<&f64>| *sample.value > 1.0);
    assert_eq!(sum.extract(old()).into_output().unwrap().sum(), 10.0);
    assert_eq!(sum.extract(new()).into_output().unwrap().sum(), 8.0);
}
