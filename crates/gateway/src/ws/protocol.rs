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
    Subscribe(Subscribe),
    Unsubscribe {
        id: String,
    },
    /// Nobody looks at it now.
    Pause {
        id: String,
    },
    Unpause {
        id: String,
    },
    Ping {
        #[serde(default)]
        echo: Value,
    },
}

/// What a client subscribes to; the same `id` again replaces it.
#[derive(Debug, Deserialize)]
pub(super) struct Subscribe {
    pub(super) id: String,
    pub(super) keys: Vec<String>,
    #[serde(default)]
    pub(super) extract: Extract,
    #[serde(default)]
    pub(super) min_interval_ms: u64,
    #[serde(default)]
    pub(super) since: Option<Since>,
}

/// What a client has seen: everything up to this commit of this instance.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    pub(super) instance: String,
    pub(super) seq: u64,
}

/// What a subscription wants to know of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Extract {
    /// The newest value.
    #[default]
    Latest,
    /// The last so many values, again with each update.
    Window { count: usize },
    /// Every value, each once.
    SinceLast,
    /// The history, or a part of it, thinned out to so many points, again with each update.
    Downsampled {
        #[serde(default)]
        count: Option<usize>,
        #[serde(default)]
        seconds: Option<f64>,
        points: usize,
    },
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
    /// Whether this continues what the client has seen, if it said what that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resumed: Option<bool>,
    /// Updates of the keys that a subscription to every one of them did not get.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) missed: u64,
    pub(super) changes: Vec<Change<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) plots: Vec<Plot<'a>>,
    /// Keys that hold no value any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cleared: Vec<&'a Key>,
}

impl Changes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.missed == 0
            && self.changes.is_empty()
            && self.plots.is_empty()
            && self.cleared.is_empty()
    }
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

/// The curve of one key, in columns.
#[derive(Debug, Serialize)]
pub(super) struct Plot<'a> {
    #[serde(flatten)]
    pub(super) key: &'a Key,
    /// From how many values the points were chosen.
    pub(super) points_in: u64,
    pub(super) timestamps: &'a [i64],
    /// Null in a gap.
    pub(super) values: &'a [f64],
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
