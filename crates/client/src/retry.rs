//! When to connect again. Knows no clock and no chance: both are given.
//!
//! Full jitter: the wait is chosen evenly between zero and a bound that doubles with each failure,
//! so that the clients of a server that was restarted do not all come at once. A connection that
//! held resets the bound; one that breaks at once does not, or a server that takes clients and
//! drops them would be called without a pause. Source: "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015.

use std::time::{Duration, Instant};

use crate::error::ConnectError;

/// How long to wait between connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The bound of the first wait.
    pub base: Duration,
    /// The bound of all waits, but for what a server asks for.
    pub cap: Duration,
    /// A connection that lasted so long resets the bound.
    pub held: Duration,
    /// The most that a server's `Retry-After` is followed.
    pub asked_max: Duration,
}

impl Default for Wait {
    /// From 0.5 s to 10 s; a connection of 10 s held; at most 60 s because a server asks.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(10),
            held: Duration::from_secs(10),
            asked_max: Duration::from_secs(60),
        }
    }
}

/// What to do without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Connect again after so long.
    After(Duration),
    /// Do not connect again: it would not help.
    Never,
}

/// How often connecting failed, and what follows from it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use client::{ConnectError, Decision, Retry, Wait};
///
/// let mut retry = Retry::new(Wait::default());
/// let broken = ConnectError::Network { reason: "reset by peer".to_owned() };
/// let now = Instant::now();
/// assert_eq!(retry.lost(now, &broken, 0.5), Decision::After(Duration::from_millis(250)));
/// assert_eq!(retry.lost(now, &broken, 0.5), Decision::After(Duration::from_millis(500)));
/// let wrong = ConnectError::Unauthorized { message: "unknown token".to_owned() };
/// assert_eq!(retry.lost(now, &wrong, 0.5), Decision::Never);
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    wait: Wait,
    /// Failures since a connection held.
    failures: u32,
    connected_at: Option<Instant>,
}

impl Retry {
    /// One that has not failed.
    #[must_use]
    pub fn new(wait: Wait) -> Self {
        Self {
            wait,
            failures: 0,
            connected_at: None,
        }
    }

    /// There is a connection.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// There is none, or none any more. `chance` is evenly chosen from 0 to 1.
    pub fn lost(&mut self, now: Instant, cause: &ConnectError, chance: f64) -> Decision {
        if let Some(since) = self.connected_at.take()
            && now.saturating_duration_since(since) >= self.wait.held
        {
            self.failures = 0;
        }
        if !cause.is_transient() {
            return Decision::Never;
        }
        // More than 2^16 times the base is above any sensible cap.
        let bound = self.wait.base.saturating_mul(1 << self.failures.min(16));
        let bound = bound.min(self.wait.cap);
        self.failures = self.failures.saturating_add(1);
        let asked = cause.retry_after().min(self.wait.asked_max);
        Decision::After(asked + bound.mul_f64(chance.clamp(0.0, 1.0)))
    }
}
