//! Reading the file, each query on a thread and a read-only connection of its own.
//!
//! WAL lets readers see one consistent state without delaying the writer. But as long as one reads,
//! the log cannot be cut: so a query ends when nobody waits for it any more, also in the middle of
//! a scan, and with an error when it finds nothing new for [`SCAN_WITHIN`] or whoever waits takes
//! longer than [`READER_WITHIN`] for a chunk. A writer has at most [`READERS_MAX`] at a time.

use std::ffi::c_int;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use record::{Quality, Record, Timestamp, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row as SqlRow, params};
use tokio::sync::mpsc::error::TrySendError;

use super::schema::RowTable;
use super::{READERS_MAX, SqliteOptions, SqliteWriter};
use crate::history::{CHUNK_ITEMS, HistorySender, bucket_width_us};
use crate::{
    Bucket, BucketNumbers, HistoryQuery, HistoryReader, HistoryStream, ReadError, Reading,
};

impl HistoryReader for SqliteWriter<Record> {
    fn range(&self, query: HistoryQuery) -> HistoryStream<Reading> {
        let (sender, stream) = HistoryStream::new(query.readings_max);
        let sql = |table: &str| {
            format!(
                "SELECT timestamp, value, quality FROM {table}
                 WHERE source = ?1 AND tag = ?2 AND timestamp >= ?3 AND timestamp < ?4
                 ORDER BY timestamp, rowid LIMIT ?5"
            )
        };
        let limit = i64::try_from(query.readings_max).map_or(i64::MAX, |max| max.saturating_add(1));
        self.read(query, sql, limit, &sender, reading);
        stream
    }

    fn buckets(&self, query: HistoryQuery, buckets: NonZeroU32) -> HistoryStream<Bucket> {
        let count = usize::try_from(buckets.get()).unwrap_or(usize::MAX);
        let (sender, stream) = HistoryStream::new(count);
        let width = bucket_width_us(&query, buckets);
        // JSON and text are no numbers, whatever they look like.
        let sql = |table: &str| {
            format!(
                "SELECT ?3 + (timestamp - ?3) / ?5 * ?5, count(*), count(number), min(number),
                        max(number), avg(number)
                 FROM (SELECT timestamp, CASE typeof(value)
                           WHEN 'integer' THEN value WHEN 'real' THEN value END AS number
                       FROM {table}
                       WHERE source = ?1 AND tag = ?2 AND timestamp >= ?3 AND timestamp < ?4)
                 GROUP BY 1 ORDER BY 1"
            )
        };
        self.read(query, sql, width, &sender, bucket);
        stream
    }
}

impl SqliteWriter<Record> {
    /// Runs a query of the usual four parameters and a fifth on a thread.
    fn read<T: Send + 'static>(
        &self,
        query: HistoryQuery,
        sql: impl FnOnce(&str) -> String,
        fifth: i64,
        sender: &HistorySender<T>,
        item: fn(&SqlRow<'_>) -> rusqlite::Result<T>,
    ) {
        let table = RowTable::of::<Record>(self.options.table_for::<Record>()).quoted();
        let (sql, options) = (sql(&table), self.options.clone());
        let Ok(permit) = Arc::clone(&self.readers).try_acquire_owned() else {
            let said = format!("{READERS_MAX} ranges are being read already; try again later");
            let _ = sender.try_send(Err(ReadError::new(said)));
            return;
        };
        let started = {
            let sender = sender.clone();
            std::thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || {
                    let _permit = permit;
                    let outcome = stream(&options, &sql, &query, fifth, &sender, item);
                    if let Err(error) = outcome {
                        let said = format!("cannot read {}: {error}", options.path.display());
                        // Nobody waits for it any more: then nobody has to know.
                        let _ = sender.blocking_send(Err(ReadError::new(said)));
                    }
                })
        };
        if let Err(error) = started {
            let said = format!("cannot start the reader: {error}");
            let _ = sender.try_send(Err(ReadError::new(said)));
        }
    }
}

/// How long a reader may leave a chunk where it is.
const READER_WITHIN: Duration = Duration::from_secs(10);
/// How long a scan may go on without a full chunk.
const SCAN_WITHIN: Duration = Duration::from_secs(60);
/// Steps of the database between two looks at who waits, far below a millisecond.
const SCAN_STEPS: c_int = 10_000;
/// How often it is looked whether it took one.
const PULSE: Duration = Duration::from_millis(5);

/// Why a range was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("it went on for {SCAN_WITHIN:?} without finding enough")]
    TooLong,
    #[error("whoever reads it took nothing for {READER_WITHIN:?}")]
    TooSlow,
    /// Whoever asked has stopped waiting.
    #[error("nobody waits for it")]
    Nobody,
}

/// Hands a chunk over, within the time that a reader has.
fn hand_over<T>(sender: &HistorySender<T>, chunk: Vec<T>) -> Result<(), Stopped> {
    let deadline = Instant::now() + READER_WITHIN;
    let mut chunk = Ok(chunk);
    loop {
        match sender.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Stopped::Nobody),
            Err(TrySendError::Full(back)) if Instant::now() < deadline => chunk = back,
            Err(TrySendError::Full(_)) => return Err(Stopped::TooSlow),
        }
        std::thread::sleep(PULSE);
    }
}

fn stream<T: Send + 'static>(
    options: &SqliteOptions,
    sql: &str,
    query: &HistoryQuery,
    fifth: i64,
    sender: &HistorySender<T>,
    item: fn(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> Result<(), Stopped> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    let started = Instant::now();
    let moved_ms = stop_in_time(&mut connection, sender, started)?;
    let mut statement = connection.prepare(sql)?;
    let (from, until) = (query.from.micros(), query.until.micros());
    let mut rows = statement.query(params![query.source, query.tag, from, until, fifth])?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().map_err(stopped)? {
        chunk.push(item(row)?);
        if chunk.len() == CHUNK_ITEMS {
            hand_over(sender, std::mem::take(&mut chunk))?;
            moved_ms.store(since(started), Ordering::Relaxed);
        }
    }
    // What is left needs no transaction, and may wait for its reader.
    drop(rows);
    if !chunk.is_empty() && sender.blocking_send(Ok(chunk)).is_err() {
        return Err(Stopped::Nobody);
    }
    Ok(())
}

/// Lets scans of the connection stop once nobody waits, or they take too long since a moment: so
/// many milliseconds after `started` as is then told.
fn stop_in_time<T: Send + 'static>(
    connection: &mut Connection,
    sender: &HistorySender<T>,
    started: Instant,
) -> rusqlite::Result<Arc<AtomicU64>> {
    let moved_ms = Arc::new(AtomicU64::new(0));
    let within_ms = u64::try_from(SCAN_WITHIN.as_millis()).unwrap_or(u64::MAX);
    let (sender, moved) = (sender.clone(), Arc::clone(&moved_ms));
    let ends = move || {
        let end_ms = moved.load(Ordering::Relaxed).saturating_add(within_ms);
        sender.is_closed() || since(started) > end_ms
    };
    connection.progress_handler(SCAN_STEPS, Some(ends))?;
    Ok(moved_ms)
}

/// Milliseconds since a moment.
fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn stopped(error: rusqlite::Error) -> Stopped {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Stopped::TooLong,
        _ => error.into(),
    }
}

fn reading(row: &SqlRow<'_>) -> rusqlite::Result<Reading> {
    let quality: String = row.get(2)?;
    Ok(Reading {
        timestamp: timestamp(row, 0)?,
        value: value(row.get_ref(1)?),
        // A quality that somebody else wrote is none that can be trusted.
        quality: quality.parse().unwrap_or(Quality::Uncertain),
    })
}

fn bucket(row: &SqlRow<'_>) -> rusqlite::Result<Bucket> {
    let count: i64 = row.get(2)?;
    let numbers = if count > 0 {
        Some(BucketNumbers {
            count: count.cast_unsigned(),
            min: row.get(3)?,
            max: row.get(4)?,
            mean: row.get(5)?,
        })
    } else {
        None
    };
    Ok(Bucket {
        start: timestamp(row, 0)?,
        count: row.get::<_, i64>(1)?.cast_unsigned(),
        numbers,
    })
}

fn timestamp(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(column)?;
    Timestamp::from_micros(micros)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, micros))
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        ValueRef::Integer(number) => Value::I64(number),
        ValueRef::Real(number) => Value::number(number),
        // Longer than a record's text can be, it was not written by us.
        ValueRef::Text(bytes) => Value::text(&String::from_utf8_lossy(bytes)).unwrap_or_default(),
    }
}
