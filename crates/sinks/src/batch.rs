//! Rows that are delivered together.

use std::sync::Arc;
use std::time::Instant;

use record::{Malformed, Position, Record};

use crate::ScopeIndex;

/// One update on its way to a sink: a record, or a piece of input that was none.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What its watermark belongs to.
    pub scope: ScopeIndex,
    /// Its place in that scope; grows from row to row.
    pub position: Position,
    /// When it was accepted, on the monotonic clock.
    pub arrival: Instant,
    /// The record, or what is to be quarantined.
    pub content: Result<Record, Malformed>,
}

impl Row {
    /// Bytes that the row takes, inline and on the heap.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        Self::size_bytes_with(&self.content)
    }

    /// Bytes that a row with this content takes, inline and on the heap.
    #[must_use]
    pub fn size_bytes_with(content: &Result<Record, Malformed>) -> usize {
        let heap = match content {
            Ok(record) => record.size_bytes() - size_of::<Record>(),
            Err(malformed) => malformed.size_bytes() - size_of::<Malformed>(),
        };
        size_of::<Self>() + heap
    }
}

/// Identifies a batch within a run; the same through all its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

impl std::fmt::Display for BatchId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Rows that are delivered together, in order. Immutable and cheap to clone: whoever writes it
/// reads the same memory.
#[derive(Clone)]
pub struct Batch {
    id: BatchId,
    rows: Arc<dyn AsRef<[Row]> + Send + Sync>,
}

impl Batch {
    /// A batch of rows that are owned or lent by `rows`, such as a vector or a shared lease.
    pub fn new(id: BatchId, rows: impl AsRef<[Row]> + Send + Sync + 'static) -> Self {
        Self {
            id,
            rows: Arc::new(rows),
        }
    }

    /// The id that each retry repeats.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        (*self.rows).as_ref()
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Batch({}, {} rows)", self.id, self.rows().len())
    }
}
