//! The task that empties a queue: asks the policy, waits for its turn, writes a batch, settles it.
//!
//! Nothing leaves the buffer before the sink has a chance to take it. What a failed batch held
//! goes back to the front.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_core::Demand;
use flush_policy::{Decision, FlushPolicy, Flushed, Load, Reason, Remainder};
use sinks::{Batch, BatchId, BatchWriter, ErrorKind, Receipt, Retry, RetryDecision, WriteError};
use tokio::sync::{mpsc, oneshot, watch};

use super::lend::lend;
use super::moving::Moving;
use super::supervise::until;
use super::turn::{is_ready, not_ready, turn_of};
use super::{Ended, Queue, now};
use crate::account::Times;
use crate::buffer::{Fill, Loan};
use crate::gate::Permit;
use crate::opening::Placed;
use crate::stats::LaneState;

/// What the task is asked to do from outside.
pub(crate) struct FlushRequest {
    /// Gets the number of updates that the flush settled.
    pub(crate) done: oneshot::Sender<Result<u64, WriteError>>,
}

pub(crate) struct Driver {
    queue: Arc<Queue>,
    moving: Moving,
    random: fastrand::Rng,
    requests: mpsc::Receiver<FlushRequest>,
    /// The moment by which a shutdown has to be done, once one was asked for; it may be moved.
    stop: watch::Receiver<Option<Instant>>,
    lost: watch::Receiver<Option<WriteError>>,
    /// The id of the last batch; begins at random, so that those of another run are others.
    next_batch: u64,
    /// What the policy was told is in the queue.
    told: Demand,
    /// The permit of the last write, until it is known whether there is more to write.
    held: Option<Permit>,
}

impl Driver {
    pub(super) fn new(
        queue: Arc<Queue>,
        moving: Moving,
        requests: mpsc::Receiver<FlushRequest>,
        stop: watch::Receiver<Option<Instant>>,
        seed: u64,
    ) -> Self {
        Self {
            lost: queue.sink.watch_lost(),
            queue,
            moving,
            random: fastrand::Rng::with_seed(seed),
            requests,
            stop,
            next_batch: fastrand::u64(..),
            told: NOTHING,
            held: None,
        }
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// After a panic the policy may be in any state: it begins again with what is there.
    pub(super) fn reset(&mut self) {
        if let Ok(policy) = self.moving.flush.build() {
            self.moving.policy = policy;
        }
        self.told = NOTHING;
        self.held = None;
    }

    /// A pause that the deadline of a shutdown ends early.
    pub(super) async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = too_late(&mut self.stop) => {}
        }
    }

    /// Runs until the buffer is closed and empty, the shutdown's deadline has come, or the sink is
    /// lost. What is still in the buffer then was not delivered.
    pub(super) async fn run(&mut self) -> Ended {
        loop {
            // Also while flushes follow each other without a pause.
            while let Ok(request) = self.requests.try_recv() {
                self.held = None;
                self.obey(request).await;
            }
            if let Some(error) = self.queue.sink.lost() {
                return Err(error);
            }
            let closed = self.queue.buffer.is_closed();
            if closed && (self.queue.buffer.is_empty() || self.is_too_late()) {
                return Ok(());
            }
            let reason = match self.look() {
                Decision::Flush(reason) => reason,
                Decision::Wait if closed => Reason::Shutdown,
                Decision::Wait => {
                    self.held = None;
                    match self.wait().await {
                        Woken::Look => continue,
                        Woken::Full => Reason::Size,
                    }
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
        let fill = self.queue.buffer.fill();
        let grew = fill.queued > self.told.items && fill.queued_bytes >= self.told.bytes;
        if grew {
            let items = fill.queued - self.told.items;
            let mut load = Load::new(items, fill.queued_bytes - self.told.bytes);
            if self.told.items == 0 {
                load = load.arrived_at(self.queue.buffer.oldest().unwrap_or(now));
            }
            self.told = told(&fill);
            // The deadline's answer below includes this one.
            let _ = self.moving.policy.on_push(now, load);
        } else if self.told != told(&fill) {
            // Older records were displaced: the policy starts again from what is there.
            let remainder = self.remainder(&fill);
            self.told = told(&fill);
            let _ = self
                .moving
                .policy
                .on_flushed(now, Flushed::failed(remainder));
        }
        self.moving.policy.on_deadline(now)
    }

    /// Waits until a look may find something new: enough arrived, a deadline, a request, the end.
    async fn wait(&mut self) -> Woken {
        let due = self
            .moving
            .policy
            .batch_items()
            .unwrap_or(self.moving.due.items);
        let demand = match self.told.items {
            0 => Demand { items: 1, bytes: 1 },
            items => Demand {
                items: due.max(items + 1),
                bytes: self.moving.due.bytes,
            },
        };
        let buffer = Arc::clone(&self.queue.buffer);
        let arrived = std::future::poll_fn(|context| buffer.poll_queued(context, demand));
        let deadline = self.moving.policy.next_deadline();
        tokio::select! {
            () = arrived => {
                let fill = self.queue.buffer.fill();
                if fill.queued > 0 && told(&fill) == self.told && !self.queue.buffer.is_closed() {
                    return Woken::Full;
                }
            }
            () = until(deadline) => {}
            // The loop looks at both.
            _ = self.lost.changed() => {}
            request = self.requests.recv() => match request {
                Some(request) => self.obey(request).await,
                // The queue itself holds the other end.
                None => self.queue.buffer.close(),
            },
        }
        Woken::Look
    }

    async fn obey(&mut self, request: FlushRequest) {
        if request.done.is_closed() {
            return; // Whoever asked has stopped waiting.
        }
        let queue = Arc::clone(&self.queue);
        let outcome = match tokio::time::timeout(READY_WITHIN, is_ready(&queue)).await {
            Ok(()) => self.flush_all().await,
            Err(_) => Err(not_ready(&queue)),
        };
        let _ = request.done.send(outcome);
    }

    /// Waits until the sink has a chance to take something and it is this queue's turn; nothing
    /// leaves the buffer before. Whoever asks for a flush meanwhile is told why there is none.
    ///
    /// # Errors
    /// When the sink is lost, or the deadline of a shutdown comes first.
    async fn until_turn(&mut self) -> Result<Permit, WriteError> {
        let queue = Arc::clone(&self.queue);
        let mut turn = std::pin::pin!(turn_of(&queue, self.held.take()));
        queue.set_state(LaneState::Waiting);
        let outcome = loop {
            tokio::select! {
                biased;
                permit = &mut turn => break Ok(permit),
                () = too_late(&mut self.stop) => break Err(not_ready(&queue)),
                _ = self.lost.wait_for(Option::is_some) => {
                    break Err(queue.sink.lost().unwrap_or_else(|| not_ready(&queue)));
                }
                Some(request) = self.requests.recv() => {
                    // Whoever asked may have stopped waiting.
                    let _ = request.done.send(Err(not_ready(&queue)));
                }
            }
        };
        queue.set_state(LaneState::Running);
        outcome
    }

    /// Flushes what is queued now, in as many batches as it takes.
    async fn flush_all(&mut self) -> Result<u64, WriteError> {
        let mut left = self.queue.buffer.fill().queued as u64;
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
    /// the buffer.
    async fn flush(&mut self, reason: Reason) -> Result<u64, WriteError> {
        if self.queue.buffer.fill().lent > 0 {
            self.held = None;
            self.until_nothing_is_held().await?;
        }
        let permit = self.until_turn().await?;
        let Some(loan) = self.lend() else {
            self.resync(Flushed::delivered, None);
            return Ok(0);
        };
        let (count, rows) = (loan.updates(), loan.rows().len());
        let outcome = self.deliver(loan, permit, reason).await;
        match &outcome {
            Ok(took) => self.resync(Flushed::delivered, Some((rows, *took))),
            Err(_) => {
                if !self.is_too_late() {
                    self.queue.take_back();
                }
                self.resync(Flushed::failed, None);
            }
        }
        outcome.map(|_| count)
    }

    /// The next batch, as large as the policy wants it now.
    fn lend(&self) -> Option<Loan> {
        let batch_max = Demand {
            items: self.moving.batch_items(),
            ..self.moving.batch_max
        };
        lend(&self.queue, batch_max)
    }

    /// A sink that failed may hold on to the rows of that batch. Newer ones must not overtake
    /// them, or the watermark would cover rows that were never written.
    async fn until_nothing_is_held(&mut self) -> Result<(), WriteError> {
        while self.queue.buffer.fill().lent > 0 {
            if self.is_too_late() {
                return Err(no_answer());
            }
            tokio::time::sleep(HELD_PULSE).await;
        }
        Ok(())
    }

    fn remainder(&self, fill: &Fill) -> Remainder {
        match self.queue.buffer.oldest() {
            Some(oldest) => Remainder::new(fill.queued, fill.queued_bytes, oldest),
            None => Remainder::EMPTY,
        }
    }

    /// Tells the policy how the flush went, and how long so many rows took. What it decides now,
    /// the next look decides again.
    fn resync(
        &mut self,
        flushed: impl FnOnce(Remainder) -> Flushed,
        wrote: Option<(usize, Duration)>,
    ) {
        let fill = self.queue.buffer.fill();
        let mut flushed = flushed(self.remainder(&fill));
        if let Some((rows, took)) = wrote {
            flushed = flushed.wrote(rows, took);
        }
        self.told = told(&fill);
        let _ = self.moving.policy.on_flushed(now(), flushed);
        let size = self.moving.batch_items();
        let size_now = &self.queue.batch_size;
        size_now.store(size, std::sync::atomic::Ordering::Release);
    }

    /// Writes one batch, again and again with the same rows under the same id, until the sink has
    /// it or it is time to give up. Says how long the write that worked took.
    async fn deliver(
        &mut self,
        loan: Loan,
        permit: Permit,
        reason: Reason,
    ) -> Result<Duration, WriteError> {
        let queue = Arc::clone(&self.queue);
        let batch = self.batch_of(&loan);
        let oldest = batch.rows().iter().map(|row| row.arrival).min();
        let mut retry = Retry::new(queue.sink.retry, now(), self.random.u64(..));
        let mut permit = Some(permit);
        queue.account.attempt(oldest.unwrap_or_else(now));
        loan.mark_sent();
        loop {
            let began = now();
            let written = tokio::select! {
                biased;
                written = queue.sink.writer.write(&batch) => Some(written),
                () = too_late(&mut self.stop) => None,
            };
            let error = match written {
                Some(Ok(receipt)) => {
                    report_rejected(batch.id(), &receipt);
                    let ended = now();
                    self.held = permit.take();
                    queue.settle(loan, &receipt, reason, Times { began, ended });
                    return Ok(ended.saturating_duration_since(began));
                }
                Some(Err(error)) => error,
                None => {
                    // The sink may still write it: the shutdown asks.
                    drop(permit.take());
                    let error = no_answer();
                    queue.account.fail(now(), reason, error.to_string());
                    queue.abandon(loan, batch);
                    return Err(error);
                }
            };
            drop(permit.take());
            queue.account.fail(now(), reason, error.to_string());
            let delay = match retry.on_failure(now(), &error) {
                RetryDecision::After(delay) if !self.is_too_late() => delay,
                _ => {
                    queue.abandon(loan, batch);
                    return Err(error);
                }
            };
            tracing::warn!(batch = batch.id().0, ?delay, %error, "batch will be tried again");
            queue.set_state(LaneState::Retrying);
            let rested = tokio::select! {
                () = tokio::time::sleep(delay) => true,
                () = too_late(&mut self.stop) => false,
            };
            // A sink that takes nothing for now costs the batch no attempt.
            permit = match rested {
                true => self.until_turn().await.ok(),
                false => None,
            };
            if permit.is_none() {
                queue.abandon(loan, batch);
                return Err(queue.sink.lost().unwrap_or(error));
            }
        }
    }

    /// What is on loan, as a batch with an id of its own.
    fn batch_of(&mut self, loan: &Loan) -> Batch {
        let lent = loan.share();
        self.next_batch = self.next_batch.wrapping_add(1);
        let id = BatchId(self.next_batch);
        let openings = &self.queue.openings;
        match openings.has_early(lent.as_ref()) {
            true => {
                let (rows, _lent) = (openings.place(lent.as_ref()), lent);
                Batch::new(id, Placed { rows, _lent })
            }
            false => Batch::new(id, lent),
        }
    }

    fn is_too_late(&self) -> bool {
        self.stop.borrow().is_some_and(|deadline| now() >= deadline)
    }
}

/// Why a wait is over.
enum Woken {
    /// A look may find something new.
    Look,
    /// Nothing more can come before something is taken, however much the policy would wait for:
    /// an adaptive size may be more than the buffer holds, which lends memory to other lanes.
    Full,
}

const NOTHING: Demand = Demand { items: 0, bytes: 0 };

fn told(fill: &Fill) -> Demand {
    Demand {
        items: fill.queued,
        bytes: fill.queued_bytes,
    }
}

fn no_answer() -> WriteError {
    WriteError::new(
        ErrorKind::Transient,
        "the sink did not answer before the deadline of the shutdown",
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
            () = until(deadline) => return,
            changed = stop.changed() => if changed.is_err() {
                // Nobody can ask for a shutdown any more.
                return until(deadline).await;
            },
        }
    }
}

/// How long a sink that takes something may take to say so.
const READY_WITHIN: Duration = Duration::from_millis(100);
/// How often it is looked whether a sink has let go of a failed batch.
const HELD_PULSE: Duration = Duration::from_millis(5);
