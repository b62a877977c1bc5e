//! What a subscription is told, and what a client is in.

use std::time::Duration;

use protocol::{Failure, KeyName, Plot};
use record::{Priority, Quality};
use serde_json::Value;

use crate::error::ConnectError;

/// What a subscription is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The state of all keys: what is not in it has no value. Comes first, and again after each
    /// reconnect that the server could not continue.
    Snapshot(Frame),
    /// What changed.
    Update(Frame),
    /// Keys that hold no value any more.
    Removed {
        /// The commit that this shows.
        seq: u64,
        /// The keys.
        keys: Vec<KeyName>,
    },
    /// What was seen before cannot be continued; a snapshot follows.
    Reset {
        /// Why, in a sentence.
        reason: String,
    },
    /// The server refuses the subscription, or a part of it. It stays, and is asked for again
    /// with the next connection. With the code `unreadable`: a frame could not be read, and was
    /// passed over.
    Failed(Failure),
}

/// The changes up to one commit. Where the program was slower than the server, those of several
/// frames in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The commit that this shows.
    pub seq: u64,
    /// The server's clock when it was made, microseconds since 1970.
    pub timestamp: i64,
    /// Updates that a subscription to every one of them did not get: what the server had no more,
    /// and what the program did not take in time.
    pub missed: u64,
    /// The values; those of one key in the order of commits.
    pub readings: Vec<Reading>,
    /// Curves, of a `downsampled` subscription.
    pub plots: Vec<Plot>,
}

/// One value of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose it is.
    pub key: KeyName,
    /// When, by the source; microseconds since 1970.
    pub timestamp: i64,
    /// The whole value.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// How urgent it was.
    pub priority: Priority,
}

/// What a client is in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It connects.
    Connecting,
    /// It is connected.
    Connected {
        /// The random id of the running server; another one means that the server was restarted.
        instance: String,
        /// The number of the connection, as administrators see it.
        connection_id: u64,
    },
    /// It waits, to connect again.
    Waiting {
        /// Why there is no connection.
        cause: ConnectError,
        /// For how long in all.
        delay: Duration,
    },
    /// It will not connect again.
    Ended {
        /// Why; nothing when it was closed.
        cause: Option<ConnectError>,
    },
}

impl State {
    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether there will be none any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}
