//! One line of newline-delimited JSON to one record.
//!
//! A line is an object with `source`, `tag` and `value`; `timestamp` (RFC 3339 or microseconds),
//! `quality`, `priority` and `id` are optional; `plc_code`, `tag_address` and `tag_value` are
//! accepted for the first three; other fields are ignored. Nothing is guessed: a field of the
//! wrong type is an error, and so is one that is given twice. A `null` value without a quality is
//! of quality bad.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{FutureLimit, ID_BYTES_MAX, Name, Quality, Record, RecordError, Timestamp, Value};

/// The most bytes a line may have.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads one line, without its newline. A record without a timestamp gets `limit.now()`.
///
/// ```
/// use record::{FutureLimit, Timestamp, Value, ndjson};
/// let now = Timestamp::from_micros(0)?;
/// let limit = FutureLimit::new(now, std::time::Duration::from_secs(86_400));
/// let line = br#"{"timestamp": 0, "source": "PLC01", "tag": "D100", "value": 1234.5}"#;
/// assert_eq!(ndjson::parse(line, &limit)?.value, Value::F64(1234.5));
/// let error = ndjson::parse(br#"{"source": "PLC01", "tag": "D100"}"#, &limit).unwrap_err();
/// assert_eq!(error.to_string(), "field `value` is missing");
/// # Ok::<(), record::RecordError>(())
/// ```
///
/// # Errors
/// When the line is not a record; the message names the field, the value and the limit.
pub fn parse(line: &[u8], limit: &FutureLimit) -> Result<Record, RecordError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(RecordError::TooLong {
            field: "line",
            length: line.len(),
            limit: LINE_BYTES_MAX,
        });
    }
    parse_kept(line, limit)
}

/// The same for a line that was written here: it may be longer than [`LINE_BYTES_MAX`], because
/// JSON escapes what came in unescaped.
///
/// # Errors
/// When the line is not a record.
pub fn parse_kept(line: &[u8], limit: &FutureLimit) -> Result<Record, RecordError> {
    let text = std::str::from_utf8(line).map_err(|error| RecordError::InvalidUtf8 {
        at: error.valid_up_to(),
    })?;
    let fields = read_fields(text)?;
    let value = fields
        .value
        .ok_or(RecordError::Missing { field: "value" })?;
    let value = match value {
        Field::Nested => nested_value(text)?,
        scalar => scalar.into_value()?,
    };
    let source = required_text("source", fields.source)?;
    let tag = required_text("tag", fields.tag)?;
    let timestamp = match fields.timestamp {
        None | Some(Field::Null) => limit.now(),
        Some(field) => limit.check(field.into_timestamp()?)?,
    };
    let mut record = Record {
        timestamp,
        source: Name::new("source", &source)?,
        tag: Name::new("tag", &tag)?,
        quality: if value == Value::Null {
            Quality::Bad
        } else {
            Quality::Good
        },
        value,
        priority: None,
        id: None,
    };
    if let Some(quality) = optional_text("quality", fields.quality)? {
        record.quality = quality.parse()?;
    }
    if let Some(priority) = optional_text("priority", fields.priority)? {
        record.priority = Some(priority.parse()?);
    }
    if let Some(id) = optional_text("id", fields.id)? {
        if id.len() > ID_BYTES_MAX {
            return Err(RecordError::TooLong {
                field: "id",
                length: id.len(),
                limit: ID_BYTES_MAX,
            });
        }
        record.id = Some(id.into());
    }
    Ok(record)
}

/// Writes a record as one line, without its newline, that [`parse`] reads back.
///
/// ```
/// use record::{FutureLimit, Record, Timestamp, Value, ndjson};
/// let record = Record::new("PLC01", "D100", Value::I64(7), Timestamp::from_micros(5)?)?;
/// let line = ndjson::write(&record);
/// let limit = FutureLimit::new(Timestamp::from_micros(5)?, std::time::Duration::ZERO);
/// assert_eq!(ndjson::parse(line.as_bytes(), &limit)?, record);
/// # Ok::<(), record::RecordError>(())
/// ```
#[must_use]
pub fn write(record: &Record) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        timestamp: i64,
        source: &'a str,
        tag: &'a str,
        value: &'a Value,
        quality: Quality,
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<crate::Priority>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    let line = Line {
        timestamp: record.timestamp.micros(),
        source: record.source.as_str(),
        tag: record.tag.as_str(),
        value: &record.value,
        quality: record.quality,
        priority: record.priority,
        id: record.id.as_deref(),
    };
    serde_json::to_string(&line).expect("a record has only text keys and finite numbers")
}

/// The fields of a line as they stand there, before any of them is judged.
#[derive(Default)]
struct Fields<'a> {
    timestamp: Option<Field<'a>>,
    source: Option<Field<'a>>,
    tag: Option<Field<'a>>,
    value: Option<Field<'a>>,
    quality: Option<Field<'a>>,
    priority: Option<Field<'a>>,
    id: Option<Field<'a>>,
    /// The first field that was given twice.
    duplicate: Option<&'static str>,
}

/// A JSON value, borrowed where it can be. Arrays and objects are read again when they matter.
enum Field<'a> {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(Cow<'a, str>),
    Nested,
}

impl<'a> Field<'a> {
    fn into_value(self) -> Result<Value, RecordError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::I64(number) => Value::I64(number),
            Self::U64(number) => {
                return Err(RecordError::unexpected(
                    "value",
                    number,
                    "a whole number up to 9223372036854775807, or a float",
                ));
            }
            Self::F64(number) => Value::number(number),
            Self::Text(text) => Value::text(&text)?,
            Self::Nested => return Err(RecordError::unexpected("value", "nested", "a scalar")),
        })
    }

    fn into_timestamp(self) -> Result<Timestamp, RecordError> {
        match self {
            Self::I64(micros) => Timestamp::from_micros(micros),
            Self::Text(text) => text.parse(),
            other => Err(RecordError::unexpected(
                "timestamp",
                other,
                "RFC 3339 text or whole microseconds since 1970",
            )),
        }
    }

    fn into_text(self, name: &'static str) -> Result<Cow<'a, str>, RecordError> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(RecordError::unexpected(name, other, "text")),
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(truth) => write!(out, "{truth}"),
            Self::I64(number) => write!(out, "{number}"),
            Self::U64(number) => write!(out, "{number}"),
            Self::F64(number) => write!(out, "{number}"),
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Nested => out.write_str("an array or object"),
        }
    }
}

fn required_text<'a>(
    name: &'static str,
    field: Option<Field<'a>>,
) -> Result<Cow<'a, str>, RecordError> {
    field
        .ok_or(RecordError::Missing { field: name })?
        .into_text(name)
}

fn optional_text<'a>(
    name: &'static str,
    field: Option<Field<'a>>,
) -> Result<Option<Cow<'a, str>>, RecordError> {
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(field) => field.into_text(name).map(Some),
    }
}

fn read_fields(text: &str) -> Result<Fields<'_>, RecordError> {
    let found = match text.trim_start().as_bytes().first() {
        Some(b'{') => None,
        Some(b'[') => Some("an array"),
        Some(b'"') => Some("text"),
        Some(b'0'..=b'9' | b'-') => Some("a number"),
        Some(b't' | b'f' | b'n') => Some("a literal"),
        Some(_) => None,
        None => Some("nothing"),
    };
    if let Some(found) = found {
        return Err(RecordError::NotAnObject { found });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer
        .deserialize_map(FieldsVisitor)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| json_error(&error))?;
    match fields.duplicate {
        Some(field) => Err(RecordError::Duplicate { field }),
        None => Ok(fields),
    }
}

/// The value's own text, for the rare line whose value is an array or object.
fn nested_value(text: &str) -> Result<Value, RecordError> {
    #[derive(serde::Deserialize)]
    struct ValueOnly<'a> {
        #[serde(borrow, alias = "tag_value")]
        value: &'a RawValue,
    }
    let only: ValueOnly<'_> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    Value::json(only.value.get())
}

fn json_error(error: &serde_json::Error) -> RecordError {
    let text = error.to_string();
    // The parser appends its own position; the column stands in the message already.
    let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
    RecordError::Json {
        column: error.column(),
        reason,
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key_seed(FieldSeed)? {
            let Field::Text(name) = name else {
                return Err(de::Error::custom("a field name is not text"));
            };
            let (slot, name) = match name.as_ref() {
                "timestamp" => (&mut fields.timestamp, "timestamp"),
                "source" | "plc_code" => (&mut fields.source, "source"),
                "tag" | "tag_address" => (&mut fields.tag, "tag"),
                "value" | "tag_value" => (&mut fields.value, "value"),
                "quality" => (&mut fields.quality, "quality"),
                "priority" => (&mut fields.priority, "priority"),
                "id" => (&mut fields.id, "id"),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value_seed(FieldSeed)?).is_some() {
                fields.duplicate.get_or_insert(name);
            }
        }
        Ok(fields)
    }
}

struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Field<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed {
    type Value = Field<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Field<'de>, E> {
        Ok(Field::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(Field::I64(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(i64::try_from(number).map_or(Field::U64(number), Field::I64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'de>, E> {
        Ok(Field::F64(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Nested)
    }
}
