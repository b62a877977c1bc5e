//! When to try a failed write again: exponential backoff with full jitter, decided purely.
//!
//! Each delay is drawn evenly from nothing to a bound that doubles from `base` to `max` (the
//! "full jitter" of Brooker, "Exponential Backoff And Jitter", 2015). The count of attempts
//! belongs to the batch, so a batch that is tried again does not start anew.

use std::time::Duration;

use crate::error::{ErrorKind, WriteError};

/// How often and how patiently to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    base: Duration,
    max: Duration,
    retries_max: Option<u32>,
}

impl RetryPolicy {
    /// Delays bounded by `base`, twice that, and so on up to `max`; `retries_max` attempts after
    /// the first, or without end.
    #[must_use]
    pub fn new(base: Duration, max: Duration, retries_max: Option<u32>) -> Self {
        Self {
            base,
            max: max.max(base),
            retries_max,
        }
    }

    /// The same delays without end: for a consumer whose buffer knows what to do when it is full.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self {
            retries_max: None,
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
    /// Do not try again: it is hopeless, or it was tried often enough.
    GiveUp,
}

/// The attempts of one batch.
///
/// ```
/// use sinks::{ErrorKind, Retry, RetryDecision, RetryPolicy, WriteError};
/// let mut retry = Retry::new(RetryPolicy::default(), 7);
/// let busy = WriteError::new(ErrorKind::Transient, "database is locked");
/// for _ in 0..3 {
///     assert!(matches!(retry.on_failure(&busy), RetryDecision::After(_)));
/// }
/// assert_eq!(retry.on_failure(&busy), RetryDecision::GiveUp);
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    policy: RetryPolicy,
    retries: u32,
    random: fastrand::Rng,
}

impl Retry {
    /// No attempt has failed yet; the same `seed` gives the same delays.
    #[must_use]
    pub fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self {
            policy,
            retries: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How many retries were decided so far.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// An attempt failed.
    pub fn on_failure(&mut self, error: &WriteError) -> RetryDecision {
        let exhausted = self
            .policy
            .retries_max
            .is_some_and(|max| self.retries >= max);
        let hopeless = match error.kind() {
            ErrorKind::Transient => false,
            // The same rows would be refused again.
            ErrorKind::Fenced | ErrorKind::Data => true,
            // Somebody may mend the database while the buffer holds what it should get.
            ErrorKind::Fatal => self.policy.retries_max.is_some(),
        };
        if exhausted || hopeless {
            return RetryDecision::GiveUp;
        }
        let bound = self.policy.bound(self.retries);
        self.retries = self.retries.saturating_add(1);
        RetryDecision::After(bound.mul_f64(self.random.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: (ErrorKind, &str) = (ErrorKind::Transient, "busy");

    fn error((kind, message): (ErrorKind, &str)) -> WriteError {
        WriteError::new(kind, message)
    }

    #[test]
    fn every_listed_delay_is_used_and_each_stays_below_its_bound() {
        let policy = RetryPolicy::new(Duration::from_secs(1), Duration::from_secs(3), Some(4));
        let bounds: Vec<u64> = (0..4).map(|retry| policy.bound(retry).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 3, 3]);
        for seed in 0..200 {
            let mut retry = Retry::new(policy, seed);
            for bound in &bounds {
                match retry.on_failure(&error(BUSY)) {
                    RetryDecision::After(delay) => assert!(delay <= Duration::from_secs(*bound)),
                    RetryDecision::GiveUp => panic!("gave up with retries left"),
                }
            }
            assert_eq!(retry.on_failure(&error(BUSY)), RetryDecision::GiveUp);
        }
    }

    #[test]
    fn jitter_spreads_over_the_whole_range() {
        let policy = RetryPolicy::new(Duration::from_secs(1), Duration::from_secs(1), None);
        let mut retry = Retry::new(policy, 1);
        let delays: Vec<f64> = (0..1000)
            .map(|_| match retry.on_failure(&error(BUSY)) {
                RetryDecision::After(delay) => delay.as_secs_f64(),
                RetryDecision::GiveUp => panic!("gave up without a limit"),
            })
            .collect();
        assert!(delays.iter().any(|delay| *delay < 0.05));
        assert!(delays.iter().any(|delay| *delay > 0.95));
        let mean = delays.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "mean {mean}");
    }

    #[test]
    fn a_stale_writer_never_tries_again() {
        let mut retry = Retry::new(RetryPolicy::default().unlimited(), 1);
        let fenced = WriteError::new(ErrorKind::Fenced, "taken over");
        assert_eq!(retry.on_failure(&fenced), RetryDecision::GiveUp);
    }
}
