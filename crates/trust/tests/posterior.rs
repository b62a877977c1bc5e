//! What a posterior says, and how it changes with evidence and time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use trust::{
    Decay, EVIDENCE_MAX, Interval, Outcome, TrustTracker, UpdateError, WEIGHT_MAX, Weights,
};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn an_unknown_key_has_the_prior() {
    let tracker = TrustTracker::<String>::builder()
        .prior(3.0, 1.0)
        .build()
        .unwrap();
    assert_eq!(tracker.find("a"), None);
    let trust = tracker.posterior("a");
    assert_eq!(
        (trust.mean(), trust.strength(), trust.sample_size()),
        (0.75, 4.0, 0.0)
    );
}

#[test]
fn successes_add_to_alpha_and_failures_to_beta() {
    let tracker = TrustTracker::<u32>::new();
    tracker.update(&7, Outcome::Success, 2.5).unwrap();
    tracker.update(&7, Outcome::Failure, 0.5).unwrap();
    tracker
        .batch_add([(
            &7,
            Weights {
                success: 1.0,
                failure: 2.0,
            },
        )])
        .unwrap();
    let trust = tracker.posterior(&7);
    assert_eq!((trust.alpha(), trust.beta()), (4.5, 3.5));
    assert_eq!(
        (trust.mean(), trust.sample_size(), trust.strength()),
        (0.5625, 6.0, 8.0)
    );
    assert!((trust.variance() - 4.5 * 3.5 / (64.0 * 9.0)).abs() < 1e-15);
}

#[test]
fn both_intervals_agree_with_much_evidence_and_differ_with_little() {
    let tracker = TrustTracker::<u32>::new();
    tracker.update(&1, Outcome::Success, 9e5).unwrap();
    tracker.update(&1, Outcome::Failure, 3e5).unwrap();
    tracker.update(&2, Outcome::Success, 5.0).unwrap();
    let ends = |key: u32, interval| {
        let range = tracker.posterior(&key).interval(interval, 0.95).unwrap();
        (range.lower, range.upper)
    };
    let (exact, normal) = (ends(1, Interval::Quantile), ends(1, Interval::Normal));
    assert!((exact.0 - normal.0).abs() < 1e-6 && (exact.1 - normal.1).abs() < 1e-6);
    // Beta(6, 1) has the distribution function x^6.
    let exact = ends(2, Interval::Quantile);
    assert!((exact.0 - 0.025f64.powf(1.0 / 6.0)).abs() < 1e-14);
    assert!((exact.1 - 0.975f64.powf(1.0 / 6.0)).abs() < 1e-14);
    assert_eq!(ends(2, Interval::Normal).1, 1.0, "cut off at 1");
}

#[test]
fn a_level_that_no_interval_has_is_refused() {
    let trust = TrustTracker::<u32>::new().posterior(&1);
    for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
        let error = trust.interval(Interval::Normal, level).unwrap_err();
        assert!(error.to_string().contains(&level.to_string()), "{error}");
    }
}

#[test]
fn settings_out_of_bounds_are_named() {
    let check = |builder: trust::Builder<u32>, expected: &str| {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let builder = TrustTracker::<u32>::builder;
    check(builder().prior(0.0, 1.0), "`prior alpha` is 0");
    check(builder().prior(1.0, f64::NAN), "`prior beta` is NaN");
    check(
        builder().decay(Decay::half_life(Duration::ZERO)),
        "`half_life` is 0",
    );
    check(
        builder().decay(Decay::half_life(HOUR).floor(-1.0)),
        "`floor` is -1",
    );
    check(builder().history(1 << 20), "`history` is 1048576");
}

#[test]
fn a_bad_weight_refuses_its_batch_by_key_and_value() {
    let tracker = TrustTracker::<String>::new();
    for weight in [-1.0, f64::NAN, f64::INFINITY, 2.0 * WEIGHT_MAX] {
        let updates = [
            ("good", Outcome::Success, 1.0),
            ("bad", Outcome::Failure, weight),
        ];
        let error = tracker.batch_update(updates).unwrap_err();
        assert_eq!((error.index(), error.key()), (1, "\"bad\""));
        let UpdateError::Weight { weight: found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(found.to_bits(), weight.to_bits());
        assert!(error.to_string().contains(&weight.to_string()), "{error}");
    }
    assert!(tracker.is_empty(), "nothing of a refused batch is applied");
}

#[test]
fn the_strength_is_cut_off_and_the_mean_is_not() {
    let tracker = TrustTracker::<u32>::new();
    for _ in 0..2_000 {
        tracker.update(&1, Outcome::Success, WEIGHT_MAX).unwrap();
    }
    let trust = tracker.posterior(&1);
    assert!((trust.strength() / EVIDENCE_MAX - 1.0).abs() < 1e-9);
    assert!(trust.mean() > 0.999);
}

#[test]
fn half_of_the_strength_is_left_after_a_half_life() {
    let decay = Decay::half_life(HOUR);
    let tracker = TrustTracker::<u32>::builder().decay(decay).build().unwrap();
    tracker.advance(HOUR * 10);
    tracker.update(&1, Outcome::Success, 98.0).unwrap();
    tracker.advance(HOUR * 11);
    let trust = tracker.posterior(&1);
    assert!((trust.strength() - 50.0).abs() < 1e-12);
    assert_eq!(trust.mean(), 0.99);
    // Back in time changes nothing; in the end the prior's strength is left, with the mean.
    tracker.advance(HOUR);
    assert_eq!(tracker.now(), HOUR * 11);
    tracker.advance(HOUR * 10_000);
    let trust = tracker.posterior(&1);
    assert!((trust.strength() - 2.0).abs() < 1e-12 && (trust.mean() - 0.99).abs() < 1e-12);
    assert!(trust.sample_size() < 1e-12);
}

#[test]
fn a_discount_by_hand_holds_for_every_key() {
    let tracker = TrustTracker::<u32>::new();
    for key in 0..1_000 {
        tracker.update(&key, Outcome::Failure, 8.0).unwrap();
    }
    tracker.discount(0.5).unwrap();
    assert!((0..1_000).all(|key| tracker.posterior(&key).strength() == 5.0));
    assert!(
        tracker
            .discount(1.5)
            .unwrap_err()
            .to_string()
            .contains("1.5")
    );
}

#[test]
fn the_history_holds_the_newest_points_and_is_off_by_default() {
    let tracker = TrustTracker::<u32>::builder().history(2).build().unwrap();
    for second in 1..=3 {
        tracker.advance(Duration::from_secs(second));
        tracker.update(&1, Outcome::Success, 1.0).unwrap();
    }
    let history = tracker.history(&1);
    let seen: Vec<_> = history
        .iter()
        .map(|p| (p.at.as_secs(), p.alpha, p.beta))
        .collect();
    assert_eq!(seen, [(2, 3.0, 1.0), (3, 4.0, 1.0)]);
    let plain = TrustTracker::<u32>::new();
    plain.update(&1, Outcome::Success, 1.0).unwrap();
    assert!(plain.history(&1).is_empty());
}

proptest! {
    #[test]
    fn decay_keeps_the_mean_and_discounts_in_any_number_of_steps(
        success in 0.0..1e6,
        failure in 0.0..1e6,
        steps in prop::collection::vec(0u64..5_000_000_000, 1..8),
        floor in 0.1..100.0,
    ) {
        let decay = Decay::half_life(HOUR).floor(floor);
        let make = || TrustTracker::<u32>::builder().decay(decay).build().unwrap();
        let (stepwise, at_once) = (make(), make());
        for tracker in [&stepwise, &at_once] {
            tracker.batch_add([(&1, Weights { success, failure })]).unwrap();
        }
        let (mean, before) = (at_once.posterior(&1).mean(), at_once.posterior(&1).strength());
        let mut now = Duration::ZERO;
        for step in steps {
            now += Duration::from_micros(step);
            stepwise.advance(now);
            // An update without weight brings the key up to date.
            stepwise.update(&1, Outcome::Success, 0.0).unwrap();
        }
        at_once.advance(now);
        let (a, b) = (stepwise.posterior(&1), at_once.posterior(&1));
        prop_assert!((a.mean() - mean).abs() < 1e-12 && (b.mean() - mean).abs() < 1e-12);
        prop_assert!((a.strength() / b.strength() - 1.0).abs() < 1e-12);
        prop_assert!(b.strength() <= before * (1.0 + 1e-12));
        prop_assert!(b.strength() >= floor.min(before) * (1.0 - 1e-12));
    }

    #[test]
    fn an_interval_holds_its_median_and_grows_with_its_level(
        success in 0.0..1e7,
        failure in 0.0..1e7,
        level in 0.01..0.98,
    ) {
        let tracker = TrustTracker::<u32>::new();
        tracker.batch_add([(&1, Weights { success, failure })]).unwrap();
        let trust = tracker.posterior(&1);
        let inner = trust.interval(Interval::Quantile, level).unwrap();
        let outer = trust.interval(Interval::Quantile, level + 0.01).unwrap();
        prop_assert!(0.0 <= outer.lower && outer.lower < inner.lower);
        prop_assert!(inner.lower < inner.upper);
        prop_assert!(inner.upper < outer.upper && outer.upper <= 1.0);
    }
}
