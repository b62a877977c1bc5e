//! What one writes by hand instead of a pipeline: a channel, a loop that collects a vector until it
//! is long enough or the clock ticks, and the same writer.
//!
//! It keeps the order, slows its producers when the channel is full, and tries a failed batch
//! again after a pause, which is the least that can be asked. It has no lanes, no account, no
//! positions that survive a restart, and no statistics.

use std::time::{Duration, Instant};

use record::{Position, Record};
use sinks::{Batch, BatchId, BatchWriter, Entry, ScopeIndex};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Places of the channel, and of our buffer.
pub(super) const CHANNEL: usize = 10_000;
/// Rows of a batch.
pub(super) const BATCH: usize = 500;
/// How long the first row of a batch waits at most.
pub(super) const INTERVAL: Duration = Duration::from_millis(25);
/// How long a failed batch rests.
const PAUSE: Duration = Duration::from_millis(100);

/// How the rows are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collect {
    /// `recv_many` and an interval, by `select!`.
    ByHand,
    /// `chunks_timeout` of `tokio-stream`.
    ChunksTimeout,
}

/// Starts it on the current runtime; it ends when all senders are gone and everything is written.
pub(super) fn start(
    collect: Collect,
    writer: impl BatchWriter<Row = Record>,
) -> (Sender<Record>, JoinHandle<()>) {
    let (sender, receiver) = channel(CHANNEL);
    let write = Write {
        writer,
        position: 0,
        batch: 0,
    };
    let task = match collect {
        Collect::ByHand => tokio::spawn(by_hand(receiver, write)),
        Collect::ChunksTimeout => tokio::spawn(chunks_timeout(receiver, write)),
    };
    (sender, task)
}

async fn by_hand(mut receiver: Receiver<Record>, mut write: Write<impl BatchWriter<Row = Record>>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rows = Vec::with_capacity(BATCH);
    loop {
        let left = BATCH - rows.len();
        let is_due = tokio::select! {
            received = receiver.recv_many(&mut rows, left) => match received {
                0 => break,
                _ => rows.len() == BATCH,
            },
            _ = ticks.tick() => !rows.is_empty(),
        };
        if is_due {
            write.all(&mut rows).await;
        }
    }
    if !rows.is_empty() {
        write.all(&mut rows).await;
    }
}

async fn chunks_timeout(
    receiver: Receiver<Record>,
    mut write: Write<impl BatchWriter<Row = Record>>,
) {
    let chunks = ReceiverStream::new(receiver).chunks_timeout(BATCH, INTERVAL);
    let mut chunks = std::pin::pin!(chunks);
    while let Some(mut rows) = chunks.next().await {
        write.all(&mut rows).await;
    }
}

/// The writer, and what the rows of its batches need beside the record.
struct Write<W> {
    writer: W,
    position: u64,
    batch: u64,
}

impl<W: BatchWriter<Row = Record>> Write<W> {
    async fn all(&mut self, rows: &mut Vec<Record>) {
        let mut entries = Vec::with_capacity(rows.len());
        let arrival = Instant::now();
        for record in rows.drain(..) {
            self.position += 1;
            entries.push(Entry {
                scope: ScopeIndex(0),
                position: Position::new(self.position),
                arrival,
                content: Ok(record),
            });
        }
        self.batch += 1;
        let batch = Batch::new(BatchId(self.batch), entries);
        while self.writer.write(&batch).await.is_err() {
            sleep(PAUSE).await;
        }
    }
}
