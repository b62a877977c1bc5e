//! Properties of the adaptive size under any load and any history.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{
    Adaptive, AdaptiveSpec, Decision, FlushPolicy, Flushed, Load, Outcome, Remainder,
};
use proptest::prelude::*;
use sim::{Arrival, Cost, Sink, simulate};

const TARGET_MS: u64 = 50;

/// The end of a flush.
#[derive(Debug, Clone, Copy)]
struct End {
    outcome: Outcome,
    items: usize,
    took_us: u64,
    left: usize,
}

fn end() -> impl Strategy<Value = End> {
    let outcome = prop_oneof![4 => Just(Outcome::Delivered), 1 => Just(Outcome::Failed)];
    let took_us = prop_oneof![1 => Just(0), 4 => 0..TARGET_MS * 3_000];
    (outcome, 0..120_usize, took_us, 0..200_usize).prop_map(|(outcome, items, took_us, left)| End {
        outcome,
        items,
        took_us,
        left,
    })
}

/// A range, and its base.
fn range() -> impl Strategy<Value = (usize, usize, usize)> {
    (1..40_usize, 0..400_usize, 0..400_usize)
        .prop_map(|(min, more, above)| (min, min + more, min + above.min(more)))
}

fn policy((size_min, size_max, base): (usize, usize, usize)) -> Adaptive {
    let spec = AdaptiveSpec::new().sizes(size_min, size_max).base(base);
    Adaptive::new(spec.write_target(Duration::from_millis(TARGET_MS))).unwrap()
}

/// Lets flushes end one after the other; returns when the last has.
fn live(policy: &mut Adaptive, mut now: Instant, ends: &[End]) -> Instant {
    for end in ends {
        let took = Duration::from_micros(end.took_us);
        now += took;
        let left = Remainder::new(end.left, 0, now);
        let flushed = match end.outcome {
            Outcome::Delivered => Flushed::delivered(left),
            Outcome::Failed => Flushed::failed(left),
        };
        let _ = policy.on_flushed(now, flushed.wrote(end.items, took));
    }
    now
}

proptest! {
    #[test]
    fn size_never_leaves_its_range(
        range in range(),
        ends in prop::collection::vec(end(), 0..300),
    ) {
        let mut policy = policy(range);
        let mut now = Instant::now();
        for end in ends {
            prop_assert!((range.0..=range.1).contains(&policy.size()));
            now = live(&mut policy, now, &[end]);
        }
    }

    #[test]
    fn constant_load_does_not_keep_it_moving(
        range in range(),
        gap_us in 100..20_000_u64,
        fixed_us in 0..80_000_u64,
        per_item_us in 0..8_000_u64,
    ) {
        let mut policy = policy(range);
        let sink = Sink::costing(Cost::us(fixed_us, per_item_us));
        let arrivals = vec![Arrival::after(Duration::from_micros(gap_us)); 6_000];
        let run = simulate(&mut policy, Instant::now(), &arrivals, &sink);
        prop_assert_eq!(run.left, 0);
        // Only while the load lasts: the end of it is a change.
        let end = run.attempts[0].at + arrivals[0].gap * 5_900;
        let during = run.attempts.iter().filter(|attempt| attempt.at < end);
        let sizes: Vec<_> = during.filter_map(|attempt| attempt.batch_items).collect();
        // A wrong step costs two turns. There are at most six before the evidence for one, in
        // either direction, has doubled to its limit; then 64 writes lie between two of them.
        let turns = turns(&sizes);
        prop_assert!(turns <= 24 + sizes.len() / 30, "{} turns in {:?}", turns, sizes);
    }

    #[test]
    fn burst_of_any_kind_leaves_it_at_its_base_again(
        range in range(),
        ends in prop::collection::vec(end(), 0..300),
    ) {
        let mut policy = policy(range);
        let mut now = live(&mut policy, Instant::now(), &ends);
        // Little traffic, and a sink that has time for it.
        let calm = End { outcome: Outcome::Delivered, items: 1, took_us: 100, left: 0 };
        now = live(&mut policy, now, &[calm; 1_500]);
        prop_assert_eq!(policy.size(), range.2);
        // And it stays there.
        live(&mut policy, now, &[calm; 100]);
        prop_assert_eq!(policy.size(), range.2);
    }

    #[test]
    fn quiet_hour_after_anything_leaves_it_at_its_base_again(
        range in range(),
        ends in prop::collection::vec(end(), 0..300),
        poke in any::<bool>(),
    ) {
        let mut policy = policy(range);
        let last = End { outcome: Outcome::Delivered, items: 1, took_us: 1, left: 0 };
        let mut now = live(&mut policy, Instant::now(), &ends);
        now = live(&mut policy, now, &[last]) + Duration::from_secs(3_600);
        if poke {
            prop_assert_eq!(policy.on_deadline(now), Decision::Wait);
        } else {
            let _ = policy.on_push(now, Load::new(1, 0));
        }
        prop_assert_eq!(policy.size(), range.2);
        // Nothing of what was is remembered: it goes on as a new one would.
        let mut new = self::policy(range);
        let _ = new.on_push(now, Load::new(1, 0));
        for end in ends {
            live(&mut policy, now, &[end]);
            live(&mut new, now, &[end]);
            prop_assert_eq!(policy.size(), new.size());
        }
    }
}

/// How often the size turned from going up to going down, or back.
fn turns(sizes: &[usize]) -> usize {
    let steps = sizes.windows(2).map(|pair| pair[1].cmp(&pair[0]));
    let moves: Vec<_> = steps.filter(|step| step.is_ne()).collect();
    moves.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
