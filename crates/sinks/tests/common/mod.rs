//! What the tests of adapters share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::time::Instant;

use record::{Malformed, Position, Record, Timestamp, Value};
use sinks::{Batch, BatchId, Entry, ScopeIndex};

pub(crate) const SCOPE: ScopeIndex = ScopeIndex(0);

pub(crate) fn row(position: u64, value: Value) -> Entry {
    let timestamp = Timestamp::from_micros(i64::try_from(position).unwrap()).unwrap();
    Entry {
        scope: SCOPE,
        position: Position::new(position),
        arrival: Instant::now(),
        content: Ok(Record::new("PLC01", "D100", value, timestamp).unwrap()),
    }
}

pub(crate) fn malformed(position: u64, reason: &str, original: &[u8]) -> Entry {
    Entry {
        content: Err(Malformed::new(reason, original)),
        ..row(position, Value::Null)
    }
}

/// A batch of whole numbers, one row per position.
pub(crate) fn batch(id: u64, positions: impl IntoIterator<Item = u64>) -> Batch {
    let rows: Vec<Entry> = positions
        .into_iter()
        .map(|position| row(position, Value::I64(position.try_into().unwrap())))
        .collect();
    Batch::new(BatchId(id), rows)
}
