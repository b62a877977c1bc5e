//! The rows that every contender writes.

use std::time::Instant;

use record::{Position, Record, Timestamp, Value};
use sinks::{Batch, BatchId, Entry, ScopeIndex};

/// Rows of one repetition, whatever the batches.
pub(crate) const ROWS: usize = 50_000;
/// The first moment, in microseconds since 1970.
const START_US: i64 = 1_700_000_000_000_000;

/// What is read: 500 tags, again and again.
pub(crate) fn records() -> Vec<Record> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..ROWS)
        .map(|row| {
            let moment = START_US + i64::try_from(row).unwrap_or(0) * 1_000;
            let timestamp = Timestamp::from_micros(moment).expect("it is in this century");
            let tag = format!("D{}", row % 500);
            let value = Value::F64((random.f64() * 1e6).round() / 1e3);
            Record::new("PLC01", &tag, value, timestamp).expect("the names are sound")
        })
        .collect()
}

/// The same as batches of so many rows, with positions that follow on each other.
pub(crate) fn batches(rows_per_batch: usize) -> Vec<Batch> {
    let arrival = Instant::now();
    let entries: Vec<Entry> = (1..)
        .zip(records())
        .map(|(position, record)| Entry {
            scope: ScopeIndex(0),
            position: Position::new(position),
            arrival,
            content: Ok(record),
        })
        .collect();
    (1..)
        .zip(entries.chunks(rows_per_batch))
        .map(|(id, rows)| Batch::new(BatchId(id), rows.to_vec()))
        .collect()
}

/// The value of a record as a number, as all of these are.
pub(crate) fn number(record: &Record) -> f64 {
    match record.value {
        Value::F64(number) => number,
        _ => f64::NAN,
    }
}
