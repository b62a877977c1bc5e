//! A sink in memory, with failures on order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::{Position, Record};

use crate::{
    Batch, BatchId, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Refused, ScopeIndex,
    ScopeName, WriteError,
};

/// A sink in memory, for tests and examples: keeps a ledger like a database, and fails as it is
/// told to.
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
#[derive(Clone, Debug, Default)]
pub struct MemoryWriter {
    state: Arc<Mutex<State>>,
    /// The scopes that this handle and its clones opened.
    open: Arc<Mutex<OpenScopes>>,
}

type OpenScopes = BTreeMap<ScopeIndex, (ScopeName, u64)>;

#[derive(Debug, Default)]
struct State {
    scopes: BTreeMap<ScopeName, OpenScope>,
    delivered: Vec<(ScopeName, Position, Record)>,
    quarantined: Vec<(ScopeName, Position, String)>,
    attempts: Vec<BatchId>,
    failures: VecDeque<Failure>,
    down: bool,
}

#[derive(Debug)]
enum Failure {
    Before(WriteError),
    After(WriteError),
    Late(Duration),
}

impl MemoryWriter {
    /// An empty sink.
    #[must_use]
    pub fn new() -> Self {
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
    pub fn delivered(&self) -> Vec<(ScopeName, Position, Record)> {
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

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// The scope, if this writer still holds it.
    fn held(&self, open: &OpenScopes, index: ScopeIndex) -> Result<&OpenScope, WriteError> {
        let (name, fence) = scope_of(open, index)?;
        self.scopes
            .get(&name)
            .filter(|scope| scope.fence == fence)
            .ok_or_else(|| {
                WriteError::new(
                    ErrorKind::Fenced,
                    format!("scope `{name}` was opened by another writer"),
                )
            })
    }

    fn write(&mut self, open: &OpenScopes, batch: &Batch) -> Result<Receipt, WriteError> {
        for row in batch.rows() {
            self.held(open, row.scope)?;
        }
        let (mut repeated, mut quarantined) = (0, Vec::new());
        for (index, row) in batch.rows().iter().enumerate() {
            let (name, _) = scope_of(open, row.scope)?;
            let Some(scope) = self.scopes.get_mut(&name) else {
                continue;
            };
            let is_new = row.position > scope.watermark;
            scope.watermark = scope.watermark.max(row.position);
            if !is_new {
                repeated += 1;
            }
            match &row.content {
                Ok(record) if is_new => {
                    self.delivered.push((name, row.position, record.clone()));
                }
                Ok(_) => {}
                Err(malformed) => {
                    let reason = malformed.reason().to_owned();
                    if is_new {
                        self.quarantined.push((name, row.position, reason.clone()));
                    }
                    quarantined.push(Refused { row: index, reason });
                }
            }
        }
        Ok(Receipt::new(batch.rows().len(), repeated, quarantined))
    }
}

fn scope_of(open: &OpenScopes, index: ScopeIndex) -> Result<(ScopeName, u64), WriteError> {
    open.get(&index)
        .cloned()
        .ok_or_else(|| WriteError::new(ErrorKind::Fatal, format!("scope {} is not open", index.0)))
}

impl BatchWriter for MemoryWriter {
    type Row = Record;

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
            let scope = state.scopes.entry(name.clone()).or_insert(OpenScope {
                watermark: Position::START,
                fence: 0,
            });
            scope.fence += 1;
            *scope
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
        self.with(|state| {
            if let Some(scope) = state.scopes.remove(from) {
                state.scopes.insert(to.clone(), scope);
            }
        });
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
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
