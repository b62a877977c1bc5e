//! Cells to a record, the same for all formats.

use record::{Name, Position, Quality, Record, RecordError, Timestamp, Value};

use crate::ScopeName;

/// A row and where it belongs.
pub(super) struct Parts {
    pub(super) scope: Option<ScopeName>,
    pub(super) position: Option<Position>,
    pub(super) record: Record,
}

/// What a row's cells say; `None` where the file has no such column.
pub(super) struct Cells<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) source: &'a str,
    pub(super) tag: &'a str,
    pub(super) value: Value,
    pub(super) quality: Option<&'a str>,
    pub(super) scope: Option<&'a str>,
    pub(super) position: Option<u64>,
}

impl Cells<'_> {
    pub(super) fn into_parts(self) -> Result<Parts, RecordError> {
        // A value that is missing is never a zero, and never good unless the file says so.
        let quality = match self.quality.filter(|quality| !quality.is_empty()) {
            Some(quality) => quality.parse()?,
            None if self.value == Value::Null => Quality::Bad,
            None => Quality::Good,
        };
        Ok(Parts {
            scope: self.scope.map(ScopeName::new),
            position: self.position.map(Position::new),
            record: Record {
                timestamp: self.timestamp,
                source: Name::new("source", self.source)?,
                tag: Name::new("tag", self.tag)?,
                value: self.value,
                quality,
                priority: None,
                id: None,
            },
        })
    }
}

/// A moment in RFC 3339, or in microseconds since 1970.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, RecordError> {
    match text.parse::<i64>() {
        Ok(micros) => Timestamp::from_micros(micros),
        Err(_) => text.parse(),
    }
}

/// A value of the kind that stands beside it; `Err` says what was expected.
pub(super) fn value(text: &str, kind: &str) -> Result<Value, String> {
    let unexpected = |expected: &str| {
        format!("column `value` is {text:?}, expected {expected}, as `value_kind` says {kind:?}")
    };
    let value = match kind {
        "null" if text.is_empty() => Ok(Value::Null),
        "null" => return Err(unexpected("nothing")),
        "bool" => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => return Err(unexpected("`true` or `false`")),
        },
        "int" => {
            let number = text.parse();
            Ok(Value::I64(
                number.map_err(|_| unexpected("a whole number of 64 bits"))?,
            ))
        }
        "float" => {
            let number: f64 = text.parse().map_err(|_| unexpected("a number"))?;
            Ok(Value::number(number))
        }
        "text" => Value::text(text),
        "json" if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => {
            return Err(unexpected("JSON"));
        }
        "json" => Value::json(text),
        _ => {
            return Err(format!(
                "column `value_kind` is {kind:?}, expected null, bool, int, float, text or json"
            ));
        }
    };
    value.map_err(|error| error.to_string())
}
