//! Finds the bad rows of a batch, so that each costs only itself.
//!
//! When the writer inside refuses a batch with [`ErrorKind::Data`], the row that it names is taken
//! out, or else the batch is halved, the earlier half first, until single rows are refused. Those
//! are `rejected` in the receipt, with the sink's reason. So no row is written before an earlier
//! one of its scope, and `b` bad rows of `n` take at most `1 + 2·b·⌈log₂ n⌉` calls (`1 + 2·b` where
//! the sink names them). Malformed entries never reach the writer inside.
//!
//! When another error comes between, what is settled so far is remembered for this batch, and its
//! next attempt goes on from there. Only data errors are treated so: a lost connection says nothing
//! about rows.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::quarantine::{Kept, QuarantineFiles};
use super::{BatchKey, Remembered, ScopeNames, Selection, at_row_of};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// How many rows in a row may be refused by default.
const REJECTS_IN_A_ROW_MAX: usize = 1_000;

/// Splits what the writer inside refuses for its data, and rejects the bad rows alone.
///
/// A sink that refuses everything, because its table is another one now, must not drain the whole
/// stream into a quarantine: after [`rejects_in_a_row_max`](Self::rejects_in_a_row_max) rows
/// without one that was taken between, the write fails with [`ErrorKind::Fatal`]. The row over the
/// cap is not rejected; it is tried again with the next attempt, and all goes on once it is taken.
/// A batch of which every row is refused is rejected as a whole until then, in `2n - 1` calls.
///
/// ```
/// use sinks::{Batch, BatchWriter, Bisect, ErrorKind, FnWriter, Receipt, WriteError};
/// # use sinks::{BatchId, Entry, ScopeIndex};
/// # use record::{Position, Record, Timestamp, Value};
/// # let row = |position| Entry {
/// #     scope: ScopeIndex(0),
/// #     position: Position::new(position),
/// #     arrival: std::time::Instant::now(),
/// #     content: Record::new("s", "t", Value::I64(position as i64), Timestamp::default())
/// #         .map_err(|_| unreachable!()),
/// # };
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let picky = FnWriter::new("picky", |batch: &Batch| {
///     if batch.rows().iter().any(|row| row.position.number() == 3) {
///         return Err(WriteError::new(ErrorKind::Data, "3 is too much"));
///     }
///     Ok(Receipt::delivered_all(batch.len()))
/// });
/// let batch = Batch::new(BatchId(1), (1..=4).map(row).collect::<Vec<_>>());
/// let receipt = Bisect::new(picky).write(&batch).await?;
/// assert_eq!(receipt.delivered(), 3);
/// assert_eq!(receipt.rejected()[0].reason, "3 is too much");
/// # Ok::<(), WriteError>(()) }).expect("written");
/// ```
#[derive(Debug)]
pub struct Bisect<W> {
    inner: W,
    quarantine: Option<QuarantineFiles>,
    names: ScopeNames,
    rejects_in_a_row_max: usize,
    handle: BisectHandle,
    unsettled: Remembered<Progress>,
}

/// How far a batch is.
#[derive(Debug)]
struct Progress {
    /// Ranges of the rows that are no malformed entries, still to be written; the next is the last.
    todo: Vec<Range<usize>>,
    repeated: usize,
    quarantined: Vec<Refused>,
    rejected: Vec<Refused>,
    /// Rejected rows for which the quarantine of this layer has no room.
    unkept: Vec<Refused>,
    diverted: Vec<usize>,
}

/// Watches and resets a [`Bisect`]; a clone is another handle to the same one.
#[derive(Clone, Debug, Default)]
pub struct BisectHandle {
    /// Rows refused since the last one that was taken.
    rejects_in_a_row: Arc<Mutex<usize>>,
}

impl BisectHandle {
    /// Rows that were refused since one was taken.
    #[must_use]
    pub fn rejects_in_a_row(&self) -> usize {
        *self.rejects_in_a_row.lock()
    }

    /// Counts from nothing again: for whoever knows that the rows are bad and not the sink.
    pub fn reset(&self) {
        *self.rejects_in_a_row.lock() = 0;
    }
}

impl<W: BatchWriter> Bisect<W> {
    /// Around `inner`; 1,000 rows in a row may be refused.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            quarantine: None,
            names: ScopeNames::default(),
            rejects_in_a_row_max: REJECTS_IN_A_ROW_MAX,
            handle: BisectHandle::default(),
            unsettled: Remembered::new(),
        }
    }

    /// The same, and a refused row is kept in these files before any later row is written. Needed
    /// around a sink with a ledger of its own, whose watermark passes the refused row: after a
    /// crash nobody would offer it again. The receipt then says `quarantined`.
    #[must_use]
    pub fn with_quarantine(self, files: QuarantineFiles) -> Self {
        Self {
            quarantine: Some(files),
            ..self
        }
    }

    /// How many rows may be refused with none taken between, over all batches; at least 1.
    #[must_use]
    pub fn rejects_in_a_row_max(self, rows: usize) -> Self {
        Self {
            rejects_in_a_row_max: rows.max(1),
            ..self
        }
    }

    /// Watches and resets it, also when the writer has been boxed.
    #[must_use]
    pub fn handle(&self) -> BisectHandle {
        self.handle.clone()
    }

    /// Keeps what was rejected and is not kept yet, where there is a quarantine.
    async fn keep(&self, batch: &Batch<W::Row>, key: BatchKey) -> Result<(), WriteError> {
        let Some(files) = &self.quarantine else {
            return Ok(());
        };
        let rejected = self
            .unsettled
            .with(key, |progress| progress.rejected.clone());
        let rejected = rejected.unwrap_or_default();
        if rejected.is_empty() {
            return Ok(());
        }
        let names = |index| self.names.name_of(index);
        // What is there already is not written twice. Where there is no room rows stay rejected.
        let is_kept = matches!(files.keep(batch, &rejected, names).await?, Kept::All);
        self.unsettled.with(key, |progress| {
            // Another caller may have done the same meanwhile.
            progress
                .rejected
                .retain(|refused| !rejected.contains(refused));
            match is_kept {
                true => progress.quarantined.extend(rejected),
                false => progress.unkept.extend(rejected),
            }
        });
        Ok(())
    }

    /// A refused range of one row, or one that the sink named: whether it may be rejected.
    fn count_reject(&self, error: &WriteError) -> Result<(), WriteError> {
        let mut count = self.handle.rejects_in_a_row.lock();
        if *count >= self.rejects_in_a_row_max {
            return Err(too_many(*count, &error.to_string()));
        }
        *count += 1;
        Ok(())
    }
}

impl<W: BatchWriter> Bisect<W>
where
    W::Row: Clone,
{
    async fn finish(&self, batch: &Batch<W::Row>, key: BatchKey) -> Result<Receipt, WriteError> {
        self.go_on(batch, key).await?;
        match self.unsettled.take(key) {
            Some(progress) => Ok(progress.into_receipt(batch.len())),
            None => Err(WriteError::new(
                ErrorKind::Transient,
                format!("batch {} was written by two callers at once", batch.id()),
            )),
        }
    }

    /// Writes what is left. The range under way stays in `todo` until its outcome is known, so
    /// that a future that is dropped, or fails, leaves it there. Where two callers write the batch
    /// at once, the outcome that comes first counts.
    async fn go_on(&self, batch: &Batch<W::Row>, key: BatchKey) -> Result<(), WriteError> {
        let selection = Selection::of(batch, |_, row| row.content.is_ok());
        loop {
            self.keep(batch, key).await?;
            let next = self
                .unsettled
                .with(key, |progress| progress.todo.last().cloned());
            let Some(range) = next.flatten() else {
                return Ok(());
            };
            let part = selection.batch.slice(range.clone());
            match self.inner.write(&part).await {
                Ok(receipt) => {
                    self.took(&receipt)?;
                    self.unsettled.with(key, |progress| {
                        if progress.todo.pop_if(|next| *next == range).is_some() {
                            progress.settle(&receipt, |row| selection.row(range.start + row));
                        }
                    });
                }
                Err(error) if error.kind() == ErrorKind::Data => {
                    let split = self.unsettled.with(key, |progress| {
                        if progress.todo.last() != Some(&range) {
                            return Ok(());
                        }
                        self.refused(progress, &range, &error, |row| selection.row(row))
                    });
                    split.unwrap_or(Ok(()))?;
                }
                Err(error) => return Err(at_row_of(error, |row| selection.row(range.start + row))),
            }
        }
    }

    /// What a sink took; it may also refuse rows one by one.
    fn took(&self, receipt: &Receipt) -> Result<(), WriteError> {
        let mut count = self.handle.rejects_in_a_row.lock();
        if receipt.delivered() + receipt.diverted() > 0 {
            *count = 0;
        } else if let Some(last) = receipt.rejected().last() {
            if *count >= self.rejects_in_a_row_max {
                return Err(too_many(*count, &last.reason));
            }
            *count = count.saturating_add(receipt.rejected().len());
        }
        Ok(())
    }

    /// Splits the last range of `todo`, which the sink refused. Leaves it as it is where no more
    /// rows may be refused.
    fn refused(
        &self,
        progress: &mut Progress,
        range: &Range<usize>,
        error: &WriteError,
        row_of: impl Fn(usize) -> usize,
    ) -> Result<(), WriteError> {
        let named = error.row().map(|row| range.start.saturating_add(row));
        let named = named.filter(|row| range.contains(row));
        let bad = named.or((range.len() == 1).then_some(range.start));
        if bad.is_some() {
            self.count_reject(error)?;
        }
        progress.todo.pop();
        let rest = match bad {
            Some(bad) => {
                progress.reject(row_of(bad), error.to_string());
                [bad + 1..range.end, range.start..bad]
            }
            None => {
                let middle = range.start + range.len() / 2;
                [middle..range.end, range.start..middle]
            }
        };
        let rest = rest.into_iter().filter(|part| !part.is_empty());
        progress.todo.extend(rest);
        Ok(())
    }
}

fn too_many(count: usize, why: &str) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!(
            "{count} rows in a row were refused, the last because: {why}; no more are taken for \
             bad rows"
        ),
    )
}

impl Progress {
    /// Nothing is written of the batch, in which so many rows are `sound`.
    fn begin<R: Row>(batch: &Batch<R>, sound: usize) -> Self {
        let malformed = batch.rows().iter().enumerate().filter_map(|(row, entry)| {
            let reason = entry.content.as_ref().err()?.reason().to_owned();
            Some(Refused { row, reason })
        });
        let mut todo = Vec::new();
        todo.extend((sound > 0).then_some(0..sound));
        Self {
            todo,
            repeated: 0,
            quarantined: Vec::new(),
            rejected: malformed.collect(),
            unkept: Vec::new(),
            diverted: Vec::new(),
        }
    }

    fn reject(&mut self, row: usize, reason: String) {
        self.rejected.push(Refused { row, reason });
    }

    /// The range that was taken out of `todo` is written.
    fn settle(&mut self, receipt: &Receipt, row_of: impl Fn(usize) -> usize) {
        self.repeated += receipt.repeated();
        let moved = |refused: &Refused| Refused {
            row: row_of(refused.row),
            reason: refused.reason.clone(),
        };
        self.quarantined
            .extend(receipt.quarantined().iter().map(moved));
        for refused in receipt.rejected() {
            self.reject(row_of(refused.row), refused.reason.clone());
        }
        self.diverted
            .extend(receipt.diverted_rows().iter().map(|row| row_of(*row)));
    }

    /// The receipt puts the rows in order.
    fn into_receipt(mut self, rows: usize) -> Receipt {
        self.rejected.append(&mut self.unkept);
        Receipt::new(rows, self.repeated, self.quarantined)
            .with_rejected(self.rejected)
            .with_diverted(self.diverted)
    }
}

impl<W: BatchWriter> BatchWriter for Bisect<W>
where
    W::Row: Row + Clone,
{
    type Row = W::Row;

    forward_to_inner!(name, guarantee, ready, close);

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.inner.open_scope(index, name).await?;
        self.names.open(index, name);
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, record::Position)>, WriteError> {
        self.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await?;
        self.names.rename(from, to);
        Ok(())
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        if let Some(key) = self.unsettled.key_of(batch) {
            return self.finish(batch, key).await;
        }
        let malformed = batch.rows().iter().filter(|row| row.content.is_err());
        let sound = batch.len() - malformed.count();
        let mut progress = Progress::begin(batch, sound);
        if sound == batch.len() {
            match self.inner.write(batch).await {
                Ok(receipt) => {
                    self.took(&receipt)?;
                    if self.quarantine.is_none() || receipt.rejected().is_empty() {
                        return Ok(receipt);
                    }
                    progress.todo.clear();
                    progress.settle(&receipt, |row| row);
                }
                Err(error) if error.kind() == ErrorKind::Data => {
                    self.refused(&mut progress, &(0..sound), &error, |row| row)?;
                }
                Err(error) => return Err(error),
            }
        }
        let key = BatchKey::of(batch);
        self.unsettled.put(key, batch.len(), progress);
        self.finish(batch, key).await
    }
}
