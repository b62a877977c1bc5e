//! The circuit breaker as a state machine, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sinks::{
    Admission, Breaker, BreakerSpec, BreakerState, CallOutcome, Outlook, Pass, WindowSpec,
};

const SECOND: Duration = Duration::from_secs(1);
use CallOutcome::{Answered, Failed};

/// A breaker and the time it lives in.
struct Sim {
    breaker: Breaker,
    start: Instant,
    now: Instant,
}

impl Sim {
    fn new(spec: BreakerSpec) -> Self {
        let now = Instant::now();
        let breaker = Breaker::new(spec, now, 7).unwrap();
        Self {
            breaker,
            start: now,
            now,
        }
    }

    fn admit(&mut self) -> Option<Pass> {
        match self.breaker.admit(self.now).0 {
            Admission::Admitted(pass) => Some(pass),
            Admission::Refused(_) => None,
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        match self.breaker.admit(self.now).0 {
            Admission::Admitted(_) => None,
            Admission::Refused(wait) => Some(wait),
        }
    }

    /// One call that takes so long.
    fn call(&mut self, takes: Duration, outcome: CallOutcome) {
        let pass = self.admit().unwrap();
        self.now += takes;
        let _ = self.breaker.on_result(self.now, pass, outcome);
    }

    fn calls(&mut self, outcomes: impl IntoIterator<Item = CallOutcome>) {
        for outcome in outcomes {
            self.call(Duration::ZERO, outcome);
        }
    }

    fn state(&self) -> BreakerState {
        self.breaker.state()
    }
}

fn plain(failures: u32) -> BreakerSpec {
    BreakerSpec::consecutive(failures, SECOND * 30).jitter(0.0)
}

#[test]
fn by_default_five_failures_open_it_for_thirty_seconds() {
    let mut sim = Sim::new(BreakerSpec::default().jitter(0.0));
    sim.calls([Failed; 4]);
    assert_eq!(sim.state(), BreakerState::Closed);
    sim.calls([Failed]);
    assert_eq!(sim.state(), BreakerState::Open);
    assert_eq!(sim.wait(), Some(SECOND * 30));
    sim.now += SECOND * 29;
    assert_eq!(sim.wait(), Some(SECOND));
    sim.now += SECOND;
    assert!(sim.admit().is_some());
    assert_eq!(sim.state(), BreakerState::HalfOpen);
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let mut sim = Sim::new(plain(3));
    for _ in 0..100 {
        sim.calls([Failed, Failed, Answered]);
    }
    assert_eq!(sim.state(), BreakerState::Closed);
}

#[test]
fn lesson_the_half_open_state_lets_only_its_probes_through() {
    let mut sim = Sim::new(plain(1).probes(2));
    sim.calls([Failed]);
    sim.now += SECOND * 30;
    let probes = [sim.admit().unwrap(), sim.admit().unwrap()];
    for _ in 0..100 {
        assert!(sim.admit().is_none());
    }
    // A success does not let another one through: two have to succeed, and two are out.
    let [first, second] = probes;
    let _ = sim.breaker.on_result(sim.now, first, Answered);
    assert!(sim.admit().is_none());
    assert_eq!(sim.state(), BreakerState::HalfOpen);
    let _ = sim.breaker.on_result(sim.now, second, Answered);
    assert_eq!(sim.state(), BreakerState::Closed);
}

#[test]
fn lesson_a_cancelled_probe_gives_its_permit_back() {
    let mut sim = Sim::new(plain(1));
    sim.calls([Failed]);
    sim.now += SECOND * 30;
    for _ in 0..50 {
        let probe = sim.admit().unwrap();
        assert!(sim.admit().is_none());
        sim.breaker.on_cancelled(probe);
    }
    assert_eq!(sim.state(), BreakerState::HalfOpen);
    sim.calls([Answered]);
    assert_eq!(sim.state(), BreakerState::Closed);
}

#[test]
fn lesson_it_does_not_stay_open_for_ever() {
    let mut sim = Sim::new(plain(1).open(SECOND, SECOND * 8).probe_lease(SECOND * 5));
    sim.calls([Failed]);
    for failed_probes in 0..20 {
        let (outlook, _) = sim.breaker.outlook(sim.now);
        let Outlook::At(chance) = outlook else {
            panic!("{outlook:?} after {failed_probes} probes");
        };
        assert!(chance <= sim.now + SECOND * 8);
        sim.now = chance;
        let probe = sim.admit().unwrap();
        if failed_probes % 2 == 0 {
            let _ = sim.breaker.on_result(sim.now, probe, Failed);
        } else {
            // It is never given back: its lease ends.
            sim.now += SECOND * 5;
            assert!(sim.admit().is_none());
        }
        assert_eq!(sim.state(), BreakerState::Open);
    }
    sim.now += SECOND * 8;
    sim.calls([Answered]);
    assert_eq!(sim.state(), BreakerState::Closed);
}

#[test]
fn lesson_the_open_time_is_not_multiplied_before_its_first_use() {
    let mut sim = Sim::new(plain(1).open(SECOND, SECOND * 5));
    sim.calls([Failed]);
    let mut waits = vec![sim.wait().unwrap().as_secs()];
    for _ in 0..4 {
        let rest = sim.wait().unwrap();
        sim.now += rest;
        sim.calls([Failed]);
        waits.push(sim.wait().unwrap().as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 5, 5]);
    assert_eq!(sim.breaker.snapshot(sim.now).openings, 5);
    // Once it has closed, it begins at the first again.
    sim.now += SECOND * 5;
    sim.calls([Answered, Failed]);
    assert_eq!(sim.wait(), Some(SECOND));
}

#[test]
fn open_times_are_spread_but_never_shorter() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let now = Instant::now();
        let mut breaker = Breaker::new(plain(1).jitter(0.2), now, seed).unwrap();
        let (Admission::Admitted(pass), _) = breaker.admit(now) else {
            panic!("closed at first");
        };
        let change = breaker.on_result(now, pass, Failed).unwrap();
        waits.push(change.open.unwrap().as_secs_f64());
    }
    assert!(waits.iter().all(|wait| (30.0..=36.0).contains(wait)));
    assert!(waits.iter().any(|wait| *wait < 31.0));
    assert!(waits.iter().any(|wait| *wait > 35.0));
}

#[test]
fn lesson_the_time_in_a_state_does_not_wrap() {
    let mut sim = Sim::new(plain(1).open(SECOND * 86_400, SECOND * 86_400));
    sim.now += SECOND * 86_400 * 400;
    sim.calls([Answered, Failed]);
    // Whole seconds, milliseconds within the second, days: nothing of it starts again at 0.
    for waited in [1, 59, 61, 3_599, 3_601, 86_399] {
        let now = sim.now + SECOND * waited;
        let snapshot = sim.breaker.snapshot(now);
        assert_eq!(snapshot.since, SECOND * waited);
        assert_eq!(snapshot.next_probe, Some(SECOND * (86_400 - waited)));
    }
    sim.now += SECOND * 86_400;
    assert!(sim.admit().is_some());
}

#[test]
fn a_clock_that_jumps_back_does_not_prolong_the_rest() {
    let mut sim = Sim::new(plain(1));
    sim.now += SECOND * 100;
    sim.calls([Failed]);
    sim.now = sim.start;
    assert_eq!(sim.wait(), Some(SECOND * 30));
    sim.now = sim.start + SECOND * 130;
    assert!(sim.admit().is_some());
}

#[test]
fn a_result_from_before_the_change_does_not_count() {
    let mut sim = Sim::new(plain(2));
    let old: Vec<Pass> = (0..4).map(|_| sim.admit().unwrap()).collect();
    sim.calls([Failed, Failed]);
    assert_eq!(sim.state(), BreakerState::Open);
    sim.now += SECOND * 30;
    let probe = sim.admit().unwrap();
    let mut old = old.into_iter();
    let _ = sim
        .breaker
        .on_result(sim.now, old.next().unwrap(), Answered);
    let _ = sim.breaker.on_result(sim.now, old.next().unwrap(), Failed);
    assert_eq!(sim.state(), BreakerState::HalfOpen);
    sim.breaker.on_cancelled(old.next().unwrap());
    assert!(
        sim.admit().is_none(),
        "an old call freed a permit that is not its own"
    );
    let _ = sim.breaker.on_result(sim.now, probe, Answered);
    let _ = sim.breaker.on_result(sim.now, old.next().unwrap(), Failed);
    assert_eq!(sim.state(), BreakerState::Closed);
    assert_eq!(sim.breaker.snapshot(sim.now).calls, 0);
}

#[test]
fn slow_calls_trip_it_and_a_slow_probe_opens_it_again() {
    let spec = BreakerSpec::windowed(WindowSpec::Calls(10), 4, 1.0)
        .slow_calls(SECOND, 0.5)
        .open(SECOND * 30, SECOND * 30)
        .jitter(0.0);
    let mut sim = Sim::new(spec);
    for takes in [2, 0, 0] {
        sim.call(SECOND * takes, Answered);
    }
    assert_eq!(sim.state(), BreakerState::Closed);
    sim.call(SECOND, Answered);
    assert_eq!(sim.state(), BreakerState::Open);
    assert_eq!(sim.breaker.snapshot(sim.now).slow_rate, 0.5);
    sim.now += SECOND * 30;
    sim.call(SECOND * 2, Answered);
    assert_eq!(sim.state(), BreakerState::Open);
}

#[test]
fn a_rate_over_time_needs_its_minimum_of_calls_and_forgets() {
    let window = WindowSpec::Time {
        bucket: SECOND,
        buckets: 10,
    };
    let mut sim = Sim::new(BreakerSpec::windowed(window, 5, 0.5));
    sim.calls([Failed; 4]);
    assert_eq!(sim.state(), BreakerState::Closed);
    sim.now += SECOND * 10;
    assert_eq!(sim.breaker.snapshot(sim.now).calls, 0);
    sim.calls([Answered, Answered, Answered, Failed, Failed]);
    assert_eq!(sim.state(), BreakerState::Closed);
    assert_eq!(sim.breaker.snapshot(sim.now).failure_rate, 0.4);
    sim.calls([Failed]);
    assert_eq!(sim.state(), BreakerState::Open);
}

#[test]
fn it_can_be_opened_closed_and_reset_by_hand() {
    let mut sim = Sim::new(plain(1));
    let change = sim.breaker.force_open(sim.now).unwrap();
    assert_eq!(
        (change.from, change.to),
        (BreakerState::Closed, BreakerState::ForcedOpen)
    );
    assert!(sim.breaker.force_open(sim.now).is_none());
    sim.now += SECOND * 86_400;
    assert!(sim.admit().is_none());
    assert_eq!(sim.breaker.outlook(sim.now).0, Outlook::OnChange);
    let _ = sim.breaker.force_close(sim.now).unwrap();
    sim.calls([Failed; 100]);
    assert_eq!(sim.state(), BreakerState::ForcedClosed);
    let change = sim.breaker.reset(sim.now).unwrap();
    assert_eq!(change.to, BreakerState::Closed);
    assert_eq!(change.generation, 4);
    sim.calls([Failed]);
    assert_eq!(sim.state(), BreakerState::Open);
    let _ = sim.breaker.reset(sim.now).unwrap();
    assert!(sim.admit().is_some());
}

#[test]
fn a_setting_that_cannot_be_is_refused_by_name() {
    let check = |spec: BreakerSpec, expected: &str| {
        let error = Breaker::new(spec, Instant::now(), 1).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let allowed = "but has to be";
    let no_calls = BreakerSpec::consecutive(0, SECOND);
    check(
        no_calls,
        &format!("breaker: window is 0, {allowed} from 1 to 65536 calls"),
    );
    let too_many = BreakerSpec::windowed(WindowSpec::Calls(3), 4, 0.5);
    let expected = format!("breaker: calls_min is 4, {allowed} from 1 to the calls of the window");
    check(too_many, &expected);
    let spec = BreakerSpec::windowed(WindowSpec::Calls(3), 1, 1.5);
    check(
        spec,
        &format!("breaker: failure_rate is 1.5, {allowed} above 0, up to 1"),
    );
    let spec = plain(1).open(SECOND * 2, SECOND);
    let expected = format!("breaker: open_max is 1s, {allowed} from the first open time to 24 h");
    check(spec, &expected);
}

/// A call that ends some milliseconds after the one before: failed or not, slow or not.
fn calls() -> impl Strategy<Value = Vec<(u64, bool, bool)>> {
    proptest::collection::vec((0..3_000_u64, any::<bool>(), any::<bool>()), 1..300)
}

proptest! {
    /// The model keeps every call since the last reset and picks those of the window.
    #[test]
    fn the_window_agrees_with_a_naive_model(
        calls in calls(),
        length in 2..40_u32,
        calls_min in 1..3_u32,
        by_time in any::<bool>(),
    ) {
        let window = if by_time {
            WindowSpec::Time { bucket: SECOND, buckets: length }
        } else {
            WindowSpec::Calls(length)
        };
        let slow = Duration::from_millis(500);
        let spec = BreakerSpec::windowed(window, calls_min, 0.7).slow_calls(slow, 0.6);
        let mut sim = Sim::new(spec);
        let mut all = Vec::new();
        for (wait, failed, is_slow) in calls {
            sim.now += Duration::from_millis(wait);
            let outcome = if failed { Failed } else { Answered };
            sim.call(if is_slow { slow } else { Duration::ZERO }, outcome);
            let clock = (sim.now - sim.start).as_millis() as u64;
            all.push((clock, failed, is_slow));
            let naive = in_window(&all, clock, window);
            let part = |count: usize| count as f64 / naive.len() as f64;
            let failed = part(naive.iter().filter(|call| call.1).count());
            let slow = part(naive.iter().filter(|call| call.2).count());
            let snapshot = sim.breaker.snapshot(sim.now);
            prop_assert_eq!(snapshot.calls as usize, naive.len());
            prop_assert_eq!(snapshot.failure_rate, failed);
            prop_assert_eq!(snapshot.slow_rate, slow);
            let trips = naive.len() >= calls_min as usize && (failed >= 0.7 || slow >= 0.6);
            prop_assert_eq!(sim.state() == BreakerState::Open, trips);
            if trips {
                let _ = sim.breaker.reset(sim.now);
                all.clear();
            }
        }
    }
}

type Ended = (u64, bool, bool);

fn in_window(all: &[Ended], clock: u64, window: WindowSpec) -> Vec<Ended> {
    match window {
        WindowSpec::Calls(calls) => all[all.len().saturating_sub(calls as usize)..].to_vec(),
        WindowSpec::Time { buckets, .. } => {
            let first = (clock / 1_000 + 1).saturating_sub(u64::from(buckets));
            let recent = all.iter().filter(|call| call.0 / 1_000 >= first);
            recent.copied().collect()
        }
        _ => unreachable!("no other window is made here"),
    }
}
