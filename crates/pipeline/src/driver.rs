//! The task that empties the buffer: asks the policy, leases a batch, writes it, settles it.
//!
//! One batch is in flight at a time, so the order of acceptance is the order of delivery, through
//! every retry. What a failed batch held goes back to the front of the ring.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_core::{Demand, Lease, Ring, RingStats};
use flush_policy::{Decision, FlushPolicy, Flushed, Load, Reason, Remainder};
use parking_lot::Mutex;
use sinks::{Batch, BatchId, BatchWriter, BoxWriter, ErrorKind, Retry, RetryDecision, RetryPolicy};
use sinks::{Entry, Receipt, WriteError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::account::Account;
use crate::opening::{Openings, Placed};

/// The pipeline's clock: tokio's, so that a test can stop and turn it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What the driver is asked to do from outside.
pub(crate) struct FlushRequest {
    /// Gets the number of updates that the flush settled.
    pub(crate) done: oneshot::Sender<Result<u64, WriteError>>,
}

pub(crate) struct Driver {
    pub(crate) ring: Ring<Entry>,
    pub(crate) policy: Box<dyn FlushPolicy>,
    /// Reaching this much queued makes a flush due: the driver need not wake before.
    pub(crate) due: Demand,
    pub(crate) batch_max: Demand,
    pub(crate) writer: BoxWriter,
    pub(crate) retry: RetryPolicy,
    pub(crate) random: fastrand::Rng,
    pub(crate) account: Arc<Account>,
    pub(crate) requests: mpsc::Receiver<FlushRequest>,
    /// The moment by which a shutdown has to be done, once one was asked for; it may be moved.
    pub(crate) stop: watch::Receiver<Option<Instant>>,
    /// The id of the last batch; begins at random, so that those of another run are others.
    pub(crate) next_batch: u64,
    /// The scopes that were not open at once.
    pub(crate) openings: Arc<Openings>,
    /// What the policy was told is in the queue.
    pub(crate) told: Demand,
    /// The batch whose write was not waited for to the end.
    pub(crate) abandoned: Arc<Mutex<Option<Batch>>>,
}

impl Driver {
    /// Runs until the ring is closed and empty, the shutdown's deadline has come, or the sink is
    /// lost. What is still in the ring then was not delivered.
    pub(crate) async fn run(mut self) -> Result<(), WriteError> {
        loop {
            // Also while flushes follow each other without a pause.
            while let Ok(request) = self.requests.try_recv() {
                self.obey(request).await;
            }
            let closed = self.ring.is_closed();
            if closed && (self.ring.is_empty() || self.is_too_late()) {
                return Ok(());
            }
            let reason = match self.look() {
                Decision::Flush(reason) => reason,
                Decision::Wait if closed => Reason::Shutdown,
                Decision::Wait => {
                    self.wait().await;
                    continue;
                }
            };
            match self.flush(reason).await {
                Ok(_) => {}
                Err(_) if self.is_too_late() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the policy what arrived since the last look, and what time it is.
    fn look(&mut self) -> Decision {
        let now = now();
        let stats = self.ring.stats();
        let grew = stats.queued > self.told.items && stats.queued_bytes >= self.told.bytes;
        if grew {
            let items = stats.queued - self.told.items;
            let mut load = Load::new(items, stats.queued_bytes - self.told.bytes);
            if self.told.items == 0 {
                load = load.arrived_at(self.oldest_queued().unwrap_or(now));
            }
            self.tell(&stats);
            // The deadline's answer below includes this one.
            let _ = self.policy.on_push(now, load);
        } else if self.told
            != (Demand {
                items: stats.queued,
                bytes: stats.queued_bytes,
            })
        {
            // Older records were displaced: the policy starts again from what is there.
            let remainder = self.remainder(&stats);
            self.tell(&stats);
            let _ = self.policy.on_flushed(now, Flushed::failed(remainder));
        }
        self.policy.on_deadline(now)
    }

    fn tell(&mut self, stats: &RingStats) {
        self.told = Demand {
            items: stats.queued,
            bytes: stats.queued_bytes,
        };
    }

    fn oldest_queued(&self) -> Option<Instant> {
        self.ring.peek(1).first().map(|row| row.arrival)
    }

    /// Waits until a look may find something new: enough arrived, a deadline, a request, the end.
    async fn wait(&mut self) {
        let demand = match self.told.items {
            0 => Demand { items: 1, bytes: 1 },
            items => Demand {
                items: self.due.items.max(items + 1),
                bytes: self.due.bytes,
            },
        };
        let ring = self.ring.clone();
        let arrived = std::future::poll_fn(|context| ring.poll_queued(context, demand));
        let deadline = self.policy.next_deadline();
        tokio::select! {
            () = arrived => {}
            () = sleep_until(deadline) => {}
            request = self.requests.recv() => match request {
                Some(request) => self.obey(request).await,
                // Every handle is gone: deliver what is there and end.
                None => self.ring.close(),
            },
        }
    }

    async fn obey(&mut self, request: FlushRequest) {
        if request.done.is_closed() {
            return; // Whoever asked has stopped waiting.
        }
        let ready = is_ready(&self.openings, &self.writer);
        let outcome = match tokio::time::timeout(READY_WITHIN, ready).await {
            Ok(()) => self.flush_all().await,
            Err(_) => Err(not_ready(&self.account)),
        };
        let _ = request.done.send(outcome);
    }

    /// Waits until the sink has a chance to take something; nothing leaves the buffer before.
    /// Whoever asks for a flush meanwhile is told why there is none.
    ///
    /// # Errors
    /// When the deadline of a shutdown comes first.
    async fn until_ready(&mut self) -> Result<(), WriteError> {
        let mut ready = std::pin::pin!(is_ready(&self.openings, &self.writer));
        loop {
            tokio::select! {
                biased;
                () = &mut ready => return Ok(()),
                () = too_late(&mut self.stop) => return Err(not_ready(&self.account)),
                Some(request) = self.requests.recv() => {
                    // Whoever asked may have stopped waiting.
                    let _ = request.done.send(Err(not_ready(&self.account)));
                }
            }
        }
    }

    /// Flushes what is queued now, in as many batches as it takes.
    async fn flush_all(&mut self) -> Result<u64, WriteError> {
        let mut left = self.ring.stats().queued as u64;
        let mut settled = 0;
        while left > 0 {
            let count = self.flush(Reason::Manual).await?;
            if count == 0 {
                break;
            }
            settled += count;
            left = left.saturating_sub(count);
        }
        Ok(settled)
    }

    /// Delivers one batch and says how many updates it settled. After an error they are back in
    /// the ring.
    async fn flush(&mut self, reason: Reason) -> Result<u64, WriteError> {
        self.until_nothing_is_held().await?;
        self.until_ready().await?;
        let Some(lease) = self.ring.lease_up_to(self.batch_max) else {
            self.resync(Flushed::delivered);
            return Ok(0);
        };
        let count = lease.len() as u64;
        let outcome = self.deliver(lease, reason).await;
        match outcome {
            Ok(()) => self.resync(Flushed::delivered),
            Err(_) => self.resync(Flushed::failed),
        }
        outcome.map(|()| count)
    }

    /// A sink that failed may hold on to the rows of that batch. Newer ones must not overtake
    /// them, or the watermark would cover rows that were never written.
    async fn until_nothing_is_held(&mut self) -> Result<(), WriteError> {
        while self.ring.stats().leased > 0 {
            if self.is_too_late() {
                return Err(no_answer());
            }
            tokio::time::sleep(HELD_PULSE).await;
        }
        Ok(())
    }

    fn remainder(&self, stats: &RingStats) -> Remainder {
        match self.oldest_queued() {
            Some(oldest) => Remainder::new(stats.queued, stats.queued_bytes, oldest),
            None => Remainder::EMPTY,
        }
    }

    /// Tells the policy how the flush went. What it decides now, the next look decides again.
    fn resync(&mut self, flushed: impl FnOnce(Remainder) -> Flushed) {
        let stats = self.ring.stats();
        let remainder = self.remainder(&stats);
        self.tell(&stats);
        let _ = self.policy.on_flushed(now(), flushed(remainder));
    }

    /// Writes one batch, again and again with the same rows under the same id, until the sink has
    /// it or it is time to give up.
    async fn deliver(&mut self, lease: Lease<Entry>, reason: Reason) -> Result<(), WriteError> {
        let rows = lease.share();
        let oldest = rows.first().map_or_else(now, |row| row.arrival);
        self.next_batch = self.next_batch.wrapping_add(1);
        let id = BatchId(self.next_batch);
        let batch = match self.openings.has_early(&rows) {
            true => {
                let (rows, _lent) = (self.openings.place(&rows), rows);
                Batch::new(id, Placed { rows, _lent })
            }
            false => Batch::new(id, rows),
        };
        let mut retry = Retry::new(self.retry, now(), self.random.u64(..));
        self.account.attempt(oldest);
        loop {
            let began = now();
            let written = tokio::select! {
                biased;
                written = self.writer.write(&batch) => written,
                () = too_late(&mut self.stop) => {
                    // The sink may still write it: the shutdown asks.
                    *self.abandoned.lock() = Some(batch.clone());
                    Err(no_answer())
                }
            };
            let error = match written {
                Ok(receipt) => {
                    report_rejected(batch.id(), &receipt);
                    self.account.settle(lease, &receipt, reason, began, now());
                    return Ok(());
                }
                Err(error) => error,
            };
            self.account.fail(now(), reason, error.to_string());
            let delay = match retry.on_failure(now(), &error) {
                RetryDecision::After(delay) if !self.is_too_late() => delay,
                _ => {
                    self.account.give_up();
                    return Err(error);
                }
            };
            tracing::warn!(batch = batch.id().0, ?delay, %error, "batch will be tried again");
            let rested = tokio::select! {
                () = tokio::time::sleep(delay) => true,
                () = too_late(&mut self.stop) => false,
            };
            // A sink that takes nothing for now costs the batch no attempt.
            if !rested || self.until_ready().await.is_err() {
                self.account.give_up();
                return Err(error);
            }
        }
    }

    fn is_too_late(&self) -> bool {
        self.stop.borrow().is_some_and(|deadline| now() >= deadline)
    }
}

fn no_answer() -> WriteError {
    WriteError::new(
        ErrorKind::Transient,
        "the sink did not answer before the deadline of the shutdown",
    )
}

/// Comes when all scopes are open and the sink takes something.
async fn is_ready(openings: &Openings, writer: &BoxWriter) {
    openings.all_open().await;
    writer.ready().await;
}

fn not_ready(account: &Account) -> WriteError {
    let why = account.failure();
    let why = why.as_deref().unwrap_or("it is not ready");
    WriteError::new(
        ErrorKind::Transient,
        format!("the sink takes nothing for now: {why}"),
    )
}

/// What a sink refused and nobody keeps is said at once, with the first reason.
fn report_rejected(batch: BatchId, receipt: &Receipt) {
    if let Some(first) = receipt.rejected().first() {
        let (rows, reason) = (receipt.rejected().len(), &first.reason);
        tracing::warn!(batch = batch.0, rows, reason, "the sink refused rows");
    }
}

/// Comes when a shutdown has been asked for and its deadline, which may be moved, is over.
async fn too_late(stop: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let deadline = *stop.borrow_and_update();
        tokio::select! {
            () = sleep_until(deadline) => return,
            changed = stop.changed() => if changed.is_err() {
                // Nobody can ask for a shutdown any more.
                return sleep_until(deadline).await;
            },
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How long a shutdown takes at most when nobody says.
pub(crate) const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long a sink that takes something may take to say so.
const READY_WITHIN: Duration = Duration::from_millis(100);
/// How often it is looked whether a sink has let go of a failed batch.
const HELD_PULSE: Duration = Duration::from_millis(5);
