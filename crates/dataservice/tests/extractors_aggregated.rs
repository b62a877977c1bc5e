//! Sums, means and extremes of a window, kept up incrementally, are those of the window.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dataservice::{
    Aggregated, Aggregation, DataService, Extract, Extractor, Measure, Requirement, Series, Spec,
    Summary, View,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn summary<V: Measure>(extractor: &mut Aggregated, view: View<V>) -> Summary {
    let fresh = view.fresh();
    let extracted = extractor.extract(view);
    assert!(extracted.filtered() <= fresh as u64);
    extracted.into_output().unwrap()
}

fn view_of<V>(values: impl IntoIterator<Item = V>) -> View<V> {
    View::of((1..).zip(values).collect())
}

#[test]
fn the_automatic_mode_sums_counts_and_averages_the_rest() {
    let auto = |summary: Summary| (summary.aggregation(), summary.value());
    let mut window = Aggregated::by_count(10);
    let parts = summary(&mut window, view_of([1_u32, 2, 3]));
    assert_eq!(auto(parts), (Aggregation::Sum, Some(6.0)));
    let degrees = summary(&mut Aggregated::by_count(10), view_of([1.0, 2.0, 6.0]));
    assert_eq!(auto(degrees), (Aggregation::Mean, Some(3.0)));
    let signed = summary(&mut Aggregated::by_count(10), view_of([-1, 2, 2]));
    assert_eq!(auto(signed), (Aggregation::Mean, Some(1.0)));
    let on = summary(&mut Aggregated::by_count(10), view_of([true, false]));
    assert_eq!(auto(on), (Aggregation::Mean, Some(0.5)));
    let some = summary(&mut Aggregated::by_count(10), view_of([Some(2_u8), None]));
    assert_eq!(auto(some), (Aggregation::Sum, Some(2.0)));
    let none = summary(&mut Aggregated::by_count(10), view_of([None::<u8>]));
    assert_eq!(auto(none), (Aggregation::Mean, None));
}

#[test]
fn every_mode_tells_its_number() {
    let nothing = [f64::NAN];
    let cases = [
        (Aggregation::Sum, Some(6.0), Some(0.0)),
        (Aggregation::Mean, Some(2.0), None),
        (Aggregation::Min, Some(-1.0), None),
        (Aggregation::Max, Some(5.0), None),
        (Aggregation::Count, Some(3.0), Some(0.0)),
    ];
    for (mode, of_numbers, of_nothing) in cases {
        let mut window = Aggregated::by_count(10).show(mode);
        let shown = summary(&mut window, view_of([-1.0, 2.0, f64::NAN, 5.0]));
        assert_eq!((shown.aggregation(), shown.value()), (mode, of_numbers));
        let mut window = Aggregated::by_count(10).show(mode);
        assert_eq!(summary(&mut window, view_of(nothing)).value(), of_nothing);
    }
}

#[test]
fn lesson_a_nan_does_not_make_a_sum_nan_for_ever() {
    let service: DataService<&str, f64> = DataService::new();
    let id = service.register("level").unwrap();
    let window = Aggregated::by_count(2).show(Aggregation::Sum);
    let mut sums = service
        .subscribe(Spec::<_, Summary>::of().key(id, window))
        .unwrap();
    let mut shown = Vec::new();
    for (time_us, value) in (1..).zip([1.0, f64::NAN, 2.0, 3.0]) {
        service.put(id, time_us, value).unwrap();
        let summary = *sums.poll().unwrap().update(id).unwrap().extract().unwrap();
        shown.push((summary.sum(), summary.count(), summary.nan_count()));
    }
    assert_eq!(shown, [(1.0, 1, 0), (1.0, 1, 1), (2.0, 1, 1), (5.0, 2, 0)]);
}

#[test]
fn an_infinity_that_left_leaves_no_nan() {
    let mut window = Aggregated::by_count(2);
    let values = [1.0, f64::INFINITY, f64::NEG_INFINITY, 2.0, 3.0];
    let mut sums = Vec::new();
    for end in 1..=values.len() {
        let start = end.saturating_sub(2);
        let view = view_of(values[start..end].to_vec()).with_history(1, end as u64);
        sums.push(summary(&mut window, view).sum());
    }
    assert!(sums[2].is_nan(), "the sum of both infinities is no number");
    assert_eq!((sums[0], sums[1]), (1.0, f64::INFINITY));
    assert_eq!((sums[3], sums[4]), (f64::NEG_INFINITY, 5.0));
}

#[test]
fn the_span_covered_is_the_true_one_where_times_go_back() {
    let view = View::of([(50, 1.0), (20, f64::NAN), (40, 1.0)].into_iter().collect());
    let shown = summary(&mut Aggregated::by_count(3), view);
    assert_eq!((shown.start_us(), shown.end_us()), (20, 50));
}

#[test]
fn what_is_since_the_last_poll_goes_into_one_summary_each() {
    let service: DataService<&str, u32> = DataService::new();
    let id = service.register("parts").unwrap();
    let since = Aggregated::over(Requirement::Since { count_max: 100 });
    let mut parts = service.subscribe(Spec::new().key(id, since)).unwrap();
    let mut total = 0.0;
    for round in 0..20_u32 {
        service
            .put_many(id, (0..round).map(|i| (i64::from(i), 1)))
            .unwrap();
        if let Some(snapshot) = parts.poll() {
            let Some(Extract::Summary(summary)) = snapshot.update(id).unwrap().extract() else {
                panic!("a summary is shown");
            };
            assert_eq!(summary.value(), Some(f64::from(round)));
            total += summary.sum();
        }
    }
    assert_eq!(total, 190.0);
}

#[test]
fn a_duration_window_forgets_what_is_older() {
    let service: DataService<&str, f64> = DataService::new();
    let id = service.register("level").unwrap();
    let window = Aggregated::by_duration(Duration::from_millis(5));
    let spec = Spec::<_, Summary>::of().key(id, window);
    let mut means = service.subscribe(spec).unwrap();
    for second in 0..100_i64 {
        service.put(id, second * 1_000, second as f64).unwrap();
        let summary = *means.poll().unwrap().update(id).unwrap().extract().unwrap();
        let count = (second + 1).min(5);
        assert_eq!(summary.count(), count as u64);
        assert_eq!(
            summary.mean(),
            Some(second as f64 - (count - 1) as f64 / 2.0)
        );
        assert_eq!(summary.start_us(), (second - count + 1) * 1_000);
    }
}

#[test]
fn a_cleared_key_begins_anew() {
    let mut window = Aggregated::by_count(5);
    assert_eq!(summary(&mut window, view_of([1.0, 2.0])).sum(), 3.0);
    let cleared = View::of(Series::<f64>::empty()).with_history(0, 2);
    assert!(window.extract(cleared).into_output().is_none());
    let view = view_of([5.0]).with_history(1, 3);
    assert_eq!(summary(&mut window, view).sum(), 5.0);
}

/// Counts how often it is read.
#[derive(Clone)]
struct Counted(Arc<AtomicU64>);

impl Measure for Counted {
    fn measure(&self) -> Option<f64> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(1.0)
    }
}

#[test]
fn an_update_costs_what_is_fresh_and_not_the_window() {
    let reads = Arc::new(AtomicU64::new(0));
    let (window, updates) = (5_000_u64, 30_000_u64);
    let value = Counted(Arc::clone(&reads));
    let mut sum = Aggregated::by_count(window as usize);
    // One view, of which only the numbers change.
    let full: Series<Counted> = (0..window as i64).map(|i| (i, value.clone())).collect();
    for appended in (window..window + updates).step_by(10) {
        let fresh = if appended == window {
            window as usize
        } else {
            10
        };
        let view = View::of(full.clone()).with_history(fresh, appended);
        assert_eq!(summary(&mut sum, view).sum(), window as f64);
    }
    let polls = updates / 10;
    let reads = reads.load(Ordering::Relaxed);
    let bound = window + 2 * updates + 64 * polls;
    assert!(
        reads <= bound,
        "{reads} values read, at most {bound} expected"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<(i64, f64)>),
    /// So many updates that the reader never sees.
    Gap(u64),
    Clear,
    /// Numbers begin at 1 again.
    Restart,
    Poll,
    /// The window reaches back or forth, as a span may.
    Resize(usize),
}

fn steps(value: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Vec<Step>> {
    let sample = (-1_000_i64..1_000, value);
    let step = prop_oneof![
        6 => vec(sample, 0..90).prop_map(Step::Push),
        1 => (1_u64..300).prop_map(Step::Gap),
        1 => Just(Step::Clear),
        1 => Just(Step::Restart),
        6 => Just(Step::Poll),
        2 => (1_usize..400).prop_map(Step::Resize),
    ];
    vec(step, 1..60)
}

/// Runs the steps, and hands each summary with the window that it is of.
fn run(steps: Vec<Step>, mut check: impl FnMut(Summary, &[(i64, f64)])) {
    let mut extractor = Aggregated::by_count(0);
    let mut kept: VecDeque<(i64, f64)> = VecDeque::new();
    let (mut appended, mut fresh, mut window) = (0_u64, 0_usize, 100_usize);
    for step in steps {
        match step {
            Step::Push(samples) => {
                appended += samples.len() as u64;
                fresh += samples.len();
                kept.extend(samples);
            }
            Step::Gap(updates) => {
                appended += updates;
                kept.clear();
                fresh = 0;
            }
            Step::Clear => {
                kept.clear();
                fresh = 0;
                let view = View::of(Series::<f64>::empty()).with_history(0, appended);
                assert!(extractor.extract(view).into_output().is_none());
            }
            Step::Restart => {
                kept.clear();
                (appended, fresh) = (0, 0);
            }
            Step::Resize(count) => window = count,
            Step::Poll => {
                let skipped = kept.len().saturating_sub(window);
                let seen: Vec<_> = kept.iter().copied().skip(skipped).collect();
                if !seen.is_empty() {
                    let view = View::of(seen.iter().copied().collect());
                    let view = view.with_history(fresh, appended);
                    check(summary(&mut extractor, view), &seen);
                }
                fresh = 0;
            }
        }
    }
}

fn check_exact_parts(shown: &Summary, seen: &[(i64, f64)]) {
    let numbers = || {
        seen.iter()
            .map(|(_, value)| *value)
            .filter(|value| !value.is_nan())
    };
    assert_eq!(shown.count(), numbers().count() as u64);
    assert_eq!(shown.nan_count() + shown.count(), seen.len() as u64);
    assert_eq!(shown.min(), numbers().reduce(f64::min));
    assert_eq!(shown.max(), numbers().reduce(f64::max));
    let times = || seen.iter().map(|(time_us, _)| *time_us);
    assert_eq!(shown.start_us(), times().min().unwrap());
    assert_eq!(shown.end_us(), times().max().unwrap());
}

proptest! {
    #[test]
    fn incremental_is_recomputed_bit_by_bit_for_integers(
        steps in steps(prop_oneof![
            8 => (-1_000_000_i32..1_000_000).prop_map(f64::from),
            1 => Just(f64::NAN),
            1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        ])
    ) {
        run(steps, |shown, seen| {
            check_exact_parts(&shown, seen);
            let numbers = seen.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
            let sum = numbers.fold(0.0, |sum, value| sum + value);
            assert!(shown.sum() == sum || shown.sum().is_nan() && sum.is_nan());
            if sum.is_finite() {
                assert_eq!((shown.sum() + 0.0).to_bits(), (sum + 0.0).to_bits());
            }
        });
    }

    #[test]
    fn incremental_is_recomputed_within_a_billionth_for_reals(
        steps in steps(prop_oneof![
            8 => -1e6..1e6,
            2 => -1e-6..1e-6,
            1 => -1e15..1e15,
            1 => Just(f64::NAN),
        ])
    ) {
        run(steps, |shown, seen| {
            check_exact_parts(&shown, seen);
            let numbers = || seen.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
            let scale: f64 = numbers().map(f64::abs).sum();
            let sum: f64 = numbers().sum();
            assert!((shown.sum() - sum).abs() <= 1e-9 * scale);
            if let Some(mean) = shown.mean() {
                assert!((mean - sum / shown.count() as f64).abs() <= 1e-9 * scale);
            }
        });
    }
}

#[test]
fn a_sum_does_not_drift_over_many_turnovers() {
    let mut window = Aggregated::by_count(3).show(Aggregation::Sum);
    let value = |i: u64| if i.is_multiple_of(97) { 1e16 } else { 0.1 };
    for end in 3..100_000_u64 {
        let view = view_of((end - 3..end).map(value).collect::<Vec<_>>());
        let fresh = if end == 3 { 3 } else { 1 };
        let shown = summary(&mut window, view.with_history(fresh, end));
        if (end - 3..end).all(|i| !i.is_multiple_of(97)) {
            assert!(
                (shown.sum() - 0.3).abs() < 1e-15,
                "{} at {end}",
                shown.sum()
            );
        }
    }
}
