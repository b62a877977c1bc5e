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
    /// Of so many `rows`, `repeated` had been written before, and these went into quarantine. A row
    /// that there is not, or that is named twice, counts once or not at all.
    #[must_use]
    pub fn new(rows: usize, repeated: usize, quarantined: Vec<Refused>) -> Self {
        Self {
            rows,
            repeated: repeated.min(rows),
            quarantined: in_order(quarantined, rows),
            rejected: Vec::new(),
            diverted: Vec::new(),
        }
    }

    /// All of so many `rows` are delivered.
    #[must_use]
    pub fn delivered_all(rows: usize) -> Self {
        Self::new(rows, 0, Vec::new())
    }

    /// The same, with rows that were refused and are kept nowhere. One that is in quarantine is
    /// none of them.
    #[must_use]
    pub fn with_rejected(self, rejected: Vec<Refused>) -> Self {
        let mut rejected = in_order(rejected, self.rows);
        rejected.retain(|refused| reason_of(&self.quarantined, refused.row).is_none());
        Self { rejected, ..self }
    }

    /// The same, when what was rejected is in a quarantine now.
    pub(crate) fn with_rejected_kept(mut self) -> Self {
        self.quarantined.append(&mut self.rejected);
        self.quarantined.sort_by_key(|refused| refused.row);
        self
    }

    /// The same, with the indexes of rows that a fallback has in place of the sink. They do not
    /// count as delivered. Refused rows are none of them.
    #[must_use]
    pub fn with_diverted(self, mut diverted: Vec<usize>) -> Self {
        if !diverted.is_sorted() {
            diverted.sort_unstable();
        }
        diverted.dedup();
        diverted.retain(|row| {
            let is_refused = |refused| reason_of(refused, *row).is_some();
            *row < self.rows && !is_refused(&self.quarantined) && !is_refused(&self.rejected)
        });
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
        let elsewhere = self.quarantined.len() + self.rejected.len() + self.diverted.len();
        self.rows.saturating_sub(elsewhere)
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

/// Each row once, in the order of the rows; of two reasons the first.
fn in_order(mut refused: Vec<Refused>, rows: usize) -> Vec<Refused> {
    refused.sort_by_key(|refused| refused.row);
    refused.dedup_by_key(|refused| refused.row);
    refused.retain(|refused| refused.row < rows);
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(row: usize) -> Refused {
        Refused {
            row,
            reason: row.to_string(),
        }
    }

    #[test]
    fn a_receipt_that_contradicts_itself_adds_up_all_the_same() {
        let receipt = Receipt::new(4, 9, vec![refused(2), refused(0), refused(2), refused(4)])
            .with_rejected(vec![refused(2), refused(1), refused(7)])
            .with_diverted(vec![3, 1, 3, 12]);
        assert_eq!(receipt.quarantined(), [refused(0), refused(2)]);
        assert_eq!(receipt.rejected(), [refused(1)]);
        assert_eq!(receipt.diverted_rows(), [3]);
        assert_eq!((receipt.delivered(), receipt.repeated()), (0, 4));
        assert_eq!(receipt.outcome(2), RowOutcome::Quarantined("2"));
    }
}
