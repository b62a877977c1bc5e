//! Operations that are described here, since their answers are no types: orders to the program,
//! pages, and sockets. Nothing here is called; each stands for the route of its path.

#![allow(dead_code, reason = "only their descriptions are used")]

use serde_json::Value as AnyJson;

use super::Problem;

/// All metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "state", responses(
    (status = 200, description = "text, version 0.0.4", body = String, content_type = "text/plain"),
))]
pub(super) fn prometheus() {}

/// Delivers what is buffered now.
#[utoipa::path(post, path = "/api/flush", tag = "administration", responses(
    (status = 200, description = "how many updates that settled", body = AnyJson,
        example = json!({"flushed": 38})),
    (status = 503, description = "the sink did not take everything, or the pipeline has ended",
        body = Problem, content_type = "application/problem+json"),
))]
pub(super) fn flush() {}

/// Throws away what waits in the lanes of one class, or in all.
#[utoipa::path(post, path = "/api/purge", tag = "administration",
    request_body(content = AnyJson, example = json!({"lane": "low"})),
    responses(
        (status = 200, description = "how many updates that were", body = AnyJson,
            example = json!({"purged": 214})),
        (status = 400, description = "the body is not exactly that", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "the content type is not JSON", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn purge() {}

/// Closes the breakers of all sinks.
#[utoipa::path(post, path = "/api/breaker/reset", tag = "administration", responses(
    (status = 200, description = "how many there are", body = AnyJson,
        example = json!({"reset": 1})),
))]
pub(super) fn reset_breakers() {}

/// Reads the configuration again.
#[utoipa::path(post, path = "/api/reload", tag = "administration", responses(
    (status = 200, description = "it is in force", body = AnyJson,
        example = json!({"changes": ["[buffer] max_size: 10000 -> 20000"]})),
    (status = 422, description = "it has mistakes, and nothing has changed", body = Problem,
        content_type = "application/problem+json"),
    (status = 501, description = "the program does not do that", body = Problem,
        content_type = "application/problem+json"),
    (status = 503, description = "it is read already, takes too long, or the program ends",
        body = Problem, content_type = "application/problem+json"),
))]
pub(super) fn reload() {}

/// Tells everybody who is connected.
#[utoipa::path(post, path = "/api/notify", tag = "administration",
    request_body(content = AnyJson, example = json!({"level": "warning", "message": "a word"})),
    responses(
        (status = 200, description = "how many connections there are", body = AnyJson,
            example = json!({"connections": 3})),
        (status = 400, description = "the body is not exactly that, or its message too long",
            body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the content type is not JSON", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn notify() {}

/// Who is connected to the WebSocket.
#[utoipa::path(get, path = "/api/connections", tag = "administration", responses(
    (status = 200, description = "each connection with what it costs", body = AnyJson),
))]
pub(super) fn connections() {}

/// Ends a connection.
#[utoipa::path(delete, path = "/api/connections/{id}", tag = "administration",
    params(("id" = u64, Path, description = "its number, as its `welcome` says")),
    responses(
        (status = 200, description = "it ends", body = AnyJson,
            example = json!({"disconnected": 7})),
        (status = 400, description = "that is no number", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "there is no such connection", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn disconnect() {}

/// What administrators have done.
#[utoipa::path(get, path = "/api/audit", tag = "administration", responses(
    (status = 200, description = "the last acts", body = AnyJson),
))]
pub(super) fn audit() {}

/// The socket of administrators.
#[utoipa::path(get, path = "/ws/admin", tag = "administration", responses(
    (status = 101, description = "the connection is a WebSocket now"),
    (status = 400, description = "it was not asked to become one", body = Problem,
        content_type = "application/problem+json"),
    (status = 426, description = "that is another version than 13", body = Problem,
        content_type = "application/problem+json"),
))]
pub(super) fn admin_websocket() {}

/// The WebSocket: subscriptions, and values as they come.
#[utoipa::path(get, path = "/ws", tag = "pages", responses(
    (status = 101, description = "the connection is a WebSocket now"),
    (status = 400, description = "it was not asked to become one", body = Problem,
        content_type = "application/problem+json"),
    (status = 426, description = "that is another version than 13", body = Problem,
        content_type = "application/problem+json"),
))]
pub(super) fn websocket() {}

/// The live page.
#[utoipa::path(get, path = "/", tag = "pages", responses(
    (status = 200, description = "a page", body = String, content_type = "text/html"),
))]
pub(super) fn page() {}

/// A file of the pages.
#[utoipa::path(get, path = "/assets/{name}", tag = "pages",
    params(("name" = String, Path, description = "its name")),
    responses(
        (status = 200, description = "the file", body = String, content_type = "text/javascript"),
        (status = 404, description = "there is no such file", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn file() {}
