//! What goes over the wire, version 1: JSON text frames.

use pipeline::{Notification, Reading};
use record::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that `welcome` names.
pub(super) const VERSION: u32 = 1;

/// What a client says. Other fields are ignored, so that a newer client can talk to this server.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromClient {
    Subscribe {
        id: String,
        keys: Vec<String>,
        #[serde(default)]
        extract: Extract,
        #[serde(default)]
        min_interval_ms: u64,
    },
    Unsubscribe {
        id: String,
    },
    Ping {
        #[serde(default)]
        echo: Value,
    },
}

/// What a subscription wants to know of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Extract {
    /// The newest value.
    #[default]
    Latest,
    /// The last so many values, again with each update.
    Window { count: usize },
    /// Every value, each once.
    SinceLast,
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'a> {
    Welcome {
        protocol: u32,
        instance: String,
        connection_id: u64,
        timestamp: Timestamp,
    },
    Snapshot(Changes<'a>),
    Update(Changes<'a>),
    Pong {
        seq: u64,
        echo: Value,
        timestamp: Timestamp,
    },
    Notification(Notification),
    Error {
        code: &'static str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
}

/// The changes of one commit prefix.
#[derive(Debug, Serialize)]
pub(super) struct Changes<'a> {
    pub(super) id: &'a str,
    /// The commit that this shows.
    pub(super) seq: u64,
    /// Updates of the keys that a subscription to every one of them did not get.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) missed: u64,
    pub(super) changes: Vec<Change<'a>>,
}

/// One value of one key.
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    #[serde(flatten)]
    pub(super) key: &'a Key,
    pub(super) timestamp: i64,
    #[serde(flatten)]
    pub(super) reading: &'a Reading,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
