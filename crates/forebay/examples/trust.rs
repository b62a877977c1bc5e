//! A million predictions of ten thousand rules, merged on their way into the tracker of trust.
//!
//! `cargo run --release -p forebay --example trust`. Each prediction was right or wrong and has a
//! weight. They go through a coalescer that a flush policy empties at 100 updates, or 5 s after the
//! last flush (the preset `aggregation`), and the tracker is called once per flush. The time is
//! simulated; now and then nothing happens for a while. In the end a plain map that was told of
//! each prediction has to agree with the tracker to the last bit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use forebay::coalesce::{
    Added, Coalescer, Evidence, Key, SuccessFailure, TakeReason, WhenFull, Writer,
};
use forebay::flush_policy::{
    Decision, FlushPolicy, FlushSpec, Flushed, Load, Preset, Reason, Remainder,
};
use forebay::trust::{Interval, Outcome, TrustTracker, Weights};

const PREDICTIONS: u64 = 1_000_000;
const RULES: u64 = 10_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut feed = Feed::new()?;
    let mut draw = Draw(1);
    let mut plain: HashMap<u64, (f64, f64)> = HashMap::new();
    for number in 0..PREDICTIONS {
        // A few rules are asked often, most of them now and then.
        let rule = (draw.share().powi(8) * RULES as f64) as u64;
        let is_right = draw.share() < skill(rule);
        // Quarters add up exactly, in any order.
        let weight = (1 + draw.next() % 8) as f64 / 4.0;
        let sums = plain.entry(rule).or_default();
        *(if is_right { &mut sums.0 } else { &mut sums.1 }) += weight;
        feed.add(rule, Outcome::from(is_right), weight)?;
        if number % 5_037 == 1_234 {
            feed.pause(Duration::from_secs(7))?;
        }
    }
    feed.flush(Reason::Shutdown)?;
    show(&feed);
    check(&feed, &plain);
    Ok(())
}

/// How often a rule is right.
fn skill(rule: u64) -> f64 {
    0.5 + 0.49 * (rule % 100) as f64 / 99.0
}

/// What stands between the predictions and the tracker.
struct Feed {
    buffer: Coalescer<Key, SuccessFailure>,
    writer: Writer<Key, SuccessFailure>,
    policy: Box<dyn FlushPolicy>,
    tracker: TrustTracker<String>,
    now: Instant,
    /// Calls of the tracker, and what they brought: each key counts once per outcome.
    calls: u64,
    updates: u64,
    /// Calls because time was up.
    by_time: u64,
}

impl Feed {
    fn new() -> Result<Self, Failure> {
        let builder = Coalescer::builder(SuccessFailure);
        let buffer = builder
            .updates_max(1_000, WhenFull::Reject)
            .flush_at(None)
            .build()?;
        Ok(Self {
            writer: buffer.writer(),
            buffer,
            policy: FlushSpec::from(Preset::Aggregation).build()?,
            tracker: TrustTracker::new(),
            now: Instant::now(),
            calls: 0,
            updates: 0,
            by_time: 0,
        })
    }

    fn add(&mut self, rule: u64, outcome: Outcome, weight: f64) -> Result<(), Failure> {
        let evidence = match outcome {
            Outcome::Success => Evidence::Success(weight),
            Outcome::Failure => Evidence::Failure(weight),
        };
        let key = format!("rule {rule:04}");
        let added = self.writer.add_str(&key, evidence);
        match added.map_err(|error| error.to_string())? {
            // The policy below decides when to flush.
            Added::Buffered | Added::FlushDue => {}
            Added::Flushed(_) => return Err("this buffer has no cap that flushes".into()),
        }
        self.now += Duration::from_micros(200);
        match self.policy.on_push(self.now, Load::new(1, 0)) {
            Decision::Flush(reason) => self.flush(reason),
            Decision::Wait => Ok(()),
        }
    }

    /// Nothing comes for so long; the policy's deadline does.
    fn pause(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = self.now + duration;
        if let Some(due) = self.policy.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            if let Decision::Flush(reason) = self.policy.on_deadline(self.now) {
                self.by_time += 1;
                self.flush(reason)?;
            }
        }
        self.now = end;
        Ok(())
    }

    fn flush(&mut self, reason: Reason) -> Result<(), Failure> {
        let batch = self.buffer.take_for(match reason {
            Reason::Shutdown => TakeReason::Manual,
            Reason::Size => TakeReason::Size,
            _ => TakeReason::Interval,
        });
        let entries = batch.entries().iter();
        let weights = entries.clone().map(|entry| {
            let (success, failure) = (
                entry.partial.success_weight(),
                entry.partial.failure_weight(),
            );
            (entry.key.as_str(), Weights { success, failure })
        });
        if let Err(error) = self.tracker.batch_add(weights) {
            self.buffer.restore(batch);
            return Err(error.into());
        }
        self.calls += 1;
        let sides = entries.map(|entry| {
            let (won, lost) = (
                entry.partial.success_weight(),
                entry.partial.failure_weight(),
            );
            u64::from(won > 0.0) + u64::from(lost > 0.0)
        });
        self.updates += sides.sum::<u64>();
        let _ = self
            .policy
            .on_flushed(self.now, Flushed::delivered(Remainder::EMPTY));
        Ok(())
    }
}

fn show(feed: &Feed) {
    println!(
        "{:>10} {:>7} {:>9} {:>18} {:>18}",
        "", "trust", "evidence", "95 %", "normal"
    );
    for rule in [0, 1, 55, 99, 4_000, 9_999] {
        let trust = feed.tracker.posterior(format!("rule {rule:04}").as_str());
        let ends = |interval| match trust.interval(interval, 0.95) {
            Ok(range) => format!("{:.4} to {:.4}", range.lower, range.upper),
            Err(error) => error.to_string(),
        };
        println!(
            "rule {rule:>5} {:>7.4} {:>9.2} {:>18} {:>18}",
            trust.mean(),
            trust.sample_size(),
            ends(Interval::Quantile),
            ends(Interval::Normal)
        );
    }
    println!(
        "{PREDICTIONS} predictions of {} rules became {} calls of the tracker, {} of them because \
         time was up, with {} updates: {} calls and {} updates were saved",
        feed.tracker.len(),
        feed.calls,
        feed.by_time,
        feed.updates,
        PREDICTIONS - feed.calls,
        PREDICTIONS - feed.updates
    );
}

/// The tracker knows what the plain map knows.
fn check(feed: &Feed, plain: &HashMap<u64, (f64, f64)>) {
    assert_eq!(feed.tracker.len(), plain.len());
    let mut held = 0;
    for (rule, (success, failure)) in plain {
        let trust = feed.tracker.posterior(format!("rule {rule:04}").as_str());
        assert_eq!(trust.alpha(), 1.0 + success, "rule {rule}");
        assert_eq!(trust.beta(), 1.0 + failure, "rule {rule}");
        let range = trust.interval(Interval::Quantile, 0.95);
        let range = range.expect("0.95 is a level");
        held += usize::from((range.lower..=range.upper).contains(&skill(*rule)));
    }
    let share = held as f64 / plain.len() as f64;
    println!(
        "{:.1} % of the intervals hold the skill that was simulated",
        100.0 * share
    );
    assert!((0.85..0.99).contains(&share), "of intervals of 95 %");
    let stats = feed.buffer.stats();
    assert_eq!(stats.updates_flushed, PREDICTIONS);
    assert_eq!(stats.current_buffer_size, 0);
    assert!(feed.calls < PREDICTIONS / 90 && feed.updates < PREDICTIONS);
    assert!(feed.by_time > 0, "pauses are longer than 5 s");
}

/// Numbers that are the same in each run (Steele and others, `SplitMix64`).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
