//! `GET /api/history/{source}/{tag}`: the history of one key, the last values from memory, or a
//! range from memory and from the sink.
//!
//! An answer takes bounded memory: at most 100,000 values and 32 MiB of text, and a plot of more
//! stored values than that is made from what the database reduces them to. A sink that fails takes
//! away its part of an answer, which says so in `warning`.

mod ranges;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dataservice::{Downsampled, Extractor, Measure, Series, View};
use pipeline::Reading;
use record::Key;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::access::RequireRead;
use crate::error::Refused;
use crate::openapi::{self, Problem};
use crate::query::{KeyOf, Query, may_read};
use crate::range::{Range, check_points};
use crate::state::App;

/// Values that are given when nobody says how many.
const COUNT_DEFAULT: usize = 1000;

/// Which part of the history is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// So many values, 1 to 100,000: the last ones, or of a range the first ones; 1,000 if nothing
    /// else is asked for.
    count: Option<usize>,
    /// Those of the last so many seconds of event time, more than 0 and at most 366 days.
    seconds: Option<f64>,
    /// Thinned out to at most so many points for a plot, 2 to 10,000.
    points: Option<usize>,
    /// The first moment of a range, by RFC 3339 or as microseconds since 1970.
    from: Option<String>,
    /// The first moment behind a range; needs `from`.
    until: Option<String>,
}

/// Bytes of text and JSON that an answer has at most.
pub(crate) const TEXT_BYTES_MAX: usize = 32 << 20;

/// A history without a range.
#[derive(Serialize)]
struct History<'a, P> {
    #[serde(flatten)]
    key: &'a Key,
    #[serde(flatten)]
    thinned: Option<Thinned>,
    /// Whether there are older values, of which the answer would have become too large.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut_off: bool,
    points: Vec<P>,
}

/// What became of a wish for so many points.
#[derive(Serialize)]
struct Thinned {
    downsampled: bool,
    /// The values that the range has.
    points_in: usize,
}

#[derive(Serialize)]
struct Value<'a> {
    timestamp: i64,
    #[serde(flatten)]
    reading: &'a Reading,
}

#[derive(Serialize)]
struct Point {
    timestamp: i64,
    /// Null in a gap.
    value: f64,
}

/// The history of one key: its last values from memory, or a range from memory and sink.
#[utoipa::path(get, path = "/api/history/{source}/{tag}", tag = "values",
    params(
        ("source" = String, Path, description = "who read"),
        ("tag" = String, Path, description = "what was read"),
        HistoryQuery,
    ),
    responses(
        (status = 200, description = "the values, the oldest first", body = openapi::History),
        (status = 400, description = "a parameter is unknown, out of range, or not with another",
            body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token may not read this key", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "there is no such key", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "the sink cannot be read, and memory has nothing of the range",
            body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn history(
    State(app): State<App>,
    RequireRead(principal): RequireRead,
    KeyOf(key): KeyOf,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Refused> {
    may_read(&principal, &key)?;
    let points_max = query.points.map(check_points).transpose();
    let points_max = points_max.map_err(Refused::bad_request)?;
    if query.from.is_some() || query.until.is_some() {
        return ranges::answer(&app, &key, &query, points_max).await;
    }
    let mut range = Range::new(query.count, query.seconds).map_err(Refused::bad_request)?;
    if range == Range::All && points_max.is_none() {
        range = Range::Count(COUNT_DEFAULT);
    }
    let view = app
        .live
        .id(&key)
        .and_then(|id| app.live.read(id, range.once()))
        .ok_or_else(|| no_key(&key))?;
    Ok(match points_max {
        None => plain(&key, None, &view.into_series()),
        Some(points_max) => thin_out(&key, range, view, points_max),
    })
}

pub(crate) fn no_key(key: &Key) -> Refused {
    let message = format!("there is no key {:?}", key.to_string());
    Refused::new(StatusCode::NOT_FOUND, message)
}

fn plain(key: &Key, thinned: Option<Thinned>, values: &Series<Reading>) -> Response {
    let points = values.iter().map(|sample| Value {
        timestamp: sample.time_us,
        reading: sample.value,
    });
    let mut points: Vec<_> = points.collect();
    let mut bytes = 0;
    // The newest ones, as far as they go.
    let fits = |value: &&Value<'_>| {
        bytes += value.reading.heap_bytes();
        bytes <= TEXT_BYTES_MAX
    };
    let fitting = points.iter().rev().take_while(fits).count();
    let cut_off = fitting < points.len();
    points.drain(..points.len() - fitting);
    Json(History {
        key,
        thinned,
        cut_off,
        points,
    })
    .into_response()
}

/// Plain values where they are few enough, else as many points. Of values without a number among
/// them, which are no curve, the last so many.
fn thin_out(key: &Key, range: Range, view: View<Reading>, points_max: usize) -> Response {
    let points_in = view.len();
    let is_curve = || view.values().iter().any(|value| value.measure().is_some());
    let downsampled = points_in > points_max && is_curve();
    let thinned = Some(Thinned {
        downsampled,
        points_in,
    });
    if !downsampled {
        return plain(key, thinned, &view.into_series().last(points_max));
    }
    let curve = Downsampled::new(range.once(), points_max).extract(view);
    let curve = curve.into_output().unwrap_or_default();
    let points = points_of(&curve);
    Json(History {
        key,
        thinned,
        cut_off: false,
        points,
    })
    .into_response()
}

fn points_of(curve: &Series<f64>) -> Vec<Point> {
    let points = curve.iter().map(|sample| Point {
        timestamp: sample.time_us,
        value: *sample.value,
    });
    points.collect()
}
