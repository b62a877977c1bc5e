//! A layer that fails on order, for tests of whatever stands around it.
//!
//! [`FaultWriter`] fails before or after the writer inside is called (after it the outcome is
//! unknown to the caller), answers late, hangs until it is released, and refuses chosen rows as a
//! sink refuses bad data. Faults come from a script, or at random from a seed that each injected
//! error names, so that a failed test can be run again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use record::Position;
use tokio::sync::watch;

use crate::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, Guarantee, OpenScope, Receipt, ScopeIndex,
    ScopeName, WriteError,
};

/// One thing that goes wrong with one write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// It fails, and the writer inside is not called.
    Before(WriteError),
    /// The writer inside is called, and its answer is replaced by this.
    After(WriteError),
    /// The answer comes so much later, by the clock of tokio.
    Late(Duration),
    /// The writer inside is not called before [`FaultWriter::release`].
    Hang,
    /// The writer inside is called; its answer does not come before [`FaultWriter::release`].
    HangAfter,
}

/// How likely each fault of a write is; what is left to 1 is a write without one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultChances {
    /// Of [`Fault::Before`], 0 to 1.
    pub before: f64,
    /// Of [`Fault::After`], 0 to 1.
    pub after: f64,
    /// Of [`Fault::Late`], 0 to 1.
    pub late: f64,
    /// The longest delay of those.
    pub late_max: Duration,
}

impl Default for FaultChances {
    /// A quarter fails before, a quarter after, none is late.
    fn default() -> Self {
        Self {
            before: 0.25,
            after: 0.25,
            late: 0.0,
            late_max: Duration::ZERO,
        }
    }
}

type Poison<R> = Arc<dyn Fn(&Entry<R>) -> Option<String> + Send + Sync>;

/// A writer that fails on order; a clone is another handle to the same one.
///
/// ```
/// use sinks::{Batch, BatchId, BatchWriter, ErrorKind, Fault, FaultWriter, MemoryWriter};
/// use sinks::WriteError;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let writer = FaultWriter::new(MemoryWriter::new());
/// let lost = WriteError::new(ErrorKind::Transient, "the connection was lost");
/// writer.then(Fault::After(lost.clone()));
/// let batch = Batch::new(BatchId(1), Vec::new());
/// assert_eq!(writer.write(&batch).await, Err(lost));
/// assert!(writer.write(&batch).await.is_ok());
/// # });
/// ```
pub struct FaultWriter<W: BatchWriter> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: BatchWriter> {
    inner: W,
    script: Mutex<VecDeque<Fault>>,
    random: Mutex<Option<Random>>,
    poison: Mutex<Option<(Poison<W::Row>, Naming)>>,
    attempts: Mutex<Vec<(BatchId, usize)>>,
    released: watch::Sender<u64>,
}

struct Random {
    seed: u64,
    numbers: fastrand::Rng,
    chances: FaultChances,
}

/// Whether a refused batch is told which row was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Named,
    Unnamed,
}

impl<W: BatchWriter> FaultWriter<W> {
    /// Around `inner`; nothing goes wrong yet.
    pub fn new(inner: W) -> Self {
        Self {
            shared: Arc::new(Shared {
                inner,
                script: Mutex::default(),
                random: Mutex::new(None),
                poison: Mutex::new(None),
                attempts: Mutex::default(),
                released: watch::Sender::new(0),
            }),
        }
    }

    /// The same, failing at random where the script is at its end.
    #[must_use]
    pub fn at_random(self, seed: u64, chances: FaultChances) -> Self {
        *self.shared.random.lock() = Some(Random {
            seed,
            numbers: fastrand::Rng::with_seed(seed),
            chances,
        });
        self
    }

    /// The same, refusing batches with [`ErrorKind::Data`] for each row that has a reason here,
    /// before the writer inside is called. The error does not name the row.
    #[must_use]
    pub fn poisoned(
        self,
        reason: impl Fn(&Entry<W::Row>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        *self.shared.poison.lock() = Some((Arc::new(reason), Naming::Unnamed));
        self
    }

    /// The same as [`poisoned`](Self::poisoned), with errors that name the first such row.
    #[must_use]
    pub fn poisoned_by_name(
        self,
        reason: impl Fn(&Entry<W::Row>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        *self.shared.poison.lock() = Some((Arc::new(reason), Naming::Named));
        self
    }

    /// This goes wrong with the next write for which nothing was ordered yet.
    pub fn then(&self, fault: Fault) {
        self.shared.script.lock().push_back(fault);
    }

    /// Faults at random come no more.
    pub fn calm(&self) {
        *self.shared.random.lock() = None;
    }

    /// Lets every write go on that hangs now.
    pub fn release(&self) {
        self.shared.released.send_modify(|times| *times += 1);
    }

    /// Batches of all calls so far, failed ones included, and their number of rows.
    #[must_use]
    pub fn attempts(&self) -> Vec<(BatchId, usize)> {
        self.shared.attempts.lock().clone()
    }

    /// The writer inside.
    #[must_use]
    pub fn inner(&self) -> &W {
        &self.shared.inner
    }

    fn next(&self) -> Fault {
        if let Some(fault) = self.shared.script.lock().pop_front() {
            return fault;
        }
        self.shared
            .random
            .lock()
            .as_mut()
            .map_or(Fault::None, Random::next)
    }

    fn refuse_poison(&self, batch: &Batch<W::Row>) -> Result<(), WriteError> {
        let Some((poison, naming)) = self.shared.poison.lock().clone() else {
            return Ok(());
        };
        for (index, row) in batch.rows().iter().enumerate() {
            if let Some(reason) = poison(row) {
                let error = WriteError::new(ErrorKind::Data, reason);
                return Err(match naming {
                    Naming::Named => error.at_row(index),
                    Naming::Unnamed => error,
                });
            }
        }
        Ok(())
    }

    async fn until_released(&self) {
        let mut released = self.shared.released.subscribe();
        // The sender lives as long as `self`, so this ends with the next release alone.
        let _ = released.changed().await;
    }
}

impl<W: BatchWriter> Clone for FaultWriter<W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Random {
    fn next(&mut self) -> Fault {
        let drawn = self.numbers.f64();
        let FaultChances {
            before,
            after,
            late,
            late_max,
        } = self.chances;
        let error = |when: &str| {
            let message = format!("injected {when} the write, seed {}", self.seed);
            WriteError::new(ErrorKind::Transient, message)
        };
        if drawn < before {
            Fault::Before(error("before"))
        } else if drawn < before + after {
            Fault::After(error("after"))
        } else if drawn < before + after + late {
            Fault::Late(late_max.mul_f64(self.numbers.f64()))
        } else {
            Fault::None
        }
    }
}

impl<W: BatchWriter> BatchWriter for FaultWriter<W> {
    type Row = W::Row;

    fn name(&self) -> &str {
        self.shared.inner.name()
    }

    fn guarantee(&self) -> Guarantee {
        self.shared.inner.guarantee()
    }

    async fn ready(&self) {
        self.shared.inner.ready().await;
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.shared.inner.open_scope(index, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.shared.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.shared.inner.rename_scope(from, to).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.shared.inner.close().await
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        self.shared.attempts.lock().push((batch.id(), batch.len()));
        let fault = self.next();
        match &fault {
            Fault::Before(error) => return Err(error.clone()),
            Fault::Hang => self.until_released().await,
            _ => {}
        }
        self.refuse_poison(batch)?;
        let written = self.shared.inner.write(batch).await;
        match fault {
            Fault::After(error) => return written.and(Err(error)),
            Fault::Late(delay) => tokio::time::sleep(delay).await,
            Fault::HangAfter => self.until_released().await,
            _ => {}
        }
        written
    }
}

impl<W: BatchWriter> std::fmt::Debug for FaultWriter<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seed = self.shared.random.lock().as_ref().map(|random| random.seed);
        out.debug_struct("FaultWriter")
            .field("inner", &self.shared.inner.name())
            .field("script", &*self.shared.script.lock())
            .field("seed", &seed)
            .finish_non_exhaustive()
    }
}
