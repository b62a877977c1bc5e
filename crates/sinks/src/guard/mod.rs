//! Layers that keep rows safe: each row ends in exactly one place, and says which.
//!
//! - [`Ledger`](ledger_file::Ledger): watermarks for a sink that keeps none.
//! - [`Quarantine`](quarantine::Quarantine): what was refused goes to a file that can be replayed.
//! - [`Bisect`](bisect::Bisect): finds the bad rows of a batch, so that they cost only themselves.
//! - [`Fallback`](fallback::Fallback): a second writer for what the sink gave up.
//! - [`FanOut`](fan_out::FanOut): several sinks that do not wait for each other.
//!
//! That is also their order, outermost first, but for the fan-out, which stands around all. None
//! of them holds a lock over a call of the writer inside, but for a fallback that opens a scope
//! late, and each may be dropped at any time.

mod append;
pub(crate) mod bisect;
pub(crate) mod fallback;
pub(crate) mod fan_out;
pub(crate) mod ledger_file;
pub(crate) mod ndjson_file;
pub mod quarantine;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};

use parking_lot::{Mutex, RwLock};

use crate::{Batch, BatchId, Entry, ErrorKind, Row, ScopeIndex, ScopeName, WriteError};

/// Unsettled batches that a layer remembers at most: one per scope is in flight. Of those beyond
/// it forgets the oldest, whose retry then begins anew.
const REMEMBERED_MAX: usize = 1024;
/// Rows of all of them together: what is known may name each.
const REMEMBERED_ROWS_MAX: usize = 1 << 20;

/// What a layer knows of batches that are not settled yet, for when they are offered again.
#[derive(Debug)]
struct Remembered<T> {
    entries: Mutex<VecDeque<Memory<T>>>,
}

#[derive(Debug)]
struct Memory<T> {
    key: BatchKey,
    /// How many rows it may name.
    rows: usize,
    known: T,
}

/// A batch, or one slice of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchKey {
    id: BatchId,
    /// A hash of where its rows stand: slices share the id.
    rows: u64,
}

impl BatchKey {
    fn of<R>(batch: &Batch<R>) -> Self {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        for row in batch.rows() {
            (row.scope.0, row.position.number()).hash(&mut hasher);
        }
        Self {
            id: batch.id(),
            rows: hasher.finish(),
        }
    }
}

impl<T> Remembered<T> {
    fn new() -> Self {
        Self {
            entries: Mutex::default(),
        }
    }

    /// The key under which something is known of the batch. Costs no hash while all is well.
    fn key_of<R>(&self, batch: &Batch<R>) -> Option<BatchKey> {
        let entries = self.entries.lock();
        if entries.iter().all(|entry| entry.key.id != batch.id()) {
            return None;
        }
        drop(entries);
        let key = BatchKey::of(batch);
        self.with(key, |_| ()).map(|()| key)
    }

    /// Looks at what is known; `act` must be quick.
    fn with<U>(&self, key: BatchKey, act: impl FnOnce(&mut T) -> U) -> Option<U> {
        let mut entries = self.entries.lock();
        let found = entries.iter_mut().find(|entry| entry.key == key);
        found.map(|entry| act(&mut entry.known))
    }

    /// Remembers what may name so many rows.
    fn put(&self, key: BatchKey, rows: usize, known: T) {
        let mut entries = self.entries.lock();
        entries.retain(|entry| entry.key != key);
        entries.push_back(Memory { key, rows, known });
        let mut sum: usize = entries.iter().map(|entry| entry.rows).sum();
        let mut forgotten = Vec::new();
        while entries.len() > REMEMBERED_MAX || (sum > REMEMBERED_ROWS_MAX && entries.len() > 1) {
            let Some(oldest) = entries.pop_front() else {
                break;
            };
            sum -= oldest.rows;
            forgotten.push(oldest);
        }
        drop(entries);
        drop(forgotten);
    }

    fn take(&self, key: BatchKey) -> Option<T> {
        let mut entries = self.entries.lock();
        let at = entries.iter().position(|entry| entry.key == key)?;
        entries.remove(at).map(|entry| entry.known)
    }
}

/// The names of the scopes that were opened through a layer.
#[derive(Debug, Default)]
struct ScopeNames {
    names: RwLock<HashMap<ScopeIndex, ScopeName>>,
}

impl ScopeNames {
    fn open(&self, index: ScopeIndex, name: &ScopeName) {
        self.names.write().insert(index, name.clone());
    }

    fn rename(&self, from: &ScopeName, to: &ScopeName) {
        for name in self.names.write().values_mut() {
            if name == from {
                *name = to.clone();
            }
        }
    }

    /// The name; of a scope that was never opened, one that says so.
    fn name_of(&self, index: ScopeIndex) -> ScopeName {
        let known = self.names.read().get(&index).cloned();
        known.unwrap_or_else(|| ScopeName::new(format!("unnamed:{}", index.0)))
    }
}

/// Some rows of a batch as a batch of their own under the same id, and where they stood.
struct Selection<R> {
    batch: Batch<R>,
    rows: Rows,
}

enum Rows {
    /// A slice that begins here.
    From(usize),
    /// Rows with these indexes.
    At(Vec<usize>),
}

impl<R: Row + Clone> Selection<R> {
    /// The rows that `is_wanted`. Copies them only where they do not stand side by side.
    fn of(batch: &Batch<R>, is_wanted: impl Fn(usize, &Entry<R>) -> bool) -> Self {
        let wanted = batch.rows().iter().enumerate();
        let wanted = wanted.filter(|(index, row)| is_wanted(*index, row));
        let at: Vec<usize> = wanted.map(|(index, _)| index).collect();
        let (first, last) = (
            at.first().copied().unwrap_or(0),
            at.last().map_or(0, |last| last + 1),
        );
        if last - first == at.len() {
            return Self {
                batch: batch.slice(first..last),
                rows: Rows::From(first),
            };
        }
        let rows: Vec<Entry<R>> = at.iter().map(|row| batch.rows()[*row].clone()).collect();
        Self {
            batch: Batch::new(batch.id(), rows),
            rows: Rows::At(at),
        }
    }
}

impl<R> Selection<R> {
    /// Where a row of the selection stood.
    fn row(&self, row: usize) -> usize {
        self.rows.row(row)
    }
}

impl Rows {
    fn row(&self, row: usize) -> usize {
        match self {
            Self::From(first) => first + row,
            Self::At(rows) => rows.get(row).copied().unwrap_or(row),
        }
    }
}

/// The error with the row that it blames as the caller counts them.
fn at_row_of(error: WriteError, row: impl FnOnce(usize) -> usize) -> WriteError {
    match error.row() {
        Some(blamed) => error.at_row(row(blamed)),
        None => error,
    }
}

/// Runs `work` on files where it may block.
///
/// # Cancellation
/// Work that has begun goes on when the future is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(WriteError::new(
            ErrorKind::Fatal,
            format!("work on a file was cut off: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_in_batches_and_in_rows() {
        let key = |id| BatchKey {
            id: BatchId(id),
            rows: id,
        };
        let small = Remembered::new();
        for id in 0..3000 {
            small.put(key(id), 1, ());
        }
        assert_eq!(small.entries.lock().len(), REMEMBERED_MAX);
        assert!(small.take(key(0)).is_none() && small.take(key(2999)).is_some());
        let large = Remembered::new();
        for id in 0..10 {
            large.put(key(id), REMEMBERED_ROWS_MAX / 4, ());
        }
        assert_eq!(large.entries.lock().len(), 4);
        large.put(key(10), 2 * REMEMBERED_ROWS_MAX, ());
        assert!(large.take(key(10)).is_some(), "the newest always");
    }
}
