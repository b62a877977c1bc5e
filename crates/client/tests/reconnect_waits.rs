//! When a client connects again: decided without a clock and without chance.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use client::{ConnectError, Decision, Retry, Wait};
use proptest::prelude::*;

fn broken() -> ConnectError {
    ConnectError::Network {
        reason: "reset by peer".to_owned(),
    }
}

fn delay(decision: Decision) -> Duration {
    match decision {
        Decision::After(delay) => delay,
        Decision::Never => panic!("it may help"),
    }
}

proptest! {
    #[test]
    fn a_wait_lies_between_zero_and_the_cap(
        failures in 0_u32..100, chance in 0.0..=1.0_f64
    ) {
        let wait = Wait::default();
        let mut retry = Retry::new(wait);
        let now = Instant::now();
        for _ in 0..failures {
            let _ = retry.lost(now, &broken(), 1.0);
        }
        let bound = wait.base.saturating_mul(1 << failures.min(20)).min(wait.cap);
        let waited = delay(retry.lost(now, &broken(), chance));
        prop_assert_eq!(waited, bound.mul_f64(chance));
    }
}

#[test]
fn a_connection_that_held_begins_anew_and_one_that_did_not_goes_on() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut retry = Retry::new(Wait::default());
    let mut waits = Vec::new();
    for _ in 0..7 {
        waits.push(delay(retry.lost(start, &broken(), 1.0)).as_millis());
    }
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    retry.connected(at(20));
    let waited = delay(retry.lost(at(29), &broken(), 1.0));
    assert_eq!(waited.as_millis(), 10_000, "it broke after 9 s");
    retry.connected(at(40));
    let waited = delay(retry.lost(at(50), &broken(), 1.0));
    assert_eq!(waited.as_millis(), 500, "it held for 10 s");
    let waited = delay(retry.lost(at(51), &broken(), 1.0));
    assert_eq!(waited.as_millis(), 1_000, "nothing was connected meanwhile");
}

#[test]
fn a_server_that_asks_for_time_is_left_alone() {
    let busy = |seconds| ConnectError::Status {
        status: 503,
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let now = Instant::now();
    let mut retry = Retry::new(Wait::default());
    assert_eq!(delay(retry.lost(now, &busy(10), 0.0)).as_secs(), 10);
    let waited = delay(retry.lost(now, &busy(86_400), 0.0));
    assert_eq!(waited.as_secs(), 60, "but not for a day");
}

#[test]
fn what_waiting_cannot_mend_is_not_tried_again() {
    let said = || "no".to_owned();
    let final_ones = [
        ConnectError::Unauthorized { message: said() },
        ConnectError::Forbidden { message: said() },
        ConnectError::Version { server: 2, ours: 1 },
        ConnectError::Address {
            url: said(),
            reason: said(),
        },
    ];
    for cause in final_ones {
        let mut retry = Retry::new(Wait::default());
        assert_eq!(
            retry.lost(Instant::now(), &cause, 0.5),
            Decision::Never,
            "{cause}"
        );
    }
    let transient = [
        broken(),
        ConnectError::ClosedByServer {
            code: 1001,
            reason: said(),
        },
        ConnectError::Silent { within_ms: 10 },
        ConnectError::Malformed { reason: said() },
        ConnectError::Status {
            status: 404,
            retry_after: None,
        },
    ];
    for cause in transient {
        let mut retry = Retry::new(Wait::default());
        assert_ne!(
            retry.lost(Instant::now(), &cause, 0.5),
            Decision::Never,
            "{cause}"
        );
    }
}
