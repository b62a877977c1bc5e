//! One test for each fault that flush timers are known for, and for the laws of time.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{
    Age, Decision, FlushCounts, FlushPolicy, FlushSpec, Flushed, Interval, Load, Outcome, Reason,
    Remainder, Size,
};
use sim::{Arrival, Sink, run};

const S: Duration = Duration::from_secs(1);

fn age(age_s: u64) -> Age {
    Age::new(Duration::from_secs(age_s)).unwrap()
}

fn interval(interval_s: u64) -> Interval {
    Interval::new(Duration::from_secs(interval_s)).unwrap()
}

#[test]
fn law_4_time_comes_in() {
    // The decisions depend on the differences between the times given, and on nothing else.
    let arrivals = [3_000, 100, 9_000, 50, 50, 50, 4_900, 1].map(Arrival::after_ms);
    let trace = |start: Instant| {
        let mut policy = FlushSpec::new()
            .size(3)
            .age(5 * S)
            .interval(7 * S)
            .build()
            .unwrap();
        let (attempts, left) = run(policy.as_mut(), start, &arrivals, &Sink::perfect());
        assert_eq!(left, 0);
        attempts
            .into_iter()
            .map(|a| (a.at - start, a.reason, a.items))
            .collect::<Vec<_>>()
    };
    let now = Instant::now();
    assert_eq!(trace(now), trace(now + 86_400 * S));
}

#[test]
fn law_4_a_clock_that_jumps_back_is_clamped() {
    let start = Instant::now();
    let late = start + 100 * S;
    let mut policy = age(5);
    assert_eq!(policy.on_push(late, Load::new(1, 0)), Decision::Wait);
    assert_eq!(policy.on_push(start, Load::new(1, 0)), Decision::Wait);
    assert_eq!(policy.on_deadline(start), Decision::Wait);
    assert_eq!(
        policy.next_deadline(),
        Some(late + 5 * S),
        "the jump moved the deadline"
    );
    // Having been there once, the deadline stays reached.
    assert_eq!(
        policy.on_deadline(late + 5 * S),
        Decision::Flush(Reason::Age)
    );
    assert_eq!(policy.on_deadline(start), Decision::Flush(Reason::Age));
}

#[test]
fn law_4_an_arrival_in_the_future_is_clamped() {
    let start = Instant::now();
    let mut policy = age(5);
    let pushed = Load::new(1, 0).arrived_at(start + 3_600 * S);
    assert_eq!(policy.on_push(start, pushed), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));
    let left = Remainder::new(1, 0, start + 3_600 * S);
    assert_eq!(
        policy.on_flushed(start + S, Flushed::delivered(left)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 6 * S));
}

#[test]
fn law_5_timers_do_not_wait_for_arrivals() {
    // A remainder below the size, after which nothing ever arrives.
    for spec in [
        FlushSpec::new().size(100).age(5 * S),
        FlushSpec::new().size(100).interval(5 * S),
    ] {
        let mut policy = spec.build().unwrap();
        let start = Instant::now();
        let (attempts, left) = run(
            policy.as_mut(),
            start,
            &[Arrival::after_ms(0); 7],
            &Sink::perfect(),
        );
        assert_eq!(left, 0, "{spec:?} left an idle remainder");
        assert_eq!((attempts.len(), attempts[0].items), (1, 7));
        assert_eq!(attempts[0].at, start + 5 * S);
    }
}

#[test]
fn law_5_a_failed_flush_does_not_stop_the_next() {
    for spec in [
        FlushSpec::new().size(3),
        FlushSpec::new().bytes(3),
        FlushSpec::new().age(5 * S),
        FlushSpec::new().interval(5 * S),
        FlushSpec::new().size(3).age(5 * S),
    ] {
        let mut policy = spec.build().unwrap();
        let start = Instant::now();
        let sink = Sink {
            delivers: vec![false, false, true],
            retry_delay: S,
            ..Sink::perfect()
        };
        let (attempts, left) = run(policy.as_mut(), start, &[Arrival::after_ms(0); 3], &sink);
        assert_eq!(left, 0);
        assert_eq!(
            attempts.iter().map(|a| a.delivered).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(
            attempts[1].at - attempts[0].at,
            S,
            "{spec:?} did not try again in time"
        );
        assert_eq!(attempts[2].at - attempts[1].at, S);
    }
}

#[test]
fn a_failed_flush_keeps_the_deadline_armed() {
    let start = Instant::now();
    let mut policy = age(5);
    assert_eq!(policy.on_push(start, Load::new(2, 0)), Decision::Wait);
    // Somebody flushed by hand at 2 s and failed: the promise of 5 s holds all the same.
    let left = Remainder::new(2, 0, start);
    assert_eq!(
        policy.on_flushed(start + 2 * S, Flushed::failed(left)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));

    let mut policy = interval(5);
    assert_eq!(policy.on_push(start, Load::new(2, 0)), Decision::Wait);
    assert_eq!(
        policy.on_flushed(start + 2 * S, Flushed::failed(left)),
        Decision::Wait
    );
    assert_eq!(
        policy.next_deadline(),
        Some(start + 5 * S),
        "a failure restarted the interval"
    );
}

#[test]
fn failed_flush_is_not_counted_as_delivered() {
    let mut counts = FlushCounts::default();
    for outcome in [Outcome::Failed, Outcome::Failed, Outcome::Delivered] {
        counts.record(Reason::Age, outcome);
    }
    counts.record(Reason::Manual, Outcome::Delivered);
    assert_eq!(
        (
            counts.of(Reason::Age).delivered,
            counts.of(Reason::Age).failed
        ),
        (1, 2)
    );
    assert_eq!((counts.total().delivered, counts.total().failed), (2, 2));
    assert_eq!(counts.of(Reason::Size).attempted(), 0);
}

#[test]
fn trickle_does_not_postpone_the_flush() {
    // An item every second, an age of five: were the age that of the last item, none would go.
    let mut policy = age(5);
    let start = Instant::now();
    let arrivals = [Arrival::after_ms(1_000); 60];
    let (attempts, left) = run(&mut policy, start, &arrivals, &Sink::perfect());
    assert_eq!(left, 0);
    assert_eq!(attempts.len(), 10);
    assert!(
        attempts.iter().all(|a| a.waited == 5 * S && a.items == 6),
        "{attempts:?}"
    );
}

#[test]
fn first_item_after_a_quiet_hour_is_not_flushed_alone() {
    let start = Instant::now();
    let mut policy = interval(5);
    assert_eq!(policy.on_push(start, Load::new(1, 0)), Decision::Wait);
    assert_eq!(
        policy.on_deadline(start + 5 * S),
        Decision::Flush(Reason::Interval)
    );
    let done = Flushed::delivered(Remainder::EMPTY);
    assert_eq!(policy.on_flushed(start + 5 * S, done), Decision::Wait);

    let later = start + 3_600 * S;
    assert_eq!(
        policy.on_push(later, Load::new(1, 0)),
        Decision::Wait,
        "stale last flush"
    );
    assert_eq!(policy.next_deadline(), Some(later + 5 * S));
    // A second item joins it, and does not start the interval again.
    assert_eq!(
        policy.on_push(later + 4 * S, Load::new(1, 0)),
        Decision::Wait
    );
    assert_eq!(
        policy.on_deadline(later + 5 * S),
        Decision::Flush(Reason::Interval)
    );
}

#[test]
fn interval_counts_from_the_last_flush_while_busy() {
    let start = Instant::now();
    let mut policy = interval(5);
    let done = Flushed::delivered(Remainder::EMPTY);
    assert_eq!(policy.on_flushed(start, done), Decision::Wait);
    assert_eq!(
        policy.on_push(start + 3 * S, Load::new(1, 0)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));
}

#[test]
fn interval_skips_empty_flushes() {
    let start = Instant::now();
    let mut policy = interval(5);
    let done = Flushed::delivered(Remainder::EMPTY);
    assert_eq!(policy.on_flushed(start, done), Decision::Wait);
    assert_eq!(policy.next_deadline(), None);
    assert_eq!(policy.on_deadline(start + 60 * S), Decision::Wait);
}

#[test]
fn age_of_a_remainder_counts_from_its_own_arrival() {
    let start = Instant::now();
    let mut policy = age(10);
    assert_eq!(policy.on_push(start, Load::new(5, 0)), Decision::Wait);
    assert_eq!(
        policy.on_push(start + 4 * S, Load::new(5, 0)),
        Decision::Wait
    );
    // The first five went; the age of the others is neither 0 nor that of those five.
    let left = Remainder::new(5, 0, start + 4 * S);
    assert_eq!(
        policy.on_flushed(start + 9 * S, Flushed::delivered(left)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 14 * S));
}

#[test]
fn remainder_that_is_due_is_flushed_straight_away() {
    let start = Instant::now();
    let mut size = Size::new(10).unwrap();
    assert_eq!(
        size.on_push(start, Load::new(25, 0)),
        Decision::Flush(Reason::Size)
    );
    let left = Flushed::delivered(Remainder::new(15, 0, start));
    assert_eq!(
        size.on_flushed(start + S, left),
        Decision::Flush(Reason::Size)
    );
    assert_eq!(
        size.next_deadline(),
        Some(start + S),
        "due now, for a driver that only sleeps"
    );
    let left = Flushed::delivered(Remainder::new(5, 0, start));
    assert_eq!(size.on_flushed(start + 2 * S, left), Decision::Wait);
    assert_eq!(size.next_deadline(), None);

    let mut age = age(5);
    assert_eq!(age.on_push(start, Load::new(2, 0)), Decision::Wait);
    let left = Flushed::delivered(Remainder::new(1, 0, start));
    assert_eq!(
        age.on_flushed(start + 8 * S, left),
        Decision::Flush(Reason::Age)
    );
}

#[test]
fn item_that_is_reported_late_keeps_its_age() {
    let start = Instant::now();
    let mut policy = age(5);
    let pushed = Load::new(1, 0).arrived_at(start);
    assert_eq!(policy.on_push(start + 3 * S, pushed), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));
    let older = Load::new(1, 0).arrived_at(start - S);
    assert_eq!(
        policy.on_push(start + 4 * S, older),
        Decision::Flush(Reason::Age)
    );
}

#[test]
fn decision_that_was_lost_is_given_again() {
    let start = Instant::now();
    let mut policy = FlushSpec::new().size(2).age(5 * S).build().unwrap();
    assert_eq!(
        policy.on_push(start, Load::new(2, 0)),
        Decision::Flush(Reason::Size)
    );
    assert_eq!(policy.next_deadline(), Some(start));
    assert_eq!(policy.on_deadline(start + S), Decision::Flush(Reason::Size));
    assert_eq!(
        policy.on_flushed(start + S, Flushed::delivered(Remainder::EMPTY)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), None);
    assert_eq!(policy.on_deadline(start + S), Decision::Wait);
}

#[test]
fn a_short_wait_is_not_raised_to_a_floor() {
    let start = Instant::now();
    let mut policy = FlushSpec::new()
        .age(Duration::from_nanos(1))
        .build()
        .unwrap();
    assert_eq!(policy.on_push(start, Load::new(1, 0)), Decision::Wait);
    assert_eq!(
        policy.next_deadline(),
        Some(start + Duration::from_nanos(1))
    );
}
