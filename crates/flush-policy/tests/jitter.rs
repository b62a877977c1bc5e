//! Spreading flushes: only ever earlier, and the same for the same seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{
    Age, Decision, FlushPolicy, FlushSpec, Flushed, Interval, Jitter, JitterSpec, Load, Manual,
    Reason, Remainder, Size, all_of, any_of,
};
use sim::{Arrival, Sink, run};

const S: Duration = Duration::from_secs(1);

fn age(age_s: u32) -> Box<dyn FlushPolicy> {
    Age::new(S * age_s).unwrap().boxed()
}

fn interval(interval_s: u32) -> Box<dyn FlushPolicy> {
    Interval::new(S * interval_s).unwrap().boxed()
}

fn spread(policy: Box<dyn FlushPolicy>, seed: u64) -> Jitter {
    Jitter::new(policy, JitterSpec::new(20, seed)).unwrap()
}

/// How long the first item waits.
fn first_wait(policy: &mut dyn FlushPolicy, start: Instant) -> Duration {
    assert_eq!(policy.on_push(start, Load::new(1, 0)), Decision::Wait);
    policy.next_deadline().unwrap() - start
}

#[test]
fn many_instances_do_not_flush_together_and_none_flushes_late() {
    let start = Instant::now();
    let mut tenths = [0; 10];
    for seed in 0..1_000 {
        let wait = first_wait(&mut spread(age(100), seed), start);
        assert!(wait <= 100 * S && wait > 80 * S, "{wait:?}");
        let tenth = (wait - 80 * S).as_nanos() * 10 / (20 * S).as_nanos();
        tenths[(tenth as usize).min(9)] += 1;
    }
    assert!(
        tenths.iter().all(|count| (60..=140).contains(count)),
        "{tenths:?}"
    );
}

#[test]
fn same_seed_makes_the_same_choices_and_another_seed_others() {
    let start = Instant::now();
    let arrivals = [Arrival::after_ms(1_700); 200];
    let trace = |seed| {
        run(
            &mut spread(age(5), seed),
            start,
            &arrivals,
            &Sink::perfect(),
        )
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
    // The choice differs from flush to flush too.
    let (attempts, _) = trace(7);
    assert_ne!(attempts[0].waited, attempts[1].waited);
}

#[test]
fn early_flush_has_the_reason_of_the_deadline() {
    let start = Instant::now();
    let size = || Size::new(9).unwrap().boxed();
    let both = |age_s, interval_s| any_of([age(age_s), interval(interval_s)]).unwrap().boxed();
    let all = all_of([interval(5), age(3)]).unwrap().boxed();
    for (policy, reason) in [
        (age(5), Reason::Age),
        (interval(5), Reason::Interval),
        (both(5, 3), Reason::Interval),
        (both(3, 5), Reason::Age),
        (
            any_of([size(), interval(5)]).unwrap().boxed(),
            Reason::Interval,
        ),
        (all, Reason::Interval),
    ] {
        let mut policy = spread(policy, 3);
        first_wait(&mut policy, start);
        let early = policy.next_deadline().unwrap();
        assert!(early < start + 5 * S);
        assert_eq!(policy.deadline_reason(), reason);
        assert_eq!(policy.on_deadline(early), Decision::Flush(reason));
    }
}

#[test]
fn what_is_due_at_once_is_not_delayed() {
    let start = Instant::now();
    let mut policy = spread(FlushSpec::new().size(3).age(5 * S).build().unwrap(), 1);
    let full = policy.on_push(start, Load::new(3, 0));
    assert_eq!(full, Decision::Flush(Reason::Size));
    assert!(policy.next_deadline().unwrap() <= start);
}

#[test]
fn failed_flush_stays_due_and_keeps_its_share() {
    let start = Instant::now();
    let mut policy = spread(age(5), 1);
    let wait = first_wait(&mut policy, start);
    let failed = Flushed::failed(Remainder::new(1, 0, start));
    // By hand, too early: the deadline stays where it is.
    assert_eq!(policy.on_flushed(start + S, failed), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + wait));
    let due = start + wait;
    assert_eq!(policy.on_deadline(due), Decision::Flush(Reason::Age));
    assert_eq!(policy.on_flushed(due, failed), Decision::Flush(Reason::Age));
    assert_eq!(policy.next_deadline(), Some(due));
}

#[test]
fn early_flush_does_not_move_the_clock_of_the_policy_inside() {
    let start = Instant::now();
    let mut policy = spread(age(100), 1);
    let wait = first_wait(&mut policy, start);
    let early = start + wait;
    assert_eq!(policy.on_deadline(early), Decision::Flush(Reason::Age));
    // An item that comes during the flush is as old as it is, not as young as the deadline.
    let _ = policy.on_push(early, Load::new(1, 0));
    let left = Flushed::delivered(Remainder::new(1, 0, early));
    assert_eq!(policy.on_flushed(early + S, left), Decision::Wait);
    let next = policy.next_deadline().unwrap();
    assert!(next <= early + 100 * S && next > early + 80 * S);
}

#[test]
fn share_is_taken_of_the_interval_however_old_the_remainder_is() {
    for seed in 0..20 {
        let start = Instant::now();
        let mut policy = spread(interval(60), seed);
        first_wait(&mut policy, start);
        let mut last = start;
        for _ in 0..20 {
            let due = policy.next_deadline().unwrap();
            let gap = due - last;
            assert!(gap <= 60 * S && gap >= 48 * S, "seed {seed}: {gap:?}");
            assert_eq!(policy.on_deadline(due), Decision::Flush(Reason::Interval));
            // Each flush leaves the first item behind, which keeps its arrival.
            let left = Flushed::delivered(Remainder::new(1, 0, start));
            assert_eq!(policy.on_flushed(due, left), Decision::Wait);
            last = due;
        }
    }
}

#[test]
fn nothing_to_bring_forward_is_left_as_it_is() {
    let start = Instant::now();
    let mut policy = spread(Manual.boxed(), 1);
    assert_eq!(policy.on_push(start, Load::new(5, 0)), Decision::Wait);
    assert_eq!(policy.next_deadline(), None);
    assert_eq!(policy.on_deadline(start + 100 * S), Decision::Wait);
}

#[test]
fn impossible_shares_name_field_value_and_limit() {
    for (share_pct, message) in [
        (0, "jitter.share_pct is 0, but must be at least 1"),
        (101, "jitter.share_pct is 101, but must be at most 100"),
    ] {
        let spec = JitterSpec::new(share_pct, 1);
        let error = FlushSpec::default().jitter(spec).build().unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(Jitter::new(Manual.boxed(), spec).unwrap_err(), error);
    }
    let start = Instant::now();
    for seed in 0..100 {
        let mut policy = Jitter::new(age(10), JitterSpec::new(100, seed)).unwrap();
        assert!(first_wait(&mut policy, start) <= 10 * S);
    }
}
