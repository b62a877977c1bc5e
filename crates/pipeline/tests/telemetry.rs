//! What is handed to the facade `metrics`: the table, the account, and the batches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod recorder;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::Unit;
use pipeline::{BufferStats, DroppedStats, Totals};
use pipeline::{Health, LaneState, LaneStats, MetricKind, Publisher, RouteStats, SinkState};
use pipeline::{LatencyStats, RecentStats, SinkStats, SizeStats, Stats, Telemetry, described};
use record::Priority;
use recorder::Heard;

fn buffer(size: usize) -> BufferStats {
    BufferStats {
        current_size: size,
        max_size: 100,
        utilization_pct: 0.0,
        overflow_count: 0,
        overflow_rate_pct: 0.0,
        overflow_per_s: 0.0,
        current_bytes: 640,
        total_added: 0,
        total_acked: 0,
        oldest_age_s: 0.5,
    }
}

const NEVER: LatencyStats = LatencyStats {
    p50: 0.0,
    p95: 0.0,
    p99: 0.0,
    max: 0.0,
};

fn lane(lane: Priority, factor: u64) -> LaneStats {
    let totals = Totals {
        offered: 100 * factor,
        accepted: 90 * factor,
        refused: 10 * factor,
        delivered: 40 * factor,
        dropped: DroppedStats {
            drop_oldest: factor,
            drop_newest: 2 * factor,
            resize: 3 * factor,
            rejected: 4 * factor,
            lower_priority: 5 * factor,
            expired: 6 * factor,
            purged: 7 * factor,
        },
        quarantined: 12 * factor,
        pending: 10 * factor,
    };
    LaneStats {
        lane,
        state: LaneState::Retrying,
        totals,
        buffer: buffer(10),
        high: true,
        updates_per_second: 0.0,
        rows_per_s: 0.0,
        flushes: Default::default(),
        age_max_s: None,
        batch_size: 50,
        batch_rows: SizeStats::default(),
        batches: 5,
        retries: 2,
        repeated: 1,
        failing_for_s: 3.0,
        last_error: None,
        write_ms: NEVER,
        latency_ms: NEVER,
        latency_target_ms: 50.0,
        restarts: 1,
    }
}

fn sink(name: &str, breaker: Option<&'static str>) -> SinkState {
    SinkState {
        sink: name.to_owned(),
        kind: "memory".to_owned(),
        concurrency: 4,
        in_flight: 1,
        waiting: 2,
        breaker,
        lost: None,
    }
}

/// Two routes, one of them without a name, and as many sinks.
fn stats(factor: u64) -> Stats {
    let route = |route: Option<&str>, sink: &str, lanes| RouteStats {
        route: route.map(str::to_owned),
        sink: sink.to_owned(),
        is_ending: false,
        totals: Totals::default(),
        lanes,
    };
    Stats {
        uptime_s: 7.0,
        offered: 0,
        accepted: 0,
        refused: 0,
        updates_per_second: 0.0,
        delivered: 0,
        dropped: DroppedStats::default(),
        quarantined: 0,
        pending: 0,
        buffer: buffer(0),
        flushes: Default::default(),
        sink: SinkStats {
            name: "memory".to_owned(),
            rows_per_s: 0.0,
            batches: 0,
            retries: 0,
            repeated: 0,
            failing_for_s: 0.0,
            last_error: None,
            write_ms: NEVER,
        },
        latency_ms: NEVER,
        stopped_sources: vec!["host: gone".to_owned()],
        unrouted: 3,
        recent: RecentStats::default(),
        routes: vec![
            route(
                Some("alarms"),
                "archive",
                vec![
                    lane(Priority::Critical, factor),
                    lane(Priority::Low, 2 * factor),
                ],
            ),
            route(None, "mirror", vec![lane(Priority::Normal, 3 * factor)]),
        ],
        sinks: vec![sink("archive", Some("half_open")), sink("mirror", None)],
    }
}

fn healthy() -> Health {
    Health {
        status: pipeline::HealthStatus::Degraded,
        score: 60,
        reasons: Vec::new(),
    }
}

const ALARMS: &str = "{lane=critical,route=alarms,sink=archive}";

#[test]
fn every_described_metric_is_recorded_as_described_and_no_other() {
    let heard = Heard::default();
    Publisher::to(heard.shared()).publish(&stats(1), &healthy());
    let telemetry = Telemetry::new();
    let _attached = telemetry.attach(heard.shared());
    let lane = telemetry.lane(Some("alarms"), "archive", Priority::Critical);
    lane.batch(1, Duration::ZERO, []);
    let expected: BTreeSet<_> = described()
        .map(|metric| (metric.name.to_owned(), metric.kind.as_str()))
        .collect();
    assert_eq!(heard.registered(), expected);
    let described_there: BTreeSet<String> = heard.described();
    let names: BTreeSet<String> = described().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(described_there, names);
    for (name, labels) in heard.labels() {
        let metric = described().find(|metric| metric.name == name).unwrap();
        let known: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert!(
            labels.iter().all(|label| known.contains(label.as_str())),
            "{name} {labels:?}"
        );
    }
}

#[test]
fn names_are_distinct_and_end_in_their_unit() {
    let mut names = BTreeSet::new();
    for metric in described() {
        assert!(names.insert(metric.name), "{} twice", metric.name);
        let counter = metric.kind == MetricKind::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
        let seconds = metric.unit == Unit::Seconds;
        assert_eq!(
            metric.name.ends_with("_seconds"),
            seconds,
            "{}",
            metric.name
        );
        assert!(
            metric.help.ends_with('.'),
            "{}: {}",
            metric.name,
            metric.help
        );
    }
}

#[test]
fn law_1_what_is_published_balances_per_lane() {
    let heard = Heard::default();
    let mut publisher = Publisher::to(heard.shared());
    for factor in [1, 5, 5, 9] {
        publisher.publish(&stats(factor), &healthy());
        for labels in [
            ALARMS,
            "{lane=low,route=alarms,sink=archive}",
            "{lane=normal,sink=mirror}",
        ] {
            let of = |name: &str| heard.value(&format!("forebay_{name}{labels}"));
            let inner = labels.trim_matches(['{', '}']);
            let dropped: f64 = heard
                .series("forebay_dropped_total")
                .filter(|(series, _)| inner.split(',').all(|label| series.contains(label)))
                .map(|(_, value)| value)
                .sum();
            assert_eq!(
                of("offered_total"),
                of("accepted_total") + of("refused_total")
            );
            assert_eq!(
                of("accepted_total"),
                of("delivered_total") + dropped + of("quarantined_total") + of("pending"),
                "{labels}"
            );
        }
    }
    assert_eq!(
        heard.value(&format!("forebay_accepted_total{ALARMS}")),
        810.0
    );
}

#[test]
fn a_state_is_one_of_its_words_and_absent_without_a_breaker() {
    let heard = Heard::default();
    Publisher::to(heard.shared()).publish(&stats(1), &healthy());
    let ones = |name: &str| -> Vec<String> {
        let all = heard.series(name);
        all.filter(|(_, value)| *value == 1.0)
            .map(|(series, _)| series)
            .collect()
    };
    assert_eq!(
        ones("forebay_breaker_state"),
        ["forebay_breaker_state{sink=archive,state=half_open}"]
    );
    assert_eq!(heard.series("forebay_breaker_state").count(), 3);
    assert_eq!(
        ones("forebay_health_status"),
        ["forebay_health_status{status=degraded}"]
    );
    assert_eq!(ones("forebay_lane_state").len(), 3);
    assert_eq!(heard.series("forebay_lane_state").count(), 15);
}

#[test]
fn a_series_is_looked_up_once() {
    let heard = Heard::default();
    let mut publisher = Publisher::to(heard.shared());
    publisher.publish(&stats(1), &healthy());
    let telemetry = Telemetry::new();
    let _attached = telemetry.attach(heard.shared());
    let lane = telemetry.lane(None, "archive", Priority::High);
    let before = heard.lookups();
    for factor in 2..20 {
        publisher.publish(&stats(factor), &healthy());
        lane.batch(3, Duration::from_millis(1), [(Duration::from_millis(9), 3)]);
    }
    assert_eq!(heard.lookups(), before);
}

#[test]
fn a_lane_or_sink_that_is_gone_leaves_its_counters_and_no_levels() {
    let heard = Heard::default();
    let mut publisher = Publisher::to(heard.shared());
    publisher.publish(&stats(1), &healthy());
    let mut fewer = stats(2);
    fewer.routes.truncate(1);
    fewer.sinks.truncate(1);
    publisher.publish(&fewer, &healthy());
    assert_eq!(heard.value("forebay_pending{lane=normal,sink=mirror}"), 0.0);
    assert_eq!(heard.value("forebay_sink_concurrency{sink=mirror}"), 0.0);
    assert_eq!(
        heard.value("forebay_accepted_total{lane=normal,sink=mirror}"),
        270.0
    );
    publisher.publish(&stats(3), &healthy());
    assert_eq!(
        heard.value("forebay_pending{lane=normal,sink=mirror}"),
        90.0
    );
}

#[test]
fn a_batch_is_recorded_in_runs_and_each_record_counts() {
    let heard = Heard::default();
    let telemetry = Telemetry::new();
    let _attached = telemetry.attach(heard.shared());
    let lane = telemetry.lane(Some("alarms"), "archive", Priority::Critical);
    let latencies = (0..500).map(|index| (Duration::from_micros(60_000 - index), 1));
    lane.batch(500, Duration::from_millis(4), latencies);
    let recorded = heard.distribution(&format!("forebay_latency_seconds{ALARMS}"));
    assert_eq!(recorded.iter().map(|(_, count)| count).sum::<usize>(), 500);
    assert!(recorded.len() <= 2, "{recorded:?}");
    let sum: f64 = recorded
        .iter()
        .map(|(value, count)| value * *count as f64)
        .sum();
    let exact: f64 = (0..500).map(|index| f64::from(60_000 - index) / 1e6).sum();
    assert!((sum - exact).abs() < 1e-6, "{sum} and {exact}");
    assert_eq!(
        heard.distribution(&format!("forebay_write_seconds{ALARMS}")),
        [(0.004, 1)]
    );
    assert_eq!(
        heard.distribution(&format!("forebay_batch_rows{ALARMS}")),
        [(500.0, 1)]
    );
}

#[test]
fn a_recorder_that_comes_later_hears_lanes_that_were_there_until_it_is_detached() {
    let telemetry = Telemetry::new();
    let before = telemetry.lane(None, "archive", Priority::Normal);
    before.batch(1, Duration::ZERO, []);
    let (one, other) = (Heard::default(), Heard::default());
    let first = telemetry.attach(one.shared());
    let _second = telemetry.attach(other.shared());
    let after = telemetry.lane(None, "archive", Priority::High);
    before.batch(2, Duration::ZERO, []);
    after.batch(3, Duration::ZERO, []);
    drop(first);
    before.batch(4, Duration::ZERO, []);
    let rows = |heard: &Heard, lane: &str| -> Vec<f64> {
        let name = format!("forebay_batch_rows{{lane={lane},sink=archive}}");
        let recorded = heard.distribution(&name);
        recorded.into_iter().map(|(rows, _)| rows).collect()
    };
    assert_eq!(rows(&one, "normal"), [2.0]);
    assert_eq!(rows(&one, "high"), [3.0]);
    assert_eq!(rows(&other, "normal"), [2.0, 4.0]);
}

#[test]
fn the_recorder_that_is_installed_is_used_and_none_is_needed() {
    let silent = Telemetry::new().lane(None, "archive", Priority::Normal);
    silent.batch(9, Duration::from_millis(1), [(Duration::from_millis(2), 9)]);
    Publisher::installed().publish(&stats(1), &healthy());

    let heard = Heard::default();
    metrics::with_local_recorder(&heard, || {
        let lane = Telemetry::new().lane(None, "archive", Priority::Normal);
        lane.batch(7, Duration::from_millis(1), [(Duration::from_millis(2), 7)]);
        Publisher::installed().publish(&stats(2), &healthy());
    });
    let rows = heard.distribution("forebay_batch_rows{lane=normal,sink=archive}");
    assert_eq!(rows, [(7.0, 1)]);
    assert_eq!(
        heard.value(&format!("forebay_accepted_total{ALARMS}")),
        180.0
    );
}

#[test]
fn lesson_a_recorder_that_asks_back_hangs_nobody() {
    let telemetry = Telemetry::new();
    let asking = telemetry.clone();
    let heard = Heard::asking(Arc::new(move || {
        // Everything that takes a lock of the telemetry's.
        let lane = asking.lane(None, "other", Priority::Low);
        lane.batch(1, Duration::ZERO, []);
        format!("{asking:?}")
    }));
    let attached = telemetry.attach(heard.shared());
    let lane = telemetry.lane(None, "archive", Priority::Normal);
    lane.batch(1, Duration::ZERO, [(Duration::from_millis(1), 1)]);
    drop(attached);
    assert!(heard.asked() > 3, "{}", heard.asked());
}
