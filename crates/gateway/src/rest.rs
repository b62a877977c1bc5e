//! The plain questions: how full, how well, what, which keys.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipeline::{BufferStats, HealthStatus, Reading, Stats};
use record::Key;
use serde::{Deserialize, Serialize};

use crate::access::Principal;
use crate::error::Refused;
use crate::query::{Query, glob};
use crate::state::App;

/// `GET /api/buffer/status`
pub(crate) async fn buffer_status(State(app): State<App>) -> Json<BufferStats> {
    Json(app.pipeline.stats().buffer)
}

/// `GET /api/health`: 200 while something useful is done, 503 when the state is critical.
pub(crate) async fn health(State(app): State<App>) -> Response {
    let health = app.pipeline.health();
    let status = match health.status {
        HealthStatus::Critical => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
    };
    (status, Json(health)).into_response()
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
        }
    }
}

/// `GET /api/metrics`
pub(crate) async fn metrics(State(app): State<App>) -> Json<Metrics> {
    Json(Metrics::of(&app))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysQuery {
    /// A glob over `source/tag`.
    r#match: Option<String>,
}

#[derive(Serialize)]
struct KeyState {
    #[serde(flatten)]
    key: Key,
    /// Absent until the key has a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(flatten)]
    reading: Option<Reading>,
}

#[derive(Serialize)]
struct Keys {
    count: usize,
    keys: Vec<KeyState>,
}

/// `GET /api/keys?match=GLOB`: every key with its newest value.
pub(crate) async fn keys(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
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
