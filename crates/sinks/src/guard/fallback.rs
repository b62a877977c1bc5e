//! A second writer for what the sink gave up.
//!
//! [`Fallback`] writes a batch that failed inside to another writer, mostly a file, and the
//! receipt calls its rows `diverted`: they are kept, and they are not delivered. It belongs outside
//! of the retries, whose end is what it waits for, and inside of [`Bisect`](crate::Bisect), so that
//! rows which the sink has already are not diverted too. When both fail the error says so, and the
//! batch is still its producer's. It never takes a row from a newer batch to an older one's place:
//! a row that is replayed from the fallback arrives later than it would have.

use record::Position;

use super::{BatchKey, Remembered};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// Writes to `fallback` what `inner` fails at.
///
/// An error may hide that the sink took the batch after all; its rows are then in both places. A
/// fenced writer ([`ErrorKind::Fenced`]) never diverts: somebody else writes that scope.
///
/// ```
/// use sinks::{Fallback, MemoryWriter, NdjsonFileOptions, NdjsonFileWriter};
/// let file = NdjsonFileWriter::new(NdjsonFileOptions::new("backup"));
/// let writer = Fallback::new(MemoryWriter::new(), file);
/// # let _ = writer;
/// ```
#[derive(Debug)]
pub struct Fallback<W, F> {
    inner: W,
    fallback: F,
    kinds: Vec<ErrorKind>,
    /// Receipts of what was diverted, for when they were lost on their way.
    diverted: Remembered<Receipt>,
}

impl<W, F> Fallback<W, F>
where
    W: BatchWriter,
    F: BatchWriter<Row = W::Row>,
{
    /// Diverts batches that fail with [`ErrorKind::Transient`] or [`ErrorKind::Fatal`].
    pub fn new(inner: W, fallback: F) -> Self {
        Self {
            inner,
            fallback,
            kinds: vec![ErrorKind::Transient, ErrorKind::Fatal],
            diverted: Remembered::new(),
        }
    }

    /// Diverts batches that fail with one of these kinds alone. [`ErrorKind::Data`] diverts a whole
    /// batch for one bad row, for sinks without [`Bisect`](crate::Bisect) around.
    #[must_use]
    pub fn on(self, kinds: &[ErrorKind]) -> Self {
        let kinds = kinds.iter().copied();
        Self {
            kinds: kinds.filter(|kind| *kind != ErrorKind::Fenced).collect(),
            ..self
        }
    }

    /// The second writer.
    #[must_use]
    pub fn fallback(&self) -> &F {
        &self.fallback
    }
}

impl<W, F> BatchWriter for Fallback<W, F>
where
    W: BatchWriter,
    F: BatchWriter<Row = W::Row>,
{
    type Row = W::Row;

    forward_to_inner!(name, guarantee, ready);

    /// Opens the scope in both. The higher watermark holds: what lies below it is in one of them.
    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let fallback = self.fallback.open_scope(index, name).await?;
        let opened = self.inner.open_scope(index, name).await?;
        Ok(OpenScope {
            watermark: opened.watermark.max(fallback.watermark),
            numbered_to: opened.numbered_to.max(fallback.numbered_to),
            ..opened
        })
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let mut scopes = self.inner.scopes(prefix).await?;
        for (name, position) in self.fallback.scopes(prefix).await? {
            match scopes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = position.max(*known),
                None => scopes.push((name, position)),
            }
        }
        Ok(scopes)
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await?;
        self.fallback.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        let known = self.diverted.key_of(batch);
        if let Some(receipt) = known.and_then(|key| self.diverted.with(key, |known| known.clone()))
        {
            return Ok(receipt);
        }
        let error = match self.inner.write(batch).await {
            Err(error) if self.kinds.contains(&error.kind()) => error,
            written => return written,
        };
        match self.fallback.write(batch).await {
            Ok(receipt) => {
                tracing::warn!(batch = batch.id().0, %error, "batch was diverted");
                let receipt = as_diverted(batch, &receipt);
                self.diverted.put(BatchKey::of(batch), receipt.clone());
                Ok(receipt)
            }
            Err(second) => Err(both_failed(&error, &second)),
        }
    }

    async fn close(&self) -> Result<(), WriteError> {
        let closed = self.inner.close().await;
        self.fallback.close().await.and(closed)
    }
}

/// The receipt of the fallback, in which `delivered` means diverted.
pub(super) fn as_diverted<R: Row>(batch: &Batch<R>, receipt: &Receipt) -> Receipt {
    let is_refused = |row: usize| {
        let is = |refused: &[Refused]| refused.iter().any(|refused| refused.row == row);
        is(receipt.quarantined()) || is(receipt.rejected())
    };
    let diverted = (0..batch.len()).filter(|row| !is_refused(*row));
    Receipt::new(batch.len(), 0, receipt.quarantined().to_vec())
        .with_rejected(receipt.rejected().to_vec())
        .with_diverted(diverted.collect())
}

fn both_failed(error: &WriteError, second: &WriteError) -> WriteError {
    let kind = match (error.kind(), second.kind()) {
        (ErrorKind::Transient, _) | (_, ErrorKind::Transient) => ErrorKind::Transient,
        _ => ErrorKind::Fatal,
    };
    let both = WriteError::new(kind, format!("{error}; and the fallback failed: {second}"));
    match error.retry_after() {
        Some(after) => both.with_retry_after(after),
        None => both,
    }
}
