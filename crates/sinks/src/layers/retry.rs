//! The same batch again, after a pause.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use record::Position;

use super::{Operation, now};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, GiveUp, OpenScope, Receipt, Retry, RetryBudget, RetryDecision, RetryPolicy,
    ScopeIndex, ScopeName, WriteError,
};

/// A [`RetryBudget`] that all batches, and all writers that are given a clone, share.
#[derive(Clone, Debug)]
pub struct SharedBudget {
    budget: Arc<Mutex<RetryBudget>>,
}

impl SharedBudget {
    /// Shares a budget.
    #[must_use]
    pub fn new(budget: RetryBudget) -> Self {
        Self {
            budget: Arc::new(Mutex::new(budget)),
        }
    }

    /// The whole retries that could be paid for now.
    #[must_use]
    pub fn affordable(&self) -> u64 {
        self.budget.lock().affordable(now())
    }
}

impl Default for SharedBudget {
    /// [`RetryBudget::starting`] now.
    fn default() -> Self {
        Self::new(RetryBudget::starting(now()))
    }
}

/// Tries a failed write again: the same batch, with the same id and the same rows.
///
/// Each batch waits for itself, without holding anything that another one needs. Before each
/// retry it waits until the writer inside is [ready](BatchWriter::ready), so an open breaker
/// pauses it and uses up none of its attempts. When it gives up, the error is the last one and
/// says how many attempts there were and how long they took. Dropping the future of a write
/// between attempts stops the retries; during one, its outcome is unknown.
///
/// Opening and listing scopes is tried again too, because it can be repeated without harm.
/// Renaming one and closing are tried once.
///
/// ```
/// use sinks::{Batch, BatchId, BatchWriter, MemoryWriter, RetryPolicy, Retrying, SharedBudget};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
/// # runtime.expect("a runtime").block_on(async {
/// let memory = MemoryWriter::new();
/// memory.fail_before_write();
/// let writer = Retrying::new(memory.clone(), RetryPolicy::default(), SharedBudget::default());
/// writer.write(&Batch::new(BatchId(7), Vec::new())).await?;
/// assert_eq!(memory.attempts(), [BatchId(7), BatchId(7)]);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
#[derive(Debug)]
pub struct Retrying<W> {
    inner: W,
    policy: RetryPolicy,
    budget: SharedBudget,
    seeds: AtomicU64,
}

impl<W> Retrying<W> {
    /// Tries what `inner` could not do again.
    pub fn new(inner: W, policy: RetryPolicy, budget: SharedBudget) -> Self {
        Self::with_seed(inner, policy, budget, fastrand::u64(..))
    }

    /// The same with delays that can be repeated, for simulations.
    pub fn with_seed(inner: W, policy: RetryPolicy, budget: SharedBudget, seed: u64) -> Self {
        Self {
            inner,
            policy,
            budget,
            seeds: AtomicU64::new(seed),
        }
    }
}

impl<W: BatchWriter> Retrying<W> {
    /// Does it until it works or it is time to give up.
    async fn again<T, F>(
        &self,
        what: Operation<'_>,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, WriteError>
    where
        F: Future<Output = Result<T, WriteError>>,
    {
        let began = now();
        self.budget.budget.lock().deposit();
        let mut error = match operation().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        let mut retry = Retry::new(self.policy, began, seed);
        let mut attempts = u32::from(error.was_attempted());
        loop {
            let mut is_paid = true;
            let decision = {
                let mut budget = self.budget.budget.lock();
                retry.on_failure_within(now(), &error, &mut budget)
            };
            let delay = match decision {
                RetryDecision::After(delay) => delay,
                RetryDecision::Postpone(delay) => {
                    is_paid = false;
                    delay
                }
                RetryDecision::GiveUp(reason) => {
                    return Err(gave_up(error, attempts, began, reason));
                }
            };
            tracing::warn!(sink = self.inner.name(), ?delay, %error, "failed to {what}: waiting");
            tokio::time::sleep(delay).await;
            if !is_paid {
                continue;
            }
            if !self.is_ready_by(retry.deadline()).await {
                return Err(gave_up(error, attempts, began, GiveUp::Deadline));
            }
            error = match operation().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            attempts += u32::from(error.was_attempted());
        }
    }

    /// Waits until the writer inside is ready, but not beyond the deadline; not at all where the
    /// policy would rather give up.
    async fn is_ready_by(&self, deadline: Option<Instant>) -> bool {
        if !self.policy.waits_when_refused() {
            return true;
        }
        let ready = self.inner.ready();
        match deadline {
            None => {
                ready.await;
                true
            }
            Some(deadline) => tokio::time::timeout_at(deadline.into(), ready)
                .await
                .is_ok(),
        }
    }
}

/// The last error with what was done about it. One that nothing was done about stays as it is.
fn gave_up(error: WriteError, attempts: u32, began: Instant, reason: GiveUp) -> WriteError {
    if attempts <= 1 && reason == GiveUp::Hopeless {
        return error;
    }
    let took = now().saturating_duration_since(began);
    // Microseconds are noise in a message.
    let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let plural = if attempts == 1 { "" } else { "s" };
    let tried = format!("{attempts} attempt{plural} in {took:?}");
    let message = format!("gave up after {tried}, because {reason}: {error}");
    error.explained(message)
}

impl<W: BatchWriter> BatchWriter for Retrying<W> {
    type Row = W::Row;

    forward_to_inner!(name, guarantee, ready, close);

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let what = Operation::OpenScope(name);
        self.again(what, || self.inner.open_scope(index, name))
            .await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.again(Operation::ListScopes, || self.inner.scopes(prefix))
            .await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch<Self::Row>) -> Result<Receipt, WriteError> {
        let what = Operation::Write(batch.id());
        self.again(what, || self.inner.write(batch)).await
    }
}
