//! `GET /api/history/{source}/{tag}?count=|seconds=`: the history of one key from memory.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dataservice::Requirement;
use pipeline::Reading;
use record::{Key, Name};
use serde::{Deserialize, Serialize};

use crate::error::Refused;
use crate::state::App;

/// Points that are given when nobody says how many, and the most that are given.
const COUNT_DEFAULT: usize = 1000;
const COUNT_MAX: usize = 100_000;
/// The longest span that can be asked for, a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    count: Option<usize>,
    seconds: Option<f64>,
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(flatten)]
    key: &'a Key,
    points: Vec<Point<'a>>,
}

#[derive(Serialize)]
struct Point<'a> {
    timestamp: i64,
    #[serde(flatten)]
    reading: &'a Reading,
}

pub(crate) async fn history(
    State(app): State<App>,
    Path((source, tag)): Path<(String, String)>,
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| Refused::bad_request(error.body_text()))?;
    let requirement = requirement(&query).map_err(Refused::bad_request)?;
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
        .and_then(|id| app.live.read(id, requirement))
        .ok_or_else(|| {
            Refused::new(
                StatusCode::NOT_FOUND,
                format!("there is no key {:?}", key.to_string()),
            )
        })?;
    let points = view
        .times_us()
        .iter()
        .zip(view.values())
        .map(|(timestamp, reading)| Point {
            timestamp: *timestamp,
            reading,
        })
        .collect();
    Ok(Json(History { key: &key, points }).into_response())
}

fn requirement(query: &HistoryQuery) -> Result<Requirement, String> {
    match (query.count, query.seconds) {
        (Some(_), Some(_)) => Err("give either `count` or `seconds`, not both".to_owned()),
        (None, None) => Ok(Requirement::Count(COUNT_DEFAULT)),
        (Some(count), None) if (1..=COUNT_MAX).contains(&count) => Ok(Requirement::Count(count)),
        (Some(count), None) => Err(format!("`count` is {count}, expected 1 to {COUNT_MAX}")),
        (None, Some(seconds)) if seconds > 0.0 && seconds <= SECONDS_MAX => {
            let span = Duration::from_secs_f64(seconds);
            Ok(Requirement::Span {
                span,
                count_max: Some(COUNT_MAX),
            })
        }
        (None, Some(seconds)) => Err(format!(
            "`seconds` is {seconds}, expected more than 0 and at most {SECONDS_MAX}"
        )),
    }
}
