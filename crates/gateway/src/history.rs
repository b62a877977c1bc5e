//! `GET /api/history/{source}/{tag}`: the history of one key, the last values from memory, or a
//! range from memory and from the sink.
//!
//! An answer takes bounded memory: at most 100,000 values, of a range at most 32 MiB of text, and a
//! plot of more stored values than that is made from what the database reduces them to. A sink that
//! fails takes away its part of an answer, which says so in `warning`.

mod ranges;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dataservice::{Downsampled, Extractor, Measure, Series, View};
use pipeline::Reading;
use record::Key;
use serde::{Deserialize, Serialize};

use crate::access::Principal;
use crate::error::Refused;
use crate::query::{KeyOf, Query, may_read};
use crate::range::{Range, check_points};
use crate::state::App;

/// Values that are given when nobody says how many.
const COUNT_DEFAULT: usize = 1000;

/// Which part of the history is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    count: Option<usize>,
    seconds: Option<f64>,
    points: Option<usize>,
    from: Option<String>,
    until: Option<String>,
}

/// A history without a range.
#[derive(Serialize)]
struct History<'a, P> {
    #[serde(flatten)]
    key: &'a Key,
    #[serde(flatten)]
    thinned: Option<Thinned>,
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

/// `GET /api/history/{source}/{tag}`
pub(crate) async fn history(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
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

fn no_key(key: &Key) -> Refused {
    let message = format!("there is no key {:?}", key.to_string());
    Refused::new(StatusCode::NOT_FOUND, message)
}

fn plain(key: &Key, thinned: Option<Thinned>, values: &Series<Reading>) -> Response {
    let points = values.iter().map(|sample| Value {
        timestamp: sample.time_us,
        reading: sample.value,
    });
    let points = points.collect();
    Json(History {
        key,
        thinned,
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
