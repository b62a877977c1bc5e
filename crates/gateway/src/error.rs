//! Why a gateway does not start, and how a request is told what is wrong with it.
//!
//! Whoever is refused gets `application/problem+json` (RFC 9457), whatever it was that refused: a
//! handler, an extractor, the router. `type` is always `about:blank`: the status says what kind of
//! problem it is, `detail` what is wrong, and members of our own name what a program needs to go
//! on, such as `lane` or `retry_after_s`. What hyper refuses before there is a request, such as a
//! broken head, has no body.

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value as Json};

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
    /// Somebody without a token could do something there, from other machines too.
    #[error(
        "{listen} can be reached from other machines, and no token is asked for: make tokens with \
         `forebay token`, listen on 127.0.0.1, or say [gateway] allow_anonymous = true"
    )]
    Anonymous {
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

/// The type of every answer that is none.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
const JSON: &str = "application/json";
/// Bytes of a foreign refusal that are told; none of ours is longer.
const DETAIL_BYTES_MAX: usize = 8 << 10;

/// A request that is not answered as asked: a status, a message that names what is wrong, and
/// members for programs.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    members: Map<String, Json>,
    retry_after_s: Option<u32>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            members: Map::new(),
            retry_after_s: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// When to come again, as a header and as a member.
    pub(crate) fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self.member("retry_after_s", seconds)
    }

    /// The lane that is the reason.
    pub(crate) fn lane(self, lane: &str) -> Self {
        self.member("lane", lane)
    }

    /// A member of our own beside those that RFC 9457 knows.
    pub(crate) fn member(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The members of something that is told beside the refusal.
    pub(crate) fn members_of(mut self, told: &impl Serialize) -> Self {
        if let Ok(Json::Object(told)) = serde_json::to_value(told) {
            self.members.extend(told);
        }
        self
    }
}

/// What a refused request is told.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Json>,
}

/// A whole answer that can be given again.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Told {
    /// 200 with this as JSON.
    pub(crate) fn json(answer: &impl Serialize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let body = serde_json::to_vec(answer).unwrap_or_default().into();
        let status = StatusCode::OK;
        Self {
            status,
            headers,
            body,
        }
    }

    /// The bytes of its body.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// With one header more.
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl From<Refused> for Told {
    fn from(refused: Refused) -> Self {
        let problem = Problem {
            r#type: "about:blank",
            title: refused.status.canonical_reason().unwrap_or("Refused"),
            status: refused.status.as_u16(),
            detail: &refused.message,
            members: &refused.members,
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default().into();
        let mut headers = HeaderMap::new();
        if let Some(seconds) = refused.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        Self {
            status: refused.status,
            headers,
            body,
        }
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Told::from(self).into_response()
    }
}

/// Nothing is at this path.
pub(crate) async fn not_found(uri: Uri) -> Refused {
    let message = format!("there is nothing at {:?}", uri.path());
    Refused::new(StatusCode::NOT_FOUND, message)
}

/// Something is at this path, and cannot be asked for like this. The router adds `Allow`.
pub(crate) async fn not_allowed(method: Method, uri: Uri) -> Refused {
    let message = format!("{:?} does not answer to {method}", uri.path());
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// Gives refusals of the framework, which are plain text, the shape of ours.
pub(crate) async fn one_shape(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, DETAIL_BYTES_MAX).await;
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let told = Refused::new(status, text.trim()).into_response();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRANSFER_ENCODING);
    let kind = HeaderValue::from_static(PROBLEM_JSON);
    parts.headers.insert(header::CONTENT_TYPE, kind);
    Response::from_parts(parts, Body::new(told.into_body()))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes().starts_with(b"application/") && kind.as_bytes().ends_with(b"json")
    })
}
