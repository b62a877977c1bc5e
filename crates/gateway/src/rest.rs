//! The plain questions: how full, how well, what, which keys.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipeline::{HealthStatus, Reading, Stats};
use record::Key;
use serde::{Deserialize, Serialize};
use serde_json::Value as AnyJson;
use utoipa::{IntoParams, ToSchema};

use crate::access::{Caller, RequireRead};
use crate::cached::Made;
use crate::error::Refused;
use crate::guard::Refusals;
use crate::openapi::{self, Problem};
use crate::query::{Query, glob};
use crate::state::App;

/// How full the buffer is, and what it lost.
#[utoipa::path(get, path = "/api/buffer/status", tag = "state", responses(
    (status = 200, description = "the buffers of all lanes, together", body = AnyJson,
        example = json!({"current_size": 50, "max_size": 10000, "utilization_pct": 0.5,
            "overflow_count": 0, "overflow_rate_pct": 0.0, "overflow_per_s": 0.0,
            "current_bytes": 7200, "total_added": 528, "total_acked": 478, "oldest_age_s": 0.44})),
))]
pub(crate) async fn buffer_status(State(app): State<App>) -> Made {
    let make = || Made::new(StatusCode::OK, &app.pipeline.stats().buffer);
    app.buffer_status.answer(Instant::now(), make)
}

/// A score from 0 to 100, with what took points off.
#[utoipa::path(get, path = "/api/health", tag = "state", responses(
    (status = 200, description = "healthy or degraded", body = AnyJson,
        example = json!({"status": "degraded", "score": 60, "reasons": [{"code": "sink_failing",
            "message": "the sink has failed for 0.4 s", "hint": "see that it can be reached",
            "points": 40}]})),
    (status = 503, description = "critical: nothing useful is done", body = AnyJson),
))]
pub(crate) async fn health(State(app): State<App>, Caller(principal): Caller) -> Made {
    let code_of = |status: HealthStatus| match status {
        HealthStatus::Critical => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
    };
    // The reasons name sinks and their errors, which is for readers alone.
    if !principal.rights.reads_something() {
        let status = app.pipeline.health().status;
        return Made::new(code_of(status), &serde_json::json!({ "status": status }));
    }
    app.health.answer(Instant::now(), || {
        let health = app.pipeline.health();
        Made::new(code_of(health.status), &health)
    })
}

/// Everything a gateway counts, as one JSON object.
#[derive(Serialize)]
pub(crate) struct Metrics {
    instance: String,
    #[serde(flatten)]
    pub(crate) stats: Stats,
    pub(crate) keys: usize,
    pub(crate) history: HistoryStats,
    pub(crate) websocket_connections: usize,
    pub(crate) websocket_updates: u64,
    /// Connections of all kinds.
    pub(crate) connections: usize,
    pub(crate) turned_away: Refusals,
    #[serde(flatten)]
    familiar: Familiar,
}

/// The same once more, by the names that dashboards of WebSocket update services ask for. Of these,
/// `updates_per_second` and `websocket_connections` are also names of ours.
#[derive(Serialize)]
struct Familiar {
    /// Updates that were accepted.
    total_updates: u64,
    /// The mean from acceptance to delivery over the last minutes, in milliseconds.
    average_latency_ms: f64,
    /// Batches written in percent of all attempts over the last minutes.
    success_rate: f64,
    /// The worst of all breakers; `closed` where there is none.
    circuit_breaker_state: &'static str,
    /// Seconds since the start.
    uptime: f64,
}

impl Familiar {
    fn of(stats: &Stats) -> Self {
        let states = stats.sinks.iter().filter_map(|sink| sink.breaker);
        Self {
            total_updates: stats.accepted,
            average_latency_ms: stats.recent.latency_mean_ms,
            success_rate: stats.recent.success_rate_pct,
            circuit_breaker_state: worst(states),
            uptime: stats.uptime_s,
        }
    }
}

/// The state of breakers that most needs a look.
fn worst<'a>(states: impl Iterator<Item = &'a str>) -> &'static str {
    const FROM_GOOD_TO_BAD: [&str; 3] = ["closed", "half_open", "open"];
    let rank = |state: &str| FROM_GOOD_TO_BAD.iter().position(|known| *known == state);
    FROM_GOOD_TO_BAD[states.filter_map(rank).max().unwrap_or(0)]
}

/// What the data service counts.
#[derive(Serialize)]
pub(crate) struct HistoryStats {
    pub(crate) keys_max: usize,
    /// Keys that hold a value.
    pub(crate) values: usize,
    pub(crate) commits: u64,
    pub(crate) updates: u64,
    pub(crate) displaced: u64,
    pub(crate) expired: u64,
    pub(crate) resizes: u64,
    pub(crate) bytes: usize,
    pub(crate) bytes_spare: usize,
    pub(crate) bytes_max: usize,
    pub(crate) refused_memory: u64,
    pub(crate) subscribers: usize,
    pub(crate) feeds: usize,
    pub(crate) log_updates: u64,
    pub(crate) wakes: u64,
    pub(crate) commit_us_mean: f64,
    pub(crate) commit_us_max: f64,
}

impl From<dataservice::Stats> for HistoryStats {
    fn from(stats: dataservice::Stats) -> Self {
        Self {
            keys_max: stats.keys_max,
            values: stats.values,
            commits: stats.commits,
            updates: stats.updates,
            displaced: stats.displaced,
            expired: stats.expired,
            resizes: stats.resizes,
            bytes: stats.bytes,
            bytes_spare: stats.bytes_spare,
            bytes_max: stats.bytes_max,
            refused_memory: stats.refused_memory,
            subscribers: stats.subscribers,
            feeds: stats.feeds,
            log_updates: stats.log_updates,
            wakes: stats.wakes,
            commit_us_mean: microseconds(stats.commit_time_mean),
            commit_us_max: microseconds(stats.commit_time_max),
        }
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

impl Metrics {
    pub(crate) fn of(app: &App) -> Self {
        let history = app.live.stats();
        let stats = app.pipeline.stats();
        Self {
            instance: app.live.instance().to_string(),
            familiar: Familiar::of(&stats),
            stats,
            keys: history.keys,
            history: history.into(),
            websocket_connections: app.websockets.load(Ordering::Relaxed),
            websocket_updates: app.updates.load(Ordering::Relaxed),
            connections: app.seats.taken(),
            turned_away: app.guard.refusals(&app.seats),
        }
    }
}

/// Everything that is counted.
#[utoipa::path(get, path = "/api/metrics", tag = "state", responses(
    (status = 200, description = "all counters and gauges", body = AnyJson),
))]
pub(crate) async fn metrics(State(app): State<App>) -> Json<Metrics> {
    Json(Metrics::of(&app))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysQuery {
    /// A glob over `source/tag`; `*` also matches a slash.
    r#match: Option<String>,
}

/// A key with its newest value.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyState {
    #[serde(flatten)]
    #[schema(value_type = openapi::Key)]
    key: Key,
    /// Microseconds since 1970; absent until the key has a value, as are the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(flatten)]
    #[schema(value_type = Option<openapi::Reading>)]
    reading: Option<Reading>,
}

/// Keys with their newest values.
#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    /// How many there are.
    count: usize,
    keys: Vec<KeyState>,
}

/// Every key that may be read, with its newest value.
#[utoipa::path(get, path = "/api/keys", tag = "values", params(KeysQuery), responses(
    (status = 200, description = "those that match, or all", body = Keys),
    (status = 400, description = "the glob is invalid or too long", body = Problem,
        content_type = "application/problem+json"),
))]
pub(crate) async fn keys(
    State(app): State<App>,
    RequireRead(principal): RequireRead,
    Query(query): Query<KeysQuery>,
) -> Result<Response, Refused> {
    let globs = query.r#match.as_deref().map(glob).transpose()?;
    let keys: Vec<KeyState> = app
        .live
        .keys_from(dataservice::KeyId::FIRST)
        .into_iter()
        .filter(|(_, key)| globs.as_ref().is_none_or(|globs| globs.matches(key)))
        .filter(|(_, key)| principal.may_read(key))
        .map(|(id, key)| {
            let newest = app.live.read(id, dataservice::Requirement::Latest);
            let newest = newest.and_then(dataservice::View::into_latest);
            let (timestamp, reading) = newest.map(|sample| (sample.time_us, sample.value)).unzip();
            KeyState {
                key,
                timestamp,
                reading,
            }
        })
        .collect();
    Ok(Json(Keys {
        count: keys.len(),
        keys,
    })
    .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_breaker_speaks_for_all() {
        for (states, expected) in [
            (vec![], "closed"),
            (vec!["closed", "closed"], "closed"),
            (vec!["closed", "half_open"], "half_open"),
            (vec!["open", "half_open", "closed"], "open"),
        ] {
            assert_eq!(worst(states.iter().copied()), expected, "{states:?}");
        }
    }
}
