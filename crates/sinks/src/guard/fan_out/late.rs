//! A writer whose scopes may be opened later: before their first write, where they could not be
//! opened at once.

use parking_lot::Mutex;

use crate::{
    Batch, BatchWriter, BoxWriter, OpenScope, Receipt, Row, ScopeIndex, ScopeName, WriteError,
};

#[derive(Debug)]
pub(super) struct LateWriter<R> {
    writer: BoxWriter<R>,
    unopened: Mutex<Vec<(ScopeIndex, ScopeName)>>,
}

impl<R: Row> LateWriter<R> {
    pub(super) fn new(writer: BoxWriter<R>) -> Self {
        Self {
            writer,
            unopened: Mutex::default(),
        }
    }

    pub(super) fn writer(&self) -> &BoxWriter<R> {
        &self.writer
    }

    pub(super) async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.writer.open_scope(index, name).await;
        let mut unopened = self.unopened.lock();
        unopened.retain(|(other, _)| *other != index);
        if opened.is_err() {
            unopened.push((index, name.clone()));
        }
        opened
    }

    /// Gives the scope its other name, also where it is not open yet.
    pub(super) async fn rename_scope(
        &self,
        from: &ScopeName,
        to: &ScopeName,
    ) -> Result<(), WriteError> {
        self.writer.rename_scope(from, to).await?;
        let mut unopened = self.unopened.lock();
        for (_, name) in unopened.iter_mut().filter(|(_, name)| name == from) {
            *name = to.clone();
        }
        Ok(())
    }

    /// Writes the batch, once the scopes of its rows are open.
    pub(super) async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        while let Some((index, name)) = self.unopened_of(batch) {
            self.open_scope(index, &name).await?;
        }
        self.writer.write(batch).await
    }

    fn unopened_of(&self, batch: &Batch<R>) -> Option<(ScopeIndex, ScopeName)> {
        let unopened = self.unopened.lock();
        let is_of = |index: ScopeIndex| batch.rows().iter().any(|row| row.scope == index);
        unopened.iter().find(|(index, _)| is_of(*index)).cloned()
    }
}
