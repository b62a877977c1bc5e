//! Accounts made by hand, and what a verdict found.

#![allow(dead_code, reason = "each test uses a part")]

use flush_policy::FlushCounts;
use pipeline::{
    BufferStats, DroppedStats, Health, LaneState, LaneStats, LatencyStats, RecentStats, RouteStats,
    SinkState, SinkStats, SizeStats, Stats, Totals,
};
use record::Priority;

const NO_LATENCY: LatencyStats = LatencyStats {
    p50: 0.0,
    p95: 0.0,
    p99: 0.0,
    max: 0.0,
};

pub(crate) fn empty_buffer() -> BufferStats {
    BufferStats {
        current_size: 0,
        max_size: 10_000,
        utilization_pct: 0.0,
        overflow_count: 0,
        overflow_rate_pct: 0.0,
        overflow_per_s: 0.0,
        current_bytes: 0,
        total_added: 0,
        total_acked: 0,
        oldest_age_s: 0.0,
    }
}

pub(crate) fn lane(priority: Priority) -> LaneStats {
    LaneStats {
        lane: priority,
        state: LaneState::Running,
        totals: Totals::default(),
        buffer: empty_buffer(),
        high: false,
        updates_per_second: 0.0,
        rows_per_s: 0.0,
        flushes: FlushCounts::default(),
        age_max_s: Some(0.5),
        batch_size: 500,
        batch_rows: SizeStats::default(),
        batches: 0,
        retries: 0,
        repeated: 0,
        failing_for_s: 0.0,
        last_error: None,
        write_ms: NO_LATENCY,
        latency_ms: NO_LATENCY,
        latency_target_ms: 100.0,
        restarts: 0,
    }
}

pub(crate) fn sink(name: &str) -> SinkState {
    SinkState {
        sink: name.to_owned(),
        kind: "memory".to_owned(),
        concurrency: 1,
        in_flight: 0,
        waiting: 0,
        breaker: None,
        lost: None,
    }
}

pub(crate) fn route(sink: &str, lanes: Vec<LaneStats>) -> RouteStats {
    RouteStats {
        route: None,
        sink: sink.to_owned(),
        is_ending: false,
        totals: Totals::default(),
        lanes,
    }
}

/// An account of a pipeline that has nothing to do: two sinks with a lane each.
pub(crate) fn idle() -> Stats {
    Stats {
        routes: vec![
            route("archive", vec![lane(Priority::Normal)]),
            route("plant", vec![lane(Priority::Critical)]),
        ],
        sinks: vec![sink("archive"), sink("plant")],
        ..without_lanes()
    }
}

/// An account in which no lanes are filled in.
pub(crate) fn without_lanes() -> Stats {
    Stats {
        uptime_s: 1.0,
        offered: 0,
        accepted: 0,
        refused: 0,
        updates_per_second: 0.0,
        delivered: 0,
        dropped: DroppedStats::default(),
        quarantined: 0,
        pending: 0,
        buffer: empty_buffer(),
        flushes: FlushCounts::default(),
        sink: SinkStats {
            name: "memory".to_owned(),
            rows_per_s: 0.0,
            batches: 0,
            retries: 0,
            repeated: 0,
            failing_for_s: 0.0,
            last_error: None,
            write_ms: NO_LATENCY,
        },
        latency_ms: NO_LATENCY,
        stopped_sources: Vec::new(),
        unrouted: 0,
        recent: RecentStats::default(),
        routes: Vec::new(),
        sinks: Vec::new(),
    }
}

/// The first lane.
pub(crate) fn first(stats: &mut Stats) -> &mut LaneStats {
    &mut stats.routes[0].lanes[0]
}

pub(crate) fn found(health: &Health) -> Vec<(&'static str, u8)> {
    health
        .reasons
        .iter()
        .map(|it| (it.code, it.points))
        .collect()
}
