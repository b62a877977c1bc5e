//! The layer right behind the pipeline: every attempt of a batch has the same rows (law 7), and of
//! which rows the pipeline was told that the sink has them, so that it must not hand them back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use record::Position;
use sinks::{
    Batch, BatchId, BatchWriter, BoxWriter, Entry, Guarantee, OpenScope, Receipt, ScopeIndex,
    ScopeName, WriteError,
};

use crate::trace::Trace;
use crate::witness::Id;

/// Batches are remembered for the life of one pipeline, since the next may number them alike.
#[derive(Clone)]
pub(crate) struct Attempts {
    inner: BoxWriter,
    rows: Arc<Mutex<HashMap<BatchId, Vec<RowOf>>>>,
    settled: Settled,
    trace: Trace,
}

/// The rows of batches for which the pipeline got a receipt.
#[derive(Clone, Default)]
pub(crate) struct Settled(Arc<Mutex<HashSet<RowOf>>>);

impl Settled {
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        self.0.lock().contains(&row_of(entry))
    }
}

type RowOf = (ScopeIndex, Position, Option<Id>);

impl Attempts {
    pub(crate) fn new(inner: BoxWriter, trace: Trace) -> Self {
        Self {
            inner,
            rows: Arc::default(),
            settled: Settled::default(),
            trace,
        }
    }

    pub(crate) fn settled(&self) -> Settled {
        self.settled.clone()
    }
}

fn row_of(entry: &Entry) -> RowOf {
    (entry.scope, entry.position, Id::of(entry))
}

impl BatchWriter for Attempts {
    type Row = record::Record;

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    async fn ready(&self) {
        self.inner.ready().await;
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.inner.open_scope(index, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let rows: Vec<RowOf> = batch.rows().iter().map(row_of).collect();
        let before = self.rows.lock().insert(batch.id(), rows.clone());
        if before.is_some_and(|before| before != rows) {
            let message = format!("law 7: batch {} came again with other rows", batch.id());
            self.trace.broke(message);
        }
        let written = self.inner.write(batch).await;
        if written.is_ok() {
            self.settled.0.lock().extend(rows);
        }
        written
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.inner.close().await
    }
}
