//! Orders to the pipeline: deliver now, throw away, trust a sink again.
//!
//! Whoever may ask for these is decided by the guard, as for everything that changes state. A purge
//! loses data for good, so it takes a JSON body that says which lane, with its content type: no form
//! of a page can send that.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use record::Priority;
use serde::Deserialize;
use serde_json::json;

use crate::error::Refused;
use crate::state::App;

/// How long a flush on request may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// `POST /api/flush`: delivers what is buffered now, and says how many updates that were.
pub(crate) async fn flush(State(app): State<App>) -> Result<Response, Refused> {
    let unavailable =
        |message: String| Refused::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after_s(1);
    match tokio::time::timeout(FLUSH_WITHIN, app.pipeline.flush()).await {
        Ok(Ok(flushed)) => Ok(Json(json!({ "flushed": flushed })).into_response()),
        Ok(Err(error)) => Err(unavailable(error.to_string())),
        Err(_) => Err(unavailable(format!(
            "the sink did not take everything within {} s; it is still tried",
            FLUSH_WITHIN.as_secs()
        ))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    lane: Lane,
}

/// The lanes of one class of urgency, or all.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lane {
    Critical,
    High,
    Normal,
    Low,
    All,
}

impl Lane {
    fn priority(self) -> Option<Priority> {
        match self {
            Self::Critical => Some(Priority::Critical),
            Self::High => Some(Priority::High),
            Self::Normal => Some(Priority::Normal),
            Self::Low => Some(Priority::Low),
            Self::All => None,
        }
    }
}

/// `POST /api/purge`: throws away what waits in lanes, and says how many updates that were.
pub(crate) async fn purge(
    State(app): State<App>,
    body: Result<Json<Purge>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(purge) = body.map_err(|rejection| {
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Refused::new(status, rejection.body_text())
    })?;
    // A full lane is freed row by row, which would hold up the other connections.
    let purging = app.clone();
    let purged =
        tokio::task::spawn_blocking(move || purging.pipeline.purge(purge.lane.priority())).await;
    let purged = purged
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Json(json!({ "purged": purged })).into_response())
}

/// `POST /api/breaker/reset`: closes the breakers of all sinks, and says how many there are.
pub(crate) async fn reset_breakers(State(app): State<App>) -> Response {
    Json(json!({ "reset": app.pipeline.reset_breakers() })).into_response()
}
