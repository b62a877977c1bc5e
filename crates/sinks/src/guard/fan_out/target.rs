//! One target of a fan-out: its backlog, the task that works it off, and its account.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use record::Position;
use tokio::sync::watch;

use super::super::fallback::as_diverted;
use super::answer::Standing;
use super::backlog::{Backlog, Key, Offer};
use super::late::LateWriter;
use super::{Target, WhenBehind};
use crate::fn_writer::panicked;
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// How a target of a fan-out stands, counted in rows since its start. What it was offered is
/// delivered, quarantined, rejected, diverted, dropped or pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetStats {
    /// The name of its writer.
    pub name: String,
    /// Rows that it has.
    pub rows_delivered: u64,
    /// Rows that are in its quarantine.
    pub rows_quarantined: u64,
    /// Rows that it refused and that are kept nowhere.
    pub rows_rejected: u64,
    /// Rows that its fallback has, or the writer of [`WhenBehind::Divert`].
    pub rows_diverted: u64,
    /// Rows that it will not get: its backlog was full, or it refused their batch for its data.
    pub rows_dropped: u64,
    /// Rows in its backlog, those under way included.
    pub rows_pending: u64,
    /// Batches in its backlog.
    pub batches_pending: usize,
    /// Bytes of memory of these; targets that have the same batch share them.
    pub bytes_pending: usize,
    /// Why its last attempt failed; nothing after one that did not.
    pub last_error: Option<String>,
}

/// What came of opening a scope.
pub(super) struct Opening {
    pub(super) target: Result<OpenScope, WriteError>,
    /// The same of the writer that stands in for the target.
    pub(super) diverted: Option<Result<OpenScope, WriteError>>,
}

/// How long a batch that is under way is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Patiently,
    /// The patience is over: it is enough that one target has it.
    ForTheFirst,
}

#[derive(Debug)]
pub(super) struct Line<R> {
    target: Target<R>,
    writer: LateWriter<R>,
    /// What gets the batches that the target has no room for.
    divert: Option<LateWriter<R>>,
    state: Mutex<Backlog<R>>,
    /// Counts changes of the state, for all who wait for one.
    changes: watch::Sender<u64>,
}

impl<R: Row> Line<R> {
    pub(super) fn new(target: Target<R>) -> Self {
        let divert = match &target.when_behind {
            WhenBehind::Divert(writer) => Some(LateWriter::new(writer.clone())),
            WhenBehind::Wait | WhenBehind::Drop => None,
        };
        Self {
            writer: LateWriter::new(target.writer.clone()),
            divert,
            state: Mutex::new(Backlog::new(target.writer.name())),
            changes: watch::Sender::new(0),
            target,
        }
    }

    pub(super) async fn scopes(
        &self,
        prefix: &str,
    ) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.target.writer.scopes(prefix).await
    }

    pub(super) async fn rename_scope(
        &self,
        from: &ScopeName,
        to: &ScopeName,
    ) -> Result<(), WriteError> {
        for writer in [Some(&self.writer), self.divert.as_ref()]
            .into_iter()
            .flatten()
        {
            writer.rename_scope(from, to).await?;
        }
        Ok(())
    }

    /// Why nothing is written to the target any more.
    pub(super) fn fenced(&self) -> Option<WriteError> {
        self.state.lock().fenced.clone()
    }

    pub(super) fn guarantee(&self) -> Guarantee {
        self.target.writer.guarantee()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self.target.when_behind, WhenBehind::Wait)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn stats(&self) -> TargetStats {
        self.state.lock().stats()
    }

    /// Opens the scope at the target, and at the writer that stands in for it. What fails is tried
    /// again before the first write there.
    pub(super) async fn open_scope(&self, index: ScopeIndex, name: &ScopeName) -> Opening {
        let target = self.writer.open_scope(index, name).await;
        let diverted = match &self.divert {
            Some(divert) => Some(divert.open_scope(index, name).await),
            None => None,
        };
        let mut state = self.state.lock();
        match &target {
            Ok(_) => state.fenced = None,
            Err(error) => state.stats.last_error = Some(error.to_string()),
        }
        Opening { target, diverted }
    }

    /// Puts the batch into the backlog, or does what is to be done where there is no room.
    pub(super) async fn offer(&self, offer: &Offer<R>) -> Result<(), WriteError> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.accept(offer) {
                return Ok(());
            }
            match (&self.target.when_behind, &self.divert) {
                (WhenBehind::Wait, _) => {
                    if let Some(error) = self.fenced() {
                        return Err(error);
                    }
                    // The sender lives in `self`.
                    let _ = changes.changed().await;
                }
                (_, None) => {
                    let full = WriteError::new(
                        ErrorKind::Transient,
                        format!(
                            "the backlog of target `{}` is full",
                            self.target.writer.name()
                        ),
                    );
                    self.settle(offer, Err(full));
                    return Ok(());
                }
                (_, Some(writer)) => {
                    let receipt = writer.write(&offer.batch).await?;
                    self.settle(offer, Ok(as_diverted(&offer.batch, &receipt)));
                    return Ok(());
                }
            }
        }
    }

    fn accept(&self, offer: &Offer<R>) -> bool {
        let (batches_max, bytes_max) = (self.target.backlog_max, self.target.backlog_bytes_max);
        let accepted = self.state.lock().accept(offer, batches_max, bytes_max);
        if accepted {
            self.changed();
        }
        accepted
    }

    /// Takes out a batch that is its producer's again.
    pub(super) fn withdraw(&self, key: Key) {
        let withdrawn = self.state.lock().withdraw(key);
        if withdrawn.is_some() {
            self.changed();
        }
    }

    pub(super) fn standing(&self, key: Key, waiting: Waiting) -> Standing {
        let state = self.state.lock();
        if let Some(at) = state.place_of(key) {
            return match &state.failing {
                Some(error) => Standing::Failing(error.clone()),
                None if at == 0 && waiting == Waiting::Patiently => Standing::UnderWay,
                None => Standing::Waiting,
            };
        }
        match state.outcome_of(key) {
            Some(Ok(receipt)) => Standing::Settled(receipt.clone()),
            Some(Err(error)) => Standing::Dropped(error.clone()),
            None => Standing::Dropped(WriteError::new(
                ErrorKind::Transient,
                "its outcome was forgotten: too many batches were written since",
            )),
        }
    }

    /// Works off the backlog, for ever. Holds on to no batch between its attempts: its rows may go
    /// back to their producer.
    pub(super) async fn run(self: Arc<Self>) {
        let name = self.target.writer.name();
        let mut changes = self.changes();
        let mut attempts = 0_u32;
        loop {
            changes.borrow_and_update();
            let next = self.state.lock().begin();
            let Some(offer) = next else {
                let _ = changes.changed().await;
                continue;
            };
            let attempt = AssertUnwindSafe(self.attempt(&offer.batch));
            let attempt = attempt.catch_unwind().await;
            let error = match attempt.unwrap_or_else(|panic| Err(panicked(name, &*panic))) {
                Err(error) if !matches!(error.kind(), ErrorKind::Data | ErrorKind::Fenced) => error,
                outcome => {
                    attempts = 0;
                    self.settle(&offer, outcome);
                    continue;
                }
            };
            let delay = self.delay(attempts, &error);
            attempts = attempts.saturating_add(1);
            let batch = offer.batch.id().0;
            tracing::warn!(sink = name, batch, ?delay, %error, "target failed");
            drop(offer);
            let withdrawn = self.state.lock().fail(error);
            drop(withdrawn);
            self.changed();
            tokio::time::sleep(delay).await;
        }
    }

    /// How long to leave the target alone. Also what is hopeless is tried again: somebody may mend
    /// it, and its backlog is bounded.
    fn delay(&self, attempts: u32, error: &WriteError) -> Duration {
        let bound = match error.kind() {
            ErrorKind::Transient => self.target.retry.bound(attempts),
            _ => self.target.retry.bound(u32::MAX),
        };
        let delay = bound.mul_f64(fastrand::f64());
        delay.max(error.retry_after().unwrap_or_default())
    }

    async fn attempt(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        self.target.writer.ready().await;
        self.writer.write(batch).await
    }

    fn settle(&self, offer: &Offer<R>, outcome: Result<Receipt, WriteError>) {
        let removed = {
            let mut state = self.state.lock();
            if let Err(error) = &outcome
                && error.kind() == ErrorKind::Fenced
            {
                state.fenced = Some(error.clone());
            }
            state.settle(offer, outcome)
        };
        drop(removed);
        self.changed();
    }

    /// Waits until the backlog is empty.
    pub(super) async fn drained(&self) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.state.lock().is_empty() {
                return;
            }
            let _ = changes.changed().await;
        }
    }

    pub(super) async fn close(&self) -> Result<(), WriteError> {
        let closed = self.target.writer.close().await;
        match &self.divert {
            Some(divert) => divert.writer().close().await.and(closed),
            None => closed,
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
