//! How a pipeline is doing: a score from 0 to 100, with what took points off and what to do.
//!
//! The score is 100 less the points of each reason, and never below 0. What can take points off
//! stands in one table, [`DEDUCTIONS`], and nowhere else. The status follows the score with
//! hysteresis: down at once, up only after the score has stayed clear of the limit for a while.
//!
//! Everything here is pure and takes the time as an argument. A lane that has nothing to do is no
//! fault, and neither is a record that was refused: whoever offered it knows.

mod blame;
mod deductions;
mod judge;
mod tracker;
mod trend;

use serde::Serialize;

use crate::Stats;
pub use deductions::{DEDUCTIONS, Deduction};
pub use tracker::{HEALTH_HOLD, HEALTH_MARGIN, HealthChange, HealthTracker, StatusTracker};

/// The verdict on a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// 70 to 100.
    Healthy,
    /// 40 to 69.
    Degraded,
    /// 0 to 39.
    Critical,
}

impl HealthStatus {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Critical];

    /// The verdict on a score, without regard to what was before.
    #[must_use]
    pub const fn of(score: u8) -> Self {
        match score {
            70.. => Self::Healthy,
            40..70 => Self::Degraded,
            _ => Self::Critical,
        }
    }

    /// The lowest score of this status.
    #[must_use]
    pub const fn score_min(self) -> u8 {
        match self {
            Self::Healthy => 70,
            Self::Degraded => 40,
            Self::Critical => 0,
        }
    }

    /// The word used in configuration and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for HealthStatus {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One thing that took points off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReason {
    /// A stable word for programs.
    pub code: &'static str,
    /// What was seen.
    pub message: String,
    /// What helps.
    pub hint: &'static str,
    /// Points taken off; 0 where others of its code have taken off the most already.
    pub points: u8,
}

/// How a pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The verdict: of the score alone from [`judge`](Self::judge), and with hysteresis from a
    /// [`HealthTracker`].
    pub status: HealthStatus,
    /// 100 less the points of the reasons, at least 0.
    pub score: u8,
    /// What took points off, the most first; empty at 100.
    pub reasons: Vec<HealthReason>,
}

impl Health {
    /// Judges one account by itself, without what only several of them show (what grew within the
    /// last minute, hysteresis): for that there is [`HealthTracker`].
    ///
    /// `stopped` is why the pipeline no longer delivers, if it does not.
    #[must_use]
    pub fn judge(stats: &Stats, stopped: Option<&str>) -> Self {
        judge::judge(stats, stopped, None)
    }
}
