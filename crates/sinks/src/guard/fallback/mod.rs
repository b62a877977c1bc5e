//! A second writer for what the sink gave up.
//!
//! [`Fallback`] writes a batch that failed inside to another writer, mostly a file, and the
//! receipt calls its rows `diverted`: they are kept, and they are not delivered. It belongs outside
//! of the retries, whose end is what it waits for, and inside of [`Bisect`](crate::Bisect), so that
//! rows which the sink has already are not diverted too. When both fail the error says so, and the
//! batch is still its producer's. It never takes a row from a newer batch to an older one's place:
//! a row that is replayed from the fallback arrives later than it would have.
//!
//! A sink that cannot be reached when a scope is opened is opened before its first write; rows go
//! to the fallback until then.

mod unopened;

use std::future::Future as _;
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use record::{Position, Timestamp};

use super::{BatchKey, Remembered};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex, ScopeName,
    WriteError,
};
use unopened::Unopened;

/// Writes to `fallback` what `inner` fails at.
///
/// An error may hide that the sink took the batch after all; its rows are then in both places. A
/// fenced writer ([`ErrorKind::Fenced`]) never diverts: somebody else writes that scope.
///
/// It does not wait for an open breaker inside, it diverts. Give [`Retrying`](crate::Retrying)
/// within it [`WhenRefused::GiveUp`](crate::WhenRefused), or that one waits.
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
    /// What was diverted, for when the receipt was lost on its way.
    diverted: Remembered<Diverted>,
    inner_unopened: Unopened,
    fallback_unopened: Unopened,
}

#[derive(Clone, Debug)]
enum Diverted {
    /// Every row; a receipt would name each.
    All,
    /// The fallback refused some.
    Partly(Receipt),
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
            inner_unopened: Unopened::default(),
            fallback_unopened: Unopened::default(),
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

    fn diverts(&self, kind: ErrorKind) -> bool {
        self.kinds.contains(&kind)
    }

    async fn write_inner(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        self.inner_unopened.open_all(&self.inner).await?;
        self.inner.write(batch).await
    }

    async fn divert(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        self.fallback_unopened.open_all(&self.fallback).await?;
        self.fallback.write(batch).await
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

    forward_to_inner!(name, guarantee);

    /// Waits for the first of both, since what the sink cannot take now is diverted.
    async fn ready(&self) {
        let mut inner = pin!(self.inner.ready());
        if !self.diverts(ErrorKind::Transient) {
            return inner.await;
        }
        let mut fallback = pin!(self.fallback.ready());
        std::future::poll_fn(|context| {
            let is_ready = inner.as_mut().poll(context).is_ready();
            match is_ready || fallback.as_mut().poll(context).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Opens the scope in both. The higher watermark holds: what lies below it is in one of them.
    ///
    /// Where one of them cannot be reached, the other one's watermark holds, so rows that can be
    /// read again may come again; the rest is numbered behind whatever the unreachable one may
    /// have, by the microseconds of the clock.
    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let fallback = self.fallback.open_scope(index, name).await;
        let inner = self.inner.open_scope(index, name).await;
        let now = Timestamp::from_system(SystemTime::now()).micros();
        let now = Position::new(now.max(0).unsigned_abs());
        self.inner_unopened.forget(index);
        self.fallback_unopened.forget(index);
        let (known, is_all) = match (inner, fallback) {
            (Ok(inner), Ok(fallback)) => (
                OpenScope {
                    watermark: inner.watermark.max(fallback.watermark),
                    numbered_to: inner.numbered_to.max(fallback.numbered_to),
                    ..inner
                },
                true,
            ),
            (Ok(inner), Err(error)) if error.kind() != ErrorKind::Fenced => {
                tracing::warn!(scope = %name, %error, "the fallback could not be opened yet");
                (inner, false)
            }
            (Err(error), Ok(fallback))
                if error.kind() == ErrorKind::Transient && self.diverts(error.kind()) =>
            {
                tracing::warn!(scope = %name, %error, "the sink could not be opened yet");
                // It has a ledger for all that is known.
                let fence = fallback.fence.max(1);
                self.inner_unopened.remember(index, name, now);
                return Ok(OpenScope {
                    fence,
                    numbered_to: fallback.numbered_to.max(now),
                    ..fallback
                });
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        if is_all {
            return Ok(known);
        }
        self.fallback_unopened.remember(index, name, now);
        Ok(OpenScope {
            numbered_to: known.numbered_to.max(now),
            ..known
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
        self.fallback.rename_scope(from, to).await?;
        self.inner_unopened.rename(from, to);
        self.fallback_unopened.rename(from, to);
        Ok(())
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        let known = self.diverted.key_of(batch);
        match known.and_then(|key| self.diverted.with(key, |known| known.clone())) {
            Some(Diverted::All) => return Ok(all_diverted(batch.len())),
            Some(Diverted::Partly(receipt)) => return Ok(receipt),
            None => {}
        }
        let error = match self.write_inner(batch).await {
            Err(error) if self.diverts(error.kind()) => error,
            written => return written,
        };
        match self.divert(batch).await {
            Ok(receipt) => {
                tracing::warn!(batch = batch.id().0, %error, "batch was diverted");
                let receipt = as_diverted(batch, &receipt);
                let (rows, known) = match receipt.diverted() == batch.len() {
                    true => (0, Diverted::All),
                    false => (batch.len(), Diverted::Partly(receipt.clone())),
                };
                self.diverted.put(BatchKey::of(batch), rows, known);
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

fn all_diverted(rows: usize) -> Receipt {
    Receipt::delivered_all(rows).with_diverted((0..rows).collect())
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
