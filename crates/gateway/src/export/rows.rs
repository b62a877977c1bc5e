//! How rows are written.

use std::borrow::Cow;

use axum::body::Bytes;
use record::{Key, Timestamp, Value};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::past::{Past, Shown};

/// The columns of CSV.
const COLUMNS: [&str; 5] = ["timestamp", "source", "tag", "value", "quality"];
/// What makes a cell a formula when it is first.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// RFC 4180 with a header.
    #[default]
    Csv,
    /// One JSON object per line, as `/api/ingest` takes them.
    Ndjson,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    pub(crate) fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"export.csv\"",
            Self::Ndjson => "attachment; filename=\"export.ndjson\"",
        }
    }
}

/// Rows that are not sent yet.
pub(crate) struct Rows {
    format: Format,
    written: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    key: &'a Key,
    #[serde(flatten)]
    shown: Shown<'a>,
}

/// Where an export that was cut off goes on.
#[derive(Serialize)]
struct CutOff<'a> {
    cut_off: bool,
    #[serde(flatten)]
    next: &'a Key,
    from: Timestamp,
}

impl Rows {
    pub(crate) fn new(format: Format) -> Self {
        let mut rows = Self {
            format,
            written: Vec::new(),
        };
        if format == Format::Csv {
            rows.csv(COLUMNS);
        }
        rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.written.len()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.written).into()
    }

    pub(crate) fn add(&mut self, key: &Key, past: &Past) {
        match self.format {
            Format::Ndjson => {
                let shown = past.shown();
                self.json(&Line { key, shown });
            }
            Format::Csv => self.csv([
                &past.time_us.to_string(),
                &harmless(key.source.as_str()),
                &harmless(key.tag.as_str()),
                &cell(&past.reading.value),
                past.reading.quality.as_str(),
            ]),
        }
    }

    /// Says that there is more, from this moment of this key on.
    pub(crate) fn cut_off(&mut self, next: &Key, from: Timestamp) {
        match self.format {
            Format::Ndjson => self.json(&CutOff {
                cut_off: true,
                next,
                from,
            }),
            Format::Csv => {
                let (next, from) = (next.to_string(), from.micros());
                let told = format!("# the row limit is reached; {next:?} goes on at {from}");
                self.csv([told.as_str()]);
            }
        }
    }

    fn json(&mut self, line: &impl Serialize) {
        // Neither a key nor a value can fail to be JSON, and a vector takes all.
        let _ = serde_json::to_writer(&mut self.written, line);
        self.written.push(b'\n');
    }

    fn csv<const CELLS: usize>(&mut self, cells: [&str; CELLS]) {
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                self.written.push(b',');
            }
            if cell.contains([',', '"', '\r', '\n']) {
                self.written.push(b'"');
                let quoted = cell.replace('"', "\"\"");
                self.written.extend_from_slice(quoted.as_bytes());
                self.written.push(b'"');
            } else {
                self.written.extend_from_slice(cell.as_bytes());
            }
        }
        self.written.extend_from_slice(b"\r\n");
    }
}

/// A value as a cell; null is empty.
fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Text(text) | Value::Json(text) => harmless(text.as_str()),
        number => serde_json::to_string(number).unwrap_or_default().into(),
    }
}

/// Text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> Cow<'_, str> {
    match text.starts_with(FORMULA) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::Reading;
    use record::{Name, Priority, Quality};

    fn row(source: &str, value: Value) -> String {
        let key = Key {
            source: Name::new("source", source).unwrap(),
            tag: Name::new("tag", "t").unwrap(),
        };
        let mut rows = Rows::new(Format::Csv);
        rows.take();
        let reading = Reading {
            value,
            quality: Quality::Good,
            priority: Priority::Normal,
        };
        let past = Past {
            time_us: 7,
            reading,
            is_stored: true,
        };
        rows.add(&key, &past);
        String::from_utf8(rows.take().to_vec()).unwrap()
    }

    #[test]
    fn cells_are_quoted_by_rfc_4180_and_text_is_no_formula() {
        let text = |text| Value::text(text).unwrap();
        for (value, cell) in [
            (Value::Null, ""),
            (Value::F64(-1.5), "-1.5"),
            (Value::I64(-3), "-3"),
            (Value::Bool(true), "true"),
            (text("plain"), "plain"),
            (text("a,b"), "\"a,b\""),
            (text("say \"hi\"\r\n"), "\"say \"\"hi\"\"\r\n\""),
            (text("=1+1"), "'=1+1"),
            (text("+1"), "'+1"),
            (text("-1"), "'-1"),
            (text("@SUM(1,2)"), "\"'@SUM(1,2)\""),
            (text("\t=1"), "'\t=1"),
            (Value::json("[1, 2]").unwrap(), "\"[1, 2]\""),
        ] {
            assert_eq!(row("s", value), format!("7,s,t,{cell},good\r\n"));
        }
        assert_eq!(row("=s", Value::Null), "7,'=s,t,,good\r\n");
    }
}
