//! `any_of` and `all_of`, and what a specification turns into.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{
    Age, Bytes, Decision, FlushPolicy, FlushSpec, Flushed, Interval, Load, Manual, PolicyError,
    Preset, Reason, Remainder, Size, WAIT_MAX, all_of, any_of,
};
use sim::{Arrival, Sink, run};

const S: Duration = Duration::from_secs(1);

fn size(items: usize) -> Box<dyn FlushPolicy> {
    Size::new(items).unwrap().boxed()
}

fn age(age_s: u64) -> Box<dyn FlushPolicy> {
    Age::new(Duration::from_secs(age_s)).unwrap().boxed()
}

#[test]
fn any_of_flushes_for_the_first_that_is_due() {
    let start = Instant::now();
    let mut policy = any_of([size(3), Bytes::new(100).unwrap().boxed(), age(5)]).unwrap();
    assert_eq!(policy.on_push(start, Load::new(1, 10)), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));
    assert_eq!(
        policy.on_push(start + S, Load::new(1, 90)),
        Decision::Flush(Reason::Bytes)
    );
    assert_eq!(
        policy.on_push(start + S, Load::new(1, 0)),
        Decision::Flush(Reason::Size)
    );
    let left = Flushed::delivered(Remainder::new(1, 0, start));
    assert_eq!(policy.on_flushed(start + 2 * S, left), Decision::Wait);
    assert_eq!(
        policy.on_deadline(start + 5 * S),
        Decision::Flush(Reason::Age)
    );
}

#[test]
fn any_of_shows_every_call_to_every_part() {
    let start = Instant::now();
    let interval = Interval::new(5 * S).unwrap().boxed();
    let mut policy = any_of([size(2), interval]).unwrap();
    // The size decides, and the interval has to have seen the push all the same.
    assert_eq!(
        policy.on_push(start, Load::new(2, 0)),
        Decision::Flush(Reason::Size)
    );
    let left = Flushed::failed(Remainder::new(1, 0, start));
    assert_eq!(policy.on_flushed(start + S, left), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + 5 * S));
}

#[test]
fn all_of_flushes_when_the_last_is_due() {
    let start = Instant::now();
    let mut policy = all_of([size(2), age(5)]).unwrap();
    assert_eq!(policy.on_push(start, Load::new(1, 0)), Decision::Wait);
    assert_eq!(
        policy.next_deadline(),
        None,
        "time alone cannot make it due"
    );
    assert_eq!(policy.on_deadline(start + 6 * S), Decision::Wait);
    // The age is due, so the second item flushes both, and the size is the reason.
    assert_eq!(
        policy.on_push(start + 7 * S, Load::new(1, 0)),
        Decision::Flush(Reason::Size)
    );
    assert_eq!(policy.next_deadline(), Some(start + 7 * S));
    let done = Flushed::delivered(Remainder::EMPTY);
    assert_eq!(policy.on_flushed(start + 7 * S, done), Decision::Wait);

    assert_eq!(
        policy.on_push(start + 8 * S, Load::new(2, 0)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 13 * S));
    assert_eq!(
        policy.on_deadline(start + 13 * S),
        Decision::Flush(Reason::Age)
    );
}

#[test]
fn all_of_judges_a_remainder_afresh() {
    let start = Instant::now();
    let mut policy = all_of([size(2), age(5)]).unwrap();
    assert_eq!(policy.on_push(start, Load::new(4, 0)), Decision::Wait);
    assert_eq!(
        policy.on_deadline(start + 5 * S),
        Decision::Flush(Reason::Age)
    );
    let failed = Flushed::failed(Remainder::new(4, 0, start));
    assert!(policy.on_flushed(start + 6 * S, failed).is_flush());
    let young = Flushed::delivered(Remainder::new(2, 0, start + 4 * S));
    assert_eq!(policy.on_flushed(start + 6 * S, young), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + 9 * S));
}

#[test]
fn manual_never_flushes_by_itself() {
    let start = Instant::now();
    let arrivals = [Arrival::after_ms(1_000); 100];
    for mut policy in [
        Manual.boxed(),
        FlushSpec::new().build().unwrap(),
        all_of([size(1), Manual.boxed()]).unwrap().boxed(),
    ] {
        let (attempts, left) = run(policy.as_mut(), start, &arrivals, &Sink::perfect());
        assert_eq!((attempts.len(), left), (0, 100));
    }
}

#[test]
fn impossible_settings_name_field_value_and_limit() {
    fn check<T: std::fmt::Debug>(result: Result<T, PolicyError>, message: &str) {
        assert_eq!(result.unwrap_err().to_string(), message);
    }
    check(Size::new(0), "size is 0, but must be at least 1");
    check(Bytes::new(0), "bytes is 0, but must be at least 1");
    check(
        Age::new(Duration::ZERO),
        "age is 0ns, but must be longer than 0 s",
    );
    check(
        Interval::new(Duration::ZERO),
        "interval is 0ns, but must be longer than 0 s",
    );
    check(
        Age::new(WAIT_MAX + S),
        "age is 31536001 s, but must be at most 31536000 s",
    );
    check(
        any_of([]),
        "any_of has 0 policies, but must have at least 1",
    );
    check(
        all_of([]),
        "all_of has 0 policies, but must have at least 1",
    );
    check(
        "fast".parse::<Preset>(),
        "preset is \"fast\", but must be one of \
         default, high-volume, low-latency, development, aggregation",
    );
    check(
        FlushSpec::new().size(0).build(),
        "size is 0, but must be at least 1",
    );
    check(
        FlushSpec::default()
            .interval(Duration::MAX)
            .build()
            .map(|_| ()),
        "interval is 18446744073709551615 s, but must be at most 31536000 s",
    );
}

#[test]
fn presets_have_the_documented_sizes_and_ages() {
    for (name, items, age_s) in [
        ("default", 10, 300),
        ("high-volume", 20, 180),
        ("low-latency", 5, 60),
        ("development", 3, 10),
    ] {
        let preset: Preset = name.parse().unwrap();
        assert_eq!(preset.to_string(), name);
        let start = Instant::now();
        let mut policy = FlushSpec::from(preset).build().unwrap();
        assert_eq!(
            policy.on_push(start, Load::new(items - 1, 0)),
            Decision::Wait
        );
        assert_eq!(policy.next_deadline(), Some(start + age_s * S));
        assert_eq!(
            policy.on_push(start, Load::new(1, 0)),
            Decision::Flush(Reason::Size)
        );
    }
    assert_eq!(FlushSpec::default(), FlushSpec::from(Preset::Default));
}

#[test]
fn aggregation_flushes_100_updates_or_5_s_after_the_last_flush_without_an_arrival() {
    let preset: Preset = "aggregation".parse().unwrap();
    assert_eq!(preset.to_string(), "aggregation");
    assert!(Preset::ALL.contains(&preset));
    let spec = FlushSpec::from(preset);
    assert_eq!(
        (spec.items_min(), spec.interval_max(), spec.age_max()),
        (Some(100), Some(5 * S), None)
    );
    let start = Instant::now();
    let mut policy = spec.build().unwrap();
    assert_eq!(policy.on_push(start, Load::new(99, 0)), Decision::Wait);
    let full = policy.on_push(start + S, Load::new(1, 0));
    assert_eq!(full, Decision::Flush(Reason::Size));
    let done = Flushed::delivered(Remainder::EMPTY);
    assert_eq!(policy.on_flushed(start + S, done), Decision::Wait);
    // One update late in the interval: it counts from the last flush, and ends without another.
    assert_eq!(
        policy.on_push(start + 5 * S, Load::new(1, 0)),
        Decision::Wait
    );
    assert_eq!(policy.next_deadline(), Some(start + 6 * S));
    assert_eq!(
        policy.on_deadline(start + 6 * S),
        Decision::Flush(Reason::Interval)
    );
}

#[test]
fn age_can_be_switched_off() {
    let mut policy = FlushSpec::default().age(None).build().unwrap();
    let start = Instant::now();
    assert_eq!(policy.on_push(start, Load::new(9, 0)), Decision::Wait);
    assert_eq!(policy.next_deadline(), None);
    assert_eq!(policy.on_deadline(start + 86_400 * S), Decision::Wait);
}
