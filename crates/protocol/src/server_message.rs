//! What a server says.

use record::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::{Change, KeyName};

/// What a server says on `/ws`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The client may go on.
    Welcome(Welcome),
    /// The state of all keys of a subscription.
    Snapshot(Changes),
    /// What changed since the last frame of a subscription.
    Update(Changes),
    /// Keys that hold no value any more.
    Removed(Removed),
    /// What the client has seen cannot be continued: a snapshot follows.
    Reset(Reset),
    /// A message for people.
    Notification(Notification),
    /// What came of an action.
    ActionResult(ActionResult),
    /// The answer to a ping.
    Pong(Pong),
    /// Something that was asked for is refused; the connection goes on.
    Error(Failure),
}

/// The first message of a server, and the answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The version of the protocol.
    pub protocol: u32,
    /// The random id of the running server; with a `seq` it names a state.
    pub instance: String,
    /// The number of this connection, for people who look at connections.
    pub connection_id: u64,
    /// The server's clock.
    pub timestamp: i64,
}

/// The changes of one commit prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// The subscription.
    pub id: String,
    /// The commit that this shows.
    pub seq: u64,
    /// The server's clock when this was made.
    pub timestamp: i64,
    /// Whether this continues what `since` said; in the first frame after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Updates that a subscription to every one of them did not get.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// Values, those of one key in the order of commits.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Curves, of a `downsampled` subscription.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<Plot>,
}

/// The curve of one key, in columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plot {
    /// Who read.
    #[schemars(with = "String")]
    pub source: Name,
    /// What was read.
    #[schemars(with = "String")]
    pub tag: Name,
    /// From how many values the points were chosen.
    pub points_in: u64,
    /// The time of each point.
    pub timestamps: Vec<i64>,
    /// Its value; null in a gap.
    pub values: Vec<Option<f64>>,
}

/// Keys that hold no value any more, because they were removed, cleared or idle for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// The subscription.
    pub id: String,
    /// The commit that this shows.
    pub seq: u64,
    /// The keys.
    pub keys: Vec<KeyName>,
}

/// Why what a client has seen cannot be continued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reset {
    /// The subscription.
    pub id: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// How serious it is.
    pub level: Level,
    /// What happened, in a sentence.
    pub message: String,
    /// When, by the server's clock.
    pub timestamp: i64,
}

/// How serious a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Things are well.
    Info,
    /// Something needs attention.
    Warning,
    /// Something is broken.
    Error,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionResult {
    /// As in the action.
    pub id: String,
    /// Whether it was done.
    pub ok: bool,
    /// What the application answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The server's clock.
    pub timestamp: i64,
}

/// The answer to a ping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The newest commit: a client that has seen less, and hears nothing, has a gap.
    pub seq: u64,
    /// As in the ping.
    #[serde(default)]
    pub echo: Value,
    /// The server's clock.
    pub timestamp: i64,
}

/// Something that was asked for is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// For programs.
    pub code: String,
    /// For people: the field, the value and the limit.
    pub message: String,
    /// The subscription or action that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
