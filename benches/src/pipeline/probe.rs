//! A layer that measures how old rows are when they are written, and whether they are in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use record::{Priority, Record};
use sinks::{Batch, BatchWriter, OpenScope, Receipt, ScopeIndex, ScopeName, WriteError};

use super::offer::{TAGS, micros_since};

/// The layer around a writer. Records carry the moment of their offer, and the number of their tag.
pub(super) struct Probe<W> {
    inner: W,
    seen: Arc<Seen>,
}

/// What was written.
pub(super) struct Seen {
    epoch: Instant,
    rows: AtomicU64,
    /// Rows that came again, or behind one that was offered after them.
    disordered: AtomicU64,
    lanes: Mutex<[Lane; 4]>,
}

struct Lane {
    ages_us: Vec<u32>,
    /// The stamp of the last row of each tag.
    last: [i64; TAGS],
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            ages_us: Vec::new(),
            last: [0; TAGS],
        }
    }
}

impl<W> Probe<W> {
    pub(super) fn new(inner: W, epoch: Instant) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen {
            epoch,
            rows: AtomicU64::new(0),
            disordered: AtomicU64::new(0),
            lanes: Mutex::default(),
        });
        let probe = Self {
            inner,
            seen: Arc::clone(&seen),
        };
        (probe, seen)
    }
}

impl Seen {
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::SeqCst)
    }

    /// Whether the rows of each key came once each and in order, lane by lane.
    pub(super) fn check_order(&self) -> Result<()> {
        let disordered = self.disordered.load(Ordering::SeqCst);
        ensure!(
            disordered == 0,
            "{disordered} rows came twice or out of order"
        );
        Ok(())
    }

    /// So many of 100 rows of a lane were younger when they were written; NaN without any.
    pub(super) fn age_ms(&self, lane: Priority, percentile: f64) -> f64 {
        let mut ages = self.lanes.lock()[lane as usize].ages_us.clone();
        ages.sort_unstable();
        let index = (ages.len() as f64 * percentile / 100.0) as usize;
        ages.get(index.min(ages.len().saturating_sub(1)))
            .map_or(f64::NAN, |age| f64::from(*age) / 1e3)
    }

    /// Forgets how old rows were so far.
    pub(super) fn forget_ages(&self) {
        for lane in &mut *self.lanes.lock() {
            lane.ages_us.clear();
        }
    }

    /// How old the oldest row was that was written since [`forget_ages`](Self::forget_ages).
    pub(super) fn age_max(&self) -> Option<Duration> {
        let lanes = self.lanes.lock();
        let oldest = lanes.iter().flat_map(|lane| &lane.ages_us).max();
        oldest.map(|age| Duration::from_micros(u64::from(*age)))
    }

    fn note(&self, batch: &Batch<Record>) {
        let now = micros_since(self.epoch);
        let mut disordered = 0;
        let mut lanes = self.lanes.lock();
        for record in batch.rows().iter().flat_map(|row| &row.content) {
            let lane = &mut lanes[record.priority.unwrap_or_default() as usize];
            let stamp = record.timestamp.micros();
            let tag = record.tag.as_str()[1..].parse::<usize>().unwrap_or(0) % TAGS;
            disordered += u64::from(stamp <= lane.last[tag]);
            lane.last[tag] = stamp;
            let age = u32::try_from((now - stamp).max(0)).unwrap_or(u32::MAX);
            lane.ages_us.push(age);
        }
        drop(lanes);
        self.disordered.fetch_add(disordered, Ordering::SeqCst);
        self.rows.fetch_add(batch.len() as u64, Ordering::SeqCst);
    }
}

impl<W: BatchWriter<Row = Record>> BatchWriter for Probe<W> {
    type Row = Record;

    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.inner.open_scope(index, name).await
    }

    async fn write(&self, batch: &Batch<Record>) -> Result<Receipt, WriteError> {
        let receipt = self.inner.write(batch).await?;
        self.seen.note(batch);
        Ok(receipt)
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.inner.close().await
    }
}
