//! Our writers, as a program uses them: a scope, batches, a ledger.

use std::time::Instant;

use anyhow::{Result, ensure};
use sinks::{BatchWriter, ScopeIndex, ScopeName};

use super::rows::{self, ROWS};

/// Writes all batches and says how many rows per second that was. Connecting and opening the scope
/// is not part of it.
pub(crate) fn write(
    runtime: &tokio::runtime::Runtime,
    writer: &impl BatchWriter<Row = record::Record>,
    rows_per_batch: usize,
) -> Result<f64> {
    let batches = rows::batches(rows_per_batch);
    runtime.block_on(async {
        writer
            .open_scope(ScopeIndex(0), &ScopeName::new("bench"))
            .await?;
        let started = Instant::now();
        let mut delivered = 0;
        for batch in &batches {
            delivered += writer.write(batch).await?.delivered();
        }
        let seconds = started.elapsed().as_secs_f64();
        ensure!(
            delivered == ROWS,
            "{delivered} rows delivered, expected {ROWS}"
        );
        writer.close().await?;
        Ok(ROWS as f64 / seconds)
    })
}
