//! A sink of a known speed that can be dead for a while, and keeps nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use record::Record;
use sinks::{Batch, BatchWriter, ErrorKind, Receipt, WriteError};

/// What a write costs beside its rows.
const WRITE: Duration = Duration::from_millis(1);

/// Takes so many rows per second in each write; writes side by side do not slow each other.
pub(super) struct Slow {
    pub(super) rows_per_s: u64,
    pub(super) is_dead: Arc<AtomicBool>,
}

impl BatchWriter for Slow {
    type Row = Record;

    fn name(&self) -> &str {
        "slow"
    }

    async fn write(&self, batch: &Batch<Record>) -> Result<Receipt, WriteError> {
        let rows = batch.len() as u64;
        tokio::time::sleep(WRITE + Duration::from_micros(rows * 1_000_000 / self.rows_per_s)).await;
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(WriteError::new(ErrorKind::Transient, "the sink is dead"));
        }
        Ok(Receipt::delivered_all(batch.len()))
    }
}
