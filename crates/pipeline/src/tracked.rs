//! Rows whose sender wants to know what becomes of them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use record::Position;
use sinks::{Entry, Receipt, RowOutcome, ScopeIndex};
use tokio::sync::oneshot;

/// What became of a row in one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the sink.
    Delivered,
    /// It is in the sink's quarantine, for this reason.
    Quarantined(String),
    /// The sink refused it for this reason, and nobody keeps it.
    Rejected(String),
    /// It is with the sink's fallback.
    Diverted,
    /// It was accepted, and lost by the policy of its lane.
    Dropped(DropReason),
    /// The pipeline ended before it was delivered; whoever shut it down has it.
    Undelivered,
}

/// Why a row that was accepted was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// Newer rows took its place.
    DropOldest,
    /// There was no room when it came.
    DropNewest,
    /// More urgent rows took its place.
    LowerPriority,
    /// It waited for longer than its lane allows.
    Expired,
    /// Somebody asked for it.
    Purged,
}

/// What becomes of a row, once that is known: an outcome per sink it went to, with the sink's name.
/// Dropping it changes nothing for the row.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Tracked {
    pub(crate) waiting: Vec<(String, oneshot::Receiver<Outcome>)>,
    pub(crate) known: Vec<(String, Outcome)>,
}

impl Future for Tracked {
    type Output = Vec<(String, Outcome)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.waiting.retain_mut(|(sink, outcome)| {
            let Poll::Ready(outcome) = Pin::new(outcome).poll(context) else {
                return true;
            };
            // Nobody is left who could say anything else.
            let outcome = outcome.unwrap_or(Outcome::Undelivered);
            this.known.push((std::mem::take(sink), outcome));
            false
        });
        match this.waiting.is_empty() {
            true => Poll::Ready(std::mem::take(&mut this.known)),
            false => Poll::Pending,
        }
    }
}

/// The row of a batch that another became a part of, and where that one stood.
pub(crate) type MergedInto = (usize, ScopeIndex, Position);

/// The rows of a queue that somebody waits for, by where they stand.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    count: AtomicUsize,
    rows: Mutex<HashMap<(ScopeIndex, Position), oneshot::Sender<Outcome>>>,
}

impl Tracking {
    /// Whether somebody waits for any row: the usual answer is no, and costs nothing.
    pub(crate) fn is_used(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Before the row is pushed, so that it cannot be settled first.
    pub(crate) fn begin(
        &self,
        scope: ScopeIndex,
        position: Position,
    ) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let mut rows = self.rows.lock();
        let before = rows.insert((scope, position), sender);
        self.count.store(rows.len(), Ordering::Release);
        drop(rows);
        // A row that was refused leaves its position to another.
        drop(before);
        receiver
    }

    /// The row was refused: nobody will hear of it here.
    pub(crate) fn forget(&self, scope: ScopeIndex, position: Position) {
        drop(self.take(scope, position));
    }

    pub(crate) fn tracks(&self, scope: ScopeIndex, position: Position) -> bool {
        self.is_used() && self.rows.lock().contains_key(&(scope, position))
    }

    /// One row has come to its end.
    pub(crate) fn end(&self, scope: ScopeIndex, position: Position, outcome: Outcome) {
        if let Some(sender) = self.take(scope, position) {
            // Whoever waited may have stopped.
            let _ = sender.send(outcome);
        }
    }

    /// These were accepted and lost.
    pub(crate) fn dropped(&self, rows: &[Entry], reason: DropReason) {
        if self.is_used() {
            for row in rows {
                self.end(row.scope, row.position, Outcome::Dropped(reason));
            }
        }
    }

    /// A batch was written; the positions are those of the rows in the buffer.
    pub(crate) fn settled(&self, rows: &[Entry], receipt: &Receipt) {
        if self.is_used() {
            for (index, row) in rows.iter().enumerate() {
                self.end(row.scope, row.position, outcome_of(receipt, index));
            }
        }
    }

    /// The same for rows that were merged into rows of the batch.
    pub(crate) fn settled_at(&self, rows: &[MergedInto], receipt: &Receipt) {
        for &(row, scope, position) in rows {
            self.end(scope, position, outcome_of(receipt, row));
        }
    }

    /// The pipeline has ended: nothing more becomes of the others.
    pub(crate) fn abandon(&self) {
        let mut rows = self.rows.lock();
        let all = std::mem::take(&mut *rows);
        self.count.store(0, Ordering::Release);
        drop(rows);
        drop(all);
    }

    fn take(&self, scope: ScopeIndex, position: Position) -> Option<oneshot::Sender<Outcome>> {
        let mut rows = self.rows.lock();
        let sender = rows.remove(&(scope, position));
        self.count.store(rows.len(), Ordering::Release);
        sender
    }
}

/// What a receipt says of one row.
pub(crate) fn outcome_of(receipt: &Receipt, row: usize) -> Outcome {
    match receipt.outcome(row) {
        RowOutcome::Quarantined(reason) => Outcome::Quarantined(reason.to_owned()),
        RowOutcome::Rejected(reason) => Outcome::Rejected(reason.to_owned()),
        RowOutcome::Diverted => Outcome::Diverted,
        _ => Outcome::Delivered,
    }
}
