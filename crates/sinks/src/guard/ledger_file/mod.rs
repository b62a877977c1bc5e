//! A ledger for sinks that keep none: watermarks in a small local file.
//!
//! HTTP and closures cannot commit rows and a watermark together. [`Ledger`] keeps the watermark
//! beside them: what lies at or below it never reaches the writer inside again,
//! whatever the boundaries of batches are. The file (versioned JSON, one row per scope) is replaced
//! by a temporary file, fsync, rename and fsync of the directory; it is saved once per batch, and
//! batches that settle at the same time share one save. A lock beside it, `<file>.lock`, keeps
//! other processes away.
//!
//! It is [`Guarantee::AtLeastOnce`]: after a crash between the write and the save, or an unknown
//! outcome, the batch in flight is offered once more, with the same id and the same rows.

mod file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use record::Position;

use super::{Selection, at_row_of, blocking};
use crate::ledger::{LedgerPlan, Mark, fenced, not_open, taken};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchId, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Refused, RowOutcome,
    ScopeIndex, ScopeName, WriteError,
};
use file::{LedgerFile, Scopes};

/// Keeps watermarks in a file for the writer inside, which gets only rows above them.
///
/// It belongs outside of [`Quarantine`](crate::Quarantine) and all layers in it: then a row that
/// was quarantined is settled as well, and a batch costs one save. The file is opened at the first
/// use, not before; a ledger that another process has open is an error of [`ErrorKind::Fatal`].
///
/// ```
/// use sinks::{Batch, FnWriter, Ledger, Receipt};
/// let post = FnWriter::new("post", |batch: &Batch| Ok(Receipt::delivered_all(batch.len())));
/// let writer = Ledger::new(post, "forebay-data/post.ledger.json");
/// # let _ = writer;
/// ```
#[derive(Debug)]
pub struct Ledger<W> {
    inner: W,
    shared: Arc<Shared>,
    /// What this writer opened.
    open: Mutex<HashMap<ScopeIndex, (ScopeName, u64)>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Never held while files are touched, but for reading the file once.
    state: Mutex<Option<State>>,
    /// Held while the file is saved.
    file: Mutex<Option<LedgerFile>>,
}

#[derive(Debug)]
struct State {
    scopes: Scopes,
    /// Grows with each change; the file knows which of them it has.
    version: u64,
    /// What became of the rows of the last batch that were not delivered, for when its receipt was
    /// lost. Of this run.
    last: HashMap<ScopeName, Vec<(Position, Undelivered)>>,
}

#[derive(Clone, Debug)]
enum Undelivered {
    Quarantined(String),
    Rejected(String),
    Diverted,
}

impl<W: BatchWriter> Ledger<W> {
    /// Keeps the ledger of `inner` in the file at `path`.
    pub fn new(inner: W, path: impl Into<PathBuf>) -> Self {
        Self {
            inner,
            shared: Arc::new(Shared {
                path: path.into(),
                state: Mutex::default(),
                file: Mutex::default(),
            }),
            open: Mutex::default(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads the file unless that was done.
    async fn loaded(&self) -> Result<(), WriteError> {
        if self.shared.state.lock().is_some() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.load()).await
    }

    /// Returns once the file has every change up to now.
    async fn saved(&self) -> Result<(), WriteError> {
        let version = self.shared.with(|state| Ok(state.version))?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.save(version)).await
    }

    /// The scope that `index` stands for, while it is ours.
    fn held(&self, state: &State, index: ScopeIndex) -> Result<(ScopeName, file::Row), WriteError> {
        let open = self.open.lock().get(&index).cloned();
        let (name, fence) = open.ok_or_else(|| not_open(index))?;
        let row = state.scopes.get(name.as_str()).cloned().unwrap_or_default();
        if row.fence != fence {
            return Err(fenced(&name, row.fence, fence));
        }
        Ok((name, row))
    }

    fn plan(&self, batch: &Batch<W::Row>) -> Result<LedgerPlan, WriteError> {
        self.shared.with(|state| {
            LedgerPlan::new(batch, |scope| {
                let (_, row) = self.held(state, scope)?;
                Ok(Mark {
                    scope,
                    watermark: Position::new(row.position),
                    batch: BatchId(row.batch),
                    hash: row.hash,
                })
            })
        })
    }

    /// Advances the marks, in memory.
    fn advance(
        &self,
        batch: &Batch<W::Row>,
        plan: &LedgerPlan,
        receipt: &Receipt,
    ) -> Result<(), WriteError> {
        self.shared.with(|state| {
            for mark in plan.marks() {
                let (name, row) = self.held(state, mark.scope)?;
                if mark.watermark.number() <= row.position {
                    continue;
                }
                let rows = batch.rows().iter().enumerate();
                let rows = rows.filter(|(_, entry)| entry.scope == mark.scope);
                let undelivered = rows.filter_map(|(index, entry)| {
                    let undelivered = match receipt.outcome(index) {
                        RowOutcome::Quarantined(reason) => {
                            Undelivered::Quarantined(reason.to_owned())
                        }
                        RowOutcome::Rejected(reason) => Undelivered::Rejected(reason.to_owned()),
                        RowOutcome::Diverted => Undelivered::Diverted,
                        RowOutcome::Delivered | RowOutcome::Retryable => return None,
                    };
                    Some((entry.position, undelivered))
                });
                state.last.insert(name.clone(), undelivered.collect());
                let row = file::Row {
                    fence: row.fence,
                    position: mark.watermark.number(),
                    batch: mark.batch.0,
                    hash: mark.hash,
                };
                state.scopes.insert(name.as_str().to_owned(), row);
                state.version += 1;
            }
            Ok(())
        })
    }

    /// What the rows that were not delivered became: those of `receipt`, which is about the fresh
    /// rows, and of the others what is known of them.
    fn receipt_of(
        &self,
        batch: &Batch<W::Row>,
        plan: &LedgerPlan,
        fresh: Option<(&Selection<W::Row>, &Receipt)>,
    ) -> Result<Receipt, WriteError> {
        let mut undelivered: Vec<(usize, Undelivered)> = self.shared.with(|state| {
            let mut known = Vec::new();
            for index in plan.repeated_rows() {
                let entry = &batch.rows()[index];
                let (name, _) = self.held(state, entry.scope)?;
                let last = state.last.get(&name).into_iter().flatten();
                let mut last = last.filter(|(position, _)| *position == entry.position);
                known.extend(last.next().map(|(_, what)| (index, what.clone())));
            }
            Ok(known)
        })?;
        let mut repeated = plan.repeated();
        if let Some((selection, receipt)) = fresh {
            repeated += receipt.repeated();
            let row = |refused: &Refused| (selection.row(refused.row), refused.reason.clone());
            let quarantined = receipt.quarantined().iter().map(row);
            let rejected = receipt.rejected().iter().map(row);
            let diverted = receipt.diverted_rows().iter();
            undelivered.extend(quarantined.map(|(row, why)| (row, Undelivered::Quarantined(why))));
            undelivered.extend(rejected.map(|(row, why)| (row, Undelivered::Rejected(why))));
            undelivered.extend(diverted.map(|row| (selection.row(*row), Undelivered::Diverted)));
        }
        undelivered.sort_by_key(|(row, _)| *row);
        let (mut quarantined, mut rejected, mut diverted) = (Vec::new(), Vec::new(), Vec::new());
        for (row, what) in undelivered {
            match what {
                Undelivered::Quarantined(reason) => quarantined.push(Refused { row, reason }),
                Undelivered::Rejected(reason) => rejected.push(Refused { row, reason }),
                Undelivered::Diverted => diverted.push(row),
            }
        }
        Ok(Receipt::new(batch.len(), repeated, quarantined)
            .with_rejected(rejected)
            .with_diverted(diverted))
    }
}

impl Shared {
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        match &mut *self.state.lock() {
            Some(state) => act(state),
            None => Err(WriteError::new(
                ErrorKind::Fatal,
                format!(
                    "the ledger {} is not open: no scope is",
                    self.path.display()
                ),
            )),
        }
    }

    fn load(&self) -> Result<(), WriteError> {
        let mut file = self.file.lock();
        if file.is_some() {
            return Ok(());
        }
        let (opened, scopes) = LedgerFile::open(&self.path)?;
        *self.state.lock() = Some(State {
            scopes,
            version: 0,
            last: HashMap::new(),
        });
        *file = Some(opened);
        Ok(())
    }

    /// Saves what is newest, unless another caller's save has this version already.
    fn save(&self, version: u64) -> Result<(), WriteError> {
        let mut file = self.file.lock();
        let Some(file) = file.as_mut() else {
            return Ok(());
        };
        if file.version >= version {
            return Ok(());
        }
        let (newest, contents) =
            self.with(|state| Ok((state.version, file::contents(&state.scopes)?)))?;
        file.save(&contents)?;
        file.version = newest;
        Ok(())
    }
}

impl<W: BatchWriter> BatchWriter for Ledger<W>
where
    W::Row: Clone,
{
    type Row = W::Row;

    forward_to_inner!(name, ready);

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    /// Opens the scope here and in the writer inside; the higher of both watermarks holds.
    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.loaded().await?;
        let inner = self.inner.open_scope(index, name).await?;
        let opened = self.shared.with(|state| {
            let row = state.scopes.entry(name.as_str().to_owned()).or_default();
            row.fence += 1;
            state.version += 1;
            let position = Position::new(row.position);
            Ok(OpenScope {
                watermark: position.max(inner.watermark),
                fence: row.fence,
                numbered_to: position.max(inner.numbered_to),
            })
        })?;
        let before = self.open.lock().insert(index, (name.clone(), opened.fence));
        if let Some((before, _)) = before.filter(|(before, _)| before != name) {
            // Its rows come no more.
            self.shared.with(|state| Ok(state.last.remove(&before)))?;
        }
        self.saved().await?;
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.loaded().await?;
        self.shared.with(|state| {
            let named = state.scopes.iter();
            let named = named.filter(|(name, _)| name.starts_with(prefix));
            Ok(named
                .map(|(name, row)| (ScopeName::new(name.as_str()), Position::new(row.position)))
                .collect())
        })
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.loaded().await?;
        // Before the writer inside knows it by another name.
        self.shared
            .with(|state| match state.scopes.contains_key(to.as_str()) {
                true if from != to => Err(taken(from, to)),
                _ => Ok(()),
            })?;
        self.inner.rename_scope(from, to).await?;
        self.shared.with(|state| {
            if from == to || !state.scopes.contains_key(from.as_str()) {
                return Ok(());
            }
            if state.scopes.contains_key(to.as_str()) {
                return Err(taken(from, to));
            }
            if let Some(row) = state.scopes.remove(from.as_str()) {
                state.scopes.insert(to.as_str().to_owned(), row);
            }
            if let Some(last) = state.last.remove(from) {
                state.last.insert(to.clone(), last);
            }
            for (name, _) in self.open.lock().values_mut() {
                if name == from {
                    *name = to.clone();
                }
            }
            state.version += 1;
            Ok(())
        })?;
        self.saved().await
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        self.loaded().await?;
        let plan = self.plan(batch)?;
        if plan.fresh_len() == 0 {
            // The save may be what failed the last time.
            self.saved().await?;
            return self.receipt_of(batch, &plan, None);
        }
        let fresh = Selection::of(batch, |row, _| plan.is_fresh(row));
        let receipt = self.inner.write(&fresh.batch).await;
        let receipt = receipt.map_err(|error| at_row_of(error, |row| fresh.row(row)))?;
        let receipt = self.receipt_of(batch, &plan, Some((&fresh, &receipt)))?;
        self.advance(batch, &plan, &receipt)?;
        self.saved().await?;
        Ok(receipt)
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.inner.close().await?;
        if self.shared.state.lock().is_some() {
            self.saved().await?;
        }
        Ok(())
    }
}
