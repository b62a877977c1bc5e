//! `GET /api/live` and `GET /api/ready`: for whoever starts, watches and replaces this program.
//!
//! Live means that it answers at all. Ready means that records may be sent: the sources are
//! started, and what comes is delivered or buffered, also while a sink is away. A program that ends
//! is not ready while it drains. How well things go is the question for `/api/health`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::state::App;

/// How far a program is between its start and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Readiness {
    /// Sources are not started yet.
    #[default]
    Starting,
    /// Records are taken.
    Ready,
    /// Nothing new is taken, and what is buffered is delivered.
    Draining,
}

/// Whether it runs.
#[utoipa::path(get, path = "/api/live", tag = "state", responses(
    (status = 200, description = "it answers", body = Value, example = json!({"live": true})),
))]
pub(crate) async fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

/// Whether records may be sent.
#[utoipa::path(get, path = "/api/ready", tag = "state", responses(
    (status = 200, description = "yes", body = Value, example = json!({"state": "ready"})),
    (status = 503, description = "not yet, or no more", body = Value,
        example = json!({"state": "draining"})),
))]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let said = app.options.readiness.as_ref();
    let state = if *app.closing.borrow() || !app.pipeline.is_open() {
        Readiness::Draining
    } else {
        said.map_or(Readiness::Ready, |said| *said.borrow())
    };
    let status = match state {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "state": state }))).into_response()
}
