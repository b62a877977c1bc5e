//! Where a sink is, as a URL says it.

/// A URL that names no sink, or says something about it that is not understood. Passwords are
/// never part of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidUrl {
    message: String,
}

impl InvalidUrl {
    /// A URL is refused; `message` names the parameter, the value and what is allowed.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}
