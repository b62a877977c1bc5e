//! The bare loop: what is left of an ingest when nothing but reading, parsing and writing is done.
//!
//! One thread, one borrowed row at a time, one prepared insert, a transaction per 5,000 rows. No
//! ledger, no quarantine, no bound on a line's length: an error ends it.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

const BATCH_ROWS: i64 = 5_000;
const READ_BUFFER_BYTES: usize = 64 * 1024;

const PREPARE: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
    CREATE TABLE tag_values(
        timestamp INTEGER NOT NULL, source TEXT NOT NULL, tag TEXT NOT NULL, value ANY,
        quality TEXT NOT NULL, scope INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;";
const INSERT: &str = "INSERT INTO tag_values VALUES (?, ?, ?, ?, ?, 1, ?)";

#[derive(Deserialize)]
struct Row<'a> {
    timestamp: i64,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    value: Scalar<'a>,
    #[serde(borrow)]
    quality: Cow<'a, str>,
}

/// Loads the file into a new database.
pub(crate) fn load(source: &Path, database: &Path) -> Result<()> {
    let file = File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, file);
    let connection = Connection::open(database)?;
    connection.execute_batch(PREPARE)?;
    let mut insert = connection.prepare(INSERT)?;
    let mut transaction = connection.unchecked_transaction()?;
    let mut line = String::new();
    let mut position = 0_i64;
    while reader.read_line(&mut line)? > 0 {
        position += 1;
        let Row {
            timestamp,
            source,
            tag,
            value,
            quality,
        } = serde_json::from_str(&line).with_context(|| format!("line {position}"))?;
        insert.execute((timestamp, source, tag, value, quality, position))?;
        if position % BATCH_ROWS == 0 {
            transaction.commit()?;
            transaction = connection.unchecked_transaction()?;
        }
        line.clear();
    }
    transaction.commit()?;
    Ok(())
}

/// A JSON value that fits a column, text borrowed where it has no escapes.
enum Scalar<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Scalar<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
        }))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, a bool or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value).map(Scalar::Integer).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Real(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(value.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{data, verify};

    #[test]
    fn the_bare_loop_does_the_work_that_is_compared() {
        let scratch = tempfile::tempdir().unwrap();
        let (source, database) = (scratch.path().join("in"), scratch.path().join("out"));
        // More than one batch, and a remainder.
        let expected = data::generate(&source, 12_345).unwrap();
        load(&source, &database).unwrap();
        verify::content(&database)
            .unwrap()
            .compare(&expected)
            .unwrap();
    }

    #[test]
    fn a_line_that_is_not_a_reading_ends_it_and_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let (source, database) = (scratch.path().join("in"), scratch.path().join("out"));
        data::generate(&source, 1).unwrap();
        let good = std::fs::read_to_string(&source).unwrap();
        std::fs::write(&source, format!("{good}{{}}\n")).unwrap();
        let error = load(&source, &database).unwrap_err();
        assert_eq!(error.to_string(), "line 2");
    }
}
