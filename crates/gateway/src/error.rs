//! Why a gateway does not start, and how a request is told what is wrong with it.

use std::net::SocketAddr;

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An option cannot be what it is, or the address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An action or a channel is not possible.
    #[error("{0}")]
    Invalid(#[from] InvalidOption),
    /// Somebody else listens there.
    #[error(
        "{listen} is in use; choose another address with --listen, such as --listen 127.0.0.1:0"
    )]
    InUse {
        /// The address asked for.
        listen: SocketAddr,
    },
    /// The system refuses for another reason.
    #[error("cannot listen on {listen}: {source}")]
    Io {
        /// The address asked for.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Names the option, its value and the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOption(String);

impl InvalidOption {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }
}

/// A request that is not answered as asked: a status, and a message that names what is wrong.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after_s: Option<u32>,
    /// The lane that has no room, if one is the reason.
    pub(crate) lane: Option<String>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_s: None,
            lane: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn retry_after_s(self, seconds: u32) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(crate) fn lane(self, lane: &str) -> Self {
        Self {
            lane: Some(lane.to_owned()),
            ..self
        }
    }
}

/// What a refused request is told.
#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a str>,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let retry: Option<[(HeaderName, String); 1]> = self
            .retry_after_s
            .map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        let body = Json(Told {
            error: &self.message,
            lane: self.lane.as_deref(),
        });
        match retry {
            Some(retry) => (self.status, retry, body).into_response(),
            None => (self.status, body).into_response(),
        }
    }
}
