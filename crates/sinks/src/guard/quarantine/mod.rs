//! What a sink refused, kept in files that can be read again.
//!
//! [`Quarantine`] is the layer, [`QuarantineFiles`] the files, [`read`] their reader. A line is an
//! object with `scope`, `position`, `reason`, `quarantined_at`, and the content: `row` (the JSON of
//! the row), or `original` (input that is no row, as text) or `original_hex` where it is not UTF-8.
//! Lines are on the disk before the receipt says `quarantined`; the same row at the same place is
//! kept once, also over restarts. Files are capped in bytes and rows, and [`WhenFull`] says what
//! happens then. Files that were replayed may be deleted or moved away, all but the newest: that
//! makes room.

mod files;
mod read;

pub(in crate::guard) use files::Kept;

pub use files::{QuarantineFiles, QuarantineOptions, WhenFull};
pub use read::{QuarantineReadError, QuarantineReader, Quarantined, read};

use super::{BatchKey, Remembered, ScopeNames};
use crate::writer::forward_to_inner;
use crate::{Batch, BatchWriter, OpenScope, Receipt, ScopeIndex, ScopeName, WriteError};

/// Keeps the rows that the writer inside rejected in [`QuarantineFiles`].
///
/// It stands outside of [`Bisect`](crate::Bisect), which finds the rows. Around a sink with a
/// ledger of its own, whose watermark may pass a bad row before the row is kept, give the files to
/// [`Bisect::with_quarantine`](crate::Bisect::with_quarantine) instead.
///
/// When the files cannot be written the write fails; the receipt of the writer inside is
/// remembered, and the next attempt at the same batch only keeps what has to be kept.
///
/// ```
/// use sinks::{Bisect, MemoryWriter, Quarantine, QuarantineFiles, QuarantineOptions};
/// let files = QuarantineFiles::new(QuarantineOptions::new("quarantine"));
/// let writer = Quarantine::new(Bisect::new(MemoryWriter::new()), files);
/// ```
#[derive(Debug)]
pub struct Quarantine<W> {
    inner: W,
    files: QuarantineFiles,
    names: ScopeNames,
    unkept: Remembered<Receipt>,
}

impl<W: BatchWriter> Quarantine<W> {
    /// Keeps what `inner` rejects in `files`.
    pub fn new(inner: W, files: QuarantineFiles) -> Self {
        Self {
            inner,
            files,
            names: ScopeNames::default(),
            unkept: Remembered::new(),
        }
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &QuarantineFiles {
        &self.files
    }
}

impl<W: BatchWriter> BatchWriter for Quarantine<W> {
    type Row = W::Row;

    forward_to_inner!(name, guarantee, ready, close);

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.inner.open_scope(index, name).await?;
        self.names.open(index, name);
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, record::Position)>, WriteError> {
        self.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await?;
        self.names.rename(from, to);
        Ok(())
    }

    async fn write(&self, batch: &Batch<W::Row>) -> Result<Receipt, WriteError> {
        let known = self.unkept.key_of(batch);
        let known = known.and_then(|key| self.unkept.with(key, |receipt| receipt.clone()));
        let receipt = match known {
            Some(receipt) => receipt,
            None => self.inner.write(batch).await?,
        };
        if receipt.rejected().is_empty() {
            return Ok(receipt);
        }
        let key = BatchKey::of(batch);
        self.unkept.put(key, batch.len(), receipt.clone());
        let names = |index| self.names.name_of(index);
        let is_kept = self.files.keep(batch, receipt.rejected(), names).await?;
        self.unkept.take(key);
        Ok(match is_kept {
            Kept::All => receipt.with_rejected_kept(),
            Kept::NoneForLackOfRoom => receipt,
        })
    }
}
