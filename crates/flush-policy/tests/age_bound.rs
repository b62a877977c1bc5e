//! The promised age: no pattern of arrivals, no sink and no sequence of calls lengthens it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sim;
mod specs;

use std::time::{Duration, Instant};

use flush_policy::{FlushPolicy, Flushed, Load, Remainder, any_of};
use proptest::prelude::*;
use sim::{Arrival, Sink, run, simulate};
use specs::{arrivals, latest_report, ms, sink, spec_with_age};

proptest! {
    #[test]
    fn law_5_no_update_waits_longer_than_its_age(
        arrivals in arrivals(),
        spec in spec_with_age(),
        batch_max in 1..30_usize,
    ) {
        let mut policy = spec.build().unwrap();
        let sink = Sink { batch_max, ..Sink::perfect() };
        let run = simulate(policy.as_mut(), Instant::now(), &arrivals, &sink);
        prop_assert_eq!((run.left, run.waits.len()), (0, arrivals.len()));
        // What is reported late can be flushed at its report at the earliest.
        let bound = spec.age_max().unwrap().max(latest_report(&arrivals));
        for wait in run.waits {
            prop_assert!(wait <= bound, "{:?} beyond {:?}", wait, bound);
        }
    }

    #[test]
    fn law_5_no_slow_or_failed_write_makes_the_next_flush_start_late(
        arrivals in arrivals(),
        spec in spec_with_age(),
        sink in sink(),
    ) {
        let mut policy = spec.build().unwrap();
        let start = Instant::now();
        let run = simulate(policy.as_mut(), start, &arrivals, &sink);
        prop_assert_eq!((run.left, run.waits.len()), (0, arrivals.len()));
        let bound = spec.age_max().unwrap().max(latest_report(&arrivals));
        let mut free_at = start;
        for attempt in run.attempts {
            // An item may be older than its bound only because the write before was in its way.
            prop_assert!(
                attempt.waited <= bound || attempt.at == free_at,
                "{:?} beyond {:?}, free since {:?}", attempt, bound, free_at
            );
            let pause = if attempt.delivered { Duration::ZERO } else { sink.retry_delay };
            free_at = attempt.at + attempt.took + pause;
        }
    }

    #[test]
    fn law_5_failures_only_delay(
        arrivals in arrivals(),
        spec in spec_with_age(),
        mut delivers in prop::collection::vec(any::<bool>(), 0..6),
        retry_ms in 1..500_u64,
    ) {
        delivers.push(true);
        let mut policy = spec.build().unwrap();
        let retry_delay = ms(retry_ms);
        let sink = Sink { batch_max: 10, delivers, retry_delay, ..Sink::perfect() };
        let (attempts, left) = run(policy.as_mut(), Instant::now(), &arrivals, &sink);
        prop_assert_eq!(left, 0, "a failure stopped the next flush");
        for pair in attempts.windows(2) {
            if !pair[0].delivered {
                prop_assert_eq!(pair[1].at - pair[0].at, retry_delay);
            }
        }
    }

    #[test]
    fn trickle_does_not_postpone_any_age(spec in spec_with_age(), share_pct in 1..100_u32) {
        let age = spec.age_max().unwrap();
        let arrivals = [Arrival::after(age * share_pct / 100); 60];
        let mut policy = spec.build().unwrap();
        let start = Instant::now();
        let run = simulate(policy.as_mut(), start, &arrivals, &Sink::perfect());
        prop_assert_eq!(run.left, 0);
        prop_assert!(run.attempts[0].at <= start + arrivals[0].gap + age);
        prop_assert!(run.waits.iter().all(|&wait| wait <= age));
    }

    #[test]
    fn no_sequence_of_calls_lengthens_the_promised_age(
        spec in spec_with_age(),
        steps in prop::collection::vec((0..5_u8, 0..3_000_u64, 0..40_usize, 0..200_u64), 1..80),
    ) {
        let age = spec.age_max().unwrap();
        let mut policy = any_of([spec.build().unwrap()]).unwrap();
        let start = Instant::now() + ms(10_000);
        let (mut now, mut items, mut oldest) = (start, 0, None::<Instant>);
        for (call, ms_on, count, took_ms) in steps {
            // One call in five comes from a clock that jumped back.
            let told = if call == 4 { start - ms(ms_on) } else { now + ms(ms_on) };
            now = now.max(told);
            let _ = match call {
                0 => policy.on_deadline(told),
                1 => {
                    items -= count.min(items);
                    // What is left is younger than what went.
                    oldest = oldest.filter(|_| items > 0).map(|at| now.min(at + ms(took_ms)));
                    let left = oldest.map_or(Remainder::EMPTY, |at| Remainder::new(items, 9, at));
                    policy.on_flushed(told, Flushed::delivered(left).wrote(count, ms(took_ms)))
                }
                2 if items > 0 => {
                    let left = Remainder::new(items, 9, oldest.unwrap());
                    policy.on_flushed(told, Flushed::failed(left).wrote(count, ms(took_ms)))
                }
                _ => {
                    items += count;
                    if count > 0 {
                        oldest.get_or_insert(now);
                    }
                    policy.on_push(told, Load::new(count, 1))
                }
            };
            prop_assert_eq!(policy.next_deadline().is_some(), items > 0);
            if let (Some(deadline), Some(oldest)) = (policy.next_deadline(), oldest) {
                prop_assert!(deadline <= oldest + age, "{:?} late", deadline - oldest - age);
            }
        }
    }
}
