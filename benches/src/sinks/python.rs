//! The same work in Python: `sqlite3` from its library, and psycopg.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::rows::ROWS;

const ROWS_MADE: &str = r#"
import random, sys, time
random.seed(7)
count, size = int(sys.argv[2]), int(sys.argv[3])
rows = [(1700000000000000 + i * 1000, "PLC01", "D%d" % (i % 500), round(random.random() * 1e3, 3),
         "good", 1, i + 1) for i in range(count)]
"#;

const SQLITE: &str = r#"
import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=wal")
db.execute("PRAGMA synchronous=full")
db.execute("CREATE TABLE tag_values(timestamp INTEGER NOT NULL, source TEXT NOT NULL, "
           "tag TEXT NOT NULL, value ANY, quality TEXT NOT NULL, scope INTEGER NOT NULL, "
           "position INTEGER NOT NULL) STRICT")
began = time.perf_counter()
for start in range(0, count, size):
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO tag_values VALUES (?,?,?,?,?,?,?)", rows[start:start + size])
    db.execute("COMMIT")
print(count / (time.perf_counter() - began))
"#;

const PSYCOPG: &str = r#"
import psycopg
from datetime import datetime, timezone, timedelta
epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
rows = [(epoch + timedelta(microseconds=row[0]),) + row[1:] for row in rows]
with psycopg.connect(sys.argv[1]) as db:
    db.execute("CREATE TABLE python_values(timestamp timestamptz NOT NULL, source text NOT NULL, "
               "tag text NOT NULL, value double precision, quality text NOT NULL, "
               "scope integer NOT NULL, position bigint NOT NULL)")
    db.commit()
    began = time.perf_counter()
    for start in range(0, count, size):
        with db.cursor() as cursor:
            cursor.executemany("INSERT INTO python_values VALUES (%s,%s,%s,%s,%s,%s,%s)",
                               rows[start:start + size])
        db.commit()
    print(count / (time.perf_counter() - began))
"#;

/// Whether Python has psycopg; it is not part of its library.
pub(crate) fn has_psycopg() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import psycopg"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: psycopg, which `pip install psycopg[binary]` brings");
    }
    found
}

/// Rows per second into a new SQLite file.
pub(crate) fn sqlite(path: &Path, rows_per_batch: usize) -> Result<f64> {
    run(SQLITE, &path.display().to_string(), rows_per_batch)
}

/// Rows per second into a new table of a PostgreSQL database.
pub(crate) fn psycopg(url: &str, rows_per_batch: usize) -> Result<f64> {
    run(PSYCOPG, url, rows_per_batch)
}

fn run(script: &str, target: &str, rows_per_batch: usize) -> Result<f64> {
    let output = Command::new("python3")
        .args(["-c", &format!("{ROWS_MADE}{script}"), target])
        .args([ROWS.to_string(), rows_per_batch.to_string()])
        .output()
        .context("cannot start python3")?;
    ensure!(
        output.status.success(),
        "python3 failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).context("python3 printed no text")?;
    text.trim().parse().context("python3 printed no number")
}
