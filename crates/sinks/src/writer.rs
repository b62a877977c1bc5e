//! What a sink implements.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use record::{Position, Record};

use crate::{Batch, ErrorKind, OpenScope, Receipt, Row, ScopeIndex, ScopeName, WriteError};

/// What a sink promises about a row whose write had an unknown outcome, or that is offered again
/// after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guarantee {
    /// It is there once: rows and watermark commit together.
    ExactlyOnce,
    /// It may be there twice, unless whoever reads the sink knows rows again by their ids.
    AtLeastOnce,
    /// It counts at least once if it came before the last snapshot of the sink. What came since is
    /// lost with the process, and what is offered again counts again.
    UpToSnapshot,
}

impl std::fmt::Display for Guarantee {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::ExactlyOnce => "exactly once",
            Self::AtLeastOnce => "at least once",
            Self::UpToSnapshot => "at least once, up to the last snapshot",
        })
    }
}

/// A sink that takes batches.
///
/// Only [`write`](Self::write) has to be there. A sink that keeps a ledger of how far each scope
/// is delivered also has the methods about scopes; for one that keeps none, the layer
/// [`Ledger`](crate::Ledger) does.
///
/// # Cancellation
/// A future that is dropped leaves the outcome unknown: the write may still happen. A sink with a
/// ledger reads its watermark at the next write of the same rows, and repeats none of them.
pub trait BatchWriter: Send + Sync + 'static {
    /// What it writes.
    type Row: Row;

    /// The word for this sink in statistics and messages.
    fn name(&self) -> &str;

    /// What it promises about rows that are offered again.
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    /// Waits until a write has a chance: an open breaker waits here for its next probe, so that
    /// nothing leaves the buffer meanwhile. May be dropped at any time.
    fn ready(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Opens a scope for rows that carry `index`, shuts out whoever had it open before, and
    /// says how far it is delivered. A scope that was never seen starts at [`Position::START`],
    /// and so does every scope of a sink without a ledger.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses.
    fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> impl Future<Output = Result<OpenScope, WriteError>> + Send {
        let _ = (index, name);
        std::future::ready(Ok(OpenScope::new(Position::START, 0)))
    }

    /// The scopes whose names begin with `prefix`, and how far each is delivered.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses.
    fn scopes(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<(ScopeName, Position)>, WriteError>> + Send {
        let _ = prefix;
        std::future::ready(Ok(Vec::new()))
    }

    /// Gives a scope another name, under which it keeps its watermark.
    ///
    /// # Errors
    /// When the sink cannot be reached, or knows a scope of the new name already.
    fn rename_scope(
        &self,
        from: &ScopeName,
        to: &ScopeName,
    ) -> impl Future<Output = Result<(), WriteError>> + Send {
        let _ = (from, to);
        std::future::ready(Ok(()))
    }

    /// Writes the batch. A sink with a ledger writes the rows above their watermark, quarantines
    /// the bad ones and advances the watermarks, all in one transaction.
    ///
    /// # Errors
    /// When nothing was written, or the outcome is unknown; the same batch can be written again.
    fn write(
        &self,
        batch: &Batch<Self::Row>,
    ) -> impl Future<Output = Result<Receipt, WriteError>> + Send;

    /// Finishes what is under way and closes the sink.
    ///
    /// # Errors
    /// When closing fails; what was written stays written.
    fn close(&self) -> impl Future<Output = Result<(), WriteError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Forwards the named methods of [`BatchWriter`] to `self.inner`, for layers.
macro_rules! forward_to_inner {
    ($($method:ident),+ $(,)?) => { $($crate::writer::forward_to_inner!(@ $method);)+ };
    (@ name) => {
        fn name(&self) -> &str {
            self.inner.name()
        }
    };
    (@ guarantee) => {
        fn guarantee(&self) -> $crate::Guarantee {
            self.inner.guarantee()
        }
    };
    (@ ready) => {
        async fn ready(&self) {
            self.inner.ready().await;
        }
    };
    (@ scopes) => {
        async fn open_scope(
            &self,
            index: $crate::ScopeIndex,
            name: &$crate::ScopeName,
        ) -> Result<$crate::OpenScope, $crate::WriteError> {
            self.inner.open_scope(index, name).await
        }

        async fn scopes(
            &self,
            prefix: &str,
        ) -> Result<Vec<($crate::ScopeName, record::Position)>, $crate::WriteError> {
            self.inner.scopes(prefix).await
        }

        async fn rename_scope(
            &self,
            from: &$crate::ScopeName,
            to: &$crate::ScopeName,
        ) -> Result<(), $crate::WriteError> {
            self.inner.rename_scope(from, to).await
        }
    };
    (@ close) => {
        async fn close(&self) -> Result<(), $crate::WriteError> {
            self.inner.close().await
        }
    };
}
pub(crate) use forward_to_inner;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, WriteError>> + Send + 'a>>;

/// The same with boxed futures, which a trait object can return.
trait DynWriter<R>: Send + Sync {
    fn name(&self) -> &str;
    fn guarantee(&self) -> Guarantee;
    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn open_scope<'a>(&'a self, index: ScopeIndex, name: &'a ScopeName) -> Boxed<'a, OpenScope>;
    fn scopes<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Vec<(ScopeName, Position)>>;
    fn rename_scope<'a>(&'a self, from: &'a ScopeName, to: &'a ScopeName) -> Boxed<'a, ()>;
    fn write<'a>(&'a self, batch: &'a Batch<R>) -> Boxed<'a, Receipt>;
    fn close(&self) -> Boxed<'_, ()>;
}

impl<R, W: BatchWriter<Row = R>> DynWriter<R> for W {
    fn name(&self) -> &str {
        BatchWriter::name(self)
    }

    fn guarantee(&self) -> Guarantee {
        BatchWriter::guarantee(self)
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(BatchWriter::ready(self))
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

    fn write<'a>(&'a self, batch: &'a Batch<R>) -> Boxed<'a, Receipt> {
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
/// let writer: BoxWriter = BoxWriter::new(MemoryWriter::new());
/// assert_eq!(writer.name(), "memory");
/// ```
pub struct BoxWriter<R = Record> {
    inner: Arc<dyn DynWriter<R>>,
}

impl<R: Row> BoxWriter<R> {
    /// Boxes a writer.
    pub fn new(writer: impl BatchWriter<Row = R>) -> Self {
        Self {
            inner: Arc::new(writer),
        }
    }
}

impl<R> Clone for BoxWriter<R> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R: Row> BatchWriter for BoxWriter<R> {
    type Row = R;

    forward_to_inner!(name, guarantee, ready, scopes, close);

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let receipt = self.inner.write(batch).await?;
        if receipt.rows() != batch.len() {
            // Whoever counts its rows would count some as delivered that are not.
            let message = format!(
                "the receipt of sink `{}` is of {} rows, its batch has {}",
                self.inner.name(),
                receipt.rows(),
                batch.len()
            );
            return Err(WriteError::new(ErrorKind::Fatal, message));
        }
        Ok(receipt)
    }
}

impl<R> std::fmt::Debug for BoxWriter<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BoxWriter({})", self.inner.name())
    }
}
