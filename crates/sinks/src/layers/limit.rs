//! A sink is given no more than it is meant to take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::now;
use crate::limit::{Concurrency, Load, Slot, TokenBucket};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, ConcurrencySpec, ErrorKind, InvalidSetting, Rate, Receipt, WriteError,
};

/// What a [`Limited`] writer may do; nothing is limited at first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitSpec {
    rows: Option<Rate>,
    batches: Option<Rate>,
    concurrency: Option<ConcurrencySpec>,
}

impl LimitSpec {
    /// No limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many rows per second. A batch larger than the burst waits longer, and passes.
    #[must_use]
    pub fn rows(self, rate: Rate) -> Self {
        Self {
            rows: Some(rate),
            ..self
        }
    }

    /// So many batches per second, retries included.
    #[must_use]
    pub fn batches(self, rate: Rate) -> Self {
        Self {
            batches: Some(rate),
            ..self
        }
    }

    /// So many writes under way at once.
    #[must_use]
    pub fn concurrency(self, concurrency: ConcurrencySpec) -> Self {
        Self {
            concurrency: Some(concurrency),
            ..self
        }
    }
}

/// What a [`Limited`] writer looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// How many writes may be under way, where that is limited.
    pub concurrency: Option<u32>,
    /// How many are under way, where that is limited.
    pub in_flight: Option<u32>,
    /// How many wait for a slot.
    pub waiting: u32,
    /// The rows that could be written at once; below nothing when batches wait for theirs.
    pub rows: Option<i64>,
    /// The same for batches.
    pub batches: Option<i64>,
}

struct State {
    rows: Option<TokenBucket>,
    batches: Option<TokenBucket>,
    concurrency: Option<Concurrency>,
    waiting: u32,
}

impl State {
    fn has_room(&self) -> bool {
        self.concurrency.as_ref().is_none_or(Concurrency::has_room)
    }

    /// Whether somebody waits for a slot that is there.
    fn is_awaited(&self) -> bool {
        self.waiting > 0 && self.has_room()
    }

    /// Gives the attempt a slot, unless concurrency is limited and all are taken.
    fn begin(&mut self, now: Instant, attempt: &mut Attempt<'_>) -> bool {
        attempt.may_begin = match &mut self.concurrency {
            None => true,
            Some(concurrency) => {
                attempt.slot = concurrency.begin(now);
                attempt.slot.is_some()
            }
        };
        attempt.may_begin
    }

    /// Whether a batch of one row need not wait for tokens, as far as that is known without a
    /// look at the clock.
    fn has_tokens(&self) -> bool {
        let buckets = [&self.rows, &self.batches];
        buckets.into_iter().flatten().all(TokenBucket::has_one)
    }

    /// How long until a batch of one row need not wait for tokens.
    fn wait(&mut self, now: Instant) -> Duration {
        let rows = self.rows.as_mut().map(|bucket| bucket.wait(now));
        let batches = self.batches.as_mut().map(|bucket| bucket.wait(now));
        rows.max(batches).unwrap_or_default()
    }

    fn reserve(&mut self, now: Instant, rows: u64) -> Duration {
        let rows = self.rows.as_mut().map(|bucket| bucket.reserve(now, rows));
        let batches = self.batches.as_mut().map(|bucket| bucket.reserve(now, 1));
        rows.max(batches).unwrap_or_default()
    }

    fn refund(&mut self, now: Instant, rows: u64) {
        if let Some(bucket) = &mut self.rows {
            bucket.refund(now, rows);
        }
        if let Some(bucket) = &mut self.batches {
            bucket.refund(now, 1);
        }
    }
}

/// Writes no faster than a rate, and no more at once than a limit that may follow the sink.
///
/// Writes wait for their tokens first, in the order in which they came, and then for a slot, also
/// in order. A slot is held and timed for one attempt, so this belongs inside of
/// [`Retrying`](crate::Retrying); an adaptive limit then sees the sink's time and not the pauses.
/// A write that is dropped while it waits gives its tokens and its slot back.
///
/// Of the outcomes, [`ErrorKind::Transient`] is taken for overload; success for an answer, whose
/// time counts; everything else says nothing.
///
/// ```
/// use sinks::{ConcurrencySpec, LimitSpec, Limited, MemoryWriter, Rate};
/// let spec = LimitSpec::new()
///     .rows(Rate::new(20_000.0, 5_000)?)
///     .concurrency(ConcurrencySpec::adaptive(1, 16));
/// let writer = Limited::new(MemoryWriter::new(), spec)?;
/// assert_eq!(writer.handle().snapshot().rows, Some(5_000));
/// # Ok::<(), sinks::InvalidSetting>(())
/// ```
#[derive(Debug)]
pub struct Limited<W> {
    inner: W,
    handle: LimitHandle,
}

impl<W> Limited<W> {
    /// Limits `inner`.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn new(inner: W, spec: LimitSpec) -> Result<Self, InvalidSetting> {
        let now = now();
        let state = State {
            rows: spec.rows.map(|rate| TokenBucket::new(rate, now)),
            batches: spec.batches.map(|rate| TokenBucket::new(rate, now)),
            concurrency: spec.concurrency.map(Concurrency::new).transpose()?,
            waiting: 0,
        };
        let gate = Gate {
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
        };
        let handle = LimitHandle {
            gate: Arc::new(gate),
        };
        Ok(Self { inner, handle })
    }

    /// Shows how it is, also when the writer has been boxed.
    #[must_use]
    pub fn handle(&self) -> LimitHandle {
        self.handle.clone()
    }
}

/// Watches a [`Limited`] writer; a clone is another handle to the same one.
#[derive(Clone)]
pub struct LimitHandle {
    gate: Arc<Gate>,
}

impl LimitHandle {
    /// What it looks like now.
    #[must_use]
    pub fn snapshot(&self) -> LimitSnapshot {
        let now = now();
        let mut state = self.gate.state.lock();
        LimitSnapshot {
            concurrency: state.concurrency.as_ref().map(Concurrency::limit),
            in_flight: state.concurrency.as_ref().map(Concurrency::in_flight),
            waiting: state.waiting,
            rows: state.rows.as_mut().map(|bucket| bucket.available(now)),
            batches: state.batches.as_mut().map(|bucket| bucket.available(now)),
        }
    }
}

impl std::fmt::Debug for LimitHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(out)
    }
}

/// What the writes pass.
struct Gate {
    state: Mutex<State>,
    /// Whoever is the first to wait for a slot holds this.
    turn: tokio::sync::Mutex<()>,
    /// Tells the first one that a slot came free.
    freed: Notify,
}

impl Gate {
    /// Takes tokens, and a slot if one is free; says how long to wait before the tokens may be
    /// used.
    fn enter(&self, rows: u64) -> (Attempt<'_>, Duration) {
        let now = now();
        let mut state = self.state.lock();
        let wait = state.reserve(now, rows);
        let mut attempt = Attempt {
            gate: self,
            unused: Some(rows),
            may_begin: false,
            slot: None,
        };
        // Whoever waits already comes first, and no slot is held while tokens are waited for.
        if wait.is_zero() && state.waiting == 0 {
            state.begin(now, &mut attempt);
        }
        (attempt, wait)
    }

    /// Waits until `take` has what it wants, behind those who wait already.
    async fn queue(&self, mut take: impl FnMut(&mut State) -> bool) {
        let _place = Place::new(self);
        // Fair: whoever came first gets it first, and only the first one looks.
        let _turn = self.turn.lock().await;
        while !take(&mut self.state.lock()) {
            self.freed.notified().await;
        }
    }
}

/// A place in the queue for slots.
struct Place<'a> {
    gate: &'a Gate,
}

impl<'a> Place<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.state.lock().waiting += 1;
        Self { gate }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().waiting -= 1;
    }
}

/// One attempt; gives back what it did not use when it is dropped.
struct Attempt<'a> {
    gate: &'a Gate,
    /// The rows that were paid for and not yet offered to the sink.
    unused: Option<u64>,
    may_begin: bool,
    /// Where concurrency is limited.
    slot: Option<Slot>,
}

impl Attempt<'_> {
    fn leave(&mut self, load: Load) {
        let gate = self.gate;
        let (unused, slot) = (self.unused.take(), self.slot.take());
        if unused.is_none() && slot.is_none() {
            return;
        }
        let now = now();
        let is_awaited = {
            let mut state = gate.state.lock();
            if let Some(rows) = unused {
                state.refund(now, rows);
            }
            if let (Some(slot), Some(concurrency)) = (slot, &mut state.concurrency) {
                concurrency.end(now, slot, load);
            }
            state.is_awaited()
        };
        if is_awaited {
            gate.freed.notify_one();
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.leave(Load::Unknown);
    }
}

impl<W: BatchWriter> BatchWriter for Limited<W> {
    type Row = W::Row;

    forward_to_inner!(name, guarantee, scopes, close);

    async fn ready(&self) {
        let gate = &*self.handle.gate;
        loop {
            let (wait, has_room) = {
                let mut state = gate.state.lock();
                let wait = match state.has_tokens() {
                    true => Duration::ZERO,
                    false => state.wait(now()),
                };
                (wait, state.has_room())
            };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            } else if !has_room {
                gate.queue(|state| state.has_room()).await;
            } else {
                break;
            }
        }
        self.inner.ready().await;
    }

    async fn write(&self, batch: &Batch<Self::Row>) -> Result<Receipt, WriteError> {
        let gate = &*self.handle.gate;
        let (mut attempt, wait) = gate.enter(batch.len() as u64);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if !attempt.may_begin {
            gate.queue(|state| state.begin(now(), &mut attempt)).await;
        }
        let unused = attempt.unused.take();
        let written = self.inner.write(batch).await;
        if written.as_ref().is_err_and(|error| !error.was_attempted()) {
            attempt.unused = unused;
        }
        attempt.leave(load(&written));
        written
    }
}

fn load(written: &Result<Receipt, WriteError>) -> Load {
    match written {
        Ok(_) => Load::Answered,
        Err(error) if !error.was_attempted() => Load::Unknown,
        Err(error) if error.kind() == ErrorKind::Transient => Load::Overloaded,
        Err(_) => Load::Unknown,
    }
}
