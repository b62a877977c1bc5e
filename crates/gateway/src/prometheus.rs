//! The metrics in the text format of Prometheus.

use std::fmt::Write;

use crate::rest::Metrics;

/// One sample per line, each family with its help and type.
pub(crate) fn render(metrics: &Metrics, health_score: u8) -> String {
    let stats = &metrics.stats;
    let mut out = Text::default();
    let counters: [(&str, &str, u64); 7] = [
        ("offered", "Updates that sources offered.", stats.offered),
        ("accepted", "Updates that were accepted.", stats.accepted),
        (
            "refused",
            "Updates that were refused, and their source told.",
            stats.refused,
        ),
        (
            "delivered",
            "Updates that are in the sink.",
            stats.delivered,
        ),
        (
            "quarantined",
            "Updates that are in the quarantine.",
            stats.quarantined,
        ),
        ("batches", "Batches written.", stats.sink.batches),
        (
            "retries",
            "Failed attempts to write a batch.",
            stats.sink.retries,
        ),
    ];
    for (name, help, value) in counters {
        out.family(
            &format!("{name}_total"),
            "counter",
            help,
            [("", value as f64)],
        );
    }
    out.family(
        "dropped_total",
        "counter",
        "Updates that were accepted and lost, by reason.",
        [
            ("policy=\"drop_oldest\"", stats.dropped.drop_oldest as f64),
            ("policy=\"drop_newest\"", stats.dropped.drop_newest as f64),
            ("policy=\"resize\"", stats.dropped.resize as f64),
            ("policy=\"rejected\"", stats.dropped.rejected as f64),
        ],
    );
    let flushes: Vec<(String, f64)> = stats
        .flushes
        .iter()
        .flat_map(|(reason, counts)| {
            [("delivered", counts.delivered), ("failed", counts.failed)].map(|(outcome, count)| {
                (
                    format!("reason=\"{reason}\",outcome=\"{outcome}\""),
                    count as f64,
                )
            })
        })
        .collect();
    out.family(
        "flushes_total",
        "counter",
        "Flushes by reason and outcome.",
        flushes
            .iter()
            .map(|(labels, count)| (labels.as_str(), *count)),
    );
    gauges(&mut out, metrics, health_score);
    history(&mut out, metrics);
    for (name, help, latency) in [
        (
            "latency_seconds",
            "From acceptance to delivery.",
            &stats.latency_ms,
        ),
        (
            "write_seconds",
            "How long writing a batch takes.",
            &stats.sink.write_ms,
        ),
    ] {
        let quantiles = [
            ("quantile=\"0.5\"", latency.p50 / 1000.0),
            ("quantile=\"0.95\"", latency.p95 / 1000.0),
            ("quantile=\"0.99\"", latency.p99 / 1000.0),
            ("quantile=\"1\"", latency.max / 1000.0),
        ];
        out.family(name, "gauge", help, quantiles);
    }
    out.0
}

fn gauges(out: &mut Text, metrics: &Metrics, health_score: u8) {
    let stats = &metrics.stats;
    let buffer = &stats.buffer;
    let gauges: [(&str, &str, f64); 9] = [
        (
            "pending",
            "Updates in the buffer and under way to the sink.",
            stats.pending as f64,
        ),
        (
            "buffer_max_size",
            "Updates that the buffer can hold.",
            buffer.max_size as f64,
        ),
        (
            "buffer_bytes",
            "Bytes in the buffer.",
            buffer.current_bytes as f64,
        ),
        (
            "buffer_oldest_age_seconds",
            "Age of the oldest pending update.",
            buffer.oldest_age_s,
        ),
        (
            "sink_failing_seconds",
            "For how long every attempt failed.",
            stats.sink.failing_for_s,
        ),
        (
            "health_score",
            "Health from 0 to 100.",
            f64::from(health_score),
        ),
        ("keys", "Keys with a history.", metrics.keys as f64),
        (
            "websocket_connections",
            "Clients.",
            metrics.websocket_connections as f64,
        ),
        ("uptime_seconds", "Time since the start.", stats.uptime_s),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help, [("", value)]);
    }
}

fn history(out: &mut Text, metrics: &Metrics) {
    let history = &metrics.history;
    let counters: [(&str, &str, u64); 8] = [
        (
            "websocket_updates",
            "Update frames for clients.",
            metrics.websocket_updates,
        ),
        ("history_commits", "Commits.", history.commits),
        (
            "history_updates",
            "Values that were committed.",
            history.updates,
        ),
        (
            "history_displaced",
            "Values that left their history.",
            history.displaced,
        ),
        (
            "history_expired",
            "Keys that were idle for too long.",
            history.expired,
        ),
        (
            "history_resizes",
            "Changes of the depth of a history.",
            history.resizes,
        ),
        (
            "history_refused_memory",
            "Commits and keys refused for lack of memory.",
            history.refused_memory,
        ),
        ("history_wakes", "Wakes of subscribers.", history.wakes),
    ];
    for (name, help, value) in counters {
        let name = format!("{name}_total");
        out.family(&name, "counter", help, [("", value as f64)]);
    }
    let gauges: [(&str, &str, f64); 9] = [
        (
            "history_bytes",
            "Memory of keys, histories and log.",
            history.bytes as f64,
        ),
        (
            "history_bytes_spare",
            "Of that, memory kept to be used again.",
            history.bytes_spare as f64,
        ),
        (
            "history_bytes_max",
            "How much that may be.",
            history.bytes_max as f64,
        ),
        (
            "history_values",
            "Keys that hold a value.",
            history.values as f64,
        ),
        (
            "history_subscribers",
            "Subscriptions and feeds.",
            history.subscribers as f64,
        ),
        ("history_feeds", "Feeds among them.", history.feeds as f64),
        (
            "history_log_updates",
            "Updates kept for feeds and for who resumes.",
            history.log_updates as f64,
        ),
        (
            "history_commit_mean_seconds",
            "How long a commit takes.",
            history.commit_us_mean / 1e6,
        ),
        (
            "history_commit_max_seconds",
            "How long the longest one took.",
            history.commit_us_max / 1e6,
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help, [("", value)]);
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP forebay_{name} {help}");
        let _ = writeln!(self.0, "# TYPE forebay_{name} {kind}");
        for (labels, value) in samples {
            let _ = match labels {
                "" => writeln!(self.0, "forebay_{name} {value}"),
                labels => writeln!(self.0, "forebay_{name}{{{labels}}} {value}"),
            };
        }
    }
}
