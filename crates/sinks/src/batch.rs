//! Rows that are delivered together.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use record::{Malformed, Position, Record};

use crate::{Row, ScopeIndex};

/// A row on its way to a sink, or a piece of input that was none, with its place in its scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<R = Record> {
    /// What its watermark belongs to.
    pub scope: ScopeIndex,
    /// Its place in that scope; grows from entry to entry.
    pub position: Position,
    /// When it was accepted, on the monotonic clock.
    pub arrival: Instant,
    /// The row, or what is to be quarantined.
    pub content: Result<R, Malformed>,
}

impl<R: Row> Entry<R> {
    /// Bytes that the entry takes, inline and on the heap.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        Self::size_bytes_with(&self.content)
    }

    /// Bytes that an entry with this content takes, inline and on the heap.
    #[must_use]
    pub fn size_bytes_with(content: &Result<R, Malformed>) -> usize {
        let heap = match content {
            Ok(row) => row.heap_bytes(),
            Err(malformed) => malformed.size_bytes() - size_of::<Malformed>(),
        };
        size_of::<Self>() + heap
    }

    /// What came in, as a quarantine keeps it: a row as JSON, anything else as it came.
    #[must_use]
    pub fn original(&self) -> Vec<u8> {
        match &self.content {
            Ok(row) => row.to_json().into_bytes(),
            Err(malformed) => malformed.original().to_vec(),
        }
    }
}

/// Identifies a batch; the same through all its retries. Whoever makes batches begins at a random
/// number, so that those of another run have other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

impl std::fmt::Display for BatchId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Rows that are delivered together, in order. Immutable and cheap to clone: whoever writes it
/// reads the same memory.
pub struct Batch<R = Record> {
    id: BatchId,
    rows: Arc<dyn AsRef<[Entry<R>]> + Send + Sync>,
    /// The part of `rows` that this is; all of it but for a slice.
    part: Range<usize>,
}

impl<R> Batch<R> {
    /// A batch of rows that are owned or lent by `rows`, such as a vector or a shared lease.
    pub fn new(id: BatchId, rows: impl AsRef<[Entry<R>]> + Send + Sync + 'static) -> Self {
        let part = 0..rows.as_ref().len();
        Self {
            id,
            rows: Arc::new(rows),
            part,
        }
    }

    /// The id that each retry repeats.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[Entry<R>] {
        &(*self.rows).as_ref()[self.part.clone()]
    }

    /// The rows of the batch of which this is a slice, and its own rows where it is none.
    pub(crate) fn whole(&self) -> &[Entry<R>] {
        (*self.rows).as_ref()
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.part.is_empty()
    }

    /// A part of the batch under the same id, of the same memory: for layers that split. What
    /// reaches beyond the end is cut off.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let end = self.part.start.saturating_add(rows.end).min(self.part.end);
        let start = self.part.start.saturating_add(rows.start).min(end);
        Self {
            part: start..end,
            ..self.clone()
        }
    }
}

impl<R> Clone for Batch<R> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            rows: Arc::clone(&self.rows),
            part: self.part.clone(),
        }
    }
}

impl<R> std::fmt::Debug for Batch<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Batch({}, {} rows)", self.id, self.len())
    }
}
