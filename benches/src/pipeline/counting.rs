//! A sink that counts: what reaches it, and whether it is all there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use record::Record;
use sinks::{Batch, BatchWriter, Receipt, WriteError};

use super::rows;

/// Counts rows and adds up their numbers; a clone is another handle.
#[derive(Clone, Default)]
pub(super) struct Counting {
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    rows: AtomicU64,
    sum: AtomicU64,
}

impl Counting {
    /// Whether it got exactly these.
    pub(super) fn check(&self, rows: u64, sum: u64) -> Result<()> {
        let got = self.counted.rows.load(Ordering::SeqCst);
        ensure!(got == rows, "{got} rows reached the sink, expected {rows}");
        let got = self.counted.sum.load(Ordering::SeqCst);
        ensure!(got == sum, "other rows reached the sink than were sent");
        Ok(())
    }
}

impl BatchWriter for Counting {
    type Row = Record;

    fn name(&self) -> &str {
        "counting"
    }

    async fn write(&self, batch: &Batch<Record>) -> Result<Receipt, WriteError> {
        let records = batch.rows().iter().flat_map(|row| &row.content);
        let sum = records.fold(0_u64, |sum, record| sum.wrapping_add(rows::number(record)));
        self.counted
            .rows
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.counted.sum.fetch_add(sum, Ordering::Relaxed);
        Ok(Receipt::delivered_all(batch.len()))
    }
}
