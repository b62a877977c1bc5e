//! A closure as a sink.
//!
//! [`FnWriter`] calls a closure that answers at once, [`AsyncFnWriter`] one that answers later. A
//! closure keeps no ledger; [`Ledger`](crate::Ledger) around it does. A panic in it becomes an
//! error of [`ErrorKind::Fatal`] with the panic's message: what it did with the batch is unknown,
//! nobody else is harmed, and it is not called again for that batch unless somebody tries anew.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;
use record::Record;

use crate::{Batch, BatchWriter, ErrorKind, Receipt, Row, WriteError};

/// A sink that is a function of a batch.
///
/// The closure runs on the task that writes, so it must be quick; one that waits belongs into an
/// [`AsyncFnWriter`].
///
/// ```
/// use std::sync::Mutex;
/// use sinks::{Batch, BatchId, BatchWriter, FnWriter, Receipt};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let count = Mutex::new(0);
/// let writer = FnWriter::new("count", move |batch: &Batch| {
///     *count.lock().expect("nobody panics here") += batch.len();
///     Ok(Receipt::delivered_all(batch.len()))
/// });
/// let receipt = writer.write(&Batch::new(BatchId(1), Vec::new())).await?;
/// assert_eq!(receipt.delivered(), 0);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
pub struct FnWriter<F, R = Record> {
    name: String,
    write: F,
    rows: std::marker::PhantomData<fn(R)>,
}

impl<F, R> FnWriter<F, R>
where
    F: Fn(&Batch<R>) -> Result<Receipt, WriteError> + Send + Sync + 'static,
    R: Row,
{
    /// A writer of this name that calls `write` for each batch.
    pub fn new(name: impl Into<String>, write: F) -> Self {
        Self {
            name: name.into(),
            write,
            rows: std::marker::PhantomData,
        }
    }
}

impl<F, R> BatchWriter for FnWriter<F, R>
where
    F: Fn(&Batch<R>) -> Result<Receipt, WriteError> + Send + Sync + 'static,
    R: Row,
{
    type Row = R;

    fn name(&self) -> &str {
        &self.name
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let written = catch_unwind(AssertUnwindSafe(|| (self.write)(batch)));
        written.unwrap_or_else(|panic| Err(panicked(&self.name, &*panic)))
    }
}

/// A sink that is an asynchronous function of a batch.
///
/// ```
/// use sinks::{AsyncFnWriter, Batch, BatchId, BatchWriter, Receipt};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let writer = AsyncFnWriter::new("later", async |batch: Batch| {
///     tokio::task::yield_now().await;
///     Ok(Receipt::delivered_all(batch.len()))
/// });
/// assert_eq!(writer.write(&Batch::new(BatchId(1), Vec::new())).await?.rows(), 0);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
pub struct AsyncFnWriter<F, R = Record> {
    name: String,
    write: F,
    rows: std::marker::PhantomData<fn(R)>,
}

impl<F, R, Written> AsyncFnWriter<F, R>
where
    F: Fn(Batch<R>) -> Written + Send + Sync + 'static,
    Written: Future<Output = Result<Receipt, WriteError>> + Send,
    R: Row,
{
    /// A writer of this name that calls `write` with a handle to each batch.
    pub fn new(name: impl Into<String>, write: F) -> Self {
        Self {
            name: name.into(),
            write,
            rows: std::marker::PhantomData,
        }
    }
}

impl<F, R, Written> BatchWriter for AsyncFnWriter<F, R>
where
    F: Fn(Batch<R>) -> Written + Send + Sync + 'static,
    Written: Future<Output = Result<Receipt, WriteError>> + Send,
    R: Row,
{
    type Row = R;

    fn name(&self) -> &str {
        &self.name
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let written = AssertUnwindSafe(async { (self.write)(batch.clone()).await });
        let written = written.catch_unwind().await;
        written.unwrap_or_else(|panic| Err(panicked(&self.name, &*panic)))
    }
}

impl<F, R> std::fmt::Debug for FnWriter<F, R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "FnWriter({})", self.name)
    }
}

impl<F, R> std::fmt::Debug for AsyncFnWriter<F, R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "AsyncFnWriter({})", self.name)
    }
}

/// The error for a sink that panicked.
pub(crate) fn panicked(name: &str, panic: &(dyn Any + Send)) -> WriteError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it gave no message");
    WriteError::new(
        ErrorKind::Fatal,
        format!("sink `{name}` panicked: {message}"),
    )
}
