//! A writer that answers as a test scripts it, and remembers when it was called.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use record::Record;
use sinks::{
    Batch, BatchId, BatchWriter, BreakerSpec, CircuitBreaker, ConcurrencySpec, ErrorKind,
    Guarantee, LimitSpec, Limited, OpenScope, Receipt, RetryPolicy, Retrying, ScopeIndex,
    ScopeName, SharedBudget, Timeout, WriteError,
};
use tokio::time::Instant;

use crate::common::batch;

/// How long a call takes, and what comes of it.
pub(crate) type Answer = (Duration, Result<(), WriteError>);

#[derive(Clone)]
pub(crate) struct Scripted {
    answer: Arc<dyn Fn(usize) -> Answer + Send + Sync>,
    pub(crate) calls: Arc<Mutex<Vec<(BatchId, usize, Instant)>>>,
    pub(crate) in_flight: Arc<AtomicUsize>,
    pub(crate) most_in_flight: Arc<AtomicUsize>,
    pub(crate) closes: Arc<AtomicUsize>,
    pub(crate) opens: Arc<AtomicUsize>,
    pub(crate) renames: Arc<AtomicUsize>,
    pub(crate) readies: Arc<AtomicUsize>,
}

impl Scripted {
    /// The answer to each call by its number, from 0.
    pub(crate) fn new(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            calls: Arc::default(),
            in_flight: Arc::default(),
            most_in_flight: Arc::default(),
            closes: Arc::default(),
            opens: Arc::default(),
            renames: Arc::default(),
            readies: Arc::default(),
        }
    }

    /// Answers at once with what `kinds` says, `None` for success; for ever with the last.
    pub(crate) fn outcomes(kinds: &'static [Option<ErrorKind>]) -> Self {
        Self::new(move |call| (Duration::ZERO, outcome(kinds[call.min(kinds.len() - 1)])))
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.lock().len()
    }

    /// The times of the calls since the first.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let calls = self.calls.lock();
        calls.iter().map(|(_, _, at)| *at - calls[0].2).collect()
    }
}

pub(crate) fn outcome(kind: Option<ErrorKind>) -> Result<(), WriteError> {
    match kind {
        None => Ok(()),
        Some(kind) => Err(WriteError::new(kind, "scripted failure")),
    }
}

struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl BatchWriter for Scripted {
    type Row = Record;

    fn name(&self) -> &str {
        "scripted"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn ready(&self) {
        self.readies.fetch_add(1, Ordering::SeqCst);
    }

    async fn open_scope(&self, _: ScopeIndex, _: &ScopeName) -> Result<OpenScope, WriteError> {
        let call = self.opens.fetch_add(1, Ordering::SeqCst);
        let (delay, answer) = (self.answer)(call);
        tokio::time::sleep(delay).await;
        answer.map(|()| OpenScope::new(record::Position::START, 9))
    }

    async fn rename_scope(&self, _: &ScopeName, _: &ScopeName) -> Result<(), WriteError> {
        let call = self.renames.fetch_add(1, Ordering::SeqCst);
        (self.answer)(call).1
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let call = {
            let mut calls = self.calls.lock();
            calls.push((batch.id(), batch.len(), Instant::now()));
            calls.len() - 1
        };
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let _in_flight = InFlight(&self.in_flight);
        let (delay, answer) = (self.answer)(call);
        tokio::time::sleep(delay).await;
        answer.map(|()| Receipt::new(batch.len(), 0, Vec::new()))
    }

    async fn close(&self) -> Result<(), WriteError> {
        let call = self.closes.fetch_add(1, Ordering::SeqCst);
        (self.answer)(call).1
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TRANSIENT: Option<ErrorKind> = Some(ErrorKind::Transient);

pub(crate) fn retrying<W: BatchWriter>(inner: W, policy: RetryPolicy) -> Retrying<W> {
    Retrying::with_seed(inner, policy, SharedBudget::default(), 7)
}

pub(crate) fn breaker<W: BatchWriter>(inner: W, failures: u32) -> CircuitBreaker<W> {
    let spec = BreakerSpec::consecutive(failures, SECOND * 30).jitter(0.0);
    CircuitBreaker::with_seed(inner, spec, 7).unwrap()
}

pub(crate) fn limited<W: BatchWriter>(inner: W, spec: LimitSpec) -> Limited<W> {
    Limited::new(inner, spec).unwrap()
}

/// All layers in their order.
pub(crate) fn stack(inner: Scripted) -> impl BatchWriter<Row = record::Record> {
    let inner = Timeout::new(inner, SECOND * 10);
    let spec = LimitSpec::new().concurrency(ConcurrencySpec::adaptive(1, 8));
    retrying(limited(breaker(inner, 5), spec), RetryPolicy::default())
}

pub(crate) async fn kind(
    writer: &impl BatchWriter<Row = record::Record>,
    id: u64,
) -> Option<ErrorKind> {
    let written = writer.write(&batch(id, [1, 2])).await;
    written.err().map(|error| error.kind())
}
