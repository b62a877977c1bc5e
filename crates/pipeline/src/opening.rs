//! Scopes whose sink cannot be reached yet, and the records that do not wait for it.
//!
//! A source without positions needs the watermark of its scope only for the numbers that its
//! records get. Until the sink has told it, records get early positions, which begin at a number
//! that no watermark reaches; the driver leases nothing meanwhile. Once the scope is open, the
//! driver gives those records their places right behind what the sink knows, in the order in which
//! they were accepted. No sink ever sees an early position.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use record::Position;
use sinks::{BatchWriter, Entry, ErrorKind, OpenScope, Retry, RetryDecision, ScopeIndex};
use sinks::{ScopeName, WriteError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::PipelineError;
use crate::buffer::Lent;
use crate::queue::{Queue, now};

/// Where early positions begin: the upper half of what a position can be.
const EARLY: u64 = 1 << 62;

/// Sorts the positions of a scope in the order in which its records were accepted: those that are
/// early come before all others, as they will once they have their places.
pub(crate) fn order_of(position: Position) -> u64 {
    position.number().wrapping_sub(EARLY)
}

/// How far a scope was delivered when it was opened, once that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watermark(Arc<OnceLock<OpenScope>>);

impl Watermark {
    pub(crate) fn position(&self) -> Option<Position> {
        self.0.get().map(|opened| opened.watermark)
    }

    /// The position before the first record that gets its number here: a sink that is ahead of the
    /// watermark must not take it for one that it has.
    pub(crate) fn base(&self) -> Position {
        let opened = self.0.get();
        opened.map_or(Position::new(EARLY), |opened| opened.numbered_to)
    }

    /// A position as it is meant, if that is known by now.
    pub(crate) fn place(&self, position: Position) -> Position {
        match self.0.get() {
            Some(opened) if position.number() >= EARLY => {
                Position::new(opened.numbered_to.number() + (position.number() - EARLY))
            }
            _ => position,
        }
    }
}

/// The scopes that were not open at once.
#[derive(Debug)]
pub(crate) struct Openings {
    scopes: Mutex<BTreeMap<ScopeIndex, Watermark>>,
    /// Those of them that are still not open.
    waiting: watch::Sender<BTreeSet<ScopeIndex>>,
}

impl Openings {
    pub(crate) fn new() -> Self {
        Self {
            scopes: Mutex::default(),
            waiting: watch::Sender::default(),
        }
    }

    /// Waits until all scopes are open.
    pub(crate) async fn all_open(&self) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives as long as this.
        let _ = waiting.wait_for(BTreeSet::is_empty).await;
    }

    fn begin(&self, index: ScopeIndex, watermark: &Watermark) {
        self.scopes.lock().insert(index, watermark.clone());
        self.waiting
            .send_if_modified(|waiting| waiting.insert(index));
    }

    fn end(&self, index: ScopeIndex) {
        self.waiting
            .send_if_modified(|waiting| waiting.remove(&index));
    }

    /// A scope of which there are no rows will not be opened after all.
    pub(crate) fn withdraw(&self, index: ScopeIndex) {
        self.scopes.lock().remove(&index);
        self.end(index);
    }

    /// Whether one of the rows has to be given its place first.
    pub(crate) fn has_early(&self, rows: &[Entry]) -> bool {
        rows.iter().any(|row| row.position.number() >= EARLY) && !self.scopes.lock().is_empty()
    }

    /// The rows with their places behind the watermarks.
    pub(crate) fn place(&self, rows: &[Entry]) -> Vec<Entry> {
        let scopes = self.scopes.lock().clone();
        let mut placed = rows.to_vec();
        for row in &mut placed {
            if let Some(watermark) = scopes.get(&row.scope) {
                row.position = watermark.place(row.position);
            }
        }
        placed
    }

    /// The same at the end. Rows of a scope that was never opened are numbered from the start.
    pub(crate) fn place_left(&self, rows: &[Entry]) -> Vec<Entry> {
        let mut placed = self.place(rows);
        for row in &mut placed {
            let number = row.position.number();
            row.position = Position::new(number.checked_sub(EARLY).unwrap_or(number));
        }
        placed
    }
}

/// Rows with their places, and the lease that they are of: a sink that holds on to the one holds
/// on to the other.
pub(crate) struct Placed {
    pub(crate) rows: Vec<Entry>,
    pub(crate) _lent: Lent,
}

impl AsRef<[Entry]> for Placed {
    fn as_ref(&self) -> &[Entry] {
        &self.rows
    }
}

/// Whether a queue waits for a scope of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Records of it may come before it is open.
    UntilOpen,
    /// They do not.
    Not,
}

/// A scope on its way to being open.
pub(crate) struct Opening {
    pub(crate) queue: Arc<Queue>,
    pub(crate) index: ScopeIndex,
    pub(crate) name: ScopeName,
    pub(crate) watermark: Watermark,
    /// Whether the queue lends nothing until this scope is open.
    is_holding: bool,
}

/// Comes when the first attempt to open a scope has an answer.
pub(crate) type FirstAnswer = oneshot::Receiver<Result<(), WriteError>>;

impl Opening {
    /// A number for the scope. With `Hold::UntilOpen` the queue lends nothing from now on.
    pub(crate) fn announce(
        queue: &Arc<Queue>,
        name: &ScopeName,
        hold: Hold,
    ) -> Result<Self, PipelineError> {
        let index = queue.sink.take_scope(name)?;
        let watermark = Watermark::default();
        let is_holding = hold == Hold::UntilOpen;
        if is_holding {
            queue.openings.begin(index, &watermark);
        }
        Ok(Self {
            is_holding,
            queue: Arc::clone(queue),
            index,
            name: name.clone(),
            watermark,
        })
    }

    /// It will not be opened after all.
    pub(crate) fn withdraw(self) {
        self.queue.sink.give_up_scope(self.index);
        self.queue.openings.withdraw(self.index);
    }

    fn release(&self) {
        if self.is_holding {
            self.queue.openings.end(self.index);
        }
    }

    /// Opens it now, once.
    pub(crate) async fn open(&self) -> Result<OpenScope, WriteError> {
        let opened = self.attempt().await?;
        // Only this sets it.
        let _ = self.watermark.0.set(opened);
        self.release();
        Ok(opened)
    }

    /// Asks the sink. One that panics or does not answer may do better the next time.
    async fn attempt(&self) -> Result<OpenScope, WriteError> {
        let writer = &self.queue.sink.writer;
        let opening = async { writer.open_scope(self.index, &self.name).await };
        let opening = AssertUnwindSafe(opening).catch_unwind();
        let failed = |why: String| Err(WriteError::new(ErrorKind::Transient, why));
        match tokio::time::timeout(ATTEMPT_WITHIN, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => failed(format!("the sink panicked when it opened `{}`", self.name)),
            Err(_) => failed(format!(
                "the sink did not open `{}` within {} s",
                self.name,
                ATTEMPT_WITHIN.as_secs()
            )),
        }
    }

    /// Tries in a task of its own until it works or the queue has ended.
    pub(crate) fn start(self) -> (FirstAnswer, JoinHandle<()>) {
        let (first, answer) = oneshot::channel();
        (answer, tokio::spawn(self.run(first)))
    }

    async fn run(self, first: oneshot::Sender<Result<(), WriteError>>) {
        let queue = &self.queue;
        let mut ended = queue.watch_ended();
        let mut first = Some(first);
        let mut retry = Retry::new(queue.sink.retry.unlimited(), now(), fastrand::u64(..));
        loop {
            let opened = tokio::select! {
                opened = self.attempt() => opened,
                _ = ended.wait_for(Option::is_some) => return,
            };
            let error = match opened {
                Ok(opened) => {
                    // Only this task sets it.
                    let _ = self.watermark.0.set(opened);
                    queue.account.opened();
                    self.release();
                    first.take().map(|first| first.send(Ok(())));
                    return;
                }
                Err(error) => error,
            };
            if let Some(first) = first.take()
                && error.kind() != ErrorKind::Transient
                && first.send(Err(error.clone())).is_ok()
            {
                queue.sink.give_up_scope(self.index);
                self.release();
                return;
            }
            queue.account.fail_opening(now(), error.to_string());
            let delay = match retry.on_failure(now(), &error) {
                RetryDecision::After(delay) | RetryDecision::Postpone(delay) => delay,
                RetryDecision::GiveUp(_) => queue.sink.retry.bound(u32::MAX),
            };
            let scope = &self.name;
            tracing::warn!(%scope, ?delay, %error, "the scope cannot be opened yet");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = ended.wait_for(Option::is_some) => return,
            }
        }
    }
}

/// How long one attempt may take: a sink that hangs holds nobody up for ever.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(30);
/// How long the first attempt is waited for.
pub(crate) const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_positions_find_their_places_right_behind_the_watermark() {
        let watermark = Watermark::default();
        let first = watermark.base().next();
        let second = first.next();
        assert_eq!(watermark.place(first), first, "not known yet");
        let mut opened = OpenScope::new(Position::new(30), 1);
        opened.numbered_to = Position::new(41);
        watermark.0.set(opened).expect("set once");
        assert_eq!(watermark.place(watermark.base()), Position::new(41));
        assert_eq!(watermark.place(first), Position::new(42));
        assert_eq!(watermark.place(second), Position::new(43));
        assert_eq!(watermark.place(Position::new(44)), Position::new(44));
    }

    #[test]
    fn early_positions_come_before_the_others_of_their_scope() {
        let first = Watermark::default().base().next();
        let in_order = [first, first.next(), Position::new(1), Position::new(2)];
        assert!(in_order.map(order_of).is_sorted_by(|a, b| a < b));
    }
}
