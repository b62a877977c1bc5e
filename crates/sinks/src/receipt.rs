//! What became of each row of a written batch.

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowOutcome<'a> {
    /// It is in the sink, by this write or by an earlier one of the same row.
    Delivered,
    /// It is in the quarantine, for this reason.
    Quarantined(&'a str),
    /// The sink refused it, for this reason, and it is kept nowhere yet.
    Rejected(&'a str),
    /// It is not in the sink and may be written again.
    Retryable,
}

/// A row that the sink could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the batch.
    pub row: usize,
    /// Why.
    pub reason: String,
}

/// A batch was written: every row is delivered, quarantined or rejected.
///
/// A sink with a quarantine of its own, as the SQL adapters have, rejects nothing. Around any
/// other, the layer [`Quarantine`](crate::Quarantine) keeps what was rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    rows: usize,
    repeated: usize,
    quarantined: Vec<Refused>,
    rejected: Vec<Refused>,
}

impl Receipt {
    /// Of so many `rows`, `repeated` had been written before, and these went into quarantine, in
    /// the order of the rows.
    #[must_use]
    pub fn new(rows: usize, repeated: usize, quarantined: Vec<Refused>) -> Self {
        debug_assert!(quarantined.is_sorted_by_key(|refused| refused.row));
        Self {
            rows,
            repeated,
            quarantined,
            rejected: Vec::new(),
        }
    }

    /// All of so many `rows` are delivered.
    #[must_use]
    pub fn delivered_all(rows: usize) -> Self {
        Self::new(rows, 0, Vec::new())
    }

    /// The same, with rows that were refused and are kept nowhere, in the order of the rows.
    #[must_use]
    pub fn with_rejected(self, rejected: Vec<Refused>) -> Self {
        debug_assert!(rejected.is_sorted_by_key(|refused| refused.row));
        Self { rejected, ..self }
    }

    /// All rows, whatever became of them.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows in the sink.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.rows - self.quarantined.len() - self.rejected.len()
    }

    /// Rows that an earlier write had settled already: the answer to that write was lost.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Rows in the quarantine.
    #[must_use]
    pub fn quarantined(&self) -> &[Refused] {
        &self.quarantined
    }

    /// Rows that were refused and are kept nowhere.
    #[must_use]
    pub fn rejected(&self) -> &[Refused] {
        &self.rejected
    }

    /// What became of one row.
    #[must_use]
    pub fn outcome(&self, row: usize) -> RowOutcome<'_> {
        if let Some(reason) = reason_of(&self.quarantined, row) {
            RowOutcome::Quarantined(reason)
        } else if let Some(reason) = reason_of(&self.rejected, row) {
            RowOutcome::Rejected(reason)
        } else {
            RowOutcome::Delivered
        }
    }
}

fn reason_of(refused: &[Refused], row: usize) -> Option<&str> {
    let index = refused.binary_search_by_key(&row, |refused| refused.row);
    index.ok().map(|index| refused[index].reason.as_str())
}
