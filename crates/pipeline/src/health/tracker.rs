//! The status over time: down at once, up only after a while.
//!
//! A status gets worse with the first score below its limit. It gets better once the score has
//! been [`HEALTH_MARGIN`] points above the limit of the better one, at every look, for
//! [`HEALTH_HOLD`]; then that time begins anew. So however the score moves, no more than three
//! changes lie within any [`HEALTH_HOLD`]. A clock that jumps back is clamped.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::trend::Trend;
use super::{Health, HealthReason, HealthStatus, judge};
use crate::Stats;

/// Points above its limit from which a better status counts.
pub const HEALTH_MARGIN: u8 = 5;
/// How long the score has to stay there.
pub const HEALTH_HOLD: Duration = Duration::from_secs(10);

/// The status changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthChange {
    /// What it was.
    pub from: HealthStatus,
    /// What it is.
    pub to: HealthStatus,
    /// The score that made the change.
    pub score: u8,
    /// What took points off then, the most first.
    pub reasons: Vec<HealthReason>,
}

/// The status that a series of scores comes to.
///
/// ```
/// use std::time::{Duration, Instant};
/// use pipeline::{HEALTH_HOLD, HealthStatus, StatusTracker};
/// use HealthStatus::{Degraded, Healthy};
///
/// let start = Instant::now();
/// let mut tracker = StatusTracker::new();
/// assert_eq!(tracker.observe(start, 60), Some((Healthy, Degraded)));
/// assert_eq!(tracker.observe(start, 100), None);
/// assert_eq!(tracker.observe(start + HEALTH_HOLD, 100), Some((Degraded, Healthy)));
/// ```
#[derive(Clone, Debug)]
pub struct StatusTracker {
    status: HealthStatus,
    latest: Option<Instant>,
    /// Since when each score was clear of the limit of `Healthy`, and of that of `Degraded`.
    clear: [(HealthStatus, Option<Instant>); 2],
}

impl StatusTracker {
    /// One that begins healthy.
    #[must_use]
    pub fn new() -> Self {
        Self {
            status: HealthStatus::Healthy,
            latest: None,
            clear: [
                (HealthStatus::Healthy, None),
                (HealthStatus::Degraded, None),
            ],
        }
    }

    /// The status now.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.status
    }

    /// The score is so high now; says from what to what the status changed, if it did.
    pub fn observe(&mut self, now: Instant, score: u8) -> Option<(HealthStatus, HealthStatus)> {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        for (status, since) in &mut self.clear {
            let is_clear = score >= status.score_min() + HEALTH_MARGIN;
            *since = is_clear.then(|| since.unwrap_or(now));
        }
        let from = self.status;
        let plain = HealthStatus::of(score);
        if plain > from {
            self.status = plain;
            return Some((from, plain));
        }
        let held = |since: Option<Instant>| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= HEALTH_HOLD)
        };
        let better = self
            .clear
            .iter()
            .find(|(status, since)| *status < from && held(*since));
        let (to, _) = *better?;
        self.status = to;
        for (_, since) in &mut self.clear {
            *since = since.map(|_| now);
        }
        Some((from, to))
    }
}

impl Default for StatusTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// Judges one account after the other.
///
/// It may be asked as often as one likes, by the pulse of a pipeline and by whoever wants to know:
/// each change is told once, to the one that asked when it came about.
#[derive(Clone, Debug, Default)]
pub struct HealthTracker {
    trend: Trend,
    status: StatusTracker,
}

impl HealthTracker {
    /// One for a pipeline that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The status that was found last.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.status.status()
    }

    /// Judges an account that was taken now; `stopped` is why the pipeline no longer delivers, if
    /// it does not. The status of the answer has hysteresis.
    ///
    /// Takes time in proportion to the lanes.
    #[must_use = "a change is told once"]
    pub fn observe(
        &mut self,
        now: Instant,
        stats: &Stats,
        stopped: Option<&str>,
    ) -> (Health, Option<HealthChange>) {
        self.trend.observe(now, stats);
        let mut health = judge::judge(stats, stopped, Some(&self.trend));
        let change = self.status.observe(now, health.score);
        health.status = self.status.status();
        let change = change.map(|(from, to)| HealthChange {
            from,
            to,
            score: health.score,
            reasons: health.reasons.clone(),
        });
        (health, change)
    }
}
