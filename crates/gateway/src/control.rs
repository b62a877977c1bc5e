//! What administrators do by REST: the requests of [`crate::admin`], and what they look like.
//!
//! Each takes a token with the right to administer. A purge loses data for good, so it takes a JSON
//! body that says which lane, with its content type: no form of a page can send that.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::{AdminOrder, Lanes, Level};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::{Undone, Who, acts};
use crate::error::Refused;
use crate::state::App;

type Answer = Result<Json<Value>, Refused>;

/// What is thrown away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    lane: Lanes,
}

/// What everybody who is connected is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notify {
    level: Level,
    message: String,
}

/// `POST /api/flush`: delivers what is buffered now, and says how many updates that were.
pub(crate) async fn flush(who: Who, State(app): State<App>) -> Answer {
    act(&app, who, AdminOrder::Flush).await
}

/// `POST /api/purge`: throws away what waits in lanes, and says how many updates that were.
pub(crate) async fn purge(
    who: Who,
    State(app): State<App>,
    body: Result<Json<Purge>, JsonRejection>,
) -> Answer {
    let Purge { lane } = body_of(body)?;
    act(&app, who, AdminOrder::Purge { lane }).await
}

/// `POST /api/breaker/reset`: closes the breakers of all sinks, and says how many there are.
pub(crate) async fn reset_breakers(who: Who, State(app): State<App>) -> Answer {
    act(&app, who, AdminOrder::ResetCircuitBreaker).await
}

/// `POST /api/reload`: has the configuration read again, and says what has changed.
pub(crate) async fn reload(who: Who, State(app): State<App>) -> Answer {
    act(&app, who, AdminOrder::Reload).await
}

/// `POST /api/notify`: tells everybody who is connected.
pub(crate) async fn notify(
    who: Who,
    State(app): State<App>,
    body: Result<Json<Notify>, JsonRejection>,
) -> Answer {
    let Notify { level, message } = body_of(body)?;
    act(&app, who, AdminOrder::Notify { level, message }).await
}

/// `GET /api/connections`: who is connected to `/ws`.
pub(crate) async fn connections(who: Who, State(app): State<App>) -> Answer {
    act(&app, who, AdminOrder::Connections).await
}

/// `DELETE /api/connections/{id}`: ends a connection.
pub(crate) async fn disconnect(
    who: Who,
    State(app): State<App>,
    id: Result<Path<u64>, PathRejection>,
) -> Answer {
    let Path(connection_id) =
        id.map_err(|rejection| Refused::bad_request(rejection.body_text()))?;
    act(&app, who, AdminOrder::Disconnect { connection_id }).await
}

/// `GET /api/audit`: what administrators have done.
pub(crate) async fn audit(who: Who, State(app): State<App>) -> Answer {
    act(&app, who, AdminOrder::Audit).await
}

async fn act(app: &App, who: Who, order: AdminOrder) -> Answer {
    let done = acts::act(app, who, order).await;
    done.map(Json).map_err(Undone::refused)
}

fn body_of<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refused> {
    let Json(body) = body.map_err(|rejection| {
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Refused::new(status, rejection.body_text())
    })?;
    Ok(body)
}
