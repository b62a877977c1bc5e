//! Each aggregate against the obvious computation, and merging in any order.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    unused_must_use,
    reason = "a buffer that refuses what does not fit takes nothing out"
)]

use coalesce::{
    Aggregate, Coalescer, Count, Evidence, InvalidUpdate, Last, Moments, Stats, SuccessFailure,
    Sum, aggregate,
};
use proptest::prelude::*;

fn one<A: Aggregate>(of: &A, updates: impl IntoIterator<Item = A::Update>) -> A::Partial {
    let done = aggregate(of, updates.into_iter().map(|update| ((), update)));
    assert!(done.refused.is_empty());
    done.taken.into_iter().next().unwrap().partial
}

fn close(left: f64, right: f64, scale: f64) {
    assert!(
        (left - right).abs() <= scale * 1e-9,
        "{left} is not {right}"
    );
}

fn check_moments(moments: &Moments, values: &[f64]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    let scale = 1.0
        + values
            .iter()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
    assert_eq!(moments.count(), values.len() as u64);
    close(moments.mean(), mean, scale);
    close(moments.sum(), mean * n, scale * n);
    close(moments.population_variance(), squares / n, scale * scale);
    match moments.sample_variance() {
        Some(variance) => close(variance, squares / (n - 1.0), scale * scale),
        None => assert_eq!(values.len(), 1),
    }
    assert_eq!(
        moments.min(),
        values.iter().copied().fold(f64::INFINITY, f64::min)
    );
    assert_eq!(
        moments.max(),
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    );
}

proptest! {
    #[test]
    fn stats_agree_with_two_passes(values in prop::collection::vec(-1e6..1e6_f64, 1..200)) {
        check_moments(&one(&Stats, values.iter().copied()), &values);
    }

    #[test]
    fn stats_merge_as_if_absorbed_one_by_one(
        parts in prop::collection::vec(prop::collection::vec(-1e6..1e6_f64, 1..40), 1..6),
    ) {
        let mut partials = parts.iter().map(|part| one(&Stats, part.iter().copied()));
        let mut all = partials.next().unwrap();
        for partial in partials {
            Stats.merge(&mut all, partial);
        }
        check_moments(&all, &parts.concat());
    }

    #[test]
    fn weights_are_summed_by_outcome(
        trials in prop::collection::vec((any::<bool>(), 0..1_000_u32), 1..100),
    ) {
        let weights = one(&SuccessFailure, trials.iter().map(|&(success, weight)| {
            if success {
                Evidence::Success(weight.into())
            } else {
                Evidence::Failure(weight.into())
            }
        }));
        let side = |of: bool| trials.iter().filter(move |(success, _)| *success == of);
        let weight = |of| f64::from(side(of).map(|(_, weight)| weight).sum::<u32>());
        prop_assert_eq!(weights.success_weight(), weight(true));
        prop_assert_eq!(weights.failure_weight(), weight(false));
        prop_assert_eq!(weights.success_count(), side(true).count() as u64);
        prop_assert_eq!(weights.failure_count(), side(false).count() as u64);
    }

    #[test]
    fn a_list_gives_what_the_buffer_gives(
        updates in prop::collection::vec((0..9_u8, any::<i32>()), 0..200),
    ) {
        let buffer = Coalescer::new(Sum);
        let as_floats = || updates.iter().map(|&(key, value)| (key, f64::from(value)));
        prop_assert_eq!(buffer.add_many(as_floats()).accepted, updates.len() as u64);
        let mut buffered = buffer.take().into_entries();
        let mut listed = aggregate(&Sum, as_floats()).taken.into_entries();
        buffered.sort_by_key(|entry| entry.key);
        listed.sort_by_key(|entry| entry.key);
        prop_assert_eq!(buffered, listed);
    }

    #[test]
    fn last_is_the_newest_whatever_comes_back_and_when(
        turns in prop::collection::vec((1..5_usize, any::<bool>()), 1..30),
        order in any::<prop::sample::Index>(),
    ) {
        // Batches come back late and out of order, always below what is newer.
        let buffer = Coalescer::new(Last::new());
        let mut out = Vec::new();
        let mut newest = 0_u32;
        for (adds, brings_back) in turns {
            for _ in 0..adds {
                newest += 1;
                buffer.add((), newest).unwrap();
            }
            out.push(buffer.take());
            if brings_back {
                buffer.restore(out.remove(order.index(out.len())));
            }
        }
        for batch in out {
            buffer.restore(batch);
        }
        let entry = buffer.take().into_iter().next().unwrap();
        prop_assert_eq!(entry.partial.into_value(), newest);
        prop_assert_eq!(entry.updates, u64::from(newest));
    }
}

#[test]
fn stats_keep_the_digits_of_a_small_spread_around_a_large_mean() {
    let moments = one(&Stats, [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
    assert_eq!(moments.mean(), 1e9 + 10.0);
    assert_eq!(moments.sample_variance(), Some(30.0));
}

#[test]
fn count_counts() {
    assert_eq!(one(&Count, [(); 17]), 17);
}

#[test]
fn sums_and_moments_stay_finite() {
    assert_eq!(one(&Sum, [f64::MAX, f64::MAX, 1.0]), f64::MAX);
    assert_eq!(one(&Sum, [f64::MIN, f64::MIN]), f64::MIN);
    let extreme = Stats::VALUE_ABS_MAX;
    let moments = one(
        &Stats,
        (0..1_000).map(|i| if i % 2 == 0 { extreme } else { -extreme }),
    );
    assert!(moments.sample_variance().unwrap().is_finite());
    let weights = one(&SuccessFailure, [Evidence::Success(f64::MAX); 3]);
    assert_eq!(weights.success_weight(), f64::MAX);
}

#[test]
fn values_that_would_spoil_a_result_are_refused() {
    fn check<A: Aggregate>(of: &A, update: &A::Update, message: &str) {
        let refused: Result<(), InvalidUpdate> = of.check(update);
        assert_eq!(refused.unwrap_err().to_string(), message);
    }
    const STATS: &str = "but must be a number of a magnitude of at most 1e150";
    const WEIGHT: &str = "but must be finite and at least 0";
    check(&Sum, &f64::NAN, "value is NaN, but must be finite");
    check(
        &Sum,
        &f64::NEG_INFINITY,
        "value is -inf, but must be finite",
    );
    check(&Stats, &f64::NAN, &format!("value is NaN, {STATS}"));
    check(&Stats, &f64::INFINITY, &format!("value is inf, {STATS}"));
    check(
        &SuccessFailure,
        &Evidence::Success(f64::NAN),
        &format!("weight is NaN, {WEIGHT}"),
    );
    check(
        &SuccessFailure,
        &Evidence::Failure(-0.5),
        &format!("weight is -0.5, {WEIGHT}"),
    );
    check(
        &SuccessFailure,
        &Evidence::Success(f64::INFINITY),
        &format!("weight is inf, {WEIGHT}"),
    );
    assert!(Sum.check(&-3.0).is_ok());
    assert!(SuccessFailure.check(&Evidence::Success(0.0)).is_ok());
}
