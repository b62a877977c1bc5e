//! Frames: messages as WebSocket frames that are written to any number of sockets.
//!
//! What a server sends is not masked, so a frame is the same bytes for everybody: it is made once
//! and shared. The messages are those of [`protocol`]; changes are written from what they borrow,
//! and mean the same as [`protocol::Change`].

use bytes::Bytes;
use pipeline::Reading;
use protocol::{Encoding, KeyName, Plot, ServerMessage};
use record::{Key, Name, Priority, Quality};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::nesting;

/// Bytes that the head of a frame of a server has at most.
const HEAD_BYTES_MAX: usize = 10;
/// What the first byte says: the last part of a message, text or bytes.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// One or several frames that are sent together.
#[derive(Debug)]
pub(super) struct Frames {
    encoding: Encoding,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl Frames {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            bytes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// One frame.
    pub(super) fn of(encoding: Encoding, message: &ServerMessage) -> Bytes {
        let mut frames = Self::new(encoding);
        frames.push(message);
        frames.into_bytes()
    }

    /// Adds a message; a message that cannot be written is left out.
    pub(super) fn push<T: Serialize + ?Sized>(&mut self, message: &T) {
        self.scratch.clear();
        // Messages have text keys and nothing else that an encoding cannot say.
        if self
            .encoding
            .encode_into(message, &mut self.scratch)
            .is_err()
        {
            return;
        }
        let mut head = [0; HEAD_BYTES_MAX];
        let head = head_of(self.encoding.is_text(), self.scratch.len(), &mut head);
        self.bytes.reserve(head.len() + self.scratch.len());
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(&self.scratch);
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// A control frame: a ping without a payload.
pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[0x89, 0])
}

fn head_of(is_text: bool, length: usize, head: &mut [u8; HEAD_BYTES_MAX]) -> &[u8] {
    head[0] = if is_text { TEXT } else { BINARY };
    if let Ok(short @ 0..126) = u8::try_from(length) {
        head[1] = short;
        &head[..2]
    } else if let Ok(length) = u16::try_from(length) {
        head[1] = 126;
        head[2..4].copy_from_slice(&length.to_be_bytes());
        &head[..4]
    } else {
        head[1] = 127;
        head[2..].copy_from_slice(&(length as u64).to_be_bytes());
        &head[..]
    }
}

/// A `snapshot` or an `update`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    Snapshot(Changes<'a>),
    Update(Changes<'a>),
}

/// As [`protocol::Changes`].
#[derive(Debug, Default, Serialize)]
pub(super) struct Changes<'a> {
    pub(super) id: &'a str,
    pub(super) seq: u64,
    pub(super) timestamp: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) resumed: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) missed: u64,
    pub(super) changes: Vec<Change<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) plots: Vec<Plot>,
}

impl Changes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.missed == 0 && self.changes.is_empty() && self.plots.is_empty()
    }
}

/// As [`protocol::Change`].
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    source: &'a Name,
    tag: &'a Name,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Whole<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<u64>,
    quality: Quality,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<u64>,
}

/// What a change shows.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Whole(Whole<'a>),
    Patch { patch: Value, base: u64 },
}

/// A whole value.
#[derive(Debug)]
pub(super) enum Whole<'a> {
    AsRead(&'a record::Value),
    Made(Value),
}

impl<'a> Change<'a> {
    pub(super) fn new(
        key: &'a Key,
        timestamp: i64,
        reading: &'a Reading,
        content: Content<'a>,
        rev: Option<u64>,
    ) -> Self {
        let (value, patch, base) = match content {
            Content::Whole(value) => (Some(value), None, None),
            Content::Patch { patch, base } => (None, Some(patch), Some(base)),
        };
        Self {
            source: &key.source,
            tag: &key.tag,
            timestamp,
            value,
            patch,
            base,
            quality: reading.quality,
            priority: reading.priority,
            rev,
        }
    }
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Only in JSON is the text of a JSON value what it means, and not when that is so deep
            // that nobody reads it.
            Self::AsRead(value @ record::Value::Json(text))
                if !serializer.is_human_readable() || nesting::is_deep(text.as_str()) =>
            {
                as_json(value).serialize(serializer)
            }
            Self::AsRead(value) => value.serialize(serializer),
            Self::Made(value) => value.serialize(serializer),
        }
    }
}

/// What was read, as the JSON that it means; what is nested too deeply as its text.
pub(super) fn as_json(value: &record::Value) -> Value {
    match value {
        record::Value::Null => Value::Null,
        record::Value::Bool(truth) => Value::Bool(*truth),
        record::Value::I64(number) => Value::from(*number),
        record::Value::F64(number) => Value::from(*number),
        record::Value::Text(text) => Value::from(text.as_str()),
        record::Value::Json(text) if nesting::is_deep(text.as_str()) => Value::from(text.as_str()),
        record::Value::Json(text) => {
            serde_json::from_str(text.as_str()).unwrap_or_else(|_| Value::from(text.as_str()))
        }
    }
}

pub(super) fn key_name(key: &Key) -> KeyName {
    KeyName {
        source: key.source.clone(),
        tag: key.tag.clone(),
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_frame_says_its_length_in_the_shortest_way() {
        let head = |length| head_of(true, length, &mut [0; HEAD_BYTES_MAX]).to_vec();
        assert_eq!(head(0), [0x81, 0]);
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(65_535), [0x81, 126, 255, 255]);
        assert_eq!(head(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(head_of(false, 1, &mut [0; HEAD_BYTES_MAX]), [0x82, 1]);
    }

    #[test]
    fn changes_mean_the_same_as_those_of_the_protocol_in_both_encodings() {
        let name = |name| Name::new("tag", name).unwrap();
        let key = Key {
            source: name("PLC01"),
            tag: name("D1"),
        };
        let values = [
            record::Value::Null,
            record::Value::Bool(true),
            record::Value::I64(i64::MIN),
            record::Value::F64(0.1),
            record::Value::text("007").unwrap(),
            record::Value::json(r#"{"a": [1, null, "x"]}"#).unwrap(),
        ];
        for value in values {
            let reading = Reading {
                value,
                quality: Quality::Uncertain,
                priority: Priority::High,
            };
            for encoding in Encoding::ALL {
                let whole = Content::Whole(Whole::AsRead(&reading.value));
                let patch = Content::Patch {
                    patch: serde_json::json!({"a": null}),
                    base: 6,
                };
                let told = Told::Update(Changes {
                    id: "a",
                    seq: 7,
                    changes: vec![
                        Change::new(&key, 5, &reading, whole, None),
                        Change::new(&key, 5, &reading, patch, Some(7)),
                    ],
                    ..Changes::default()
                });
                let bytes = encoding.encode(&told).unwrap();
                let heard: ServerMessage = encoding.decode(&bytes).unwrap();
                let ServerMessage::Update(heard) = heard else {
                    panic!("{heard:?}");
                };
                assert_eq!((heard.id.as_str(), heard.seq), ("a", 7));
                let [whole, patch] = &heard.changes[..] else {
                    panic!("{heard:?}");
                };
                let expected = protocol::Content::Whole(as_json(&reading.value));
                assert_eq!(whole.content, expected, "{encoding:?}");
                assert_eq!(
                    (whole.priority, whole.quality, whole.timestamp),
                    (Priority::High, Quality::Uncertain, 5)
                );
                assert_eq!(patch.rev, Some(7));
                assert!(matches!(
                    &patch.content,
                    protocol::Content::Patch { base: 6, .. }
                ));
            }
        }
    }
}
