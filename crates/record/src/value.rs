//! What was read.

use compact_str::CompactString;
use serde::{Serialize, Serializer};

use crate::RecordError;

/// The most bytes a text or JSON value may have.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// What was read: a number, a truth value, text, a JSON document, or nothing.
///
/// Text and JSON up to 24 bytes are kept inline. Floats are finite: what is not becomes
/// [`Value::Null`], because no database and no JSON document carries it through unharmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// There is no value.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A finite number.
    F64(f64),
    /// Text, as it came: `007` stays `007`.
    Text(Text),
    /// A JSON array or object, as text.
    Json(Text),
}

/// Text inside a [`Value`]: at most [`VALUE_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(CompactString);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(text: &str) -> Result<Self, RecordError> {
        if text.len() > VALUE_BYTES_MAX {
            return Err(RecordError::TooLong {
                field: "value",
                length: text.len(),
                limit: VALUE_BYTES_MAX,
            });
        }
        Ok(Self(CompactString::new(text)))
    }
}

impl Value {
    /// A text value.
    ///
    /// # Errors
    /// When it has more than [`VALUE_BYTES_MAX`] bytes.
    pub fn text(text: &str) -> Result<Self, RecordError> {
        Text::new(text).map(Self::Text)
    }

    /// A JSON value, kept as its text on one line. The caller vouches that `text` is valid JSON.
    ///
    /// # Errors
    /// When it has more than [`VALUE_BYTES_MAX`] bytes.
    pub fn json(text: &str) -> Result<Self, RecordError> {
        if text.contains(['\n', '\r']) {
            // Inside of JSON strings line breaks are escaped, so these only lay the text out.
            return Text::new(&text.replace(['\n', '\r'], " ")).map(Self::Json);
        }
        Text::new(text).map(Self::Json)
    }

    /// A number; NaN and the infinities become [`Value::Null`].
    #[must_use]
    pub fn number(number: f64) -> Self {
        if number.is_finite() {
            Self::F64(number)
        } else {
            Self::Null
        }
    }

    /// What an unquoted cell of a table most plausibly says. Numbers are those of JSON, so `007`
    /// and `+1` stay text; an empty cell and NaN are [`Value::Null`].
    ///
    /// ```
    /// use record::Value;
    /// assert_eq!(Value::infer("12.5")?, Value::F64(12.5));
    /// assert_eq!(Value::infer("007")?, Value::text("007")?);
    /// assert_eq!(Value::infer("nan")?, Value::Null);
    /// # Ok::<(), record::RecordError>(())
    /// ```
    ///
    /// # Errors
    /// When the cell has more than [`VALUE_BYTES_MAX`] bytes.
    pub fn infer(cell: &str) -> Result<Self, RecordError> {
        let trimmed = cell.trim();
        if trimmed.is_empty() || is_no_number(trimmed) {
            return Ok(Self::Null);
        }
        if trimmed.eq_ignore_ascii_case("true") {
            return Ok(Self::Bool(true));
        }
        if trimmed.eq_ignore_ascii_case("false") {
            return Ok(Self::Bool(false));
        }
        match infer_number(trimmed) {
            Some(number) => Ok(number),
            None => Self::text(cell),
        }
    }

    /// The word for the kind of value: `null`, `bool`, `int`, `float`, `text` or `json`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::I64(_) => "int",
            Self::F64(_) => "float",
            Self::Text(_) => "text",
            Self::Json(_) => "json",
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) if text.0.is_heap_allocated() => text.0.capacity(),
            _ => 0,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::number(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl Serialize for Value {
    /// As the JSON that it means; a JSON value is embedded, not quoted.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::I64(number) => serializer.serialize_i64(*number),
            Self::F64(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(&text.0),
            Self::Json(text) => match serde_json::from_str::<&serde_json::value::RawValue>(&text.0)
            {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_str(&text.0),
            },
        }
    }
}

/// The words that programs write for a number that is none.
fn is_no_number(cell: &str) -> bool {
    [
        "nan",
        "null",
        "inf",
        "-inf",
        "+inf",
        "infinity",
        "-infinity",
    ]
    .iter()
    .any(|word| cell.eq_ignore_ascii_case(word))
}

/// A number by JSON's grammar; whole ones that fit are [`Value::I64`].
fn infer_number(cell: &str) -> Option<Value> {
    let digits = cell.strip_prefix('-').unwrap_or(cell).as_bytes();
    let starts_like_json = match digits {
        [b'0', next, ..] => matches!(next, b'.' | b'e' | b'E'),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    if !starts_like_json || digits.ends_with(b".") {
        return None;
    }
    if let Ok(whole) = cell.parse::<i64>() {
        return Some(Value::I64(whole));
    }
    cell.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(Value::F64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_the_value_they_most_plausibly_mean() {
        let table = [
            ("", Value::Null),
            ("  ", Value::Null),
            ("NaN", Value::Null),
            ("-Inf", Value::Null),
            ("0", Value::I64(0)),
            ("-12", Value::I64(-12)),
            ("0.5", Value::F64(0.5)),
            ("1e3", Value::F64(1000.0)),
            (
                "9223372036854775808",
                Value::F64(9_223_372_036_854_775_808.0),
            ),
            ("TRUE", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("007", Value::text("007").unwrap()),
            ("+1", Value::text("+1").unwrap()),
            ("1.", Value::text("1.").unwrap()),
            ("-", Value::text("-").unwrap()),
            ("1e999", Value::text("1e999").unwrap()),
            ("12,5", Value::text("12,5").unwrap()),
            ("0x10", Value::text("0x10").unwrap()),
        ];
        for (cell, expected) in table {
            assert_eq!(Value::infer(cell).unwrap(), expected, "cell {cell:?}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_null_never_zero() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Value::from(number), Value::Null);
        }
    }

    #[test]
    fn json_is_embedded_when_serialised() {
        let value = Value::json(r#"{"a":[1,2]}"#).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"a":[1,2]}"#);
    }
}
