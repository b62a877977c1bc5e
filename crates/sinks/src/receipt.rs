//! What became of each row of a written batch.

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome<'a> {
    /// It is in the sink, by this write or by an earlier one of the same row.
    Delivered,
    /// It is in the quarantine, for this reason.
    Quarantined(&'a str),
    /// It is not in the sink and may be written again.
    Retryable,
}

/// A row that the sink could not take, now in its quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its index in the batch.
    pub row: usize,
    /// Why.
    pub reason: String,
}

/// A batch was written: every row is either delivered or quarantined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    rows: usize,
    repeated: usize,
    quarantined: Vec<Quarantined>,
}

impl Receipt {
    /// Of so many `rows`, `repeated` had been written before, and these went into quarantine, in
    /// the order of the rows.
    #[must_use]
    pub fn new(rows: usize, repeated: usize, quarantined: Vec<Quarantined>) -> Self {
        debug_assert!(quarantined.is_sorted_by_key(|quarantined| quarantined.row));
        Self {
            rows,
            repeated,
            quarantined,
        }
    }

    /// Rows in the sink.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.rows - self.quarantined.len()
    }

    /// Rows that an earlier write had settled already: the answer to that write was lost.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Rows in the quarantine.
    #[must_use]
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }

    /// What became of one row.
    #[must_use]
    pub fn outcome(&self, row: usize) -> RowOutcome<'_> {
        match self
            .quarantined
            .binary_search_by_key(&row, |quarantined| quarantined.row)
        {
            Ok(index) => RowOutcome::Quarantined(&self.quarantined[index].reason),
            Err(_) => RowOutcome::Delivered,
        }
    }
}
