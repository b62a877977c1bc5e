//! When to try a failed write again: exponential backoff with full jitter, decided purely.
//!
//! Each delay is drawn evenly from nothing to a bound that doubles from `base` to `max` (the
//! "full jitter" of Brooker, "Exponential Backoff And Jitter", 2015). The count of attempts and
//! the deadline belong to the batch, so a batch that is tried again does not start anew. A
//! [`RetryBudget`] bounds what all batches of a sink spend together. Nothing here sleeps, locks or
//! reads a clock; the layer [`Retrying`](crate::Retrying) does.

mod budget;

use std::time::{Duration, Instant};

use crate::error::{ErrorKind, WriteError};

pub use budget::RetryBudget;

/// How often, how patiently and for how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    base: Duration,
    max: Duration,
    retries_max: Option<u32>,
    within: Option<Duration>,
    when_refused: WhenRefused,
}

/// What to do when nothing was [attempted](WriteError::was_attempted), because a breaker is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenRefused {
    /// Wait until the sink is left alone no longer. Counts no attempt.
    #[default]
    Wait,
    /// Give up at once: somebody outside, as [`Fallback`](crate::Fallback), has a better place for
    /// the batch.
    GiveUp,
}

/// The shortest bound of a delay: with none a dead sink would be asked in a loop.
const BASE_MIN: Duration = Duration::from_millis(1);

impl RetryPolicy {
    /// Delays bounded by `base`, at least 1 ms, twice that, and so on up to `max`; `retries_max`
    /// attempts after the first, or without end.
    #[must_use]
    pub fn new(base: Duration, max: Duration, retries_max: Option<u32>) -> Self {
        let base = base.max(BASE_MIN);
        Self {
            base,
            max: max.max(base),
            retries_max,
            within: None,
            when_refused: WhenRefused::Wait,
        }
    }

    /// The same, but no attempt of a batch begins later than this after its first one. An attempt
    /// that is under way then is not cut off; the layer [`Timeout`](crate::Timeout) does that.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self {
            within: Some(deadline),
            ..self
        }
    }

    /// The same, with what to do while a breaker inside is open.
    #[must_use]
    pub fn when_refused(self, when_refused: WhenRefused) -> Self {
        Self {
            when_refused,
            ..self
        }
    }

    /// Whether a batch waits for a breaker inside.
    pub(crate) fn waits_when_refused(&self) -> bool {
        self.when_refused == WhenRefused::Wait
    }

    /// The same delays without end and without a deadline: for a consumer whose buffer knows what
    /// to do when it is full.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self {
            retries_max: None,
            within: None,
            ..self
        }
    }

    /// The bound of the delay before the retry with this number, from 0.
    #[must_use]
    pub fn bound(&self, retry: u32) -> Duration {
        self.base
            .saturating_mul(2_u32.saturating_pow(retry.min(31)))
            .min(self.max)
    }

    /// Whether it ends neither by a number of attempts nor by a deadline.
    fn is_unlimited(&self) -> bool {
        self.retries_max.is_none() && self.within.is_none()
    }
}

impl Default for RetryPolicy {
    /// Three retries, with bounds of 100, 200 and 400 ms.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5), Some(3))
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a retry that is decided has to be carried out"]
pub enum RetryDecision {
    /// Try the same batch again after this delay.
    After(Duration),
    /// The budget that all batches share is spent, and this one may wait without end: do not try,
    /// but ask again after this delay, with the same error.
    Postpone(Duration),
    /// Do not try again.
    GiveUp(GiveUp),
}

/// Why a batch is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUp {
    /// The same rows would fail again.
    Hopeless,
    /// It was tried often enough.
    Attempts,
    /// Its time is up, or the sink asks to be left alone for longer than that.
    Deadline,
    /// The budget that all batches share is spent.
    Budget,
    /// The sink was left alone, and [`WhenRefused::GiveUp`] says not to wait.
    Refused,
}

impl std::fmt::Display for GiveUp {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Hopeless => "it would fail again",
            Self::Attempts => "the attempts are used up",
            Self::Deadline => "the deadline is near",
            Self::Budget => "the budget of retries is spent",
            Self::Refused => "the sink is left alone",
        })
    }
}

/// The attempts of one batch.
///
/// ```
/// use std::time::Instant;
/// use sinks::{ErrorKind, GiveUp, Retry, RetryDecision, RetryPolicy, WriteError};
/// let now = Instant::now();
/// let mut retry = Retry::new(RetryPolicy::default(), now, 7);
/// let busy = WriteError::new(ErrorKind::Transient, "database is locked");
/// for _ in 0..3 {
///     assert!(matches!(retry.on_failure(now, &busy), RetryDecision::After(_)));
/// }
/// assert_eq!(retry.on_failure(now, &busy), RetryDecision::GiveUp(GiveUp::Attempts));
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    policy: RetryPolicy,
    retries: u32,
    began: Instant,
    /// The latest time that was told: a clock that jumps back gives no time back.
    latest: Instant,
    random: fastrand::Rng,
}

impl Retry {
    /// The first attempt begins; the same `seed` gives the same delays.
    #[must_use]
    pub fn new(policy: RetryPolicy, began: Instant, seed: u64) -> Self {
        Self {
            policy,
            retries: 0,
            began,
            latest: began,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How many retries were decided so far.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// When the last attempt has to have begun, where there is a deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.began.checked_add(self.policy.within?)
    }

    /// An attempt failed. Only [`ErrorKind::Transient`] is tried again, and, where neither attempts
    /// nor time are limited, [`ErrorKind::Fatal`] too: somebody may mend the database while the
    /// buffer holds what it should get.
    ///
    /// The delay is never shorter than the error's [`retry_after`](WriteError::retry_after), and
    /// never reaches beyond the deadline. An error that says that
    /// [nothing was attempted](WriteError::was_attempted) uses up no attempt.
    pub fn on_failure(&mut self, now: Instant, error: &WriteError) -> RetryDecision {
        self.decide(now, error, None)
    }

    /// The same with a budget that all batches share: each retry has to be paid for. When it is
    /// spent, a batch that may try without end postpones; any other gives up.
    pub fn on_failure_within(
        &mut self,
        now: Instant,
        error: &WriteError,
        budget: &mut RetryBudget,
    ) -> RetryDecision {
        self.decide(now, error, Some(budget))
    }

    fn decide(
        &mut self,
        now: Instant,
        error: &WriteError,
        budget: Option<&mut RetryBudget>,
    ) -> RetryDecision {
        self.latest = self.latest.max(now);
        if self.is_hopeless(error.kind()) {
            return RetryDecision::GiveUp(GiveUp::Hopeless);
        }
        let counts = error.was_attempted();
        if !counts && !self.policy.waits_when_refused() {
            return RetryDecision::GiveUp(GiveUp::Refused);
        }
        let max = self.policy.retries_max;
        if counts && max.is_some_and(|max| self.retries >= max) {
            return RetryDecision::GiveUp(GiveUp::Attempts);
        }
        let asked = error.retry_after().unwrap_or_default();
        let left = self.left();
        if left.is_some_and(|left| left.is_zero() || asked > left) {
            return RetryDecision::GiveUp(GiveUp::Deadline);
        }
        let drawn = self.policy.bound(self.retries).mul_f64(self.random.f64());
        let delay = drawn.max(asked).min(left.unwrap_or(Duration::MAX));
        if !counts {
            return RetryDecision::After(delay);
        }
        if budget.is_some_and(|budget| !budget.withdraw(self.latest)) {
            return if self.policy.is_unlimited() {
                RetryDecision::Postpone(delay.max(self.policy.base))
            } else {
                RetryDecision::GiveUp(GiveUp::Budget)
            };
        }
        self.retries = self.retries.saturating_add(1);
        RetryDecision::After(delay)
    }

    fn is_hopeless(&self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Transient => false,
            // The same rows would be refused again.
            ErrorKind::Fenced | ErrorKind::Data => true,
            ErrorKind::Fatal => !self.policy.is_unlimited(),
        }
    }

    /// The time until the deadline.
    fn left(&self) -> Option<Duration> {
        let spent = self.latest.saturating_duration_since(self.began);
        Some(self.policy.within?.saturating_sub(spent))
    }
}
