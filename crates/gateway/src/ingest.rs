//! `POST /api/ingest`: records as NDJSON or as a JSON array.
//!
//! A body is taken whole or not at all: when a lane has no room for the records that belong to it,
//! or is past its high mark, none is stored and the answer is 429 with the name of the lane. Only a
//! body for several lanes may be taken in part, when another source fills one of them in the very
//! moment: then the lines that were refused are named. Lines that are no records are quarantined
//! beside the others and named in the answer; a body without a single record is refused.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::{Content, IntakeError, Refusal};
use record::{FutureLimit, Malformed, ndjson};
use serde::Serialize;
use serde_json::Value as AnyJson;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::access::RequireIngest;
use crate::error::{Refused, Told};
use crate::idempotency::{Answered, Attempt, Begun, KEY_BYTES_MAX};
use crate::nesting;
use crate::openapi::Problem;
use crate::state::{App, wall_time};

/// Bodies that are received and parsed at the same time, together.
pub(crate) const BODIES_KIBIBYTES_MAX: u32 = 64 << 10;
/// How long a body may take to arrive.
const RECEIVE_WITHIN: Duration = Duration::from_secs(30);
/// Malformed lines that an answer names; the others are only counted.
const NAMED_MAX: usize = 100;
/// When a client that was refused should come again: lanes are emptied many times a second.
const RETRY_AFTER_S: u32 = 1;
/// The header by which a post that is made again is known.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What became of a body.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Ingested)]
pub(crate) struct Answer {
    /// Records that were taken.
    accepted: usize,
    /// Lines that are no records, and went to the quarantine.
    malformed_count: usize,
    /// The first 100 of them.
    malformed: Vec<Line>,
    /// The lines to send again, when only some were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<usize>,
}

/// A line that is no record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MalformedLine)]
pub(crate) struct Line {
    /// Its number, from 1; in an array, that of the element.
    line: usize,
    /// What is wrong with it.
    reason: String,
}

/// Takes records, all of a body or none.
#[utoipa::path(post, path = "/api/ingest", tag = "records",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 bytes; what took records under it is answered again for 10 min")),
    request_body(description = "NDJSON, or a JSON array of the same objects", content(
        (String = "application/x-ndjson",
            example = "{\"source\": \"PLC01\", \"tag\": \"D100\", \"value\": 21.5}"),
        (Vec<AnyJson> = "application/json"),
    )),
    responses(
        (status = 200, description = "at least one record was usable", body = Answer),
        (status = 400, description = "no record was usable, or the key is none", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "a post with this key is under way", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "the body is too large for a post, or for a lane",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "there are too many new keys, or another body had this key",
            body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "a lane has no room; with `refused`, only for those lines",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "nothing is taken now", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn ingest(
    State(app): State<App>,
    RequireIngest(principal): RequireIngest,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let keyed = match key_in(&headers)? {
        None => Keyed::Not,
        Some(key) => match app
            .keys_of_posts
            .begin(Instant::now(), &principal.name, key)
        {
            Begun::First(attempt) => Keyed::First(attempt),
            Begun::Again(answered) => Keyed::Again(answered),
            Begun::UnderWay => {
                let message = "a post with this `Idempotency-Key` is under way; nothing was taken";
                let refused = Refused::new(StatusCode::CONFLICT, message);
                return Err(refused.retry_after_s(RETRY_AFTER_S));
            }
            Begun::Full(seconds) => {
                let message = "too many keys are remembered; nothing was taken";
                return Err(Refused::unavailable(message).retry_after_s(seconds));
            }
        },
    };
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
            Refused::unavailable(message).retry_after_s(RETRY_AFTER_S)
        })?;
    let body = receive(body, limit).await?;
    // Parsing megabytes would hold up the other connections, and many at once would take much
    // memory.
    let place = app.parsing.acquire().await;
    let parsing = app.clone();
    // It goes on when the client hangs up, and so does what remembers its answer.
    let taken = tokio::task::spawn_blocking(move || take_once(&parsing, &body, keyed)).await;
    drop((place, room));
    let told = taken
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(told.into_response())
}

/// Whether a post has a key, and whether it was answered before.
enum Keyed {
    Not,
    First(Attempt),
    Again(Answered),
}

/// The key of a post.
fn key_in(headers: &HeaderMap) -> Result<Option<&[u8]>, Refused> {
    let mut keys = headers.get_all(KEY).iter().map(HeaderValue::as_bytes);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        let message = "there is more than one `Idempotency-Key`";
        return Err(Refused::bad_request(message));
    }
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        let length = key.len();
        return Err(Refused::bad_request(format!(
            "`Idempotency-Key` has {length} bytes, expected 1 to {KEY_BYTES_MAX}"
        )));
    }
    Ok(Some(key))
}

async fn receive(body: Body, limit: usize) -> Result<Bytes, Refused> {
    let received = tokio::time::timeout(RECEIVE_WITHIN, axum::body::to_bytes(body, limit)).await;
    match received {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(too_large(limit)),
        Err(_) => {
            let within = RECEIVE_WITHIN.as_secs();
            Err(Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {within} s; send it in parts"),
            ))
        }
    }
}

/// Takes a body, unless it was taken under its key already.
fn take_once(app: &App, body: &[u8], keyed: Keyed) -> Told {
    let attempt = match keyed {
        Keyed::Not => None,
        Keyed::First(attempt) => Some(attempt),
        Keyed::Again(answered) if app.keys_of_posts.is_same(&answered, body) => {
            return answered
                .told
                .header(REPLAYED, HeaderValue::from_static("true"));
        }
        Keyed::Again(_) => {
            let message = "another body was taken under this `Idempotency-Key`; nothing was taken";
            return Refused::new(StatusCode::UNPROCESSABLE_ENTITY, message).into();
        }
    };
    let (told, is_taken) = match take(app, body) {
        Ok(answer) if answer.refused.is_empty() => (Told::json(&answer), true),
        Ok(answer) => (partly(&answer).into(), true),
        Err(refused) => (refused.into(), false),
    };
    if is_taken && let Some(attempt) = attempt {
        attempt.answered(Instant::now(), body, told.clone());
    }
    told
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

fn take(app: &App, body: &[u8]) -> Result<Answer, Refused> {
    let limit = FutureLimit::new(wall_time(), app.options.future_max);
    let mut answer = Answer::default();
    let mut contents: Vec<Content> = Vec::new();
    // The line of each of them.
    let mut lines = Vec::new();
    // More than its lane can ever hold is refused before it takes up memory.
    let mut room = app.ingest.count_room();
    let mut add = |number: usize, text: &[u8]| {
        let parsed = ndjson::parse(text, &limit).map_err(|error| error.to_string());
        let checked = parsed.and_then(|record| {
            nesting::check("value", &record.value)?;
            Ok(record)
        });
        let content: Content = checked.map_err(|error| {
            answer.malformed_count += 1;
            if answer.malformed.len() < NAMED_MAX {
                answer.malformed.push(Line {
                    line: number,
                    reason: error.clone(),
                });
            }
            Malformed::new(format!("line {number}: {error}"), text)
        });
        room.add(&content).map_err(|error| refuse(&error))?;
        contents.push(content);
        lines.push(number);
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
        return Err(Refused::bad_request("the body has no usable record").members_of(&answer));
    }
    // Which of them can be sent again is known only before they are handed over.
    let is_record: Vec<bool> = contents.iter().map(Result::is_ok).collect();
    match app.ingest.try_push_all(Instant::now(), contents) {
        Ok(()) => Ok(answer),
        Err(IntakeError::Partly { refused, .. }) => {
            answer.accepted -= refused.iter().filter(|index| is_record[**index]).count();
            answer.refused = refused.iter().map(|index| lines[*index]).collect();
            Ok(answer)
        }
        Err(error) => Err(refuse(&error)),
    }
}

/// Some were taken: names the others by their lines, so that they alone are sent again.
fn partly(answer: &Answer) -> Refused {
    let message = format!(
        "{} records were taken; send only the lines in `refused` again",
        answer.accepted
    );
    Refused::new(StatusCode::TOO_MANY_REQUESTS, message)
        .members_of(answer)
        .retry_after_s(RETRY_AFTER_S)
}

fn refuse(error: &IntakeError) -> Refused {
    let status = match error {
        IntakeError::Full { .. }
        | IntakeError::High { .. }
        | IntakeError::Refused(Refusal::Full | Refusal::TimedOut) => StatusCode::TOO_MANY_REQUESTS,
        IntakeError::TooMany { .. } | IntakeError::Refused(Refusal::TooHeavy) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        IntakeError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        IntakeError::NewKeys(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let message = match error {
        IntakeError::TooMany { lane, size_max } => format!(
            "nothing was taken: the body has more than {size_max} records for the lane {lane}; \
             send it in parts"
        ),
        error => format!("nothing was taken: {error}"),
    };
    let mut refused = Refused::new(status, message);
    if let IntakeError::Full { lane }
    | IntakeError::High { lane }
    | IntakeError::TooMany { lane, .. } = error
    {
        refused = refused.lane(lane);
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            refused.retry_after_s(RETRY_AFTER_S)
        }
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_was_taken_in_part_names_the_lines_to_send_again() {
        let answer = Answer {
            accepted: 2,
            malformed_count: 1,
            refused: vec![3, 6],
            ..Answer::default()
        };
        let answer = partly(&answer).into_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        let body = axum::body::to_bytes(answer.into_body(), 1000)
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Too Many Requests", "status": 429,
                "detail": "2 records were taken; send only the lines in `refused` again",
                "accepted": 2, "malformed_count": 1, "malformed": [], "refused": [3, 6],
                "retry_after_s": 1,
            })
        );
    }
}
