//! A sink in memory, with failures on order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::{Position, Record};

use crate::ledger::{LedgerPlan, Mark, fenced, not_open, taken};
use crate::{
    Batch, BatchId, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Refused, Row,
    ScopeIndex, ScopeName, WriteError,
};

/// A sink in memory, for tests and examples: keeps a ledger and a quarantine like a database, and
/// fails as it is told to. [`FaultWriter`](crate::FaultWriter) knows more failures, of any writer.
///
/// ```
/// use sinks::{Batch, BatchId, BatchWriter, MemoryWriter};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let writer = MemoryWriter::new();
/// let receipt = writer.write(&Batch::new(BatchId(1), Vec::new())).await?;
/// assert_eq!(receipt.delivered(), 0);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
#[derive(Debug)]
pub struct MemoryWriter<R = Record> {
    state: Arc<Mutex<State<R>>>,
    /// The scopes that this handle and its clones opened.
    open: Arc<Mutex<OpenScopes>>,
}

type OpenScopes = BTreeMap<ScopeIndex, (ScopeName, u64)>;

#[derive(Debug)]
struct State<R> {
    scopes: BTreeMap<ScopeName, Scope>,
    delivered: Vec<(ScopeName, Position, R)>,
    quarantined: Vec<(ScopeName, Position, String)>,
    attempts: Vec<BatchId>,
    failures: VecDeque<Failure>,
    down: bool,
}

#[derive(Clone, Copy, Debug)]
struct Scope {
    watermark: Position,
    fence: u64,
    batch: BatchId,
    hash: u64,
}

#[derive(Debug)]
enum Failure {
    Before(WriteError),
    After(WriteError),
    Late(Duration),
}

impl MemoryWriter {
    /// An empty sink of records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<R: Row + Clone> MemoryWriter<R> {
    /// An empty sink of any rows.
    #[must_use]
    pub fn of_rows() -> Self {
        Self::default()
    }

    /// The same sink as another process sees it: with its own opened scopes.
    #[must_use]
    pub fn other_process(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            open: Arc::default(),
        }
    }

    /// The next write fails before it wrote anything.
    pub fn fail_before_write(&self) {
        let error = WriteError::new(ErrorKind::Transient, "the connection was refused");
        self.with(|state| state.failures.push_back(Failure::Before(error)));
    }

    /// The next write succeeds, but its answer is lost.
    pub fn fail_after_write(&self) {
        let error = WriteError::new(ErrorKind::Transient, "the answer to the commit was lost");
        self.with(|state| state.failures.push_back(Failure::After(error)));
    }

    /// The next write succeeds, but its answer takes so long.
    pub fn answer_late(&self, delay: Duration) {
        self.with(|state| state.failures.push_back(Failure::Late(delay)));
    }

    /// Every write fails until [`recover`](Self::recover).
    pub fn go_down(&self) {
        self.with(|state| state.down = true);
    }

    /// Writes work again.
    pub fn recover(&self) {
        self.with(|state| state.down = false);
    }

    /// What was delivered, in the order of delivery.
    #[must_use]
    pub fn delivered(&self) -> Vec<(ScopeName, Position, R)> {
        self.with(|state| state.delivered.clone())
    }

    /// What was quarantined, with its reason.
    #[must_use]
    pub fn quarantined(&self) -> Vec<(ScopeName, Position, String)> {
        self.with(|state| state.quarantined.clone())
    }

    /// The batches of all attempts, failed ones included.
    #[must_use]
    pub fn attempts(&self) -> Vec<BatchId> {
        self.with(|state| state.attempts.clone())
    }

    fn open(&self) -> MutexGuard<'_, OpenScopes> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State<R>) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R> Clone for MemoryWriter<R> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            open: Arc::clone(&self.open),
        }
    }
}

impl<R> Default for MemoryWriter<R> {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                scopes: BTreeMap::new(),
                delivered: Vec::new(),
                quarantined: Vec::new(),
                attempts: Vec::new(),
                failures: VecDeque::new(),
                down: false,
            })),
            open: Arc::default(),
        }
    }
}

impl<R: Row + Clone> State<R> {
    /// The scope, if this writer still holds it.
    fn held(&self, open: &OpenScopes, index: ScopeIndex) -> Result<(ScopeName, Scope), WriteError> {
        let (name, ours) = open.get(&index).cloned().ok_or_else(|| not_open(index))?;
        match self.scopes.get(&name) {
            Some(scope) if scope.fence == ours => Ok((name, *scope)),
            other => Err(fenced(&name, other.map_or(0, |scope| scope.fence), ours)),
        }
    }

    fn write(&mut self, open: &OpenScopes, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let plan = LedgerPlan::new(batch, |index| {
            let (_, scope) = self.held(open, index)?;
            Ok(Mark {
                scope: index,
                watermark: scope.watermark,
                batch: scope.batch,
                hash: scope.hash,
            })
        })?;
        let mut quarantined = Vec::new();
        for (index, row) in batch.rows().iter().enumerate() {
            let (name, _) = self.held(open, row.scope)?;
            match &row.content {
                Ok(content) if plan.is_fresh(index) => {
                    self.delivered.push((name, row.position, content.clone()));
                }
                Ok(_) => {}
                Err(malformed) => {
                    let reason = malformed.reason().to_owned();
                    if plan.is_fresh(index) {
                        self.quarantined.push((name, row.position, reason.clone()));
                    }
                    quarantined.push(Refused { row: index, reason });
                }
            }
        }
        for mark in plan.marks() {
            let (name, scope) = self.held(open, mark.scope)?;
            let advanced = Scope {
                watermark: mark.watermark,
                batch: mark.batch,
                hash: mark.hash,
                ..scope
            };
            self.scopes.insert(name, advanced);
        }
        Ok(Receipt::new(batch.len(), plan.repeated(), quarantined))
    }
}

impl<R: Row + Clone> BatchWriter for MemoryWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "memory"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.with(|state| {
            let scope = state.scopes.entry(name.clone()).or_insert(Scope {
                watermark: Position::START,
                fence: 0,
                batch: BatchId(0),
                hash: 0,
            });
            scope.fence += 1;
            OpenScope::new(scope.watermark, scope.fence)
        });
        self.open().insert(index, (name.clone(), opened.fence));
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        Ok(self.with(|state| {
            let named = state
                .scopes
                .iter()
                .filter(|(name, _)| name.as_str().starts_with(prefix));
            named
                .map(|(name, scope)| (name.clone(), scope.watermark))
                .collect()
        }))
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let mut open = self.open();
        self.with(|state| {
            if from == to || !state.scopes.contains_key(from) {
                return Ok(());
            }
            if state.scopes.contains_key(to) {
                return Err(taken(from, to));
            }
            if let Some(scope) = state.scopes.remove(from) {
                state.scopes.insert(to.clone(), scope);
            }
            for (name, _) in open.values_mut().filter(|(name, _)| name == from) {
                *name = to.clone();
            }
            Ok(())
        })
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let open = self.open().clone();
        let mut delay = Duration::ZERO;
        let written = self.with(|state| {
            state.attempts.push(batch.id());
            if state.down {
                return Err(WriteError::new(ErrorKind::Transient, "the sink is down"));
            }
            match state.failures.pop_front() {
                Some(Failure::Before(error)) => Err(error),
                Some(Failure::After(error)) => state.write(&open, batch).and(Err(error)),
                Some(Failure::Late(late)) => {
                    delay = late;
                    state.write(&open, batch)
                }
                None => state.write(&open, batch),
            }
        });
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        written
    }

    async fn close(&self) -> Result<(), WriteError> {
        Ok(())
    }
}
