//! Puts the accounts of queues together: lanes, routes, and the whole.

use std::time::{Duration, Instant};

use flush_policy::FlushCounts;
use hdrhistogram::Histogram;

use crate::queue::Queue;
use crate::rates::Samples;
use crate::route::{Lane, Route};
use crate::stats::{
    BufferStats, DroppedStats, LaneState, LaneStats, LatencyStats, RecentStats, RouteStats,
    SinkStats, SizeStats, Totals,
};

/// What queues count together.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) totals: Totals,
    pub(crate) flushes: FlushCounts,
    batches: u64,
    retries: u64,
    repeated: u64,
    restarts: u64,
    size_max: usize,
    bytes: usize,
    acked: u64,
    oldest: Option<Instant>,
    failing_since: Option<Instant>,
    last_error: Option<String>,
    accepted_per_s: f64,
    delivered_per_s: f64,
    overflow_per_s: f64,
    latency_us: Histogram<u64>,
    latencies: u64,
    latency_sum_us: u64,
    write_us: Histogram<u64>,
    batch_rows: Histogram<u64>,
}

impl Reading {
    /// One queue, at one moment: what it says balances.
    pub(crate) fn of(queue: &Queue, now: Instant) -> Self {
        let (counts, fill) = queue.account.snapshot(&queue.buffer);
        let dropped = DroppedStats {
            drop_oldest: fill.displaced,
            drop_newest: fill.dropped,
            resize: fill.resized - counts.lower_priority,
            rejected: counts.rejected,
            lower_priority: counts.lower_priority,
            expired: counts.expired,
            purged: counts.purged,
        };
        let overflowed = fill.displaced + fill.dropped + counts.lower_priority;
        let counted = [fill.accepted, counts.delivered, overflowed];
        let [accepted_per_s, delivered_per_s, overflow_per_s] = counts.rates.per_s(now, counted);
        let oldest = counts
            .in_flight_since
            .into_iter()
            .chain(queue.buffer.oldest());
        Self {
            totals: Totals {
                offered: fill.offered + counts.refused_early,
                accepted: fill.accepted,
                refused: fill.refused + counts.refused_early,
                delivered: counts.delivered,
                dropped,
                quarantined: counts.quarantined,
                pending: fill.size as u64,
            },
            flushes: counts.flushes,
            batches: counts.batches,
            retries: counts.retries,
            repeated: counts.repeated,
            restarts: counts.restarts,
            size_max: fill.size_max,
            bytes: fill.bytes,
            acked: fill.acked,
            oldest: oldest.min().filter(|_| fill.size > 0),
            failing_since: counts.failing_since,
            last_error: counts.last_error,
            accepted_per_s,
            delivered_per_s,
            overflow_per_s,
            latency_us: counts.latency_us.recent(now),
            latencies: counts.latencies,
            latency_sum_us: counts.latency_sum_us,
            write_us: counts.write_us.recent(now),
            batch_rows: counts.batch_rows.recent(now),
        }
    }

    /// All of them together; `None` of none.
    pub(crate) fn sum(readings: impl IntoIterator<Item = Self>) -> Option<Self> {
        readings.into_iter().reduce(|mut sum, other| {
            sum.add(&other);
            sum
        })
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.flushes.add(&other.flushes);
        self.batches += other.batches;
        self.retries += other.retries;
        self.repeated += other.repeated;
        self.restarts += other.restarts;
        self.size_max += other.size_max;
        self.bytes += other.bytes;
        self.acked += other.acked;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        // The error that is shown is that of a queue that fails, if there is one.
        let is_worse = other.failing_since.is_some() && self.failing_since.is_none();
        if is_worse || self.last_error.is_none() {
            self.last_error.clone_from(&other.last_error);
        }
        let failing = self.failing_since.into_iter().chain(other.failing_since);
        self.failing_since = failing.min();
        self.accepted_per_s += other.accepted_per_s;
        self.delivered_per_s += other.delivered_per_s;
        self.overflow_per_s += other.overflow_per_s;
        self.latencies += other.latencies;
        self.latency_sum_us += other.latency_sum_us;
        // All have the same bounds.
        let _ = self.latency_us.add(&other.latency_us);
        let _ = self.write_us.add(&other.write_us);
        let _ = self.batch_rows.add(&other.batch_rows);
    }

    /// The queue is gone: nothing of it waits any more, and what it held was handed back, which
    /// makes it somebody else's.
    pub(crate) fn retire(&mut self) {
        self.totals.quarantined += std::mem::take(&mut self.totals.pending);
        (self.size_max, self.bytes) = (0, 0);
        (self.oldest, self.failing_since) = (None, None);
        (
            self.accepted_per_s,
            self.delivered_per_s,
            self.overflow_per_s,
        ) = (0.0, 0.0, 0.0);
    }

    pub(crate) fn updates_per_second(&self) -> f64 {
        self.accepted_per_s
    }

    pub(crate) fn buffer(&self, now: Instant) -> BufferStats {
        let totals = &self.totals;
        let size = totals.pending;
        let overflow_count =
            totals.dropped.drop_oldest + totals.dropped.drop_newest + totals.dropped.lower_priority;
        BufferStats {
            current_size: usize::try_from(size).unwrap_or(usize::MAX),
            max_size: self.size_max,
            utilization_pct: percent(size as f64, self.size_max as f64),
            overflow_count,
            overflow_rate_pct: percent(overflow_count as f64, totals.accepted as f64),
            overflow_per_s: self.overflow_per_s,
            current_bytes: self.bytes,
            total_added: totals.accepted,
            total_acked: self.acked,
            oldest_age_s: since(self.oldest, now),
        }
    }

    pub(crate) fn sink(&self, name: String, now: Instant) -> SinkStats {
        SinkStats {
            name,
            rows_per_s: self.delivered_per_s,
            batches: self.batches,
            retries: self.retries,
            repeated: self.repeated,
            failing_for_s: since(self.failing_since, now),
            last_error: self.last_error.clone(),
            write_ms: LatencyStats::of(&self.write_us),
        }
    }

    pub(crate) fn latency(&self) -> LatencyStats {
        LatencyStats::of(&self.latency_us)
    }

    /// What recent rates are taken from.
    pub(crate) fn recent(&self) -> RecentCounts {
        RecentCounts {
            accepted: self.totals.accepted,
            delivered: self.totals.delivered,
            dropped: self.totals.dropped.total(),
            batches: self.batches,
            failures: self.retries,
            latencies: self.latencies,
            latency_sum_us: self.latency_sum_us,
        }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.quarantined += other.quarantined;
        self.pending += other.pending;
        let (ours, theirs) = (&mut self.dropped, &other.dropped);
        ours.drop_oldest += theirs.drop_oldest;
        ours.drop_newest += theirs.drop_newest;
        ours.resize += theirs.resize;
        ours.rejected += theirs.rejected;
        ours.lower_priority += theirs.lower_priority;
        ours.expired += theirs.expired;
        ours.purged += theirs.purged;
    }
}

/// A route, read once.
pub(crate) fn read_route(route: &Route, now: Instant) -> (RouteStats, Option<Reading>) {
    let mut sum: Option<Reading> = None;
    let mut lanes = Vec::with_capacity(route.lanes.len());
    for lane in &route.lanes {
        let readings = lane.queues.iter().map(|queue| Reading::of(queue, now));
        let Some(reading) = Reading::sum(readings) else {
            continue;
        };
        lanes.push(lane_stats(lane, &reading, now));
        match &mut sum {
            Some(sum) => sum.add(&reading),
            None => sum = Some(reading),
        }
    }
    let stats = RouteStats {
        route: route.spec.name.clone(),
        sink: route.sink.name.clone(),
        is_ending: false,
        totals: sum.as_ref().map(|sum| sum.totals).unwrap_or_default(),
        lanes,
    };
    (stats, sum)
}

fn lane_stats(lane: &Lane, reading: &Reading, now: Instant) -> LaneStats {
    let queues = &lane.queues;
    // The state that most needs somebody's eye.
    let state = queues
        .iter()
        .map(|queue| queue.state())
        .max_by_key(|state| match state {
            LaneState::Running => 0,
            LaneState::Waiting => 1,
            LaneState::Retrying => 2,
            LaneState::Restarting => 3,
            LaneState::Ended => 4,
        });
    LaneStats {
        lane: lane.spec.priority,
        state: state.unwrap_or(LaneState::Ended),
        totals: reading.totals,
        buffer: reading.buffer(now),
        high: queues.iter().any(|queue| queue.is_high()),
        updates_per_second: reading.accepted_per_s,
        rows_per_s: reading.delivered_per_s,
        flushes: reading.flushes,
        age_max_s: queues
            .first()
            .and_then(|q| q.age_max)
            .map(|age| age.as_secs_f64()),
        batch_size: queues
            .iter()
            .map(|queue| queue.batch_size())
            .max()
            .unwrap_or(0),
        batch_rows: SizeStats::of(&reading.batch_rows),
        batches: reading.batches,
        retries: reading.retries,
        repeated: reading.repeated,
        failing_for_s: since(reading.failing_since, now),
        last_error: reading.last_error.clone(),
        write_ms: LatencyStats::of(&reading.write_us),
        latency_ms: reading.latency(),
        latency_target_ms: lane.spec.target.as_secs_f64() * 1_000.0,
        restarts: reading.restarts,
    }
}

/// Counts of which the last five minutes are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecentCounts {
    accepted: u64,
    delivered: u64,
    dropped: u64,
    batches: u64,
    failures: u64,
    latencies: u64,
    latency_sum_us: u64,
}

/// The samples of the last five minutes.
pub(crate) struct Recent(Samples<RecentCounts>);

/// How far back recent statistics look.
const RECENT_SPAN: Duration = Duration::from_secs(300);

impl Recent {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Samples::new(now, RECENT_SPAN))
    }

    pub(crate) fn sample(&mut self, now: Instant, counts: RecentCounts) {
        self.0.add(now, counts);
    }

    /// What happened since five minutes ago, or since the beginning.
    pub(crate) fn stats(&self, now: Instant, counts: RecentCounts) -> RecentStats {
        let (since, base) = self.0.base(now);
        let grew = |now: u64, then: u64| now.saturating_sub(then);
        let batches = grew(counts.batches, base.batches);
        let failures = grew(counts.failures, base.failures);
        let latencies = grew(counts.latencies, base.latencies);
        let latency_sum_us = grew(counts.latency_sum_us, base.latency_sum_us);
        RecentStats {
            span_s: now.saturating_duration_since(since).as_secs_f64(),
            accepted: grew(counts.accepted, base.accepted),
            delivered: grew(counts.delivered, base.delivered),
            dropped: grew(counts.dropped, base.dropped),
            batches,
            failures,
            success_rate_pct: match batches + failures {
                0 => 100.0,
                attempts => percent(batches as f64, attempts as f64),
            },
            latency_mean_ms: match latencies {
                0 => 0.0,
                latencies => latency_sum_us as f64 / latencies as f64 / 1_000.0,
            },
        }
    }
}

fn since(start: Option<Instant>, now: Instant) -> f64 {
    start.map_or(0.0, |start| {
        now.saturating_duration_since(start).as_secs_f64()
    })
}

fn percent(part: f64, whole: f64) -> f64 {
    match whole > 0.0 {
        true => part * 100.0 / whole,
        false => 0.0,
    }
}
