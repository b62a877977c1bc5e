//! Properties that hold under any pattern of arrivals, reports, batch sizes and failures.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{Decision, FlushPolicy, FlushSpec, Flushed, Load, Reason, Remainder, all_of};
use proptest::prelude::*;
use sim::{Arrival, Sink, run};

const AGE_MS_MAX: u64 = 2_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Bursts, trickles and quiet hours.
fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
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

fn spec() -> impl Strategy<Value = FlushSpec> {
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

proptest! {
    #[test]
    fn law_5_no_update_waits_longer_than_its_age(
        arrivals in arrivals(),
        spec in spec(),
        age_ms in 1..AGE_MS_MAX,
        batch_max in 1..30_usize,
    ) {
        let mut policy = spec.age(ms(age_ms)).build().unwrap();
        let sink = Sink { batch_max, ..Sink::perfect() };
        let (attempts, left) = run(policy.as_mut(), Instant::now(), &arrivals, &sink);
        prop_assert_eq!(left, 0);
        prop_assert_eq!(attempts.iter().map(|a| a.items).sum::<usize>(), arrivals.len());
        // What is reported late can be flushed at its report at the earliest.
        let late = arrivals.iter().map(|a| a.reported_late).max().unwrap_or_default();
        let bound = ms(age_ms).max(late);
        for attempt in attempts {
            prop_assert!(attempt.waited <= bound, "{:?} beyond {:?}", attempt, bound);
        }
    }

    #[test]
    fn what_is_flushed_for_a_reason_satisfies_it(arrivals in arrivals(), spec in spec()) {
        let mut policy = spec.build().unwrap();
        let (attempts, _) = run(policy.as_mut(), Instant::now(), &arrivals, &Sink::perfect());
        for attempt in attempts {
            match attempt.reason {
                Reason::Size => prop_assert!(attempt.items >= spec.items_min().unwrap()),
                Reason::Age => prop_assert!(attempt.waited >= spec.age_max().unwrap()),
                Reason::Bytes | Reason::Interval => {}
                other => prop_assert!(false, "no policy here flushes for {}", other),
            }
        }
    }

    #[test]
    fn law_5_failures_only_delay(
        arrivals in arrivals(),
        spec in spec(),
        age_ms in 1..AGE_MS_MAX,
        mut delivers in prop::collection::vec(any::<bool>(), 0..6),
        retry_ms in 1..500_u64,
    ) {
        delivers.push(true);
        let mut policy = spec.age(ms(age_ms)).build().unwrap();
        let sink = Sink { batch_max: 10, delivers, retry_delay: ms(retry_ms), ..Sink::perfect() };
        let (attempts, left) = run(policy.as_mut(), Instant::now(), &arrivals, &sink);
        prop_assert_eq!(left, 0, "a failure stopped the next flush");
        for pair in attempts.windows(2) {
            if !pair[0].delivered {
                prop_assert_eq!(pair[1].at - pair[0].at, ms(retry_ms));
            }
        }
    }

    #[test]
    fn early_repeated_and_backward_calls_change_nothing(
        gaps in prop::collection::vec((0..3_000_u64, 0..3_000_u64), 1..60),
        spec in spec(),
    ) {
        let start = Instant::now() + ms(10_000);
        let mut calm = spec.build().unwrap();
        let mut poked = spec.build().unwrap();
        let mut now = start;
        for (gap, poke) in gaps {
            // Early, repeated and backward calls, up to the time of the next event.
            let from = now;
            now += ms(gap);
            let early = (from + ms(poke)).min(now);
            let answers = [early, early, start - ms(poke), from]
                .map(|time| poked.on_deadline(time));
            if calm.next_deadline().is_none_or(|deadline| deadline > early) {
                prop_assert_eq!(answers, [Decision::Wait; 4]);
            }
            prop_assert_eq!(poked.on_push(start, Load::new(0, 0)), answers[3]);
            let decision = calm.on_push(now, Load::new(1, 5));
            prop_assert_eq!(poked.on_push(now, Load::new(1, 5)), decision);
            prop_assert_eq!(
                poked.next_deadline().map(|at| at.max(now)),
                calm.next_deadline().map(|at| at.max(now))
            );
            if decision.is_flush() {
                let done = Flushed::delivered(Remainder::EMPTY);
                prop_assert_eq!(calm.on_flushed(now, done), Decision::Wait);
                prop_assert_eq!(poked.on_flushed(now, done), Decision::Wait);
            }
        }
    }

    #[test]
    fn empty_buffer_never_flushes(
        spec in spec(),
        times in prop::collection::vec(0..7_200_000_u64, 1..40),
    ) {
        let start = Instant::now();
        for mut policy in [
            spec.build().unwrap(),
            all_of([spec.build().unwrap(), spec.build().unwrap()]).unwrap().boxed(),
        ] {
            for &time in &times {
                let now = start + ms(time);
                prop_assert_eq!(policy.on_deadline(now), Decision::Wait);
                prop_assert_eq!(policy.on_push(now, Load::new(0, 1_000)), Decision::Wait);
                let done = Flushed::delivered(Remainder::new(0, 7, start));
                prop_assert_eq!(policy.on_flushed(now, done), Decision::Wait);
                prop_assert_eq!(policy.next_deadline(), None);
            }
        }
    }

    #[test]
    fn all_of_is_never_due_before_each_of_its_parts(
        arrivals in arrivals(),
        items in 1..10_usize,
        age_ms in 1..AGE_MS_MAX,
    ) {
        let parts = [
            FlushSpec::new().size(items).build().unwrap(),
            FlushSpec::new().age(ms(age_ms)).build().unwrap(),
        ];
        let mut policy = all_of(parts).unwrap();
        let (attempts, left) = run(&mut policy, Instant::now(), &arrivals, &Sink::perfect());
        prop_assert!(left < items, "enough items stayed though they grew old");
        for attempt in attempts {
            prop_assert!(attempt.items >= items && attempt.waited >= ms(age_ms));
        }
    }
}
