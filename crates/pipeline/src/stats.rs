//! What a pipeline says of itself, in the names that every interface uses.

use flush_policy::FlushCounts;
use hdrhistogram::Histogram;
use record::Priority;
use serde::Serialize;

/// One consistent account of a pipeline: the totals over all routes, then each route and its lanes.
/// In each, `offered = accepted + refused` and
/// `accepted = delivered + dropped.total() + quarantined + pending`, all in updates. A record that
/// goes to two sinks is two updates: one per route.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Seconds since the pipeline started.
    pub uptime_s: f64,
    /// Updates that sources offered.
    pub offered: u64,
    /// Updates that were accepted.
    pub accepted: u64,
    /// Updates that were refused: neither stored nor shown, and their source was told.
    pub refused: u64,
    /// Updates accepted per second over the last ten seconds.
    pub updates_per_second: f64,
    /// Updates that are in the sink.
    pub delivered: u64,
    /// Updates that were accepted and lost, by reason.
    pub dropped: DroppedStats,
    /// Updates that are in the sink's quarantine, or with its fallback.
    pub quarantined: u64,
    /// Updates in the buffer and under way to the sink.
    pub pending: u64,
    /// The buffer.
    pub buffer: BufferStats,
    /// Flushes by reason and outcome.
    pub flushes: FlushCounts,
    /// The sink.
    pub sink: SinkStats,
    /// From acceptance to delivery, in the last minutes.
    pub latency_ms: LatencyStats,
    /// Sources that ended though nobody stopped them, each with the reason.
    pub stopped_sources: Vec<String>,
    /// Records that no route matched: they are shown and not delivered.
    pub unrouted: u64,
    /// The last minutes.
    pub recent: RecentStats,
    /// Each route with its lanes, in the order of the plan.
    pub routes: Vec<RouteStats>,
    /// Each sink, in the order of the plan.
    pub sinks: Vec<SinkState>,
}

/// What happened to updates: the counters of the law of conservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Updates that sources offered.
    pub offered: u64,
    /// Updates that were accepted.
    pub accepted: u64,
    /// Updates that were refused.
    pub refused: u64,
    /// Updates that are in the sink.
    pub delivered: u64,
    /// Updates that were accepted and lost, by reason.
    pub dropped: DroppedStats,
    /// Updates in the sink's quarantine, or with its fallback.
    pub quarantined: u64,
    /// Updates in the buffer and under way to the sink, counted there.
    pub pending: u64,
}

/// What happened in the last minutes, up to five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RecentStats {
    /// How far back this looks, in seconds: 300 once the pipeline has run for so long.
    pub span_s: f64,
    /// Updates accepted.
    pub accepted: u64,
    /// Updates delivered.
    pub delivered: u64,
    /// Updates dropped.
    pub dropped: u64,
    /// Batches that were written.
    pub batches: u64,
    /// Attempts to write one that failed.
    pub failures: u64,
    /// Batches written in percent of all attempts; 100 without any.
    pub success_rate_pct: f64,
    /// The mean from acceptance to delivery, in milliseconds.
    pub latency_mean_ms: f64,
}

/// A route and its lanes.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStats {
    /// The route's name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The sink it leads to.
    pub sink: String,
    /// Whether it belongs to the plan no more, and only delivers what it has.
    #[serde(skip)]
    pub is_ending: bool,
    /// The sums of its lanes.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its lanes, the most urgent first.
    pub lanes: Vec<LaneStats>,
}

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LaneState {
    /// It delivers what comes.
    Running,
    /// It has something to deliver, and waits until the sink takes something: scopes are not open,
    /// or a breaker is.
    Waiting,
    /// Its batch failed and will be tried again.
    Retrying,
    /// Its task has panicked and will be started again.
    Restarting,
    /// It delivers nothing any more.
    Ended,
}

/// One lane of a route.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStats {
    /// Its class of urgency.
    pub lane: Priority,
    /// What it is doing.
    pub state: LaneState,
    /// What happened to its updates.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its buffer.
    pub buffer: BufferStats,
    /// Whether the buffer is past its high mark and not yet back at the low one; sources that can
    /// be slowed are.
    pub high: bool,
    /// Updates accepted per second over the last ten seconds.
    pub updates_per_second: f64,
    /// Rows written per second over the last ten seconds.
    pub rows_per_s: f64,
    /// Flushes by reason and outcome.
    pub flushes: FlushCounts,
    /// How long a flush waits at most for the first of its records; absent without such a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_max_s: Option<f64>,
    /// Rows of a batch at the most, as it stands now: it moves where it is adaptive.
    pub batch_size: usize,
    /// Rows that batches had in the last minutes.
    pub batch_rows: SizeStats,
    /// Batches written.
    pub batches: u64,
    /// Failed attempts.
    pub retries: u64,
    /// Rows that an earlier attempt had written already.
    pub repeated: u64,
    /// For how long every attempt has failed, in seconds; 0 when the last one worked.
    pub failing_for_s: f64,
    /// The last error, kept after recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How long writing a batch takes, in the last minutes.
    pub write_ms: LatencyStats,
    /// From acceptance to delivery, in the last minutes.
    pub latency_ms: LatencyStats,
    /// What the 99th percentile of it should be, in milliseconds.
    pub latency_target_ms: f64,
    /// How often its task was started again after a panic.
    pub restarts: u64,
}

/// A distribution of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SizeStats {
    /// Half are smaller.
    pub p50: u64,
    /// 99 of 100 are smaller.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// One sink.
#[derive(Clone, Debug, Serialize)]
pub struct SinkState {
    /// The sink's name.
    pub sink: String,
    /// Its kind.
    pub kind: String,
    /// Batches that may be written at the same time.
    pub concurrency: usize,
    /// Batches that are being written.
    pub in_flight: usize,
    /// Lanes that wait for their turn.
    pub waiting: usize,
    /// The state of its breaker: `closed`, `open` or `half_open`; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// Why it takes nothing any more, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Updates that were accepted and lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DroppedStats {
    /// Displaced by newer ones.
    pub drop_oldest: u64,
    /// Dropped on arrival.
    pub drop_newest: u64,
    /// Evicted because the buffer was made smaller.
    pub resize: u64,
    /// Refused by the sink, which has no quarantine to keep them in.
    pub rejected: u64,
    /// Displaced by more urgent ones of another lane.
    pub lower_priority: u64,
    /// Waited for longer than their lane allows.
    pub expired: u64,
    /// Thrown away on request.
    pub purged: u64,
}

impl DroppedStats {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.drop_oldest
            + self.drop_newest
            + self.resize
            + self.rejected
            + self.lower_priority
            + self.expired
            + self.purged
    }
}

/// How full the buffer is, and what it lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BufferStats {
    /// Updates in the buffer, those under way to the sink included.
    pub current_size: usize,
    /// Updates it can hold.
    pub max_size: usize,
    /// The fill in percent.
    pub utilization_pct: f64,
    /// Updates lost because it was full.
    pub overflow_count: u64,
    /// The same in percent of those accepted.
    pub overflow_rate_pct: f64,
    /// Updates lost per second over the last ten seconds.
    pub overflow_per_s: f64,
    /// Bytes in the buffer.
    pub current_bytes: usize,
    /// Updates ever accepted.
    pub total_added: u64,
    /// Updates ever settled: delivered, quarantined or rejected.
    pub total_acked: u64,
    /// For how long the oldest update has been waiting, in seconds; 0 when there is none.
    pub oldest_age_s: f64,
}

/// How the sink is doing.
#[derive(Clone, Debug, Serialize)]
pub struct SinkStats {
    /// Its kind.
    pub name: String,
    /// Rows written per second over the last ten seconds.
    pub rows_per_s: f64,
    /// Batches written.
    pub batches: u64,
    /// Failed attempts, after each of which the same batch was tried again or given back.
    pub retries: u64,
    /// Rows that an earlier attempt had written already, because its answer was lost.
    pub repeated: u64,
    /// For how long every attempt has failed, in seconds; 0 when the last one worked.
    pub failing_for_s: f64,
    /// The last error, kept after recovery.
    pub last_error: Option<String>,
    /// How long writing a batch takes, in the last minutes.
    pub write_ms: LatencyStats,
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyStats {
    /// Half are shorter.
    pub p50: f64,
    /// 95 of 100 are shorter.
    pub p95: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl SizeStats {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

impl LatencyStats {
    pub(crate) fn of(histogram_us: &Histogram<u64>) -> Self {
        let at = |quantile| histogram_us.value_at_quantile(quantile) as f64 / 1000.0;
        if histogram_us.is_empty() {
            return Self {
                p50: 0.0,
                p95: 0.0,
                p99: 0.0,
                max: 0.0,
            };
        }
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram_us.max() as f64 / 1000.0,
        }
    }
}
