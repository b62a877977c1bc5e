//! Why an act is not done, for REST and the socket alike.

use axum::http::StatusCode;

use crate::error::Refused;

/// An act that is not done, or only in part.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(super) status: StatusCode,
    pub(super) message: String,
    retry_after_s: Option<u32>,
    /// What is wrong with a configuration, one line each.
    pub(super) mistakes: Vec<String>,
}

impl Undone {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_s: None,
            mistakes: Vec::new(),
        }
    }

    /// What is asked for cannot be.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// It may work later.
    pub(crate) fn for_now(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn retry_after_s(self, seconds: u32) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(crate) fn mistakes(self, mistakes: Vec<String>) -> Self {
        Self { mistakes, ..self }
    }

    /// How a request is told.
    pub(crate) fn refused(self) -> Refused {
        let mut refused = Refused::new(self.status, self.message);
        if let Some(seconds) = self.retry_after_s {
            refused = refused.retry_after_s(seconds);
        }
        if !self.mistakes.is_empty() {
            refused = refused.member("mistakes", self.mistakes);
        }
        refused
    }
}
