//! When a failed batch is tried again: delays, attempts, deadline, and the budget that all share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sinks::{ErrorKind, GiveUp, Retry, RetryBudget, RetryDecision, RetryPolicy, WriteError};

const SECOND: Duration = Duration::from_secs(1);

fn busy() -> WriteError {
    WriteError::new(ErrorKind::Transient, "busy")
}

fn delay(decision: RetryDecision) -> Duration {
    match decision {
        RetryDecision::After(delay) => delay,
        other => panic!("{other:?} instead of a delay"),
    }
}

#[test]
fn lesson_every_listed_delay_is_used() {
    let policy = RetryPolicy::new(SECOND, SECOND * 4, Some(3));
    let bounds: Vec<u64> = (0..3).map(|retry| policy.bound(retry).as_secs()).collect();
    assert_eq!(bounds, [1, 2, 4]);
    let start = Instant::now();
    let mut longest = [Duration::ZERO; 3];
    for seed in 0..500 {
        let mut retry = Retry::new(policy, start, seed);
        for (longest, bound) in longest.iter_mut().zip(&bounds) {
            let delay = delay(retry.on_failure(start, &busy()));
            assert!(delay <= Duration::from_secs(*bound));
            *longest = (*longest).max(delay);
        }
        let end = retry.on_failure(start, &busy());
        assert_eq!(end, RetryDecision::GiveUp(GiveUp::Attempts));
    }
    // The last one is no decoration: some batch waited nearly all of its 4 s.
    assert!(longest[2] > SECOND * 38 / 10, "{longest:?}");
}

#[test]
fn lesson_a_backoff_called_exponential_doubles() {
    let policy = RetryPolicy::new(SECOND, SECOND * 100, None);
    let bounds: Vec<u64> = (0..9).map(|retry| policy.bound(retry).as_secs()).collect();
    assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
    assert_eq!(policy.bound(u32::MAX), SECOND * 100);
}

#[test]
fn lesson_delays_have_full_jitter() {
    let policy = RetryPolicy::new(SECOND, SECOND, None);
    let start = Instant::now();
    let mut retry = Retry::new(policy, start, 1);
    let delays: Vec<f64> = (0..1000)
        .map(|_| delay(retry.on_failure(start, &busy())).as_secs_f64())
        .collect();
    assert!(delays.iter().any(|delay| *delay < 0.05));
    assert!(delays.iter().any(|delay| *delay > 0.95));
    let mean = delays.iter().sum::<f64>() / 1000.0;
    assert!((0.4..0.6).contains(&mean), "mean {mean}");
    // Two batches that failed together do not come back together.
    let mut other = Retry::new(policy, start, 2);
    let theirs = delay(other.on_failure(start, &busy())).as_secs_f64();
    assert!((delays[0] - theirs).abs() > 1e-6);
}

#[test]
fn only_what_may_work_is_tried_again() {
    let start = Instant::now();
    let check = |policy: RetryPolicy, kind, retries: bool| {
        let mut retry = Retry::new(policy, start, 1);
        let decision = retry.on_failure(start, &WriteError::new(kind, "no"));
        let expected = !matches!(decision, RetryDecision::GiveUp(GiveUp::Hopeless));
        assert_eq!(expected, retries, "{kind:?} under {policy:?}: {decision:?}");
    };
    let bounded = RetryPolicy::default();
    let forever = bounded.unlimited();
    for policy in [bounded, forever] {
        check(policy, ErrorKind::Transient, true);
        check(policy, ErrorKind::Data, false);
        check(policy, ErrorKind::Fenced, false);
    }
    check(bounded, ErrorKind::Fatal, false);
    check(forever.within(SECOND), ErrorKind::Fatal, false);
    check(forever, ErrorKind::Fatal, true);
}

#[test]
fn what_the_sink_asks_for_is_honoured_up_to_the_deadline() {
    let start = Instant::now();
    let policy = RetryPolicy::default().within(SECOND * 60);
    let asks = |seconds| busy().with_retry_after(SECOND * seconds);
    for seed in 0..100 {
        let mut retry = Retry::new(policy, start, seed);
        assert!(delay(retry.on_failure(start, &asks(30))) >= SECOND * 30);
        let late = start + SECOND * 31;
        let end = retry.on_failure(late, &asks(30));
        assert_eq!(end, RetryDecision::GiveUp(GiveUp::Deadline));
    }
}

#[test]
fn no_attempt_begins_after_the_deadline() {
    let start = Instant::now();
    let policy = RetryPolicy::new(SECOND * 20, SECOND * 20, None).within(SECOND * 10);
    for seed in 0..200 {
        let mut retry = Retry::new(policy, start, seed);
        let mut now = start;
        while let RetryDecision::After(delay) = retry.on_failure(now, &busy()) {
            now += delay;
            assert!(now <= start + SECOND * 10);
            now += Duration::from_millis(1); // The attempt itself.
        }
        assert!(retry.retries() > 0);
    }
}

#[test]
fn a_clock_that_jumps_back_gives_no_time_back() {
    let start = Instant::now();
    let mut retry = Retry::new(RetryPolicy::default().within(SECOND), start, 1);
    let _ = retry.on_failure(start + SECOND, &busy());
    let end = retry.on_failure(start, &busy());
    assert_eq!(end, RetryDecision::GiveUp(GiveUp::Deadline));
}

#[test]
fn lesson_a_refusal_by_an_open_breaker_burns_no_attempt() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(start, 0.0, 0.001, 1).unwrap();
    let mut retry = Retry::new(RetryPolicy::default(), start, 1);
    let refused = busy().with_retry_after(SECOND).not_attempted();
    for _ in 0..1000 {
        let decision = retry.on_failure_within(start, &refused, &mut budget);
        assert!(delay(decision) >= SECOND);
    }
    assert_eq!(retry.retries(), 0);
    assert_eq!(budget.affordable(start), 1);
}

#[test]
fn lesson_a_dead_sink_is_not_hammered_by_many_batches() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(start, 0.1, 1.0, 10).unwrap();
    let policy = RetryPolicy::new(Duration::from_millis(1), Duration::from_millis(10), Some(3));
    let (mut first, mut again) = (0_u32, 0_u32);
    // A thousand batches per second for ten seconds, each of which would try three times more.
    for batch in 0..10_000_u32 {
        let now = start + Duration::from_millis(1) * batch;
        budget.deposit();
        first += 1;
        let mut retry = Retry::new(policy, now, u64::from(batch));
        while let RetryDecision::After(_) = retry.on_failure_within(now, &busy(), &mut budget) {
            again += 1;
        }
    }
    assert!(
        again <= first / 10 + 10 + 10,
        "{again} retries of {first} batches"
    );
    assert!(again >= first / 10, "{again} retries of {first} batches");
}

#[test]
fn a_spent_budget_stops_bounded_batches_and_postpones_unlimited_ones() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(start, 0.0, 1.0, 1).unwrap();
    assert!(budget.withdraw(start));
    let mut bounded = Retry::new(RetryPolicy::default(), start, 1);
    let decision = bounded.on_failure_within(start, &busy(), &mut budget);
    assert_eq!(decision, RetryDecision::GiveUp(GiveUp::Budget));
    let mut endless = Retry::new(RetryPolicy::default().unlimited(), start, 1);
    let decision = endless.on_failure_within(start, &busy(), &mut budget);
    assert!(matches!(decision, RetryDecision::Postpone(wait) if !wait.is_zero()));
    assert_eq!(endless.retries(), 0);
    // The minimum per second keeps it from starving.
    let later = start + SECOND;
    let decision = endless.on_failure_within(later, &busy(), &mut budget);
    assert!(matches!(decision, RetryDecision::After(_)));
}

#[test]
fn a_budget_that_cannot_be_is_refused_by_name() {
    let now = Instant::now();
    let check = |deposit, rate, saved, expected: &str| {
        let error = RetryBudget::new(now, deposit, rate, saved).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let expected = "retry budget: deposit is -1.0, but has to be from 0 to 1000";
    check(-1.0, 1.0, 1, expected);
    let expected = "retry budget: rate is NaN, but has to be from 0.001 to 1e12 per second";
    check(0.1, f64::NAN, 1, expected);
    let expected = "retry budget: saved_max is 0, but has to be from 1 to 1000000";
    check(0.1, 1.0, 0, expected);
}

/// One thing that happens to a budget, some milliseconds after the one before.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deposit(u64),
    Withdraw(u64),
    /// The clock goes back.
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..2_000_u64).prop_map(Step::Deposit),
        (0..2_000_u64).prop_map(Step::Withdraw),
        (0..500_u64).prop_map(Step::Back),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// The model counts in thousandths of a retry, one millisecond after the other.
    #[test]
    fn a_budget_agrees_with_a_naive_model(
        steps in steps(),
        quarters in 0..8_u64,
        rate in 1..5_u64,
        saved in 1..20_u64,
    ) {
        let start = Instant::now();
        let deposit = quarters as f64 / 4.0;
        let mut budget = RetryBudget::new(start, deposit, rate as f64, saved as u32).unwrap();
        let (cap, mut level) = (saved * 1_000, saved * 1_000);
        let (mut time, mut latest) = (0_u64, 0_u64);
        for step in steps {
            time = match step {
                Step::Deposit(wait) | Step::Withdraw(wait) => time + wait,
                Step::Back(jump) => time.saturating_sub(jump),
            };
            let now = start + Duration::from_millis(time);
            for _ in latest..time.max(latest) {
                level = (level + rate).min(cap);
            }
            latest = latest.max(time);
            match step {
                Step::Deposit(_) => {
                    budget.deposit();
                    level = (level + quarters * 250).min(cap);
                }
                Step::Withdraw(_) | Step::Back(_) => {
                    let is_paid = level >= 1_000;
                    prop_assert_eq!(budget.withdraw(now), is_paid);
                    level -= if is_paid { 1_000 } else { 0 };
                }
            }
            prop_assert_eq!(budget.affordable(now), level / 1_000);
        }
    }
}

#[test]
fn a_delay_of_nothing_is_no_loop() {
    let policy = RetryPolicy::new(Duration::ZERO, Duration::ZERO, None);
    assert_eq!(policy.bound(0), Duration::from_millis(1));
}
