//! Every metric of a pipeline: its name, its unit, what it means and where it is read from.

use metrics::Unit;

use crate::{Health, HealthStatus, LaneState, LaneStats, SinkState, Stats};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDescription {
    /// Its name, in the way of Prometheus: with its unit at the end, and `_total` for counters.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it counts in.
    pub unit: Unit,
    /// The labels that its series may have.
    pub labels: &'static [&'static str],
    /// What it means, as a sentence.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It is what it is at the moment.
    Gauge,
    /// It is a distribution.
    Histogram,
}

impl MetricKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Every metric that a pipeline publishes or records.
///
/// ```
/// let names: Vec<&str> = pipeline::described().map(|metric| metric.name).collect();
/// assert!(names.contains(&"forebay_latency_seconds"));
/// ```
pub fn described() -> impl Iterator<Item = MetricDescription> {
    published().chain(batches())
}

/// Those that are read from an account.
pub(super) fn published() -> impl Iterator<Item = MetricDescription> {
    let summary = SUMMARY.iter().map(Row::describe);
    let lanes = LANES.iter().map(Row::describe);
    summary.chain(lanes).chain(SINKS.iter().map(Row::describe))
}

/// Those that are recorded with each batch.
pub(super) fn batches() -> impl Iterator<Item = MetricDescription> {
    BATCHES.iter().copied()
}

/// Labels of one series beside those of its lane or sink.
pub(super) type Labels<'a> = &'a [(&'static str, &'static str)];

/// Takes one series and its value.
pub(super) type Emit<'a, V> = &'a mut dyn FnMut(Labels<'_>, V);

/// A metric that is read from a `T`.
pub(super) struct Row<T: 'static> {
    pub(super) name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
    pub(super) read: Read<T>,
}

/// How it is read. What has further labels names all of them each time, in the same order.
pub(super) enum Read<T: 'static> {
    Count(fn(&T) -> u64),
    Level(fn(&T) -> f64),
    Counts(fn(&T, Emit<'_, u64>)),
    Levels(fn(&T, Emit<'_, f64>)),
}

impl<T> Row<T> {
    const fn new(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
        read: Read<T>,
    ) -> Self {
        Self {
            name,
            unit,
            labels,
            help,
            read,
        }
    }

    fn describe(&self) -> MetricDescription {
        MetricDescription {
            name: self.name,
            kind: match self.read {
                Read::Count(_) | Read::Counts(_) => MetricKind::Counter,
                Read::Level(_) | Read::Levels(_) => MetricKind::Gauge,
            },
            unit: self.unit,
            labels: self.labels,
            help: self.help,
        }
    }
}

/// What belongs to the pipeline as a whole.
pub(super) struct Summary {
    uptime_s: f64,
    unrouted: u64,
    stopped_sources: usize,
    score: u8,
    status: HealthStatus,
}

impl Summary {
    pub(super) fn of(stats: &Stats, health: &Health) -> Self {
        Self {
            uptime_s: stats.uptime_s,
            unrouted: stats.unrouted,
            stopped_sources: stats.stopped_sources.len(),
            score: health.score,
            status: health.status,
        }
    }
}

const NONE: &[&str] = &[];
const LANE: &[&str] = &["route", "sink", "lane"];
const LANE_POLICY: &[&str] = &["route", "sink", "lane", "policy"];
const LANE_FLUSH: &[&str] = &["route", "sink", "lane", "reason", "outcome"];
const LANE_STATE: &[&str] = &["route", "sink", "lane", "state"];
const SINK: &[&str] = &["sink"];
const SINK_STATE: &[&str] = &["sink", "state"];

#[rustfmt::skip]
pub(super) static SUMMARY: &[Row<Summary>] = &[
    Row::new("forebay_uptime_seconds", Unit::Seconds, NONE,
        "Time since the pipeline started.",
        Read::Level(|all| all.uptime_s)),
    Row::new("forebay_health_score", Unit::Count, NONE,
        "Health from 0 to 100.",
        Read::Level(|all| f64::from(all.score))),
    Row::new("forebay_health_status", Unit::Count, &["status"],
        "1 for the verdict on the health, 0 for the others.",
        Read::Levels(|all, out| one_of(&STATUSES, &all.status, "status", out))),
    Row::new("forebay_unrouted_total", Unit::Count, NONE,
        "Records that no route matched: shown and not delivered.",
        Read::Count(|all| all.unrouted)),
    Row::new("forebay_stopped_sources", Unit::Count, NONE,
        "Sources that ended though nobody stopped them.",
        Read::Level(|all| all.stopped_sources as f64)),
];

#[rustfmt::skip]
pub(super) static LANES: &[Row<LaneStats>] = &[
    Row::new("forebay_offered_total", Unit::Count, LANE,
        "Updates that sources offered.",
        Read::Count(|lane| lane.totals.offered)),
    Row::new("forebay_accepted_total", Unit::Count, LANE,
        "Updates that were accepted.",
        Read::Count(|lane| lane.totals.accepted)),
    Row::new("forebay_refused_total", Unit::Count, LANE,
        "Updates that were refused, and their source told.",
        Read::Count(|lane| lane.totals.refused)),
    Row::new("forebay_delivered_total", Unit::Count, LANE,
        "Updates that are in the sink.",
        Read::Count(|lane| lane.totals.delivered)),
    Row::new("forebay_dropped_total", Unit::Count, LANE_POLICY,
        "Updates that were accepted and lost, by reason.",
        Read::Counts(dropped)),
    Row::new("forebay_quarantined_total", Unit::Count, LANE,
        "Updates that are in the quarantine, or with the fallback.",
        Read::Count(|lane| lane.totals.quarantined)),
    Row::new("forebay_pending", Unit::Count, LANE,
        "Updates in the buffer and under way to the sink.",
        Read::Level(|lane| lane.totals.pending as f64)),
    Row::new("forebay_buffer_max_size", Unit::Count, LANE,
        "Updates that the buffer can hold.",
        Read::Level(|lane| lane.buffer.max_size as f64)),
    Row::new("forebay_buffer_bytes", Unit::Bytes, LANE,
        "Bytes in the buffer.",
        Read::Level(|lane| lane.buffer.current_bytes as f64)),
    Row::new("forebay_buffer_oldest_age_seconds", Unit::Seconds, LANE,
        "Age of the oldest pending update.",
        Read::Level(|lane| lane.buffer.oldest_age_s)),
    Row::new("forebay_buffer_high", Unit::Count, LANE,
        "1 from the high mark of the buffer until it is back at the low one.",
        Read::Level(|lane| f64::from(u8::from(lane.high)))),
    Row::new("forebay_lane_state", Unit::Count, LANE_STATE,
        "1 for what the lane is doing, 0 for the others.",
        Read::Levels(|lane, out| one_of(&LANE_STATES, &lane.state, "state", out))),
    Row::new("forebay_lane_restarts_total", Unit::Count, LANE,
        "How often the lane's task was started again after a panic.",
        Read::Count(|lane| lane.restarts)),
    Row::new("forebay_flushes_total", Unit::Count, LANE_FLUSH,
        "Flushes by reason and outcome.",
        Read::Counts(flushes)),
    Row::new("forebay_batches_total", Unit::Count, LANE,
        "Batches written.",
        Read::Count(|lane| lane.batches)),
    Row::new("forebay_batch_rows_max", Unit::Count, LANE,
        "Rows that a batch may have now; it moves where it is adaptive.",
        Read::Level(|lane| lane.batch_size as f64)),
    Row::new("forebay_retries_total", Unit::Count, LANE,
        "Failed attempts to write a batch.",
        Read::Count(|lane| lane.retries)),
    Row::new("forebay_repeated_total", Unit::Count, LANE,
        "Rows that an earlier attempt had written already.",
        Read::Count(|lane| lane.repeated)),
    Row::new("forebay_sink_failing_seconds", Unit::Seconds, LANE,
        "For how long every attempt of the lane has failed.",
        Read::Level(|lane| lane.failing_for_s)),
    Row::new("forebay_latency_target_seconds", Unit::Seconds, LANE,
        "What 99 of 100 latencies should stay below.",
        Read::Level(|lane| lane.latency_target_ms / 1000.0)),
];

#[rustfmt::skip]
pub(super) static SINKS: &[Row<SinkState>] = &[
    Row::new("forebay_sink_concurrency", Unit::Count, SINK,
        "Batches that may be written at the same time.",
        Read::Level(|sink| sink.concurrency as f64)),
    Row::new("forebay_sink_in_flight", Unit::Count, SINK,
        "Batches that are being written.",
        Read::Level(|sink| sink.in_flight as f64)),
    Row::new("forebay_sink_waiting", Unit::Count, SINK,
        "Lanes that wait for their turn.",
        Read::Level(|sink| sink.waiting as f64)),
    Row::new("forebay_sink_lost", Unit::Count, SINK,
        "1 once the sink takes nothing any more.",
        Read::Level(|sink| f64::from(u8::from(sink.lost.is_some())))),
    Row::new("forebay_breaker_state", Unit::Count, SINK_STATE,
        "1 for the state of the breaker, 0 for the others; absent without a breaker.",
        Read::Levels(|sink, out| if let Some(state) = sink.breaker {
            one_of(&BREAKER_STATES, &state, "state", out);
        })),
];

/// What is recorded with each batch: latency, write, rows.
static BATCHES: [MetricDescription; 3] = [
    MetricDescription {
        name: BATCH_NAMES[0],
        kind: MetricKind::Histogram,
        unit: Unit::Seconds,
        labels: LANE,
        help: "From acceptance to delivery, per record.",
    },
    MetricDescription {
        name: BATCH_NAMES[1],
        kind: MetricKind::Histogram,
        unit: Unit::Seconds,
        labels: LANE,
        help: "How long writing a batch takes.",
    },
    MetricDescription {
        name: BATCH_NAMES[2],
        kind: MetricKind::Histogram,
        unit: Unit::Count,
        labels: LANE,
        help: "Rows of a batch.",
    },
];

pub(super) const BATCH_NAMES: [&str; 3] = [
    "forebay_latency_seconds",
    "forebay_write_seconds",
    "forebay_batch_rows",
];

const STATUSES: [(HealthStatus, &str); 3] = [
    (HealthStatus::Healthy, "healthy"),
    (HealthStatus::Degraded, "degraded"),
    (HealthStatus::Critical, "critical"),
];

const LANE_STATES: [(LaneState, &str); 5] = [
    (LaneState::Running, "running"),
    (LaneState::Waiting, "waiting"),
    (LaneState::Retrying, "retrying"),
    (LaneState::Restarting, "restarting"),
    (LaneState::Ended, "ended"),
];

const BREAKER_STATES: [(&str, &str); 3] = [
    ("closed", "closed"),
    ("open", "open"),
    ("half_open", "half_open"),
];

/// 1 for the state that it is, 0 for each of the others.
fn one_of<T: PartialEq>(
    states: &[(T, &'static str)],
    is: &T,
    label: &'static str,
    out: Emit<'_, f64>,
) {
    for (state, name) in states {
        out(&[(label, name)], f64::from(u8::from(state == is)));
    }
}

fn dropped(lane: &LaneStats, out: Emit<'_, u64>) {
    let dropped = &lane.totals.dropped;
    for (policy, count) in [
        ("drop_oldest", dropped.drop_oldest),
        ("drop_newest", dropped.drop_newest),
        ("resize", dropped.resize),
        ("rejected", dropped.rejected),
        ("lower_priority", dropped.lower_priority),
        ("expired", dropped.expired),
        ("purged", dropped.purged),
    ] {
        out(&[("policy", policy)], count);
    }
}

fn flushes(lane: &LaneStats, out: Emit<'_, u64>) {
    for (reason, counts) in lane.flushes.iter() {
        let reason = ("reason", reason.as_str());
        out(&[reason, ("outcome", "delivered")], counts.delivered);
        out(&[reason, ("outcome", "failed")], counts.failed);
    }
}
