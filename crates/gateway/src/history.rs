//! `GET /api/history/{source}/{tag}?count=|seconds=&points=`: the history of one key from memory.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dataservice::{Downsampled, Extractor, Measure, Series, View};
use pipeline::Reading;
use record::{Key, Name};
use serde::{Deserialize, Serialize};

use crate::error::Refused;
use crate::range::{Range, check_points};
use crate::state::App;

/// Values that are given when nobody says how many.
const COUNT_DEFAULT: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    count: Option<usize>,
    seconds: Option<f64>,
    points: Option<usize>,
}

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

pub(crate) async fn history(
    State(app): State<App>,
    Path((source, tag)): Path<(String, String)>,
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| Refused::bad_request(error.body_text()))?;
    let mut range = Range::new(query.count, query.seconds).map_err(Refused::bad_request)?;
    let points_max = query.points.map(check_points).transpose();
    let points_max = points_max.map_err(Refused::bad_request)?;
    if range == Range::All && points_max.is_none() {
        range = Range::Count(COUNT_DEFAULT);
    }
    let name = |field, text: &str| {
        Name::new(field, text).map_err(|error| Refused::bad_request(error.to_string()))
    };
    let key = Key {
        source: name("source", &source)?,
        tag: name("tag", &tag)?,
    };
    let view = app
        .live
        .id(&key)
        .and_then(|id| app.live.read(id, range.once()))
        .ok_or_else(|| {
            let message = format!("there is no key {:?}", key.to_string());
            Refused::new(StatusCode::NOT_FOUND, message)
        })?;
    Ok(match points_max {
        None => plain(&key, None, &view.into_series()),
        Some(points_max) => thin_out(&key, range, view, points_max),
    })
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
    let points = curve.iter().map(|sample| Point {
        timestamp: sample.time_us,
        value: *sample.value,
    });
    let points = points.collect();
    Json(History {
        key,
        thinned,
        points,
    })
    .into_response()
}
