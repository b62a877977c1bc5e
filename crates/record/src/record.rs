//! The record itself.

use crate::{Key, Name, Priority, Quality, RecordError, Timestamp, Value};

/// The most bytes a record's id may have.
pub const ID_BYTES_MAX: usize = 128;

/// What a source said about one tag at one moment.
///
/// ```
/// use record::{Quality, Record, Timestamp, Value};
/// let record = Record::new("PLC01", "D100", Value::F64(1234.5), Timestamp::from_micros(0)?)?
///     .with_quality(Quality::Uncertain);
/// assert_eq!(record.key().to_string(), "PLC01/D100");
/// # Ok::<(), record::RecordError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened, by the source.
    pub timestamp: Timestamp,
    /// Who reads.
    pub source: Name,
    /// What is read.
    pub tag: Name,
    /// What was read.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The urgency it asks for; `None` leaves that to its route.
    pub priority: Option<Priority>,
    /// The caller's own id, by which its outcome can be looked up.
    pub id: Option<Box<str>>,
}

impl Record {
    /// A record of quality good, or bad where the value is [`Value::Null`].
    ///
    /// # Errors
    /// When `source` or `tag` is no valid [`Name`].
    pub fn new(
        source: &str,
        tag: &str,
        value: Value,
        timestamp: Timestamp,
    ) -> Result<Self, RecordError> {
        let quality = if value == Value::Null {
            Quality::Bad
        } else {
            Quality::Good
        };
        Ok(Self {
            timestamp,
            source: Name::new("source", source)?,
            tag: Name::new("tag", tag)?,
            value,
            quality,
            priority: None,
            id: None,
        })
    }

    /// The same record with this quality.
    #[must_use]
    pub fn with_quality(self, quality: Quality) -> Self {
        Self { quality, ..self }
    }

    /// The name of its history.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            source: self.source.clone(),
            tag: self.tag.clone(),
        }
    }

    /// Bytes that the record takes, inline and on the heap.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let names = spilled(self.source.as_str()) + spilled(self.tag.as_str());
        size_of::<Self>()
            + names
            + self.value.heap_bytes()
            + self.id.as_ref().map_or(0, |id| id.len())
    }
}

/// What a name takes on the heap: nothing up to 24 bytes.
fn spilled(name: &str) -> usize {
    if name.len() > 24 { name.len() } else { 0 }
}
