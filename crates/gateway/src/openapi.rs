//! `GET /api/openapi.json` and `GET /api/docs`: what can be asked for, for programs and people.
//!
//! The description is made of the handlers and their types. What is answered by everything (a
//! strange host, a missing right, a wrong method) stands once, as the default answer. The page is
//! a few kilobytes of our own: it reads the description, lists it, and tries what only reads. It
//! loads nothing from elsewhere and has no inline script, as the policy of the gateway demands.

mod elsewhere;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value as AnyJson;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::error::PROBLEM_JSON;
use crate::{export, history, ingest, ready, rest};

const PAGE: &str = include_str!("../assets/api.html");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Forebay",
        description = "Live values, their history, and the state of what delivers them. Times are \
            microseconds since 1970, UTC.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        rest::buffer_status, rest::health, ready::live, ready::ready, rest::metrics,
        elsewhere::prometheus, rest::keys, history::history, export::export_many,
        export::export, ingest::ingest, elsewhere::flush, elsewhere::purge,
        elsewhere::reset_breakers, elsewhere::reload, elsewhere::notify, elsewhere::connections,
        elsewhere::disconnect, elsewhere::audit, elsewhere::admin_websocket,
        elsewhere::websocket, elsewhere::page, elsewhere::file, openapi_json, docs,
    ),
    components(schemas(Problem)),
    modifiers(&Everywhere),
    tags(
        (name = "state", description = "how it is doing"),
        (name = "values", description = "what was read"),
        (name = "records", description = "handing in"),
        (name = "administration", description = "takes a token with the right `admin`"),
        (name = "pages", description = "for people, and live"),
    ),
)]
struct Description;

/// What holds for every operation.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let refused = ResponseBuilder::new()
            .description("refused: 401 and 403 for a right, 403 for a host or origin, 404, 405")
            .content(PROBLEM_JSON, content)
            .build();
        for item in description.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                responses.insert("default".to_owned(), refused.clone().into());
            }
        }
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let none = SecurityRequirement::default();
        let token = SecurityRequirement::new("token", [] as [&str; 0]);
        description.security = Some(vec![none, token]);
    }
}

/// Why a request is not answered as asked (RFC 9457). What a program needs to go on stands beside
/// these, such as `lane`, `retry_after_s`, `mistakes`, `malformed` and `refused`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[schema(example = "about:blank")]
    r#type: String,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: String,
    /// The status.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong, and what is allowed.
    #[schema(example = "`count` is 0, expected 1 to 100000")]
    detail: String,
}

/// Who reads what.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    source: String,
    tag: String,
}

/// What a value is beside its time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reading {
    /// A number, a truth value, text, JSON or null.
    value: AnyJson,
    /// `good`, `uncertain` or `bad`.
    quality: String,
    /// `critical`, `high`, `normal` or `low`; absent of a value that comes from a sink.
    priority: Option<String>,
}

/// The history of one key. Which fields there are depends on what was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    source: String,
    tag: String,
    /// Of a range: the values that came from memory.
    from_memory: Option<u64>,
    /// Of a range: the values that came from the sink.
    from_sink: Option<u64>,
    /// Of a range without `points`: whether there are more values.
    cut_off: Option<bool>,
    /// Of a range that was cut off: the `from` of the rest, in microseconds since 1970.
    next: Option<i64>,
    /// With `points`: whether values were left out.
    downsampled: Option<bool>,
    /// With `points`: the values that there are.
    points_in: Option<u64>,
    /// Of a range with `points`: whether the sink reduced its values first.
    reduced_by_sink: Option<bool>,
    /// Why a part of a range is missing.
    warning: Option<String>,
    /// The values, the oldest first; of a curve only their times and numbers.
    points: Vec<Point>,
}

/// A value and its moment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Point {
    /// Microseconds since 1970.
    timestamp: i64,
    #[serde(flatten)]
    reading: Reading,
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "pages", responses(
    (status = 200, description = "OpenAPI 3.1", body = AnyJson),
))]
pub(crate) async fn openapi_json() -> Response {
    static WRITTEN: LazyLock<Bytes> = LazyLock::new(|| {
        let description = Description::openapi();
        serde_json::to_vec(&description).unwrap_or_default().into()
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, WRITTEN.clone()).into_response()
}

/// A page that shows it, and tries what only reads.
#[utoipa::path(get, path = "/api/docs", tag = "pages", responses(
    (status = 200, description = "a page", body = String, content_type = "text/html"),
))]
pub(crate) async fn docs() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}
