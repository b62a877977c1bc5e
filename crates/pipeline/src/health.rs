//! How a pipeline is doing: a score from 0 to 100, with what took points off and what to do.
//!
//! The score is 100 less the points of each reason, and never below 0. From 70 up the pipeline is
//! healthy, from 40 up degraded, below that critical. What is listed here is the whole formula.

use serde::Serialize;

use crate::Stats;

/// The verdict on a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// 70 to 100.
    Healthy,
    /// 40 to 69.
    Degraded,
    /// 0 to 39.
    Critical,
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
    /// Points taken off.
    pub points: u8,
}

/// How a pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// 100 less the points of the reasons, at least 0.
    pub score: u8,
    /// What took points off; empty at 100.
    pub reasons: Vec<HealthReason>,
}

/// A failing sink is degraded at once and critical after so long.
const FAILING_CRITICAL_S: f64 = 10.0;

impl Health {
    /// Judges an account; `stopped` is why the pipeline no longer delivers, if it does not.
    /// `alert_threshold_pct` is the fill above which the buffer counts as filling up.
    #[must_use]
    pub fn judge(stats: &Stats, alert_threshold_pct: f64, stopped: Option<&str>) -> Self {
        let mut reasons = Vec::new();
        let mut blame = |code, points, hint, message: String| {
            reasons.push(HealthReason {
                code,
                message,
                hint,
                points,
            });
        };
        if let Some(error) = stopped {
            blame(
                "stopped",
                100,
                "read the message, mend its cause, and start again; what was not delivered is \
                 written to a file at the end",
                format!("nothing is delivered any more: {error}"),
            );
        }
        let failing_s = stats.sink.failing_for_s;
        if failing_s > 0.0 {
            blame(
                "sink_failing",
                if failing_s >= FAILING_CRITICAL_S {
                    70
                } else {
                    40
                },
                "the batch is tried again by itself; see that the database can be reached and \
                 its disk has room",
                format!(
                    "the sink has failed for {failing_s:.1} s: {}",
                    stats.sink.last_error.as_deref().unwrap_or("no message")
                ),
            );
        }
        for reason in &stats.stopped_sources {
            blame(
                "source_stopped",
                40,
                "what it polled is not seen any more: read the message, and start again",
                format!("a source has ended: {reason}"),
            );
        }
        let fill_pct = stats.buffer.utilization_pct;
        if fill_pct >= alert_threshold_pct {
            blame(
                "buffer_high",
                25,
                "the sink is slower than the sources: raise [buffer] max_size, or poll less often",
                format!(
                    "the buffer is {fill_pct:.0} % full ({} records)",
                    stats.buffer.max_size
                ),
            );
        }
        let lost_per_s = stats.buffer.overflow_per_s;
        let lost_pct = lost_per_s * 100.0 / stats.updates_per_second.max(lost_per_s).max(1e-9);
        if lost_pct > 1.0 {
            blame(
                "overflow",
                31,
                "records are lost because the buffer is full: raise [buffer] max_size, or make \
                 the sink faster",
                format!("{lost_per_s:.0} records per second, {lost_pct:.1} %, are dropped"),
            );
        }
        let points: u32 = reasons.iter().map(|reason| u32::from(reason.points)).sum();
        let score = u8::try_from(100_u32.saturating_sub(points)).unwrap_or(0);
        let status = match score {
            70.. => HealthStatus::Healthy,
            40..70 => HealthStatus::Degraded,
            _ => HealthStatus::Critical,
        };
        Self {
            status,
            score,
            reasons,
        }
    }
}
