//! Specifications, arrivals and sinks of every kind, for property tests.

#![allow(
    dead_code,
    reason = "each of the tests that include this uses a part of it"
)]

use std::time::Duration;

use flush_policy::{AdaptiveSpec, FlushSpec, JitterSpec};
use proptest::prelude::*;

use crate::sim::{Arrival, Cost, Sink};

pub(crate) const AGE_MS_MAX: u64 = 2_000;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Bursts, trickles and quiet hours.
pub(crate) fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let gap = prop_oneof![
        4 => Just(0),
        4 => 0..100_u64,
        2 => 100..AGE_MS_MAX * 2,
        1 => 3_600_000..7_200_000_u64,
    ];
    let late = prop_oneof![3 => Just(0), 1 => 0..AGE_MS_MAX / 2];
    let arrival = (gap, 0..50_usize, late).prop_map(|(gap, bytes, late)| Arrival {
        bytes,
        reported_late: ms(late),
        ..Arrival::after_ms(gap)
    });
    prop::collection::vec(arrival, 0..120)
}

/// The longest that an item is reported after its arrival.
pub(crate) fn latest_report(arrivals: &[Arrival]) -> Duration {
    let late = arrivals.iter().map(|arrival| arrival.reported_late);
    late.max().unwrap_or_default()
}

/// Size, bytes, age and interval, each or not.
pub(crate) fn plain_spec() -> impl Strategy<Value = FlushSpec> {
    (
        prop::option::of(1..20_usize),
        prop::option::of(1..200_usize),
        prop::option::of(1..AGE_MS_MAX),
        prop::option::of(1..AGE_MS_MAX),
    )
        .prop_map(|(size, bytes, age, interval)| {
            FlushSpec::new()
                .size(size)
                .bytes(bytes)
                .age(age.map(ms))
                .interval(interval.map(ms))
        })
}

fn adaptive() -> impl Strategy<Value = AdaptiveSpec> {
    (1..10_usize, 0..40_usize, 1..AGE_MS_MAX, 1..100_u64).prop_map(
        |(size_min, more, wait_ms, target_ms)| {
            AdaptiveSpec::new()
                .sizes(size_min, size_min + more)
                .wait(ms(wait_ms))
                .write_target(ms(target_ms))
                .quiet(ms(1_000))
        },
    )
}

/// Every combination that a specification can describe.
pub(crate) fn any_spec() -> impl Strategy<Value = FlushSpec> {
    let jitter = (1..=100_u8, any::<u64>()).prop_map(|(pct, seed)| JitterSpec::new(pct, seed));
    let (adaptive, jitter) = (prop::option::of(adaptive()), prop::option::of(jitter));
    (plain_spec(), adaptive, jitter)
        .prop_map(|(spec, adaptive, jitter)| spec.adaptive(adaptive).jitter(jitter))
}

/// A specification with an age, in itself or by being adaptive.
pub(crate) fn spec_with_age() -> impl Strategy<Value = FlushSpec> {
    (any_spec(), 1..AGE_MS_MAX).prop_map(|(spec, age_ms)| match spec.age_max() {
        Some(_) => spec,
        None => spec.age(ms(age_ms)),
    })
}

/// Sinks whose writes take time, and some of which fail.
pub(crate) fn sink() -> impl Strategy<Value = Sink> {
    let outcomes = prop::collection::vec(any::<bool>(), 0..6);
    (
        1..30_usize,
        outcomes,
        0..500_u64,
        0..50_000_u64,
        0..5_000_u64,
    )
        .prop_map(
            |(batch_max, mut delivers, retry_ms, fixed_us, per_item_us)| {
                delivers.push(true);
                Sink {
                    batch_max,
                    delivers,
                    retry_delay: ms(retry_ms),
                    ..Sink::costing(Cost::us(fixed_us, per_item_us))
                }
            },
        )
}
