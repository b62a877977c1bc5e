//! What arrives when, at which sink, and the policies that are compared.
//!
//! Everything comes from a seed and integer arithmetic, but for the logarithm of the Poisson
//! gaps, so a run is the same everywhere.

use std::time::Duration;

use flush_policy::{AdaptiveSpec, FlushSpec, JitterSpec, Preset};

use crate::sim::{Arrival, Cost, Sink};

/// Arrivals and the sink that they go to.
pub(crate) struct Pattern {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) sink: Sink,
}

/// A policy under the name that the table shows.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) spec: FlushSpec,
}

/// Most items that a driver takes at once if the policy does not say.
const BATCH_MAX: usize = 500;

/// The patterns under which the adaptive size has something to follow.
pub(crate) const SIZES_SHOWN: &[&str] = &["bursts", "ramp", "slow sink"];

fn usual_sink() -> Sink {
    Sink {
        batch_max: BATCH_MAX,
        ..Sink::costing(Cost::us(5_000, 100))
    }
}

/// From 20 s to 40 s each item costs it much.
fn slow_sink() -> Sink {
    let (usual, slow) = (Cost::us(5_000, 100), Cost::us(10_000, 8_000));
    let costs = [(0, usual), (20, slow), (40, usual)];
    Sink {
        costs: costs
            .map(|(s, cost)| (Duration::from_secs(s), cost))
            .to_vec(),
        ..usual_sink()
    }
}

/// The patterns, in the order of the table.
pub(crate) fn patterns(seed: u64) -> Vec<Pattern> {
    let pattern = |name, about, gaps_us: Vec<u64>, sink| Pattern {
        name,
        about,
        arrivals: gaps_us
            .into_iter()
            .map(|gap_us| Arrival::after(Duration::from_micros(gap_us)))
            .collect(),
        sink,
    };
    let usual = usual_sink;
    vec![
        pattern(
            "steady",
            "200 items/s for 30 s",
            vec![5_000; 6_000],
            usual(),
        ),
        pattern(
            "trickle",
            "an item every 0.7 s",
            vec![700_000; 200],
            usual(),
        ),
        pattern(
            "bursts",
            "30 items/s, and 300 more in 30 ms every 3 s",
            bursts(10, 300, 90),
            usual(),
        ),
        pattern("poisson", "200 items/s at random", poisson(seed), usual()),
        pattern(
            "on/off",
            "4 s of 1,500 items/s, then a quiet hour",
            on_off(),
            usual(),
        ),
        pattern(
            "ramp",
            "10 to 3,000 items/s and back in 20 s",
            ramp(),
            usual(),
        ),
        pattern(
            "slow sink",
            "30 items/s, and 60 more every 1.5 s; from 20 s to 40 s writes take 8 ms per item",
            bursts(40, 60, 45),
            slow_sink(),
        ),
    ]
}

/// The policies, in the order of the table.
pub(crate) fn contenders() -> Vec<Contender> {
    let ms = Duration::from_millis;
    let contender = |name, spec| Contender { name, spec };
    vec![
        contender("each at once", FlushSpec::new().size(1)),
        contender(
            "size 20 or age 500 ms",
            FlushSpec::new().size(20).age(ms(500)),
        ),
        contender("preset low-latency", FlushSpec::from(Preset::LowLatency)),
        contender("interval 500 ms", FlushSpec::new().interval(ms(500))),
        contender("age 50 ms", FlushSpec::new().age(ms(50))),
        contender(
            "age 50 ms, jitter 20 %",
            FlushSpec::new().age(ms(50)).jitter(JitterSpec::new(20, 1)),
        ),
        contender(
            "adaptive 1 to 50",
            FlushSpec::new().adaptive(AdaptiveSpec::new()),
        ),
    ]
}

/// `items` at once, then `between` of them one by one, again and again.
fn bursts(count: usize, items: usize, between: usize) -> Vec<u64> {
    let burst = |_| std::iter::repeat_n(100, items).chain(std::iter::repeat_n(33_333, between));
    (0..count).flat_map(burst).collect()
}

/// Gaps of an exponential distribution, by the inversion of uniform numbers.
fn poisson(seed: u64) -> Vec<u64> {
    let mut state = seed;
    let gap_us = |_| {
        // The multiplier and increment are those of Knuth's MMIX.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        (-uniform.ln() * 5_000.0) as u64
    };
    (0..6_000).map(gap_us).collect()
}

fn on_off() -> Vec<u64> {
    let on = |_| std::iter::once(3_600_000_000).chain(std::iter::repeat_n(667, 5_999));
    (0..4).flat_map(on).collect()
}

/// The rate goes up and down in a straight line.
fn ramp() -> Vec<u64> {
    const HALF_US: u64 = 10_000_000;
    let mut gaps_us = Vec::new();
    let mut at_us = 0;
    while at_us < 2 * HALF_US {
        let distance_us = at_us.abs_diff(HALF_US);
        let rate_per_s = 10 + 2_990 * (HALF_US - distance_us) / HALF_US;
        let gap_us = 1_000_000 / rate_per_s;
        gaps_us.push(gap_us);
        at_us += gap_us;
    }
    gaps_us
}
