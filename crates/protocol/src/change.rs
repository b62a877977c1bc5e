//! One value of one key, whole or as a patch.

use record::{Name, Priority, Quality};
use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// One value of one key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
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
///
/// Only reading goes through it: writing would have to copy every value.
#[derive(Deserialize, JsonSchema)]
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
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    /// A merge patch (RFC 7396) of the value whose `rev` was `base`.
    #[serde(default, deserialize_with = "present")]
    patch: Option<Value>,
    /// To which `rev` the patch is applied.
    #[serde(default)]
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
    #[serde(default)]
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

impl TryFrom<Wire> for Change {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let content = match (wire.value, wire.patch, wire.base) {
            (Some(value), None, None) => Content::Whole(value),
            (None, Some(patch), Some(base)) => Content::Patch { patch, base },
            _ => return Err("a change has either `value`, or `patch` and `base`"),
        };
        Ok(Self {
            source: wire.source,
            tag: wire.tag,
            timestamp: wire.timestamp,
            content,
            quality: wire.quality,
            priority: wire.priority,
            rev: wire.rev,
        })
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content_fields = match self.content {
            Content::Whole(_) => 1,
            Content::Patch { .. } => 2,
        };
        let fields = 5 + content_fields + usize::from(self.rev.is_some());
        let mut wire = serializer.serialize_struct("Change", fields)?;
        wire.serialize_field("source", self.source.as_str())?;
        wire.serialize_field("tag", self.tag.as_str())?;
        wire.serialize_field("timestamp", &self.timestamp)?;
        match &self.content {
            Content::Whole(value) => wire.serialize_field("value", value)?,
            Content::Patch { patch, base } => {
                wire.serialize_field("patch", patch)?;
                wire.serialize_field("base", base)?;
            }
        }
        wire.serialize_field("quality", &self.quality)?;
        wire.serialize_field("priority", &self.priority)?;
        if let Some(rev) = &self.rev {
            wire.serialize_field("rev", rev)?;
        }
        wire.end()
    }
}
