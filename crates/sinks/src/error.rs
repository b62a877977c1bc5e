//! Why a batch was not written.

use std::time::Duration;

use crate::receipt::RowOutcome;

/// What kind of failure it was, which decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It may work later: busy, locked, disk full, connection lost, overloaded.
    Transient,
    /// The sink refused the batch for what is in it; without some of its rows it may work. The
    /// error names the row where the sink did. Nothing of the batch was written.
    Data,
    /// The scope was opened by somebody else since; writing again can never work.
    Fenced,
    /// It will not work as things are: no such table, not a database, no permission.
    Fatal,
}

/// A batch was not written: none of its rows are in the sink, or the outcome is unknown and will
/// be found by the next attempt, in the ledger or by the ids of the rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WriteError {
    kind: ErrorKind,
    message: String,
    row: Option<usize>,
    retry_after: Option<Duration>,
    attempted: bool,
}

impl WriteError {
    /// A failure of this kind; `message` says what was attempted on what, and why it failed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            row: None,
            retry_after: None,
            attempted: true,
        }
    }

    /// The same, said of a batch that a layer refused before the sink got to see it: no attempt
    /// of the sink, so a retry does not count it as one.
    #[must_use]
    pub fn not_attempted(self) -> Self {
        Self {
            attempted: false,
            ..self
        }
    }

    /// The same failure with another message, for layers that know more about it.
    #[must_use]
    pub fn explained(self, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..self
        }
    }

    /// The same, with the index in the batch of the row that the sink blamed.
    #[must_use]
    pub fn at_row(self, row: usize) -> Self {
        Self {
            row: Some(row),
            ..self
        }
    }

    /// The same, with how long the sink asks to be left alone.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The index in the batch of the row that the sink blamed, where it named one.
    #[must_use]
    pub fn row(&self) -> Option<usize> {
        self.row
    }

    /// How long the sink asks to be left alone, where it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the sink got to see the batch; false when a layer such as an open breaker refused
    /// it before.
    #[must_use]
    pub fn was_attempted(&self) -> bool {
        self.attempted
    }

    /// What became of one row of the batch.
    #[must_use]
    pub fn outcome(&self, row: usize) -> RowOutcome<'_> {
        if self.kind == ErrorKind::Data && self.row == Some(row) {
            return RowOutcome::Rejected(&self.message);
        }
        RowOutcome::Retryable
    }
}
