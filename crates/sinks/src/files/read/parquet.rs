//! Rows of a Parquet file.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, reader::RowIter};
use record::{Timestamp, Value};

use super::row::{self, Cells};
use super::{BadRow, Found, ReadFileError};

pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    total: u64,
    read: u64,
    is_over: bool,
}

impl ParquetRows {
    pub(super) fn open(file: File, path: &Path) -> Result<Self, ReadFileError> {
        let failed =
            |error: parquet::errors::ParquetError| ReadFileError::new(path, error.to_string());
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        let metadata = reader.metadata().file_metadata();
        let total = metadata.num_rows().try_into().unwrap_or(0);
        let names: Vec<_> = metadata.schema_descr().columns().iter().collect();
        for name in ["timestamp", "source", "tag", "value"] {
            if !names.iter().any(|column| column.name() == name) {
                let found: Vec<_> = names.iter().map(|column| column.name()).collect();
                return Err(ReadFileError::new(
                    path,
                    format!(
                        "it has no column `{name}`, as files of tag values have, but {}",
                        found.join(", ")
                    ),
                ));
            }
        }
        Ok(Self {
            rows: RowIter::from_file_into(Box::new(reader)),
            total,
            read: 0,
            is_over: false,
        })
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn next(&mut self) -> Option<Found> {
        if self.is_over {
            return None;
        }
        let row = self.rows.next()?;
        self.read += 1;
        let bad = |reason, original| BadRow {
            at: self.read,
            reason,
            original,
        };
        Some(match row {
            Ok(row) => parts(&row).map_err(|reason| bad(reason, row.to_string().into_bytes())),
            Err(error) => {
                self.is_over = true;
                Err(bad(error.to_string(), Vec::new()))
            }
        })
    }
}

fn parts(row: &Row) -> Result<row::Parts, String> {
    let field = |name: &str| {
        let mut columns = row.get_column_iter();
        columns
            .find(|(column, _)| *column == name)
            .map(|(_, field)| field)
    };
    let text = |name: &str| match field(name) {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Str(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(unexpected(name, other, "text")),
    };
    let required = |name: &str| text(name)?.ok_or_else(|| unexpected(name, &Field::Null, "text"));
    let position = match field("position") {
        None | Some(Field::Null) => None,
        Some(Field::Long(number)) if *number >= 0 => Some(number.unsigned_abs()),
        Some(other) => return Err(unexpected("position", other, "a whole number from 0")),
    };
    let scope = text("scope")?;
    let cells = Cells {
        timestamp: timestamp(field("timestamp").unwrap_or(&Field::Null))?,
        source: required("source")?,
        tag: required("tag")?,
        value: value(
            field("value").unwrap_or(&Field::Null),
            text("value_text")?,
            text("value_kind")?,
        )?,
        quality: text("quality")?,
        scope: scope.filter(|scope| !scope.is_empty()),
        position,
    };
    cells.into_parts().map_err(|error| error.to_string())
}

fn timestamp(field: &Field) -> Result<Timestamp, String> {
    let moment = match field {
        Field::TimestampMicros(micros) | Field::Long(micros) => Timestamp::from_micros(*micros),
        Field::TimestampMillis(millis) => Timestamp::from_micros(millis.saturating_mul(1000)),
        Field::Str(text) => row::timestamp(text),
        other => return Err(unexpected("timestamp", other, "a moment")),
    };
    moment.map_err(|error| error.to_string())
}

/// The value of the three columns; of `value` alone where the other two are missing.
fn value(number: &Field, text: Option<&str>, kind: Option<&str>) -> Result<Value, String> {
    let Some(kind) = kind else {
        return Ok(match number {
            Field::Null => Value::Null,
            Field::Bool(truth) => Value::Bool(*truth),
            Field::Int(number) => Value::I64((*number).into()),
            Field::Long(number) => Value::I64(*number),
            Field::Float(number) => Value::number((*number).into()),
            Field::Double(number) => Value::number(*number),
            Field::Str(text) => Value::text(text).map_err(|error| error.to_string())?,
            other => {
                return Err(unexpected(
                    "value",
                    other,
                    "a number, a truth value or text",
                ));
            }
        });
    };
    match (kind, number, text) {
        ("null", Field::Null, None) => Ok(Value::Null),
        ("bool", Field::Double(0.0), _) => Ok(Value::Bool(false)),
        ("bool", Field::Double(1.0), _) => Ok(Value::Bool(true)),
        // The digits stand there where a double has too few of them.
        ("int" | "text" | "json", _, Some(text)) => row::value(text, kind),
        ("int", Field::Double(number), None) if is_whole(*number) => Ok(Value::I64(*number as i64)),
        ("float", Field::Double(number), None) => Ok(Value::number(*number)),
        ("null" | "bool" | "int" | "float" | "text" | "json", ..) => Err(format!(
            "columns `value` and `value_text` are {number} and {text:?}, which `value_kind` says \
             are of kind {kind:?}"
        )),
        _ => row::value("", kind),
    }
}

/// Whether a double stands for one whole number only.
fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < crate::files::WHOLE_MAX
}

fn unexpected(name: &str, found: &Field, expected: &str) -> String {
    format!("column `{name}` is {found}, expected {expected}")
}
