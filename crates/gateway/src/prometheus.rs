//! `GET /metrics`: refreshes every series and renders them.
//!
//! A gateway has its own exporter and installs nothing: several gateways, or an application with a
//! recorder of its own, do not meet. What an account says is written at each question, under one
//! lock, so that an answer is one account; what is only seen as it happens, the distributions of
//! batches, is recorded through the pipeline's telemetry.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use parking_lot::Mutex;
use pipeline::{Attachment, Health, MetricDescription, MetricKind, Publisher, Telemetry};

use crate::exporter::Exporter;
use crate::guard::Refusals;
use crate::rest::Metrics;
use crate::state::App;

/// Every metric that `GET /metrics` shows: the pipeline's and the gateway's own.
///
/// ```
/// assert!(gateway::described().any(|metric| metric.name == "forebay_keys"));
/// ```
pub fn described() -> impl Iterator<Item = MetricDescription> {
    let own = OWN.iter().map(|(metric, _)| *metric);
    pipeline::described().chain(own).chain([TURNED_AWAY])
}

/// What a gateway shows to Prometheus.
pub(crate) struct Scrapes {
    exporter: Exporter,
    writing: Mutex<Writing>,
    _attachment: Attachment,
}

/// What is written at each question.
struct Writing {
    publisher: Publisher,
    own: Vec<Handle>,
    turned_away: Vec<Counter>,
}

enum Handle {
    Counter(Counter),
    Gauge(Gauge),
}

impl Scrapes {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let exporter = Exporter::new();
        let metadata = Metadata::new("gateway", Level::INFO, Some("gateway"));
        let own = OWN.iter().map(|(metric, _)| {
            metric.describe_to(&exporter);
            let key = Key::from_name(metric.name);
            match metric.kind {
                MetricKind::Counter => Handle::Counter(exporter.register_counter(&key, &metadata)),
                _ => Handle::Gauge(exporter.register_gauge(&key, &metadata)),
            }
        });
        let own = own.collect();
        TURNED_AWAY.describe_to(&exporter);
        let turned_away = REASONS.iter().map(|(reason, _)| {
            let labels = vec![Label::from_static_parts("reason", reason)];
            let key = Key::from_parts(TURNED_AWAY.name, labels);
            exporter.register_counter(&key, &metadata)
        });
        let turned_away = turned_away.collect();
        Self {
            writing: Mutex::new(Writing {
                publisher: Publisher::to(Arc::new(exporter.clone())),
                own,
                turned_away,
            }),
            _attachment: telemetry.attach(Arc::new(exporter.clone())),
            exporter,
        }
    }

    /// All series as they stand now. The account is taken under the lock, so that a slower question
    /// cannot mix an older one into the answer of a quicker.
    fn render(&self, account: impl FnOnce() -> (Metrics, Health)) -> String {
        let mut writing = self.writing.lock();
        let (metrics, health) = account();
        writing.publisher.publish(&metrics.stats, &health);
        let refused = self.exporter.refused();
        for (handle, (_, read)) in writing.own.iter().zip(&OWN) {
            match (handle, read(&metrics, refused)) {
                (Handle::Counter(counter), Is::Count(value)) => counter.absolute(value),
                (Handle::Gauge(gauge), Is::Level(value)) => gauge.set(value),
                _ => {}
            }
        }
        for (counter, (_, count)) in writing.turned_away.iter().zip(REASONS) {
            counter.absolute(count(&metrics.turned_away));
        }
        self.exporter.render()
    }
}

/// `GET /metrics`, in the text format of Prometheus.
pub(crate) async fn prometheus_metrics(State(app): State<App>) -> Response {
    let text = app
        .scrapes
        .render(|| (Metrics::of(&app), app.pipeline.health()));
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

enum Is {
    Count(u64),
    Level(f64),
}

type Read = fn(&Metrics, u64) -> Is;

const fn counter(name: &'static str, help: &'static str, read: Read) -> (MetricDescription, Read) {
    (own(name, MetricKind::Counter, Unit::Count, help), read)
}

const fn gauge(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    read: Read,
) -> (MetricDescription, Read) {
    (own(name, MetricKind::Gauge, unit, help), read)
}

const fn own(
    name: &'static str,
    kind: MetricKind,
    unit: Unit,
    help: &'static str,
) -> MetricDescription {
    MetricDescription {
        name,
        kind,
        unit,
        labels: &[],
        help,
    }
}

#[rustfmt::skip]
static OWN: [(MetricDescription, Read); 21] = [
    gauge("forebay_keys", Unit::Count,
        "Keys with a history.",
        |all, _| Is::Level(all.keys as f64)),
    gauge("forebay_websocket_connections", Unit::Count,
        "Clients.",
        |all, _| Is::Level(all.websocket_connections as f64)),
    gauge("forebay_connections", Unit::Count,
        "Connections of all kinds.",
        |all, _| Is::Level(all.connections as f64)),
    counter("forebay_websocket_updates_total",
        "Update frames for clients.",
        |all, _| Is::Count(all.websocket_updates)),
    counter("forebay_history_commits_total",
        "Commits.",
        |all, _| Is::Count(all.history.commits)),
    counter("forebay_history_updates_total",
        "Values that were committed.",
        |all, _| Is::Count(all.history.updates)),
    counter("forebay_history_displaced_total",
        "Values that left their history.",
        |all, _| Is::Count(all.history.displaced)),
    counter("forebay_history_expired_total",
        "Keys that were idle for too long.",
        |all, _| Is::Count(all.history.expired)),
    counter("forebay_history_resizes_total",
        "Changes of the depth of a history.",
        |all, _| Is::Count(all.history.resizes)),
    counter("forebay_history_refused_memory_total",
        "Commits and keys refused for lack of memory.",
        |all, _| Is::Count(all.history.refused_memory)),
    counter("forebay_history_wakes_total",
        "Wakes of subscribers.",
        |all, _| Is::Count(all.history.wakes)),
    gauge("forebay_history_bytes", Unit::Bytes,
        "Memory of keys, histories and log.",
        |all, _| Is::Level(all.history.bytes as f64)),
    gauge("forebay_history_bytes_spare", Unit::Bytes,
        "Of that, memory kept to be used again.",
        |all, _| Is::Level(all.history.bytes_spare as f64)),
    gauge("forebay_history_bytes_max", Unit::Bytes,
        "How much that memory may be.",
        |all, _| Is::Level(all.history.bytes_max as f64)),
    gauge("forebay_history_values", Unit::Count,
        "Keys that hold a value.",
        |all, _| Is::Level(all.history.values as f64)),
    gauge("forebay_history_subscribers", Unit::Count,
        "Subscriptions and feeds.",
        |all, _| Is::Level(all.history.subscribers as f64)),
    gauge("forebay_history_feeds", Unit::Count,
        "Feeds among the subscriptions.",
        |all, _| Is::Level(all.history.feeds as f64)),
    gauge("forebay_history_log_updates", Unit::Count,
        "Updates kept for feeds and for who resumes.",
        |all, _| Is::Level(all.history.log_updates as f64)),
    gauge("forebay_history_commit_mean_seconds", Unit::Seconds,
        "How long a commit takes.",
        |all, _| Is::Level(all.history.commit_us_mean / 1e6)),
    gauge("forebay_history_commit_max_seconds", Unit::Seconds,
        "How long the longest commit took.",
        |all, _| Is::Level(all.history.commit_us_max / 1e6)),
    counter("forebay_series_refused_total",
        "Metrics that were not exported: too many, or an invalid name.",
        |_, refused| Is::Count(refused)),
];

const TURNED_AWAY: MetricDescription = MetricDescription {
    labels: &["reason"],
    ..own(
        "forebay_turned_away_total",
        MetricKind::Counter,
        Unit::Count,
        "Connections and requests that were not let in.",
    )
};

type Count = fn(&Refusals) -> u64;

/// The values of the label, with what is counted under each.
const REASONS: [(&str, Count); 6] = [
    ("connection", |refused| refused.connection),
    ("host", |refused| refused.host),
    ("origin", |refused| refused.origin),
    ("token", |refused| refused.token),
    ("token_in_address", |refused| refused.token_in_address),
    ("right", |refused| refused.right),
];
