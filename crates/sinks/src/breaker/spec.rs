//! When a breaker trips, how long it stays open, and how it tries again.

use std::time::Duration;

use crate::limit::setting::{InvalidSetting, require};

/// Which calls a breaker looks at. Memory is fixed: one byte per call, or 24 per bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowSpec {
    /// The last so many, from 1 to 65,536.
    Calls(u32),
    /// Those of the last `bucket` × `buckets`; the oldest bucket leaves as a whole.
    Time {
        /// The length of a bucket, at least 1 ms.
        bucket: Duration,
        /// How many of them, from 1 to 120.
        buckets: u32,
    },
}

/// The settings of a [`Breaker`](super::Breaker); checked when one is made.
///
/// ```
/// use std::time::Duration;
/// use sinks::{BreakerSpec, WindowSpec};
/// // Five failures in a row, then 30 s of rest.
/// assert_eq!(BreakerSpec::default(), BreakerSpec::consecutive(5, Duration::from_secs(30)));
/// // Half of the calls of the last minute, or nine in ten slower than 2 s; at least 20 of them.
/// let minute = WindowSpec::Time { bucket: Duration::from_secs(6), buckets: 10 };
/// let spec = BreakerSpec::windowed(minute, 20, 0.5).slow_calls(Duration::from_secs(2), 0.9);
/// assert!(spec.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSpec {
    pub(super) window: WindowSpec,
    pub(super) calls_min: u32,
    pub(super) failure_rate: f64,
    pub(super) slow_call: Option<Duration>,
    pub(super) slow_rate: f64,
    pub(super) open_base: Duration,
    pub(super) open_max: Duration,
    pub(super) jitter: f64,
    pub(super) probes: u32,
    pub(super) probe_lease: Duration,
}

const CALLS_MAX: u32 = 65_536;
const BUCKETS_MAX: u32 = 120;
const PROBES_MAX: u32 = 1_000;
const OPEN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl BreakerSpec {
    /// Trips when `failures` calls in a row failed, and rests for `open` before the first probe;
    /// after failed probes for up to ten times that.
    #[must_use]
    pub fn consecutive(failures: u32, open: Duration) -> Self {
        let max = open.saturating_mul(10).min(OPEN_MAX).max(open);
        Self::windowed(WindowSpec::Calls(failures), failures, 1.0).open(open, max)
    }

    /// Trips when the window holds at least `calls_min` calls, of which this part failed: above 0,
    /// up to 1.
    #[must_use]
    pub fn windowed(window: WindowSpec, calls_min: u32, failure_rate: f64) -> Self {
        Self {
            window,
            calls_min,
            failure_rate,
            slow_call: None,
            slow_rate: 1.0,
            open_base: Duration::from_secs(30),
            open_max: Duration::from_secs(300),
            jitter: 0.1,
            probes: 1,
            probe_lease: Duration::from_secs(60),
        }
    }

    /// Also trips when this part of the calls took at least `slow_call`: above 0, up to 1. A probe
    /// that is slow counts as failed.
    #[must_use]
    pub fn slow_calls(self, slow_call: Duration, slow_rate: f64) -> Self {
        Self {
            slow_call: Some(slow_call),
            slow_rate,
            ..self
        }
    }

    /// Rests for `base` at first, for twice as long after each failed probe, up to `max`.
    #[must_use]
    pub fn open(self, base: Duration, max: Duration) -> Self {
        Self {
            open_base: base,
            open_max: max,
            ..self
        }
    }

    /// Lengthens each rest by a random part of itself, up to this one, from 0 to 1 (at first 0.1),
    /// so that many instances do not probe at once.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// The probes that are let through at a time, all of which have to succeed before it closes;
    /// at first 1.
    #[must_use]
    pub fn probes(self, probes: u32) -> Self {
        Self { probes, ..self }
    }

    /// How long a probe may take until it counts as failed though nobody said so; at first 60 s.
    #[must_use]
    pub fn probe_lease(self, probe_lease: Duration) -> Self {
        Self {
            probe_lease,
            ..self
        }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// Names the first setting that cannot be, with its value and what is allowed.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let mut calls_max = u32::MAX;
        match self.window {
            WindowSpec::Calls(calls) => {
                calls_max = calls;
                let holds = (1..=CALLS_MAX).contains(&calls);
                require(holds, "breaker: window", calls, "from 1 to 65536 calls")?;
            }
            WindowSpec::Time { bucket, buckets } => {
                let holds = (Duration::from_millis(1)..=OPEN_MAX).contains(&bucket);
                require(holds, "breaker: bucket", bucket, "from 1 ms to 24 h")?;
                let holds = (1..=BUCKETS_MAX).contains(&buckets);
                require(holds, "breaker: buckets", buckets, "from 1 to 120")?;
            }
        }
        let holds = (1..=calls_max).contains(&self.calls_min);
        let allowed = "from 1 to the calls of the window";
        require(holds, "breaker: calls_min", self.calls_min, allowed)?;
        let part = |rate: f64| rate > 0.0 && rate <= 1.0;
        let allowed = "above 0, up to 1";
        let rate = self.failure_rate;
        require(part(rate), "breaker: failure_rate", rate, allowed)?;
        let rate = self.slow_rate;
        require(part(rate), "breaker: slow_rate", rate, allowed)?;
        let holds = (Duration::from_millis(1)..=OPEN_MAX).contains(&self.open_base);
        require(holds, "breaker: open", self.open_base, "from 1 ms to 24 h")?;
        let holds = (self.open_base..=OPEN_MAX).contains(&self.open_max);
        let allowed = "from the first open time to 24 h";
        require(holds, "breaker: open_max", self.open_max, allowed)?;
        let holds = (0.0..=1.0).contains(&self.jitter);
        require(holds, "breaker: jitter", self.jitter, "from 0 to 1")?;
        let holds = (1..=PROBES_MAX).contains(&self.probes);
        require(holds, "breaker: probes", self.probes, "from 1 to 1000")?;
        let holds = (Duration::from_millis(1)..=OPEN_MAX).contains(&self.probe_lease);
        let lease = self.probe_lease;
        require(holds, "breaker: probe_lease", lease, "from 1 ms to 24 h")
    }
}

impl Default for BreakerSpec {
    /// Five failures in a row; 30 s, doubling to 5 min.
    fn default() -> Self {
        Self::consecutive(5, Duration::from_secs(30))
    }
}
