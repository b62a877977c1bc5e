//! Properties that hold under any pattern of arrivals, reports, batch sizes and failures.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod sim;
mod specs;

use std::time::Instant;

use flush_policy::{Decision, FlushPolicy, FlushSpec, Flushed, Load, Reason, Remainder, all_of};
use proptest::prelude::*;
use sim::{Sink, run, simulate};
use specs::{AGE_MS_MAX, any_spec, arrivals, ms, plain_spec, sink};

proptest! {
    #[test]
    fn same_inputs_give_the_same_decisions(
        arrivals in arrivals(),
        spec in any_spec(),
        sink in sink(),
    ) {
        let start = Instant::now();
        let once = || simulate(spec.build().unwrap().as_mut(), start, &arrivals, &sink);
        prop_assert_eq!(once(), once());
    }

    #[test]
    fn nothing_is_lost_whatever_the_policy(
        arrivals in arrivals(),
        spec in any_spec(),
        sink in sink(),
    ) {
        let mut policy = spec.build().unwrap();
        let run = simulate(policy.as_mut(), Instant::now(), &arrivals, &sink);
        prop_assert_eq!(run.waits.len() + run.left, arrivals.len());
    }

    #[test]
    fn what_is_flushed_for_a_reason_satisfies_it(
        arrivals in arrivals(),
        spec in plain_spec(),
    ) {
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
    fn early_repeated_and_backward_calls_change_nothing(
        gaps in prop::collection::vec((0..3_000_u64, 0..3_000_u64), 1..60),
        spec in any_spec(),
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
            prop_assert_eq!(poked.batch_items(), calm.batch_items());
            if decision.is_flush() {
                let done = Flushed::delivered(Remainder::EMPTY);
                prop_assert_eq!(calm.on_flushed(now, done), Decision::Wait);
                prop_assert_eq!(poked.on_flushed(now, done), Decision::Wait);
            }
        }
    }

    #[test]
    fn empty_buffer_never_flushes(
        spec in any_spec(),
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
