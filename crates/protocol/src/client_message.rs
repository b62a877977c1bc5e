//! What a client says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a client says on `/ws`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage {
    /// Who it is. Needed first where tokens are, unless the request had one in its header.
    Hello(Hello),
    /// Wants to be told of keys; the same `id` again replaces a subscription.
    Subscribe(Subscribe),
    /// Wants to hear no more of a subscription.
    Unsubscribe {
        /// Which one.
        id: String,
    },
    /// Nobody looks at it now: nothing is sent until it is unpaused.
    Pause {
        /// Which one.
        id: String,
    },
    /// Somebody looks again.
    Unpause {
        /// Which one.
        id: String,
    },
    /// Asks the application to do something.
    Action(Action),
    /// Asks whether the server is there, and for its newest `seq`.
    Ping {
        /// Comes back in `pong`.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        echo: Value,
    },
}

/// Who a client is, and what it speaks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Its token; none where the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The version of the protocol it speaks; none means the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
}

/// What a client wants to be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// The client's own name for it, 1 to 64 bytes.
    pub id: String,
    /// Globs over `source/tag`. Either these or `channel`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// A name that the server's configuration gives to globs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What is sent of each key.
    #[serde(default)]
    pub extract: Extract,
    /// The least time between two frames of it, in milliseconds.
    #[serde(default)]
    pub min_interval_ms: u64,
    /// Of values that are JSON objects only these members; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Whether values that are JSON objects may come as merge patches of the value before.
    #[serde(default)]
    pub deltas: bool,
    /// What the client has seen already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

/// What a client has seen: everything up to this commit of this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Since {
    /// As in `welcome`.
    pub instance: String,
    /// As in the last frame of the subscription.
    pub seq: u64,
}

/// What a subscription wants to know of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Extract {
    /// The newest value.
    #[default]
    Latest,
    /// The last so many values, again with each update.
    Window {
        /// How many.
        count: usize,
    },
    /// Every value, each once.
    SinceLast,
    /// The history, or a part of it, thinned out to so many points, again with each update.
    Downsampled {
        /// The last so many values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
        /// The values of the last so many seconds of event time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// To how many points at most.
        points: usize,
    },
}

/// What the application is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// The client's own name for it, which the result bears; 1 to 64 bytes.
    pub id: String,
    /// Which action, as the application registered it.
    pub name: String,
    /// On what; the source of the record that the action becomes.
    #[serde(default)]
    pub target: String,
    /// What the action needs to know.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
}
