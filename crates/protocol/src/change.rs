//! One value of one key, whole or as a patch.

use record::{Name, Priority, Quality};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One value of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Change {
    /// Who read.
    pub source: Name,
    /// What was read.
    pub tag: Name,
    /// When, by the source.
    pub timestamp: i64,
    /// What was read.
    pub content: Content,
    /// How far it can be trusted.
    pub quality: Quality,
    /// How urgent it was.
    pub priority: Priority,
    /// The number of this value in the history of its key; in a subscription with `deltas`.
    pub rev: Option<u64>,
}

/// A value, or what became different in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The value itself.
    Whole(Value),
    /// A merge patch (RFC 7396) of the value whose number is `base`.
    Patch {
        /// What is different.
        patch: Value,
        /// The number of the value that it is applied to.
        base: u64,
    },
}

/// The name of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct KeyName {
    /// Who reads.
    #[schemars(with = "String")]
    pub source: Name,
    /// What is read.
    #[schemars(with = "String")]
    pub tag: Name,
}

/// How a change lies on the wire: `value`, or `patch` and `base`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Change")]
struct Wire {
    /// Who read.
    #[schemars(with = "String")]
    source: Name,
    /// What was read.
    #[schemars(with = "String")]
    tag: Name,
    /// When, by the source.
    timestamp: i64,
    /// The value itself, null among them; absent where there is a patch.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    value: Option<Value>,
    /// A merge patch (RFC 7396) of the value whose `rev` was `base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Value>,
    /// To which `rev` the patch is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<u64>,
    /// How far it can be trusted.
    #[serde(default)]
    #[schemars(with = "QualityWord")]
    quality: Quality,
    /// How urgent it was.
    #[serde(default)]
    #[schemars(with = "PriorityWord")]
    priority: Priority,
    /// The number of this value in the history of its key; with `deltas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<u64>,
}

/// For the schema.
#[derive(JsonSchema)]
#[schemars(rename = "Quality", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum QualityWord {
    Good,
    Uncertain,
    Bad,
}

/// For the schema.
#[derive(JsonSchema)]
#[schemars(rename = "Priority", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum PriorityWord {
    Low,
    Normal,
    High,
    Critical,
}

/// A value that is there, be it null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl JsonSchema for Change {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Wire::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Wire::json_schema(generator)
    }
}

impl From<Wire> for Change {
    fn from(wire: Wire) -> Self {
        let content = match (wire.patch, wire.base) {
            (Some(patch), Some(base)) => Content::Patch { patch, base },
            _ => Content::Whole(wire.value.unwrap_or_default()),
        };
        Self {
            source: wire.source,
            tag: wire.tag,
            timestamp: wire.timestamp,
            content,
            quality: wire.quality,
            priority: wire.priority,
            rev: wire.rev,
        }
    }
}

impl From<Change> for Wire {
    fn from(change: Change) -> Self {
        let (value, patch, base) = match change.content {
            Content::Whole(value) => (Some(value), None, None),
            Content::Patch { patch, base } => (None, Some(patch), Some(base)),
        };
        Self {
            source: change.source,
            tag: change.tag,
            timestamp: change.timestamp,
            value,
            patch,
            base,
            quality: change.quality,
            priority: change.priority,
            rev: change.rev,
        }
    }
}
