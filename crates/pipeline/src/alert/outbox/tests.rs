//! What an alert decides, by a clock that is told.

use proptest::prelude::*;
use sinks::{BreakerSpec, ErrorKind};

use super::*;

use HealthStatus::{Critical, Degraded, Healthy};

const MINUTE: Duration = Duration::from_secs(60);

fn letter(status: HealthStatus) -> Letter {
    Letter {
        status,
        score: 50,
        body: "{}".to_owned(),
    }
}

fn spec() -> AlertSpec {
    AlertSpec::url("test", "http://localhost/").min_interval(MINUTE)
}

fn outbox(spec: &AlertSpec, now: Instant) -> Outbox {
    Outbox::new(spec, now, 1).expect("the settings are possible")
}

fn busy() -> Result<(), WriteError> {
    Err(WriteError::new(ErrorKind::Transient, "busy"))
}

/// Sends what is due; its status, and what came of it.
fn send(
    outbox: &mut Outbox,
    now: Instant,
    outcome: Result<(), WriteError>,
) -> Option<(HealthStatus, Settled)> {
    let Step::Send(sending) = outbox.next(now) else {
        return None;
    };
    let status = sending.letter.status;
    Some((status, outbox.settle(now, sending, outcome)))
}

fn is_balanced(outbox: &Outbox) -> bool {
    let counts = outbox.counts();
    counts.offered == counts.sent + counts.failed + counts.replaced + outbox.pending()
}

#[test]
fn what_is_worse_does_not_wait_for_the_interval() {
    let start = Instant::now();
    let mut outbox = outbox(&spec(), start);
    outbox.offer(start, letter(Degraded));
    assert_eq!(
        send(&mut outbox, start, Ok(())),
        Some((Degraded, Settled::Sent))
    );
    outbox.offer(start, letter(Critical));
    assert_eq!(
        send(&mut outbox, start, Ok(())),
        Some((Critical, Settled::Sent))
    );
    outbox.offer(start, letter(Healthy));
    assert!(matches!(outbox.next(start), Step::Until(due) if due == start + MINUTE));
    let sent = send(&mut outbox, start + MINUTE, Ok(()));
    assert_eq!(sent, Some((Healthy, Settled::Sent)));
    assert!(matches!(outbox.next(start + MINUTE), Step::Idle));
}

#[test]
fn a_newer_change_takes_the_place_of_one_that_waits() {
    let start = Instant::now();
    let mut outbox = outbox(&spec(), start);
    assert!(outbox.offer(start, letter(Critical)).is_none());
    let Step::Send(sending) = outbox.next(start) else {
        panic!("nothing to send");
    };
    // One is on its way and one waits; the third takes the place of the second.
    assert!(outbox.offer(start, letter(Degraded)).is_none());
    assert!(matches!(outbox.next(start), Step::Idle));
    let replaced = outbox.offer(start, letter(Healthy));
    assert_eq!(replaced.map(|it| it.status), Some(Degraded));
    assert_eq!(outbox.pending(), 2);
    // The first failed, and is not worth another attempt any more.
    assert_eq!(outbox.settle(start, sending, busy()), Settled::Again);
    assert_eq!((outbox.pending(), outbox.counts().replaced), (1, 2));
    assert_eq!(
        send(&mut outbox, start, Ok(())),
        Some((Healthy, Settled::Sent))
    );
    assert!(is_balanced(&outbox));
}

#[test]
fn lesson_an_open_breaker_pauses_and_burns_no_attempts() {
    let start = Instant::now();
    let retry = RetryPolicy::new(Duration::from_millis(1), Duration::from_millis(1), Some(3));
    let breaker = BreakerSpec::consecutive(2, MINUTE).jitter(0.0);
    let mut outbox = outbox(&spec().retry(retry).breaker(breaker), start);
    outbox.offer(start, letter(Critical));
    assert_eq!(
        send(&mut outbox, start, busy()),
        Some((Critical, Settled::Again))
    );
    let now = start + Duration::from_secs(1);
    assert_eq!(
        send(&mut outbox, now, busy()),
        Some((Critical, Settled::Again))
    );
    assert_eq!(outbox.breaker(), BreakerState::Open);
    let now = now + Duration::from_secs(1);
    for _ in 0..10 {
        assert!(matches!(outbox.next(now), Step::Until(due) if due > now));
    }
    assert_eq!(outbox.counts().retries, 2);
    let sent = send(&mut outbox, now + MINUTE, Ok(()));
    assert_eq!(sent, Some((Critical, Settled::Sent)));
    assert_eq!(outbox.breaker(), BreakerState::Closed);
}

#[test]
fn what_cannot_work_is_given_up_and_the_next_change_tried() {
    let start = Instant::now();
    let mut outbox = outbox(&spec(), start);
    outbox.offer(start, letter(Critical));
    let gone = Err(WriteError::new(ErrorKind::Fatal, "no such program"));
    assert_eq!(
        send(&mut outbox, start, gone),
        Some((Critical, Settled::GivenUp))
    );
    assert_eq!(
        outbox.counts().last_error.as_deref(),
        Some("no such program")
    );
    outbox.offer(start, letter(Healthy));
    assert_eq!(
        send(&mut outbox, start, Ok(())),
        Some((Healthy, Settled::Sent))
    );
    assert!(is_balanced(&outbox));
}

#[test]
fn attempts_are_bounded() {
    let start = Instant::now();
    let mut outbox = outbox(&spec(), start);
    outbox.offer(start, letter(Critical));
    let (mut now, mut attempts) = (start, 0);
    for _ in 0..1000 {
        match outbox.next(now) {
            Step::Until(due) => now = due,
            Step::Send(sending) => {
                attempts += 1;
                let _ = outbox.settle(now, sending, busy());
            }
            Step::Idle | Step::Done => break,
        }
    }
    assert_eq!((attempts, outbox.counts().failed), (10, 1));
    let took = now - start;
    assert!(
        took > Duration::from_secs(300),
        "the breaker rested for {took:?}"
    );
}

#[test]
fn the_end_does_not_wait_for_the_interval_and_not_beyond_its_deadline() {
    let start = Instant::now();
    let deadline = start + Duration::from_secs(10);
    let mut outbox = outbox(&spec(), start);
    outbox.offer(start, letter(Critical));
    assert!(send(&mut outbox, start, Ok(())).is_some());
    outbox.offer(start, letter(Healthy));
    assert!(matches!(outbox.next(start), Step::Until(_)));
    outbox.close(deadline);
    assert!(!outbox.wants(Critical));
    assert_eq!(
        send(&mut outbox, start, Ok(())),
        Some((Healthy, Settled::Sent))
    );
    assert!(matches!(outbox.next(start), Step::Done));

    let rests = BreakerSpec::consecutive(1, MINUTE);
    let mut outbox = self::outbox(&spec().breaker(rests), start);
    outbox.offer(start, letter(Critical));
    assert!(send(&mut outbox, start, busy()).is_some());
    outbox.close(deadline);
    let now = start + Duration::from_secs(5);
    assert!(
        matches!(outbox.next(now), Step::Done),
        "the breaker opens too late"
    );
    assert_eq!((outbox.counts().failed, outbox.pending()), (1, 0));
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Offer(usize),
    Wait(u64),
    Next,
    Settle(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => (0_usize..3).prop_map(Act::Offer),
        2 => (0_u64..100_000).prop_map(Act::Wait),
        4 => Just(Act::Next),
        4 => (0_u8..4).prop_map(Act::Settle),
    ];
    prop::collection::vec(act, 1..300)
}

proptest! {
    #[test]
    fn law_1_each_change_is_sent_failed_replaced_or_pending(acts in acts()) {
        let mut now = Instant::now();
        let mut outbox = outbox(&spec(), now);
        let mut under_way = None;
        let mut told: Option<(Instant, HealthStatus)> = None;
        for act in acts {
            match act {
                Act::Offer(status) => drop(outbox.offer(now, letter(HealthStatus::ALL[status]))),
                Act::Wait(ms) => now += Duration::from_millis(ms),
                Act::Next => {
                    let step = outbox.next(now);
                    if let Step::Send(sending) = step {
                        prop_assert!(under_way.is_none(), "one at a time");
                        under_way = Some(sending);
                    }
                }
                Act::Settle(outcome) => {
                    let Some(sending) = under_way.take() else { continue };
                    let status = sending.letter.status;
                    let outcome = match outcome {
                        0 | 1 => Ok(()),
                        2 => busy(),
                        _ => Err(WriteError::new(ErrorKind::Fatal, "gone")),
                    };
                    if outbox.settle(now, sending, outcome) == Settled::Sent {
                        if let Some((at, before)) = told {
                            prop_assert!(status > before || now >= at + MINUTE);
                        }
                        told = Some((now, status));
                    }
                }
            }
            prop_assert!(is_balanced(&outbox));
            prop_assert!(outbox.pending() <= 2);
        }
        outbox.abandon();
        prop_assert!(is_balanced(&outbox) && outbox.pending() == 0);
    }
}
