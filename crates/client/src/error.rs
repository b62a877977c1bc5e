//! Why something was not done.

use std::time::Duration;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none, or its scheme is not `ws` (or, with the feature `tls`, `wss`).
    #[error("the address {url:?} is not usable: {reason}")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The token is wrong, or one is needed. Connecting again would not help.
    #[error("the server does not accept the token: {message}")]
    Unauthorized {
        /// What the server says.
        message: String,
    },
    /// The token, the host or the origin may not connect. Connecting again would not help.
    #[error("the server does not let this client in: {message}")]
    Forbidden {
        /// What the server says.
        message: String,
    },
    /// The server speaks another version of the protocol. Connecting again would not help.
    #[error("the server speaks version {server} of the protocol, this client {ours}")]
    Version {
        /// Its version.
        server: u32,
        /// This client's.
        ours: u32,
    },
    /// The server answered, but did not open a WebSocket.
    #[error("the server answered with status {status}")]
    Status {
        /// Of the HTTP answer.
        status: u16,
        /// How long it asks to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("the connection failed: {reason}")]
    Network {
        /// What the system says.
        reason: String,
    },
    /// The server closed the connection.
    #[error("the server closed the connection with code {code}: {reason:?}")]
    ClosedByServer {
        /// The WebSocket close code; 1005 where the server gave none.
        code: u16,
        /// What it said.
        reason: String,
    },
    /// Nothing was heard for too long.
    #[error("the server did not answer within {within_ms} ms")]
    Silent {
        /// How long was waited.
        within_ms: u64,
    },
    /// What the server said is not this protocol.
    #[error("the server said what cannot be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

/// The client has ended: it was closed, or its token is no longer accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The client has ended.
    #[error("the client has ended")]
    Ended,
    /// This client has a subscription with this id.
    #[error("field `id` is {id:?}, which another subscription of this client has")]
    IdTaken {
        /// The id.
        id: String,
    },
}

/// Why an action was not done, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// There is no connection now. It was not sent.
    #[error("there is no connection")]
    NotConnected,
    /// So many are on their way that no more are sent. It was not sent.
    #[error("{limit} actions are on their way already")]
    TooMany {
        /// How many may be.
        limit: usize,
    },
    /// The server refused it. It was not done.
    #[error("the server refuses the action ({code}): {message}")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// The application did not do it.
    #[error("the action failed: {message}")]
    Failed {
        /// What the application says.
        message: String,
    },
    /// The connection broke before the answer came: it may have been done.
    #[error("the connection broke before the answer came")]
    Lost,
    /// The answer did not come in time: it may be done yet.
    #[error("no answer came within {within_ms} ms")]
    TimedOut {
        /// How long was waited.
        within_ms: u64,
    },
}

/// There is no connection now, or it broke before the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection")]
pub struct NotConnected;

impl ConnectError {
    /// Whether connecting again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::Address { .. }
                | Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::Version { .. }
        )
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}
