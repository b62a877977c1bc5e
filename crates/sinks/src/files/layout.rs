//! The columns of a file, and a row as a line of it.
//!
//! A line of CSV has the cells of the row, then a column `<name>_kind` for each column whose text
//! alone does not say what it was (of kind `Any`, and text or bytes that may be null), then `scope`
//! and `position`. Nothing is lost: `007` stays text, and empty text is told from no value.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::ROW_BYTES_MAX;
use crate::{Cell, Column, ColumnType, Row};

/// What a file looks like; kept in the log, so that one of an earlier build is finished as it was
/// begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// `csv` or `parquet`.
    pub(super) extension: String,
    /// What the file's name begins with.
    pub(super) name: String,
    pub(super) columns: Vec<LayoutColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayoutColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    Text,
    Json,
    Bytes,
    Timestamp,
    Any,
}

impl Layout {
    /// The layout of a row, or the column that is in the way of one that is added.
    pub(super) fn of<R: Row>(extension: &str, name: &str) -> Result<Self, String> {
        let columns = R::SCHEMA.columns.iter().map(LayoutColumn::of).collect();
        let layout = Self {
            extension: extension.to_owned(),
            name: name.to_owned(),
            columns,
        };
        let names = layout.column_names();
        let twice = names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name));
        match twice {
            Some((_, name)) => Err(format!("column `{name}` is one that the file adds itself")),
            None => Ok(layout),
        }
    }

    /// The columns of CSV.
    pub(super) fn column_names(&self) -> Vec<String> {
        let kinds = self.columns.iter().filter(|column| column.has_kind());
        let mut names: Vec<String> = Vec::new();
        names.extend(self.columns.iter().map(|column| column.name.clone()));
        names.extend(kinds.map(|column| format!("{}_kind", column.name)));
        names.extend(["scope".to_owned(), "position".to_owned()]);
        names
    }
}

impl LayoutColumn {
    fn of(column: &Column) -> Self {
        Self {
            name: column.name.to_owned(),
            kind: match column.kind {
                ColumnType::Bool => Kind::Bool,
                ColumnType::I64 => Kind::Int,
                ColumnType::F64 => Kind::Float,
                ColumnType::Text => Kind::Text,
                ColumnType::Json => Kind::Json,
                ColumnType::Bytes => Kind::Bytes,
                ColumnType::Timestamp => Kind::Timestamp,
                ColumnType::Any => Kind::Any,
            },
            nullable: column.nullable,
        }
    }

    /// Whether its kind stands beside it.
    pub(super) fn has_kind(&self) -> bool {
        let is_ambiguous = self.nullable && matches!(self.kind, Kind::Text | Kind::Bytes);
        self.kind == Kind::Any || is_ambiguous
    }
}

/// Appends a row as a line of CSV. On an error, which says why it is none, nothing is appended.
pub(super) fn push_line<R: Row>(
    row: &R,
    layout: &Layout,
    scope: &str,
    position: u64,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    let pushed = push_cells(row, layout, out);
    if let Err(reason) = pushed {
        out.truncate(start);
        return Err(reason);
    }
    push_text(scope, out);
    push_display(format_args!(",{position}\n"), out);
    let bytes = out.len() - start;
    if bytes > ROW_BYTES_MAX {
        out.truncate(start);
        return Err(format!(
            "the row has {bytes} bytes as CSV, at most {ROW_BYTES_MAX} are allowed"
        ));
    }
    Ok(())
}

fn push_cells<R: Row>(row: &R, layout: &Layout, out: &mut Vec<u8>) -> Result<(), String> {
    for (index, column) in layout.columns.iter().enumerate() {
        let cell = row.cell(index);
        if !column.takes(cell) {
            let kind = column.kind;
            let null = if column.nullable { " or null" } else { "" };
            let name = &column.name;
            return Err(format!(
                "column `{name}` is of kind {}, expected {kind:?}{null}",
                kind_of(cell)
            ));
        }
        push_cell(cell, out);
        out.push(b',');
    }
    for (index, column) in layout.columns.iter().enumerate() {
        if column.has_kind() {
            out.extend_from_slice(kind_of(row.cell(index)).as_bytes());
            out.push(b',');
        }
    }
    Ok(())
}

impl LayoutColumn {
    fn takes(&self, cell: Cell<'_>) -> bool {
        match (cell, self.kind) {
            (Cell::Null, _) => self.nullable,
            (Cell::Bool(_), Kind::Bool | Kind::Any)
            | (Cell::I64(_), Kind::Int | Kind::Any)
            | (Cell::F64(_), Kind::Float | Kind::Any)
            | (Cell::Text(_), Kind::Text | Kind::Any)
            | (Cell::Bytes(_), Kind::Bytes)
            | (Cell::Timestamp(_), Kind::Timestamp) => true,
            (Cell::Json(text), Kind::Json | Kind::Any) => {
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
            }
            _ => false,
        }
    }
}

fn kind_of(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Bool(_) => "bool",
        Cell::I64(_) => "int",
        Cell::F64(_) => "float",
        Cell::Text(_) => "text",
        Cell::Json(_) => "json",
        Cell::Bytes(_) => "bytes",
        Cell::Timestamp(_) => "timestamp",
    }
}

fn push_cell(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => {}
        Cell::Bool(truth) => push_display(format_args!("{truth}"), out),
        Cell::I64(number) => push_display(format_args!("{number}"), out),
        // The shortest digits that read back as the same number.
        Cell::F64(number) => push_display(format_args!("{number:?}"), out),
        Cell::Text(text) | Cell::Json(text) => push_text(text, out),
        Cell::Bytes(bytes) => {
            for byte in bytes {
                push_display(format_args!("{byte:02x}"), out);
            }
        }
        Cell::Timestamp(moment) => push_display(format_args!("{moment}"), out),
    }
}

fn push_display(text: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// Appends text, in quotes where RFC 4180 asks for them or spaces at its ends could get lost.
pub(super) fn push_text(text: &str, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    if !ends.contains(&Some(&b' ')) && !text.as_bytes().iter().any(is_special) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
