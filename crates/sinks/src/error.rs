//! Why a batch was not written.

use crate::receipt::RowOutcome;

/// What kind of failure it was, which decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It may work later: busy, locked, disk full, connection lost.
    Transient,
    /// The scope was opened by somebody else since; writing again can never work.
    Fenced,
    /// It will not work as things are: no such table, not a database, no permission.
    Fatal,
}

/// A batch was not written: none of its rows are in the sink, or the outcome is unknown and will
/// be read from the ledger by the next attempt. All its rows are retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WriteError {
    kind: ErrorKind,
    message: String,
}

impl WriteError {
    /// A failure of this kind; `message` says what was attempted on what, and why it failed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What became of one row of the batch.
    #[must_use]
    pub fn outcome(&self, _row: usize) -> RowOutcome<'_> {
        RowOutcome::Retryable
    }
}
