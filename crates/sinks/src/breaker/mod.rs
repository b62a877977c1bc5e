//! Whether a sink is worth asking: a circuit breaker as a pure state machine.
//!
//! Closed, it counts failed and slow calls in a window and trips when they are too many. Open, it
//! refuses until its time is over, which grows with each failed probe. Half-open, it lends a few
//! permits for probes: each comes back with a result or without one (the call was cancelled), and
//! one that is kept too long counts as failed, so that it cannot stay half-open for ever.
//!
//! Each change begins a new generation. The result of a call that began in an older one says
//! nothing about this one and is not counted. A clock that jumps back is clamped. Nothing here
//! locks, sleeps, logs or reads a clock; the layer [`CircuitBreaker`](crate::CircuitBreaker) does.

mod spec;
mod window;

use std::time::{Duration, Instant};

pub use spec::{BreakerSpec, WindowSpec};
use window::{Totals, Window};

use crate::limit::InvalidSetting;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// None pass until its time is over.
    Open,
    /// A few pass, to see whether the sink works again.
    HalfOpen,
    /// None pass until somebody closes or resets it.
    ForcedOpen,
    /// All pass, whatever comes of them, until somebody opens or resets it.
    ForcedClosed,
}

impl std::fmt::Display for BreakerState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
        })
    }
}

/// A breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerChange {
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Grows by one with each change, so that listeners can put changes in order.
    pub generation: u64,
    /// How long it stays open, where it opened by itself.
    pub open: Option<Duration>,
}

/// The permission for one call, to be given back by [`Breaker::on_result`] or
/// [`Breaker::on_cancelled`].
#[derive(Debug)]
#[must_use = "a probe that is not given back keeps others out until its lease ends"]
pub struct Pass {
    generation: u64,
    begun: Instant,
}

impl Pass {
    /// A call that begins now, in a generation that was closed a moment ago.
    pub(crate) fn closed(generation: u64, begun: Instant) -> Self {
        Self { generation, begun }
    }
}

/// Whether a call may begin.
#[derive(Debug)]
#[must_use = "a pass has to be given back"]
pub enum Admission {
    /// It may.
    Admitted(Pass),
    /// It may not; asking before this time is over is pointless.
    Refused(Duration),
}

/// What a call came to, as far as it says something about the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The sink answered, be it to refuse a row.
    Answered,
    /// The sink did not do its work.
    Failed,
}

/// When a call has a chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Now.
    Now,
    /// At that time, or when something changes before.
    At(Instant),
    /// When somebody closes it.
    OnChange,
}

/// What a breaker looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// What it does with calls.
    pub state: BreakerState,
    /// For how long already.
    pub since: Duration,
    /// The number of changes so far, from 1.
    pub generation: u64,
    /// The calls in the window.
    pub calls: u32,
    /// The part of them that failed, from 0 to 1.
    pub failure_rate: f64,
    /// The part of them that was slow, from 0 to 1.
    pub slow_rate: f64,
    /// How long until the next probe is allowed, where it is open by itself.
    pub next_probe: Option<Duration>,
    /// How often in a row it opened without closing in between.
    pub openings: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        leased: u32,
        succeeded: u32,
        lease_ends: Instant,
    },
    ForcedOpen,
    ForcedClosed,
}

/// A circuit breaker.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sinks::{Admission, Breaker, BreakerSpec, BreakerState, CallOutcome};
/// let start = Instant::now();
/// let spec = BreakerSpec::consecutive(2, Duration::from_secs(30)).jitter(0.0);
/// let mut breaker = Breaker::new(spec, start, 1)?;
/// for _ in 0..2 {
///     let (Admission::Admitted(pass), _) = breaker.admit(start) else { panic!("closed") };
///     let _ = breaker.on_result(start, pass, CallOutcome::Failed);
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(matches!(breaker.admit(start).0, Admission::Refused(_)));
/// let later = start + Duration::from_secs(30);
/// let (Admission::Admitted(probe), _) = breaker.admit(later) else { panic!("half-open") };
/// assert!(matches!(breaker.admit(later).0, Admission::Refused(_)));
/// let _ = breaker.on_result(later, probe, CallOutcome::Answered);
/// assert_eq!(breaker.state(), BreakerState::Closed);
/// # Ok::<(), sinks::InvalidSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    spec: BreakerSpec,
    window: Window,
    phase: Phase,
    since: Instant,
    /// The latest time that was told.
    latest: Instant,
    generation: u64,
    openings: u32,
    random: fastrand::Rng,
}

/// How long a call that came while all probes are out should wait: any of them may answer soon.
const PROBE_PULSE: Duration = Duration::from_millis(100);

impl Breaker {
    /// A closed breaker; the same `seed` gives the same open times.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn new(spec: BreakerSpec, now: Instant, seed: u64) -> Result<Self, InvalidSetting> {
        spec.check()?;
        Ok(Self {
            window: Window::new(spec.window, now),
            spec,
            phase: Phase::Closed,
            since: now,
            latest: now,
            generation: 1,
            openings: 0,
            random: fastrand::Rng::with_seed(seed),
        })
    }

    /// What it does with calls.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::ForcedOpen => BreakerState::ForcedOpen,
            Phase::ForcedClosed => BreakerState::ForcedClosed,
        }
    }

    /// The number of the current state, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it matters how long a successful call took, or when it ended.
    pub(crate) fn times_calls(&self) -> bool {
        self.spec.slow_call.is_some() || matches!(self.window, Window::Time { .. })
    }

    /// A call wants to begin. When the open time is over, the first one half-opens the breaker.
    pub fn admit(&mut self, now: Instant) -> (Admission, Option<BreakerChange>) {
        let now = self.clamp(now);
        let mut change = self.end_lease(now);
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            let half_open = Phase::HalfOpen {
                leased: 0,
                succeeded: 0,
                lease_ends: now,
            };
            change = Some(self.change(now, half_open, None));
        }
        let refused = match &mut self.phase {
            Phase::Closed | Phase::ForcedClosed => None,
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            Phase::ForcedOpen => Some(self.spec.open_base),
            Phase::HalfOpen {
                leased, succeeded, ..
            } if *leased + *succeeded >= self.spec.probes => Some(PROBE_PULSE),
            Phase::HalfOpen {
                leased, lease_ends, ..
            } => {
                *leased += 1;
                *lease_ends = now + self.spec.probe_lease;
                None
            }
        };
        let admission = match refused {
            Some(wait) => Admission::Refused(wait),
            None => Admission::Admitted(Pass::closed(self.generation, now)),
        };
        (admission, change)
    }

    /// A call ended. One that began before the last change of state is not counted.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is given back once")]
    pub fn on_result(
        &mut self,
        now: Instant,
        pass: Pass,
        outcome: CallOutcome,
    ) -> Option<BreakerChange> {
        let now = self.clamp(now);
        if pass.generation != self.generation {
            return None;
        }
        let took = now.saturating_duration_since(pass.begun);
        let slow = self.spec.slow_call.is_some_and(|slow| took >= slow);
        let failed = outcome == CallOutcome::Failed;
        self.window.record(now, failed, slow);
        match &mut self.phase {
            Phase::Closed => {
                let trips = self.trips(now);
                trips.then(|| self.open(now))
            }
            Phase::HalfOpen { .. } if failed || slow => Some(self.open(now)),
            Phase::HalfOpen {
                leased, succeeded, ..
            } => {
                *leased = leased.saturating_sub(1);
                *succeeded += 1;
                let closes = *succeeded >= self.spec.probes;
                closes.then(|| self.close(now, Phase::Closed))
            }
            Phase::Open { .. } | Phase::ForcedOpen | Phase::ForcedClosed => None,
        }
    }

    /// A call was given up before it had a result: it says nothing, and its permit is free again.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is given back once")]
    pub fn on_cancelled(&mut self, pass: Pass) {
        if let Phase::HalfOpen { leased, .. } = &mut self.phase
            && pass.generation == self.generation
        {
            *leased = leased.saturating_sub(1);
        }
    }

    /// When a call has a chance. Ends the lease of probes that were kept too long.
    pub fn outlook(&mut self, now: Instant) -> (Outlook, Option<BreakerChange>) {
        let now = self.clamp(now);
        let change = self.end_lease(now);
        let outlook = match self.phase {
            Phase::Closed | Phase::ForcedClosed => Outlook::Now,
            Phase::Open { until } if now >= until => Outlook::Now,
            Phase::Open { until } => Outlook::At(until),
            Phase::HalfOpen {
                leased, succeeded, ..
            } if leased + succeeded < self.spec.probes => Outlook::Now,
            Phase::HalfOpen { lease_ends, .. } => Outlook::At(lease_ends),
            Phase::ForcedOpen => Outlook::OnChange,
        };
        (outlook, change)
    }

    /// Lets nothing through until somebody closes or resets it.
    pub fn force_open(&mut self, now: Instant) -> Option<BreakerChange> {
        let now = self.clamp(now);
        let differs = !matches!(self.phase, Phase::ForcedOpen);
        differs.then(|| self.change(now, Phase::ForcedOpen, None))
    }

    /// Lets everything through, whatever comes of it, until somebody opens or resets it.
    pub fn force_close(&mut self, now: Instant) -> Option<BreakerChange> {
        let now = self.clamp(now);
        let differs = !matches!(self.phase, Phase::ForcedClosed);
        differs.then(|| self.close(now, Phase::ForcedClosed))
    }

    /// Closes it, forgets every call, and leaves it to itself again.
    pub fn reset(&mut self, now: Instant) -> Option<BreakerChange> {
        let now = self.clamp(now);
        if matches!(self.phase, Phase::Closed) {
            self.window.clear();
            return None;
        }
        Some(self.close(now, Phase::Closed))
    }

    /// What it looks like now.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> BreakerSnapshot {
        let now = now.max(self.latest);
        let totals = self.window.totals(now);
        BreakerSnapshot {
            state: self.state(),
            since: now.saturating_duration_since(self.since),
            generation: self.generation,
            calls: totals.calls,
            failure_rate: totals.rate(totals.failed),
            slow_rate: totals.rate(totals.slow),
            next_probe: match self.phase {
                Phase::Open { until } => Some(until.saturating_duration_since(now)),
                _ => None,
            },
            openings: self.openings,
        }
    }

    fn clamp(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn trips(&self, now: Instant) -> bool {
        let totals @ Totals {
            calls,
            failed,
            slow,
        } = self.window.totals(now);
        let spec = &self.spec;
        calls >= spec.calls_min
            && (totals.rate(failed) >= spec.failure_rate
                || spec.slow_call.is_some() && totals.rate(slow) >= spec.slow_rate)
    }

    /// Probes that were kept until the end of the lease count as failed.
    fn end_lease(&mut self, now: Instant) -> Option<BreakerChange> {
        let ended = matches!(self.phase, Phase::HalfOpen { leased, lease_ends, .. }
            if leased > 0 && now >= lease_ends);
        ended.then(|| self.open(now))
    }

    fn open(&mut self, now: Instant) -> BreakerChange {
        let doublings = 2_u32.saturating_pow(self.openings.min(31));
        let bound = self.spec.open_base.saturating_mul(doublings);
        let bound = bound.min(self.spec.open_max);
        let rest = bound + bound.mul_f64(self.spec.jitter * self.random.f64());
        self.openings = self.openings.saturating_add(1);
        let open = Phase::Open { until: now + rest };
        self.change(now, open, Some(rest))
    }

    fn close(&mut self, now: Instant, phase: Phase) -> BreakerChange {
        self.openings = 0;
        self.window.clear();
        self.change(now, phase, None)
    }

    fn change(&mut self, now: Instant, phase: Phase, open: Option<Duration>) -> BreakerChange {
        let from = self.state();
        self.phase = phase;
        self.since = now;
        self.generation += 1;
        BreakerChange {
            from,
            to: self.state(),
            generation: self.generation,
            open,
        }
    }
}
