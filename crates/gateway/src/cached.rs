//! An answer that is asked for far more often than it changes.
//!
//! An account of the pipeline costs more than all the rest of a request. It is made at most every
//! 50 ms while somebody asks, and not at all while nobody does. Whoever asks in between gets what
//! was made before, so an answer is at most 50 ms old.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::Serialize;

/// How old an answer may be.
const AGE_MAX: Duration = Duration::from_millis(50);

/// The last answer of one kind.
#[derive(Debug, Default)]
pub(crate) struct Cached(Mutex<Option<(Instant, Made)>>);

/// An answer as JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    status: StatusCode,
    body: Bytes,
}

impl Made {
    pub(crate) fn new(status: StatusCode, answer: &impl Serialize) -> Self {
        let body = serde_json::to_vec(answer).unwrap_or_default().into();
        Self { status, body }
    }
}

impl Cached {
    /// The last answer, or a new one when that is too old.
    pub(crate) fn answer(&self, now: Instant, make: impl FnOnce() -> Made) -> Made {
        if let Some((at, made)) = &*self.0.lock()
            && now.saturating_duration_since(*at) < AGE_MAX
        {
            return made.clone();
        }
        // Two that come at once may both make one.
        let made = make();
        let displaced = self.0.lock().replace((now, made.clone()));
        drop(displaced);
        made
    }
}

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_anew_when_it_is_too_old() {
        let (cached, start) = (Cached::default(), Instant::now());
        let ask = |after_ms, number: u32| {
            let now = start + Duration::from_millis(after_ms);
            cached
                .answer(now, || Made::new(StatusCode::OK, &number))
                .body
        };
        assert_eq!(ask(0, 1), "1");
        assert_eq!(ask(49, 2), "1");
        assert_eq!(ask(50, 3), "3");
        assert_eq!(ask(99, 4), "3");
    }
}
