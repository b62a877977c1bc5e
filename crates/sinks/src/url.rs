//! Where a sink is, as a URL says it.
//!
//! Every adapter has options that are read from a URL: `postgres://user@host/database?table=rows`.
//! [`Query`] reads the parameters and says what is wrong with all of them at once, naming each with
//! its value and what is allowed. [`hide_password`] makes a URL fit to be shown: nothing that this
//! crate says of a URL has a password in it.

#[cfg(any(feature = "mysql", feature = "oracle"))]
mod decode;
#[cfg(any(feature = "sqlite", feature = "trust"))]
mod path;
mod query;
mod secret;
mod units;

#[cfg(any(feature = "mysql", feature = "oracle"))]
pub(crate) use decode::decoded;
#[cfg(any(feature = "sqlite", feature = "trust"))]
pub(crate) use path::path_of;
pub use query::Query;
pub use secret::hide_password;

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
