//! What a sink implements.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use record::Position;

use crate::{Batch, OpenScope, Receipt, ScopeIndex, ScopeName, WriteError};

/// A sink that takes batches and keeps a ledger of how far each scope is delivered.
///
/// # Cancellation
/// A future that is dropped leaves the outcome unknown: the write may still happen. The next
/// write of the same rows reads the watermark and repeats none of them.
pub trait BatchWriter: Send + Sync + 'static {
    /// The word for this sink in statistics and messages.
    fn name(&self) -> &'static str;

    /// Opens a scope for rows that carry `index`, shuts out whoever had opened it before, and
    /// says how far it is delivered. A scope that was never seen starts at [`Position::START`].
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses.
    fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> impl Future<Output = Result<OpenScope, WriteError>> + Send;

    /// The scopes whose names begin with `prefix`, and how far each is delivered.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses.
    fn scopes(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<(ScopeName, Position)>, WriteError>> + Send;

    /// Gives a scope another name, under which it keeps its watermark.
    ///
    /// # Errors
    /// When the sink cannot be reached, or knows a scope of the new name already.
    fn rename_scope(
        &self,
        from: &ScopeName,
        to: &ScopeName,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Writes the batch, quarantines its bad rows, and advances the watermarks of its scopes, all
    /// in one transaction. Rows at or below their watermark are not written again.
    ///
    /// # Errors
    /// When nothing was written, or the outcome is unknown; the same batch can be written again.
    fn write(&self, batch: &Batch) -> impl Future<Output = Result<Receipt, WriteError>> + Send;

    /// Finishes what is under way and closes the sink.
    ///
    /// # Errors
    /// When closing fails; what was written stays written.
    fn close(&self) -> impl Future<Output = Result<(), WriteError>> + Send;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, WriteError>> + Send + 'a>>;

/// The same with boxed futures, which a trait object can return.
trait DynWriter: Send + Sync {
    fn name(&self) -> &'static str;
    fn open_scope<'a>(&'a self, index: ScopeIndex, name: &'a ScopeName) -> Boxed<'a, OpenScope>;
    fn scopes<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Vec<(ScopeName, Position)>>;
    fn rename_scope<'a>(&'a self, from: &'a ScopeName, to: &'a ScopeName) -> Boxed<'a, ()>;
    fn write<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Receipt>;
    fn close(&self) -> Boxed<'_, ()>;
}

impl<W: BatchWriter> DynWriter for W {
    fn name(&self) -> &'static str {
        BatchWriter::name(self)
    }

    fn open_scope<'a>(&'a self, index: ScopeIndex, name: &'a ScopeName) -> Boxed<'a, OpenScope> {
        Box::pin(BatchWriter::open_scope(self, index, name))
    }

    fn scopes<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Vec<(ScopeName, Position)>> {
        Box::pin(BatchWriter::scopes(self, prefix))
    }

    fn rename_scope<'a>(&'a self, from: &'a ScopeName, to: &'a ScopeName) -> Boxed<'a, ()> {
        Box::pin(BatchWriter::rename_scope(self, from, to))
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Receipt> {
        Box::pin(BatchWriter::write(self, batch))
    }

    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(BatchWriter::close(self))
    }
}

/// A writer chosen at run time; a clone is another handle to the same one.
///
/// ```
/// use sinks::{BatchWriter, BoxWriter, MemoryWriter};
/// let writer = BoxWriter::new(MemoryWriter::new());
/// assert_eq!(writer.name(), "memory");
/// ```
#[derive(Clone)]
pub struct BoxWriter(Arc<dyn DynWriter>);

impl BoxWriter {
    /// Boxes a writer.
    pub fn new(writer: impl BatchWriter) -> Self {
        Self(Arc::new(writer))
    }
}

impl BatchWriter for BoxWriter {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.0.open_scope(index, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.0.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.0.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        self.0.write(batch).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.0.close().await
    }
}

impl std::fmt::Debug for BoxWriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BoxWriter({})", self.0.name())
    }
}
