//! `POST /api/ingest`: records as NDJSON or as a JSON array.
//!
//! A body is taken whole or not at all: when the buffer has no room for all of its records, none
//! is stored and the answer is 429. Lines that are no records are quarantined beside the others
//! and named in the answer; a body without a single record is refused.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipeline::{Content, IntakeError, Refusal};
use record::{FutureLimit, Malformed, ndjson};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::Refused;
use crate::state::{App, wall_time};

/// Malformed lines that an answer names; the others are only counted.
const NAMED_MAX: usize = 100;

#[derive(Debug, Default, Serialize)]
struct Answer {
    accepted: usize,
    malformed_count: usize,
    malformed: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    line: usize,
    reason: String,
}

pub(crate) async fn ingest(State(app): State<App>, body: Body) -> Result<Response, Refused> {
    let limit = app.options.body_bytes_max;
    let body = axum::body::to_bytes(body, limit).await.map_err(|_| {
        Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {limit} bytes, or it broke off; send it in parts"),
        )
    })?;
    // Parsing megabytes would hold up the other connections, and many at once would take much
    // memory.
    let place = app.parsing.acquire().await;
    let parsing = app.clone();
    let taken = tokio::task::spawn_blocking(move || take(&parsing, &body)).await;
    drop(place);
    taken.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
}

fn take(app: &App, body: &[u8]) -> Result<Response, Refused> {
    let limit = FutureLimit::new(wall_time(), app.options.future_max);
    let mut answer = Answer::default();
    let mut contents = Vec::new();
    // More than the buffer can ever hold is refused before it takes up memory.
    let records_max = app.pipeline.stats().buffer.max_size;
    let mut add = |number: usize, text: &[u8]| {
        if contents.len() == records_max {
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("nothing was taken: the body has more than {records_max} records"),
            ));
        }
        let content: Content = ndjson::parse(text, &limit).map_err(|error| {
            answer.malformed_count += 1;
            if answer.malformed.len() < NAMED_MAX {
                answer.malformed.push(Line {
                    line: number,
                    reason: error.to_string(),
                });
            }
            Malformed::new(format!("line {number}: {error}"), text)
        });
        contents.push(content);
        Ok(())
    };
    if body.trim_ascii_start().starts_with(b"[") {
        let elements: Vec<&RawValue> = serde_json::from_slice(body)
            .map_err(|error| Refused::bad_request(format!("the array is no JSON: {error}")))?;
        for (index, element) in elements.iter().enumerate() {
            add(index + 1, element.get().as_bytes())?;
        }
    } else {
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                add(index + 1, line.trim_ascii())?;
            }
        }
    }
    answer.accepted = contents.len() - answer.malformed_count;
    if answer.accepted == 0 {
        answer.error = Some("the body has no usable record".to_owned());
        return Ok((StatusCode::BAD_REQUEST, Json(answer)).into_response());
    }
    match app.ingest.try_push_all(Instant::now(), contents) {
        Ok(()) => Ok(Json(answer).into_response()),
        Err(error) => Err(refuse(&error)),
    }
}

fn refuse(error: &IntakeError) -> Refused {
    let status = match error {
        IntakeError::Refused(Refusal::Full | Refusal::TimedOut) => StatusCode::TOO_MANY_REQUESTS,
        IntakeError::Refused(Refusal::TooHeavy) => StatusCode::PAYLOAD_TOO_LARGE,
        IntakeError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        IntakeError::KeyLimit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let refused = Refused::new(status, format!("nothing was taken: {error}"));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => refused.retry_after_s(1),
        _ => refused,
    }
}
