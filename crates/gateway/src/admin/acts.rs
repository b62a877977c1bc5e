//! What administrators can have done, whichever way they ask.
//!
//! An act that has begun is finished and entered in the audit though whoever asked has hung up:
//! otherwise hanging up in time would leave no trace. At most 16 acts are under way; one more is
//! told to come again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use protocol::{AdminOrder, Lanes, NOTIFICATION_BYTES_MAX};
use record::Priority;
use serde_json::{Value, json};

use super::{ACTS_MAX, Undone, Who};
use crate::rest::Metrics;
use crate::state::App;

/// How long a flush on request may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// Answers a question, or carries out an act to its end.
///
/// # Errors
/// Why it is not done, in the words for REST and the socket alike.
///
/// # Cancellation
/// An act goes on.
pub(crate) async fn act(app: &App, who: Who, order: AdminOrder) -> Result<Value, Undone> {
    if order.only_asks() {
        let Who { by, from } = who;
        let question = order.name();
        tracing::debug!(target: "forebay::audit", ?by, %from, question, "administration");
        return answer(app, &order);
    }
    let place = Arc::clone(&app.admin.acts).try_acquire_owned();
    let Ok(place) = place else {
        let busy = format!("{ACTS_MAX} acts of administrators are under way already");
        let outcome = Err(Undone::for_now(busy).retry_after_s(1));
        app.admin.audit.act(&who, &order, &outcome);
        return outcome;
    };
    let app = app.clone();
    let whole = tokio::spawn(async move {
        let carried_out = tokio::spawn(carry_out(app.clone(), order.clone())).await;
        let outcome = carried_out.unwrap_or_else(|_| Err(unexpected()));
        app.admin.audit.act(&who, &order, &outcome);
        drop(place);
        outcome
    });
    whole.await.unwrap_or_else(|_| Err(unexpected()))
}

fn answer(app: &App, order: &AdminOrder) -> Result<Value, Undone> {
    let answer = match order {
        AdminOrder::Health => serde_json::to_value(app.pipeline.health()),
        AdminOrder::Metrics => serde_json::to_value(Metrics::of(app)),
        AdminOrder::Connections => {
            let connections = app.connected.list();
            Ok(json!({
                "count": connections.len(),
                "count_of_all_servers": app.backplane.connected(connections.len()),
                "connections": connections,
            }))
        }
        AdminOrder::Audit => Ok(app.admin.audit.shown()),
        other => return Err(Undone::bad(format!("{} is no question", other.name()))),
    };
    answer.map_err(|error| Undone::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn carry_out(app: App, order: AdminOrder) -> Result<Value, Undone> {
    match order {
        AdminOrder::Flush => flush(&app).await,
        AdminOrder::Purge { lane } => {
            // A full lane is freed row by row, which would hold up the connections.
            let purging = move || app.pipeline.purge(priority(lane));
            let purged = tokio::task::spawn_blocking(purging).await;
            let purged = purged.map_err(|_| unexpected())?;
            Ok(json!({ "purged": purged }))
        }
        AdminOrder::ResetCircuitBreaker => Ok(json!({ "reset": app.pipeline.reset_breakers() })),
        AdminOrder::Reload => Ok(json!({ "changes": crate::reload::reload(&app).await? })),
        AdminOrder::Notify { level, message } => notify(&app, level, &message),
        AdminOrder::Disconnect { connection_id } => {
            if app.connected.disconnect(connection_id) {
                Ok(json!({ "disconnected": connection_id }))
            } else {
                let message = format!("there is no connection {connection_id}");
                Err(Undone::new(StatusCode::NOT_FOUND, message))
            }
        }
        other => Err(Undone::bad(format!("{} is no act", other.name()))),
    }
}

async fn flush(app: &App) -> Result<Value, Undone> {
    match tokio::time::timeout(FLUSH_WITHIN, app.pipeline.flush()).await {
        Ok(Ok(flushed)) => Ok(json!({ "flushed": flushed })),
        Ok(Err(error)) => Err(Undone::for_now(error.to_string()).retry_after_s(1)),
        Err(_) => {
            let message = format!(
                "the sink did not take everything within {} s; it is still tried",
                FLUSH_WITHIN.as_secs()
            );
            Err(Undone::for_now(message).retry_after_s(1))
        }
    }
}

fn notify(app: &App, level: protocol::Level, message: &str) -> Result<Value, Undone> {
    if !(1..=NOTIFICATION_BYTES_MAX).contains(&message.len()) {
        return Err(Undone::bad(format!(
            "`message` has {} bytes, expected 1 to {NOTIFICATION_BYTES_MAX}",
            message.len()
        )));
    }
    let level = match level {
        protocol::Level::Info => pipeline::Level::Info,
        protocol::Level::Warning => pipeline::Level::Warning,
        protocol::Level::Error => pipeline::Level::Error,
    };
    app.backplane.notify(level, message);
    let here = app.websockets.load(Ordering::Relaxed);
    Ok(json!({ "connections": app.backplane.connected(here) }))
}

fn priority(lanes: Lanes) -> Option<Priority> {
    match lanes {
        Lanes::Critical => Some(Priority::Critical),
        Lanes::High => Some(Priority::High),
        Lanes::Normal => Some(Priority::Normal),
        Lanes::Low => Some(Priority::Low),
        Lanes::All => None,
    }
}

/// Something of ours panicked, and the log has what.
fn unexpected() -> Undone {
    let message = "it failed unexpectedly; see the log";
    Undone::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}
