//! Rates and concurrency as state machines, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sinks::{Concurrency, ConcurrencySpec, Load, Rate, Slot, TokenBucket};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn bucket(per_second: f64, burst: u64, now: Instant) -> TokenBucket {
    TokenBucket::new(Rate::new(per_second, burst).unwrap(), now)
}

#[test]
fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
    let now = Instant::now();
    let mut rows = bucket(100.0, 50, now);
    assert_eq!(rows.reserve(now, 50), Duration::ZERO);
    assert_eq!(rows.reserve(now, 10), MS * 100);
    assert_eq!(rows.reserve(now, 10), MS * 200);
    assert_eq!(rows.reserve(now + MS * 150, 10), MS * 150);
    assert_eq!(rows.reserve(now + SECOND * 3600, 50), Duration::ZERO);
    assert_eq!(rows.available(now + SECOND * 3600), 0);
}

#[test]
fn lesson_an_oversized_item_passes_and_leaks_no_credit() {
    let now = Instant::now();
    let mut rows = bucket(100.0, 10, now);
    // A hundred times the burst: it waits for what is missing, not for ever.
    assert_eq!(rows.reserve(now, 1_000), SECOND * 99 / 10);
    // All that it took was its own: after its wait, the next has the usual rate.
    let later = now + SECOND * 10;
    assert_eq!(rows.available(later), 10);
    assert_eq!(rows.reserve(later, 10), Duration::ZERO);
    assert_eq!(rows.reserve(later, 1), MS * 10);
}

#[test]
fn what_is_given_up_is_refunded_and_never_more_than_the_burst_is_kept() {
    let now = Instant::now();
    let mut rows = bucket(10.0, 100, now);
    let wait = rows.reserve(now, 150);
    assert_eq!(wait, SECOND * 5);
    rows.refund(now, 150);
    assert_eq!(rows.available(now), 100);
    rows.refund(now, 150);
    assert_eq!(rows.available(now), 100);
}

#[test]
fn a_clock_that_jumps_back_makes_no_tokens() {
    let now = Instant::now() + SECOND * 100;
    let mut rows = bucket(1.0, 1, now);
    assert_eq!(rows.reserve(now, 1), Duration::ZERO);
    assert_eq!(rows.reserve(now - SECOND * 50, 1), SECOND);
    assert_eq!(rows.available(now + SECOND), 0);
}

#[test]
fn rates_that_cannot_be_are_refused_by_name() {
    let error = Rate::new(0.0, 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "limit: rate is 0.0, but has to be from 0.001 to 1e12 per second"
    );
    let error = Rate::new(1.0, 0).unwrap_err().to_string();
    assert_eq!(
        error,
        "limit: burst is 0, but has to be from 1 to 1000000000000"
    );
}

proptest! {
    /// However items come, at most the burst and the rate's share have passed by any moment, and
    /// the last of them passes exactly when its share is there.
    #[test]
    fn a_bucket_keeps_its_average(
        items in proptest::collection::vec((0..2_000_u64, 1..500_u64), 1..100),
        rate in 1..1_000_u64,
        burst in 1..300_u64,
    ) {
        let start = Instant::now();
        let mut rows = bucket(rate as f64, burst, start);
        // The model: thousandths of a token, one millisecond after the other.
        let (mut level, cap) = ((burst * 1_000) as i64, (burst * 1_000) as i64);
        let mut clock = 0;
        for (wait, amount) in items {
            for _ in 0..wait {
                level = (level + rate as i64).min(cap);
            }
            clock += wait;
            let wait = rows.reserve(start + MS * clock as u32, amount);
            level -= (amount * 1_000) as i64;
            let missing = level.min(0).unsigned_abs();
            let exact = missing as f64 / 1_000.0 / rate as f64;
            prop_assert!((wait.as_secs_f64() - exact).abs() < 1e-6, "{wait:?} for {exact} s");
        }
    }
}

/// `count` writes at once, each of which takes so long and ends like that.
fn round(gate: &mut Concurrency, now: &mut Instant, count: u32, takes: Duration, load: Load) {
    let slots: Vec<Slot> = (0..count).map_while(|_| gate.begin(*now)).collect();
    *now += takes;
    for slot in slots {
        gate.end(*now, slot, load);
    }
}

#[test]
fn concurrency_grows_by_one_per_round_while_it_is_used() {
    let mut now = Instant::now();
    let mut gate = Concurrency::new(ConcurrencySpec::adaptive(2, 8)).unwrap();
    // Additive: a round is as many answers as the limit.
    let mut limits = vec![gate.limit()];
    for _ in 0..20 {
        let limit = gate.limit();
        round(&mut gate, &mut now, limit, MS, Load::Answered);
        limits.push(gate.limit());
    }
    assert!(
        limits
            .windows(2)
            .all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1)
    );
    assert_eq!(gate.limit(), 8);
    // One at a time says nothing about eight: the limit stays where it is.
    let mut idle = Concurrency::new(ConcurrencySpec::adaptive(4, 8)).unwrap();
    for _ in 0..100 {
        round(&mut idle, &mut now, 1, MS, Load::Answered);
    }
    assert_eq!(idle.limit(), 4);
}

#[test]
fn overload_lowers_the_limit_once_per_round_and_never_below_the_least() {
    let mut now = Instant::now();
    let spec = ConcurrencySpec::adaptive(1, 16)
        .decrease(0.5)
        .slow_call(SECOND);
    let mut gate = Concurrency::new(spec).unwrap();
    for _ in 0..200 {
        let limit = gate.limit();
        round(&mut gate, &mut now, limit, MS, Load::Answered);
    }
    assert_eq!(gate.limit(), 16);
    // Sixteen failures of one round are one sign.
    round(&mut gate, &mut now, 16, MS, Load::Overloaded);
    assert_eq!(gate.limit(), 8);
    // Slow answers are a sign as well.
    now += MS;
    round(&mut gate, &mut now, 8, SECOND, Load::Answered);
    assert_eq!(gate.limit(), 4);
    for _ in 0..10 {
        now += MS;
        round(&mut gate, &mut now, 1, MS, Load::Overloaded);
    }
    assert_eq!(gate.limit(), 1);
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn a_write_that_says_nothing_only_gives_its_slot_back() {
    let mut now = Instant::now();
    let mut gate = Concurrency::new(ConcurrencySpec::fixed(3)).unwrap();
    for _ in 0..100 {
        round(&mut gate, &mut now, 5, SECOND, Load::Unknown);
        assert_eq!((gate.in_flight(), gate.limit()), (0, 3));
    }
    let slots: Vec<Slot> = (0..3).map_while(|_| gate.begin(now)).collect();
    assert_eq!(slots.len(), 3);
    assert!(gate.begin(now).is_none());
}

#[test]
fn concurrency_that_cannot_be_is_refused_by_name() {
    let check = |spec, expected: &str| {
        assert_eq!(Concurrency::new(spec).unwrap_err().to_string(), expected);
    };
    let expected = "limit: concurrency is 0, but has to be from 1 to 100000";
    check(ConcurrencySpec::fixed(0), expected);
    let expected = "limit: concurrency_max is 2, but has to be from the least one to 100000";
    check(ConcurrencySpec::adaptive(3, 2), expected);
    let expected = "limit: decrease is 1.0, but has to be above 0, below 1";
    check(ConcurrencySpec::fixed(1).decrease(1.0), expected);
}
