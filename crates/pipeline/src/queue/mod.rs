//! One queue of a lane: its buffer, its account, and the task that empties it.
//!
//! A lane has one queue, or several among which its scopes are dealt out. One batch of a queue is
//! in flight at a time, so the order of acceptance is the order of delivery, through every retry.

mod driver;
mod lend;
mod moving;
mod supervise;
mod turn;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use buffer_core::{Crossing, Demand, Direction, Ring};
use flush_policy::Reason;
use futures_util::FutureExt;
use parking_lot::Mutex;
use record::Priority;
use sinks::{Batch, BatchWriter, Entry, ErrorKind, Receipt, WriteError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::account::{Account, Times};
use crate::buffer::{Buffer, Loan};
use crate::merge::{MergePolicy, Merger};
use crate::opening::Openings;
use crate::sink::Sink;
use crate::spec::{LaneSpec, WhenFull};
use crate::stats::LaneState;
use crate::telemetry::LaneMetrics;
use crate::tracked::{DropReason, Outcome, Tracking};
use crate::{CoalesceSpec, PipelineError};

use driver::Driver;
pub(crate) use driver::FlushRequest;
use moving::Moving;
pub(crate) use supervise::{message_of, panics_in_a_row, pause_after};

/// The pipeline's clock: tokio's, so that a test can stop and turn it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How a queue ended: with the error that made it give up, or without.
pub(crate) type Ended = Result<(), WriteError>;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Flush requests that may wait.
const REQUESTS_MAX: usize = 16;

pub(crate) struct Queue {
    /// Its own among all queues of the process.
    pub(crate) id: u64,
    pub(crate) route: Option<String>,
    pub(crate) sink: Arc<Sink>,
    pub(crate) priority: Priority,
    pub(crate) spec: LaneSpec,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) account: Account,
    pub(crate) openings: Openings,
    pub(crate) tracking: Tracking,
    metrics: LaneMetrics,
    /// The newest crossing of the watermark; the ring's listener only leaves it here, since it
    /// runs on the threads of the sources.
    crossing: Arc<LastCrossing>,
    /// The records of a batch at the most, as it stands now.
    batch_size: AtomicUsize,
    /// How long a flush waits at most for the first record.
    pub(crate) age_max: Option<Duration>,
    state: AtomicU8,
    requests: mpsc::Sender<FlushRequest>,
    stop: watch::Sender<Option<Instant>>,
    ended: watch::Receiver<Option<Ended>>,
    /// The batch that was given up, of which the sink may have more than it said.
    abandoned: Mutex<Option<(Loan, Batch)>>,
}

/// The newest crossing of a watermark, and whether the fill is past its high mark.
#[derive(Default)]
pub(crate) struct LastCrossing {
    last: Mutex<Option<Crossing>>,
    is_high: AtomicBool,
}

impl LastCrossing {
    fn crossed(&self, crossing: Crossing) {
        let mut last = self.last.lock();
        if last.is_none_or(|last| last.number < crossing.number) {
            *last = Some(crossing);
            let is_high = crossing.direction == Direction::Up;
            self.is_high.store(is_high, Ordering::Release);
        }
    }
}

impl Queue {
    /// Starts a queue of this lane on the current runtime.
    pub(crate) fn start(
        lane: &LaneSpec,
        route: Option<&str>,
        coalesce: Option<&CoalesceSpec>,
        sink: &Arc<Sink>,
        metrics: LaneMetrics,
        seed: u64,
    ) -> Result<Arc<Self>, PipelineError> {
        let mut spec = lane.clone();
        spec.buffer.max_size = (spec.buffer.max_size / spec.parallel).max(1);
        spec.buffer.max_bytes = (spec.buffer.max_bytes / spec.parallel).max(1);
        let crossing = Arc::new(LastCrossing::default());
        let buffer = Arc::new(buffer_of(&spec, coalesce, &crossing)?);
        let moving = Moving::new(&spec, coalesce)?;
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (stop, stopping) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let queue = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            route: route.map(str::to_owned),
            sink: Arc::clone(sink),
            priority: spec.priority,
            batch_size: AtomicUsize::new(moving.batch_items()),
            age_max: match spec.flush.items_min() {
                // Each record goes at once.
                Some(1) => Some(Duration::ZERO),
                _ => spec.flush.age_max(),
            },
            spec,
            buffer,
            account: Account::new(now()),
            openings: Openings::new(),
            tracking: Tracking::default(),
            metrics,
            crossing,
            state: AtomicU8::new(LaneState::Running as u8),
            requests,
            stop,
            ended,
            abandoned: Mutex::new(None),
        });
        let driver = Driver::new(Arc::clone(&queue), moving, inbox, stopping, seed);
        tokio::spawn(supervise::run(driver, end));
        Ok(queue)
    }

    /// What it is called in messages: the lane, where it alone says nothing, the route and sink.
    pub(crate) fn shown(&self) -> String {
        let lane = self.priority.as_str();
        match &self.route {
            Some(route) => format!("{lane} of {route} into {}", self.sink.name),
            None => format!("{lane} into {}", self.sink.name),
        }
    }

    /// Whether the buffer is past its high mark and not yet back at the low one.
    pub(crate) fn is_high(&self) -> bool {
        match self.buffer.merged_pct() {
            Some(fill_pct) => fill_pct >= self.spec.buffer.watermark.high_pct(),
            None => self.crossing.is_high.load(Ordering::Acquire),
        }
    }

    /// Whether it takes nothing any more because its sink is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.buffer.is_closed() && self.sink.lost().is_some()
    }

    /// Whether there is no room for another record.
    pub(crate) fn is_full(&self) -> bool {
        let fill = self.buffer.fill();
        fill.size >= fill.size_max || fill.bytes >= fill.bytes_max
    }

    pub(crate) fn last_crossing(&self) -> Option<Crossing> {
        *self.crossing.last.lock()
    }

    pub(crate) fn state(&self) -> LaneState {
        match self.state.load(Ordering::Acquire) {
            state if state == LaneState::Waiting as u8 => LaneState::Waiting,
            state if state == LaneState::Retrying as u8 => LaneState::Retrying,
            state if state == LaneState::Restarting as u8 => LaneState::Restarting,
            state if state == LaneState::Ended as u8 => LaneState::Ended,
            _ => LaneState::Running,
        }
    }

    fn set_state(&self, state: LaneState) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size.load(Ordering::Acquire)
    }

    pub(crate) fn watch_ended(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.clone()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    pub(crate) async fn wait_ended(&self) {
        // An error means that the task is gone, which is what is waited for.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }

    /// Takes nothing more, and ends once everything is delivered, or at the deadline: the earliest,
    /// where there are several.
    pub(crate) fn close(&self, deadline: Option<Instant>) {
        self.buffer.close();
        self.stop.send_if_modified(|stop| {
            let earliest = [*stop, deadline].into_iter().flatten().min();
            let is_new = earliest != *stop;
            *stop = earliest;
            is_new
        });
    }

    /// Flushes what is there now and says how many updates that settled.
    pub(crate) async fn flush(&self) -> Result<u64, WriteError> {
        let (done, outcome) = oneshot::channel();
        let request = FlushRequest { done };
        let gone = |queue: &Self| match queue.ended() {
            Some(Err(error)) => error,
            _ => WriteError::new(ErrorKind::Fatal, "the pipeline has ended"),
        };
        if self.requests.send(request).await.is_err() {
            return Err(gone(self));
        }
        outcome.await.map_err(|_| gone(self))?
    }

    /// Throws away what waits, and says how many updates that were. What is under way to the sink
    /// stays.
    pub(crate) fn purge(&self) -> u64 {
        let drained = self.account.with(|counts| {
            let drained = self.buffer.drain_merged()?;
            counts.purged += drained.0;
            Some(drained)
        });
        if let Some((updates, tracked)) = drained {
            for (scope, position) in tracked {
                let dropped = Outcome::Dropped(DropReason::Purged);
                self.tracking.end(scope, position, dropped);
            }
            return updates;
        }
        let mut purged = 0;
        // Loan by loan, so that the balance holds at each step and nothing is copied.
        loop {
            let taken = self.account.with(|counts| {
                let loan = self.buffer.lend(EVERYTHING)?;
                let (lent, updates) = (loan.share(), loan.updates());
                loan.ack();
                counts.purged += updates;
                Some((lent, updates))
            });
            // The rows are freed here, not under the lock.
            let Some((lent, updates)) = taken else {
                return purged;
            };
            purged += updates;
            self.tracking.dropped(lent.as_ref(), DropReason::Purged);
        }
    }

    /// The batch will not be tried again before the end.
    fn abandon(&self, loan: Loan, batch: Batch) {
        self.account.give_up();
        *self.abandoned.lock() = Some((loan, batch));
    }

    /// What was given up for whoever asked for a flush is back in the buffer, and due like all that
    /// waits there.
    fn take_back(&self) {
        let abandoned = self.abandoned.lock().take();
        drop(abandoned);
    }

    /// After the end: settles the batch that was abandoned, and hands over what is left. Only once,
    /// and to the last: a second call would copy the rows that wait, and not know of the batch.
    pub(crate) async fn leftovers(&self) -> Vec<Entry> {
        let abandoned = self.abandoned.lock().take();
        let rows = abandoned.as_ref().map(|(_, batch)| batch.rows().to_vec());
        let settling = async {
            let is_known = match abandoned {
                Some((loan, batch)) => self.settle_abandoned(loan, batch).await,
                None => true,
            };
            // A sink that works in order lets go of the rows before long.
            while self.buffer.fill().lent > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            is_known
        };
        let is_known = tokio::time::timeout(CLOSE_WITHIN, settling).await;
        if !is_known.unwrap_or(false) {
            let (lane, rows) = (self.shown(), rows.as_ref().map_or(0, Vec::len));
            tracing::error!(
                lane,
                rows,
                "the sink does not say whether it wrote the last batch"
            );
        }
        let mut left = match self.buffer.fill().lent {
            0 => Vec::new(),
            // The sink still holds on to them, so they have not come back to the buffer.
            _ => rows.unwrap_or_default(),
        };
        left.extend(self.openings.place_left(&self.buffer.waiting()));
        self.tracking.abandon();
        left
    }

    /// Offers the abandoned batch again, behind whatever the sink still does with it: a sink knows
    /// again what it has, so nothing is both in the sink and handed back. Without a receipt the
    /// rows are back in the buffer afterwards. Says whether it is known where they are: not of a
    /// sink that only fails by now, which may have written them before.
    async fn settle_abandoned(&self, loan: Loan, batch: Batch) -> bool {
        for pause in ASK_AGAIN_AFTER {
            // Who is shut out of a scope, or knows that nothing will work, need not ask.
            if self.sink.lost().is_some() {
                return true;
            }
            let asking = async {
                // An open breaker would answer in place of the sink.
                self.sink.writer.ready().await;
                (now(), self.sink.writer.write(&batch).await)
            };
            // A writer that panics takes neither the shutdown nor these rows with it.
            match AssertUnwindSafe(asking).catch_unwind().await {
                Ok((began, Ok(receipt))) => {
                    drop(batch);
                    let ended = now();
                    let times = Times { began, ended };
                    self.settle(loan, &receipt, Reason::Shutdown, times);
                    return true;
                }
                Ok((_, Err(error))) if error.kind() != ErrorKind::Transient => {
                    // Only what is refused for its content is surely not there.
                    return error.kind() == ErrorKind::Data;
                }
                Ok((_, Err(_))) | Err(_) => tokio::time::sleep(pause).await,
            }
        }
        false
    }

    /// Hands on what the batch was like; recorders are foreign code, so under no lock.
    fn measure(&self, rows: &[Entry], times: Times) {
        let write = times.ended.saturating_duration_since(times.began);
        let runs = rows.chunk_by(|a, b| a.arrival == b.arrival);
        let waited = |run: &[Entry]| times.ended.saturating_duration_since(run[0].arrival);
        let latencies = runs.map(|run| (waited(run), run.len()));
        self.metrics.batch(rows.len(), write, latencies);
    }

    /// The sink has the batch.
    pub(crate) fn settle(&self, loan: Loan, receipt: &Receipt, reason: Reason, times: Times) {
        let (lent, tracked) = (loan.share(), loan.tracked());
        self.account.settle(loan, receipt, reason, times);
        self.tracking.settled(lent.as_ref(), receipt);
        self.tracking.settled_at(&tracked, receipt);
        // A recorder that panics leaves nobody without an answer.
        self.measure(lent.as_ref(), times);
    }
}

/// The buffer that a lane wants.
fn buffer_of(
    spec: &LaneSpec,
    coalesce: Option<&CoalesceSpec>,
    crossing: &Arc<LastCrossing>,
) -> Result<Buffer, PipelineError> {
    if let Some(coalesce) = coalesce {
        let policy = match spec.buffer.policy {
            WhenFull::Block(timeout) => MergePolicy::Block(timeout),
            _ => MergePolicy::Reject,
        };
        return Ok(Buffer::Merged(Merger::new(coalesce)?, policy));
    }
    let listener = Arc::clone(crossing);
    let ring = Ring::builder(spec.buffer.max_size)
        .max_bytes(spec.buffer.max_bytes, Entry::size_bytes)
        .policy(spec.buffer.policy.ring_policy())
        .watermark(spec.buffer.watermark)
        .on_crossing(move |crossing| listener.crossed(crossing))
        .build()?;
    Ok(Buffer::Ring(ring))
}

const EVERYTHING: Demand = Demand {
    items: usize::MAX,
    bytes: usize::MAX,
};

/// The pauses after each attempt to learn what the sink has of the last batch.
const ASK_AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::ZERO,
];
/// How long the last answer of a sink, and closing it, may take.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(5);
