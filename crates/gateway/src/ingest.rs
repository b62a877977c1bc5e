//! `POST /api/ingest`: records as NDJSON or as a JSON array.
//!
//! A body is taken whole or not at all: when the buffer has no room for all of its records, none
//! is stored and the answer is 429. Lines that are no records are quarantined beside the others
//! and named in the answer; a body without a single record is refused.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::{Content, IntakeError, Refusal};
use record::{FutureLimit, Malformed, ndjson};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::Refused;
use crate::state::{App, wall_time};

/// Bodies that are received and parsed at the same time, together.
pub(crate) const BODIES_KIBIBYTES_MAX: u32 = 64 << 10;
/// How long a body may take to arrive.
const RECEIVE_WITHIN: Duration = Duration::from_secs(30);
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

pub(crate) async fn ingest(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let limit = app.options.body_bytes_max;
    // Memory for the body is set aside before it is read: what it says it has, or the limit.
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(limit);
    if announced > limit {
        return Err(too_large(limit));
    }
    let room = app
        .bodies
        .try_acquire_many(kibibytes(announced))
        .map_err(|_| {
            let message = "too many bodies are being received; try again";
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after_s(1)
        })?;
    let received = tokio::time::timeout(RECEIVE_WITHIN, axum::body::to_bytes(body, limit)).await;
    let body = match received {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(too_large(limit)),
        Err(_) => {
            let within = RECEIVE_WITHIN.as_secs();
            return Err(Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {within} s; send it in parts"),
            ));
        }
    };
    // Parsing megabytes would hold up the other connections, and many at once would take much
    // memory.
    let place = app.parsing.acquire().await;
    let parsing = app.clone();
    let taken = tokio::task::spawn_blocking(move || take(&parsing, &body)).await;
    drop((place, room));
    taken.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
}

fn too_large(limit: usize) -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body has more than {limit} bytes, or it broke off; send it in parts"),
    )
}

/// How much of [`BODIES_KIBIBYTES_MAX`] a body of so many bytes takes; one alone always fits.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024))
        .unwrap_or(u32::MAX)
        .clamp(1, BODIES_KIBIBYTES_MAX)
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
        IntakeError::NewKeys(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let refused = Refused::new(status, format!("nothing was taken: {error}"));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => refused.retry_after_s(1),
        _ => refused,
    }
}
