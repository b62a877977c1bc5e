//! SQLite: our writer, the bare driver, and Python's `executemany`, each WAL and FULL.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use rusqlite::{Connection, params};
use sinks::{SqliteOptions, SqliteWriter};

use super::rows::{self, ROWS};
use super::{ours, python};
use crate::measure::case::{Contender, Kind};

/// All contenders for batches of so many rows, each on a new file in `folder`.
pub(crate) fn contenders(folder: &Path, rows_per_batch: usize) -> Vec<Contender> {
    let file = |name: &str| folder.join(format!("{name}.sqlite"));
    let (of_ours, of_bare, of_python) = (file("ours"), file("bare"), file("python"));
    vec![
        Contender::new(Kind::Ours, "ours", move |_| {
            remove(&of_ours)?;
            let runtime = super::runtime()?;
            let writer: SqliteWriter = SqliteWriter::open(SqliteOptions::new(&of_ours))?;
            let rate = ours::write(&runtime, &writer, rows_per_batch)?;
            check(&of_ours)?;
            Ok(vec![rate])
        }),
        Contender::new(Kind::Peer, super::BARE, move |_| {
            remove(&of_bare)?;
            let rate = bare(&of_bare, rows_per_batch)?;
            check(&of_bare)?;
            Ok(vec![rate])
        }),
        Contender::new(Kind::Peer, super::PYTHON, move |_| {
            remove(&of_python)?;
            let rate = python::sqlite(&of_python, rows_per_batch)?;
            check(&of_python)?;
            Ok(vec![rate])
        }),
    ]
}

/// What somebody who knows SQLite writes by hand: one prepared insert, one transaction per batch.
fn bare(path: &Path, rows_per_batch: usize) -> Result<f64> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(
        "CREATE TABLE tag_values(timestamp INTEGER NOT NULL, source TEXT NOT NULL,
             tag TEXT NOT NULL, value ANY, quality TEXT NOT NULL, scope INTEGER NOT NULL,
             position INTEGER NOT NULL) STRICT",
    )?;
    let records = rows::records();
    let started = Instant::now();
    let mut position = 0_i64;
    for batch in records.chunks(rows_per_batch) {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO tag_values(timestamp, source, tag, value, quality, scope, position)
                 VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)",
            )?;
            for record in batch {
                position += 1;
                insert.execute(params![
                    record.timestamp.micros(),
                    record.source.as_str(),
                    record.tag.as_str(),
                    rows::number(record),
                    record.quality.as_str(),
                    position,
                ])?;
            }
        }
        transaction.commit()?;
    }
    Ok(ROWS as f64 / started.elapsed().as_secs_f64())
}

fn remove(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn check(path: &Path) -> Result<()> {
    let connection = Connection::open(path)?;
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM tag_values", [], |row| row.get(0))?;
    ensure!(
        usize::try_from(rows) == Ok(ROWS),
        "the table has {rows} rows, expected {ROWS}"
    );
    Ok(())
}
