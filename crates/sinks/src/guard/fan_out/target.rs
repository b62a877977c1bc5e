//! One target of a fan-out: its backlog, the task that works it off, and its account.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use record::Position;
use tokio::sync::watch;

use super::super::BatchKey;
use super::super::fallback::as_diverted;
use super::late::LateWriter;
use super::{Target, WhenBehind};
use crate::fn_writer::panicked;
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// Outcomes of batches that are remembered for whoever waits for them, or offers them again.
const OUTCOMES_MAX: usize = 1024;

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
    /// Why its last attempt failed; nothing after one that did not.
    pub last_error: Option<String>,
}

/// What came of opening a scope.
pub(super) struct Opening {
    pub(super) target: Result<OpenScope, WriteError>,
    /// The same of the writer that stands in for the target.
    pub(super) diverted: Option<Result<OpenScope, WriteError>>,
}

/// How a batch stands with one target.
pub(super) enum Standing {
    Settled(Receipt),
    /// It is the oldest, and no attempt at it has failed yet.
    UnderWay,
    /// It waits behind others, or takes longer than the patience lasts.
    Waiting,
    /// It is in the backlog of a target whose last attempt failed.
    Failing(WriteError),
    /// The target will not get it.
    Dropped(WriteError),
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
    state: Mutex<State<R>>,
    /// Counts changes of the state, for all who wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State<R> {
    /// The first is under way.
    backlog: VecDeque<(BatchKey, Batch<R>)>,
    outcomes: VecDeque<(BatchKey, Result<Receipt, WriteError>)>,
    /// Somebody else writes to the target: nothing more is offered to it.
    fenced: Option<WriteError>,
    /// Why the last attempt at the first of the backlog failed.
    failing: Option<WriteError>,
    stats: TargetStats,
}

impl<R> State<R> {
    /// The batch is offered anew, so an earlier drop of it does not count.
    fn forget_drop(&mut self, key: BatchKey, rows: usize) {
        let at = self.outcomes.iter().position(|(known, _)| *known == key);
        if let Some((_, Err(_))) = at.and_then(|at| self.outcomes.remove(at)) {
            self.stats.rows_dropped -= rows as u64;
        }
    }
}

impl<R: Row> Line<R> {
    pub(super) fn new(target: Target<R>) -> Self {
        let stats = TargetStats {
            name: target.writer.name().to_owned(),
            ..TargetStats::default()
        };
        let divert = match &target.when_behind {
            WhenBehind::Divert(writer) => Some(LateWriter::new(writer.clone())),
            WhenBehind::Wait | WhenBehind::Drop => None,
        };
        Self {
            writer: LateWriter::new(target.writer.clone()),
            divert,
            target,
            state: Mutex::new(State {
                backlog: VecDeque::new(),
                outcomes: VecDeque::new(),
                fenced: None,
                failing: None,
                stats,
            }),
            changes: watch::Sender::new(0),
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
        let state = self.state.lock();
        TargetStats {
            rows_pending: state
                .backlog
                .iter()
                .map(|(_, batch)| batch.len() as u64)
                .sum(),
            batches_pending: state.backlog.len(),
            ..state.stats.clone()
        }
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
    pub(super) async fn offer(&self, batch: &Batch<R>) -> Result<(), WriteError> {
        let key = BatchKey::of(batch);
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.accept(key, batch) {
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
                    self.settle(key, batch, Err(full));
                    return Ok(());
                }
                (_, Some(writer)) => {
                    let receipt = writer.write(batch).await?;
                    self.settle(key, batch, Ok(as_diverted(batch, &receipt)));
                    return Ok(());
                }
            }
        }
    }

    /// Whether the target has the batch now, or had it before.
    fn accept(&self, key: BatchKey, batch: &Batch<R>) -> bool {
        let mut state = self.state.lock();
        let is_known = state.backlog.iter().any(|(known, _)| *known == key)
            || state
                .outcomes
                .iter()
                .any(|(known, outcome)| *known == key && outcome.is_ok());
        if is_known {
            return true;
        }
        if state.backlog.len() >= self.target.backlog_max {
            return false;
        }
        state.forget_drop(key, batch.len());
        state.backlog.push_back((key, batch.clone()));
        drop(state);
        self.changed();
        true
    }

    pub(super) fn standing(&self, batch: &Batch<R>, waiting: Waiting) -> Standing {
        let key = BatchKey::of(batch);
        let state = self.state.lock();
        if let Some(at) = state.backlog.iter().position(|(known, _)| *known == key) {
            return match &state.failing {
                Some(error) => Standing::Failing(error.clone()),
                None if at == 0 && waiting == Waiting::Patiently => Standing::UnderWay,
                None => Standing::Waiting,
            };
        }
        let outcome = state.outcomes.iter().find(|(known, _)| *known == key);
        match outcome {
            Some((_, Ok(receipt))) => Standing::Settled(receipt.clone()),
            Some((_, Err(error))) => Standing::Dropped(error.clone()),
            None => Standing::Dropped(WriteError::new(
                ErrorKind::Transient,
                "its outcome was forgotten: too many batches were written since",
            )),
        }
    }

    /// Works off the backlog, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            let next = self.state.lock().backlog.front().cloned();
            match next {
                Some((key, batch)) => self.work_off(key, &batch).await,
                None => {
                    let _ = changes.changed().await;
                }
            }
        }
    }

    /// Writes one batch until it is settled.
    async fn work_off(&self, key: BatchKey, batch: &Batch<R>) {
        let name = self.target.writer.name();
        for attempts in 0.. {
            let attempt = AssertUnwindSafe(self.attempt(batch)).catch_unwind().await;
            let error = match attempt.unwrap_or_else(|panic| Err(panicked(name, &*panic))) {
                Ok(receipt) => return self.settle(key, batch, Ok(receipt)),
                Err(error) => error,
            };
            if matches!(error.kind(), ErrorKind::Data | ErrorKind::Fenced) {
                return self.settle(key, batch, Err(error));
            }
            let delay = self.delay(attempts, &error);
            tracing::warn!(sink = name, batch = batch.id().0, ?delay, %error, "target failed");
            self.fail(error);
            tokio::time::sleep(delay).await;
        }
    }

    fn fail(&self, error: WriteError) {
        let mut state = self.state.lock();
        state.stats.last_error = Some(error.to_string());
        state.failing = Some(error);
        drop(state);
        self.changed();
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

    /// The batch is no longer this target's business, or never was.
    fn settle(&self, key: BatchKey, batch: &Batch<R>, outcome: Result<Receipt, WriteError>) {
        let mut state = self.state.lock();
        state.forget_drop(key, batch.len());
        match &outcome {
            Ok(receipt) => {
                state.stats.rows_delivered += receipt.delivered() as u64;
                state.stats.rows_quarantined += receipt.quarantined().len() as u64;
                state.stats.rows_rejected += receipt.rejected().len() as u64;
                state.stats.rows_diverted += receipt.diverted() as u64;
            }
            Err(error) => {
                state.stats.rows_dropped += batch.len() as u64;
                state.stats.last_error = Some(error.to_string());
                if error.kind() == ErrorKind::Fenced {
                    state.fenced = Some(error.clone());
                }
            }
        }
        let at = state.backlog.iter().position(|(known, _)| *known == key);
        let removed = at.and_then(|at| state.backlog.remove(at));
        if removed.is_some() {
            state.failing = None;
            if outcome.is_ok() {
                state.stats.last_error = None;
            }
        }
        let forgotten = (state.outcomes.len() >= OUTCOMES_MAX).then(|| state.outcomes.pop_front());
        state.outcomes.push_back((key, outcome));
        drop(state);
        drop((removed, forgotten));
        self.changed();
    }

    /// Waits until the backlog is empty.
    pub(super) async fn drained(&self) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.state.lock().backlog.is_empty() {
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
