//! An end to waiting for a sink.

use std::future::Future;
use std::time::Duration;

use record::Position;

use super::Operation;
use crate::writer::forward_to_inner;
use crate::{Batch, BatchWriter, ErrorKind, OpenScope, Receipt, ScopeIndex, ScopeName, WriteError};

/// Gives up each operation that takes longer than a time.
///
/// The operation is dropped, so whether it happened is **unknown**: a write may still commit. A
/// writer with a ledger makes that harmless. It drops the connection with the future, connects
/// again, takes a new fence, which waits for whatever the old connection still does, and reads the
/// watermark; so the same batch, written again, adds only what is missing. Around a writer without
/// a ledger the rows may arrive twice. The error is [`ErrorKind::Transient`] and names the time.
///
/// [`ready`](BatchWriter::ready) is not limited: it may wait for as long as a breaker is open.
///
/// ```
/// use std::time::Duration;
/// use sinks::{BatchWriter, MemoryWriter, Timeout};
/// let writer = Timeout::new(MemoryWriter::new(), Duration::from_secs(10));
/// assert_eq!(writer.name(), "memory");
/// ```
#[derive(Debug)]
pub struct Timeout<W> {
    inner: W,
    time: Duration,
}

impl<W> Timeout<W> {
    /// Each operation of `inner` may take so long.
    pub fn new(inner: W, time: Duration) -> Self {
        Self { inner, time }
    }
}

impl<W: BatchWriter> Timeout<W> {
    async fn limited<T>(
        &self,
        what: Operation<'_>,
        operation: impl Future<Output = Result<T, WriteError>>,
    ) -> Result<T, WriteError> {
        match tokio::time::timeout(self.time, operation).await {
            Ok(done) => done,
            Err(_) => Err(WriteError::new(
                ErrorKind::Transient,
                format!(
                    "{} did not {what} within {:?}; the outcome is unknown",
                    self.inner.name(),
                    self.time
                ),
            )),
        }
    }
}

impl<W: BatchWriter> BatchWriter for Timeout<W> {
    type Row = W::Row;

    forward_to_inner!(name, guarantee, ready);

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.inner.open_scope(index, name);
        self.limited(Operation::OpenScope(name), opened).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let listed = self.inner.scopes(prefix);
        self.limited(Operation::ListScopes, listed).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let renamed = self.inner.rename_scope(from, to);
        let what = Operation::RenameScope(from, to);
        self.limited(what, renamed).await
    }

    async fn write(&self, batch: &Batch<Self::Row>) -> Result<Receipt, WriteError> {
        let written = self.inner.write(batch);
        let what = Operation::Write(batch.id());
        self.limited(what, written).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.limited(Operation::Close, self.inner.close()).await
    }
}
