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
    /// The sink gave it up, and the writer of the layer [`Fallback`](crate::Fallback) has it.
    Diverted,
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

/// A batch was written: every row is delivered, quarantined, rejected or diverted.
///
/// A sink with a quarantine of its own, as the SQL adapters have, rejects nothing. Around any
/// other, the layer [`Quarantine`](crate::Quarantine) keeps what was rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    rows: usize,
    repeated: usize,
    quarantined: Vec<Refused>,
    rejected: Vec<Refused>,
    diverted: Vec<usize>,
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
            diverted: Vec::new(),
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

    /// The same, when what was rejected is in a quarantine now.
    pub(crate) fn with_rejected_kept(mut self) -> Self {
        self.quarantined.append(&mut self.rejected);
        self.quarantined.sort_by_key(|refused| refused.row);
        self
    }

    /// The same, with the indexes of rows that a fallback has in place of the sink, ascending. They
    /// do not count as delivered.
    #[must_use]
    pub fn with_diverted(self, diverted: Vec<usize>) -> Self {
        debug_assert!(diverted.is_sorted());
        Self { diverted, ..self }
    }

    /// All rows, whatever became of them.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows in the sink.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.rows - self.quarantined.len() - self.rejected.len() - self.diverted.len()
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

    /// The number of rows that a fallback has in place of the sink.
    #[must_use]
    pub fn diverted(&self) -> usize {
        self.diverted.len()
    }

    /// The indexes of the rows that a fallback has in place of the sink, ascending.
    #[must_use]
    pub fn diverted_rows(&self) -> &[usize] {
        &self.diverted
    }

    /// What became of one row.
    #[must_use]
    pub fn outcome(&self, row: usize) -> RowOutcome<'_> {
        if let Some(reason) = reason_of(&self.quarantined, row) {
            RowOutcome::Quarantined(reason)
        } else if let Some(reason) = reason_of(&self.rejected, row) {
            RowOutcome::Rejected(reason)
        } else if self.diverted.binary_search(&row).is_ok() {
            RowOutcome::Diverted
        } else {
            RowOutcome::Delivered
        }
    }
}

fn reason_of(refused: &[Refused], row: usize) -> Option<&str> {
    let index = refused.binary_search_by_key(&row, |refused| refused.row);
    index.ok().map(|index| refused[index].reason.as_str())
}
