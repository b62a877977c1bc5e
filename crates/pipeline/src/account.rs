//! The counters behind the law of conservation, and the measurements beside them; one per queue.
//!
//! What is settled, expired or purged moves under the same lock as the acknowledgement to the
//! buffer, and a snapshot is taken under it, so that every snapshot balances. Accepted, displaced
//! and pending are the buffer's own counts, never derived here.

use std::time::{Duration, Instant};

use flush_policy::{FlushCounts, Outcome, Reason};
use parking_lot::{Mutex, MutexGuard};
use sinks::{Receipt, RowOutcome};

use crate::buffer::{Buffer, Fill, Loan};
use crate::rates::Rates;
use crate::spread::Spread;

/// Longest latency that is told apart, in microseconds: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Largest batch that is told apart.
const ROWS_MAX: u64 = 1 << 27;

pub(crate) struct Account {
    counts: Mutex<Counts>,
}

/// What is counted beside the buffer's own counts.
#[derive(Clone)]
pub(crate) struct Counts {
    /// Refused before they reached the buffer.
    pub(crate) refused_early: u64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    pub(crate) quarantined: u64,
    /// Refused by the sink and kept nowhere.
    pub(crate) rejected: u64,
    pub(crate) expired: u64,
    pub(crate) purged: u64,
    /// Of those that the buffer lost by becoming smaller: they made room for more urgent ones.
    pub(crate) lower_priority: u64,
    pub(crate) flushes: FlushCounts,
    pub(crate) retries: u64,
    pub(crate) batches: u64,
    pub(crate) restarts: u64,
    pub(crate) in_flight_since: Option<Instant>,
    pub(crate) failing_since: Option<Instant>,
    pub(crate) last_error: Option<String>,
    pub(crate) rates: Rates,
    pub(crate) latency_us: Spread,
    /// How many latencies there ever were, and their sum, for means.
    pub(crate) latencies: u64,
    pub(crate) latency_sum_us: u64,
    pub(crate) write_us: Spread,
    pub(crate) batch_rows: Spread,
}

impl Account {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            counts: Mutex::new(Counts {
                refused_early: 0,
                delivered: 0,
                repeated: 0,
                quarantined: 0,
                rejected: 0,
                expired: 0,
                purged: 0,
                lower_priority: 0,
                flushes: FlushCounts::default(),
                retries: 0,
                batches: 0,
                restarts: 0,
                in_flight_since: None,
                failing_since: None,
                last_error: None,
                rates: Rates::new(now),
                latency_us: Spread::new(now, LATENCY_MAX_US),
                latencies: 0,
                latency_sum_us: 0,
                write_us: Spread::new(now, LATENCY_MAX_US),
                batch_rows: Spread::new(now, ROWS_MAX),
            }),
        }
    }

    /// Both sides of the balance, of one moment.
    pub(crate) fn snapshot(&self, buffer: &Buffer) -> (Counts, Fill) {
        let counts = self.counts.lock();
        let fill = buffer.fill();
        (counts.clone(), fill)
    }

    /// Remembers how far the counts have come, for rates.
    pub(crate) fn sample(&self, now: Instant, buffer: &Buffer) {
        let mut counts = self.counts.lock();
        let fill = buffer.fill();
        let delivered = counts.delivered;
        let overflowed = fill.displaced + fill.dropped + counts.lower_priority;
        counts
            .rates
            .sample(now, [fill.accepted, delivered, overflowed]);
    }

    /// Records that were refused before they reached the buffer.
    pub(crate) fn refuse_early(&self, records: usize) {
        self.counts.lock().refused_early += records as u64;
    }

    /// A batch goes to the sink; its oldest row arrived at `oldest`.
    pub(crate) fn attempt(&self, oldest: Instant) {
        self.counts.lock().in_flight_since = Some(oldest);
    }

    /// An attempt failed; the batch stays in the buffer.
    pub(crate) fn fail(&self, now: Instant, reason: Reason, error: String) {
        let mut counts = self.counts.lock();
        counts.flushes.record(reason, Outcome::Failed);
        counts.retries += 1;
        counts.failing_since.get_or_insert(now);
        counts.last_error = Some(error);
    }

    /// A scope could not be opened; it will be tried again.
    pub(crate) fn fail_opening(&self, now: Instant, error: String) {
        let mut counts = self.counts.lock();
        counts.failing_since.get_or_insert(now);
        counts.last_error = Some(error);
    }

    /// A scope was opened, so the sink works.
    pub(crate) fn opened(&self) {
        self.counts.lock().failing_since = None;
    }

    /// The task that delivers has panicked and will be started again.
    pub(crate) fn restarted(&self, now: Instant, error: String) {
        let mut counts = self.counts.lock();
        counts.restarts += 1;
        counts.in_flight_since = None;
        counts.failing_since.get_or_insert(now);
        counts.last_error = Some(error);
    }

    /// The last error, if the sink fails.
    pub(crate) fn failure(&self) -> Option<String> {
        let counts = self.counts.lock();
        counts.failing_since.and(counts.last_error.clone())
    }

    /// No further attempt will be made for now; the batch is back in the buffer.
    pub(crate) fn give_up(&self) {
        self.counts.lock().in_flight_since = None;
    }

    /// Runs something that takes updates out of the buffer and counts them as one step. Nothing
    /// of a stranger may run in it.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut Counts) -> T) -> T {
        let mut counts: MutexGuard<'_, Counts> = self.counts.lock();
        step(&mut counts)
    }

    /// The sink has the batch: acknowledges the loan and counts its rows, as one step.
    pub(crate) fn settle(&self, loan: Loan, receipt: &Receipt, reason: Reason, times: Times) {
        // The rows outlive the lock, so that none of them is freed under it.
        let lent = loan.share();
        let rows = lent.as_ref();
        let tally = Tally::of(&loan, receipt);
        let write = micros(times.ended.saturating_duration_since(times.began));
        let mut counts = self.counts.lock();
        loan.ack();
        counts.delivered += tally.delivered;
        counts.repeated += receipt.repeated() as u64;
        // What a fallback took is safe, and not in the sink.
        counts.quarantined += tally.quarantined;
        counts.rejected += tally.rejected;
        counts.flushes.record(reason, Outcome::Delivered);
        counts.batches += 1;
        counts.in_flight_since = None;
        counts.failing_since = None;
        counts.write_us.record(times.ended, write, 1);
        counts.batch_rows.record(times.ended, rows.len() as u64, 1);
        for run in rows.chunk_by(|a, b| a.arrival == b.arrival) {
            let latency = micros(times.ended.saturating_duration_since(run[0].arrival));
            let count = run.len() as u64;
            counts.latency_us.record(times.ended, latency, count);
            counts.latencies += count;
            counts.latency_sum_us += latency * count;
        }
        drop(counts);
    }
}

/// When a write began and ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// What became of the updates of a batch.
struct Tally {
    delivered: u64,
    quarantined: u64,
    rejected: u64,
}

impl Tally {
    fn of(loan: &Loan, receipt: &Receipt) -> Self {
        let rows = loan.rows().len();
        if loan.updates() == rows as u64 {
            return Self {
                delivered: receipt.delivered() as u64,
                quarantined: (receipt.quarantined().len() + receipt.diverted()) as u64,
                rejected: receipt.rejected().len() as u64,
            };
        }
        let mut tally = Self {
            delivered: 0,
            quarantined: 0,
            rejected: 0,
        };
        for row in 0..rows {
            let count = match receipt.outcome(row) {
                RowOutcome::Quarantined(_) | RowOutcome::Diverted => &mut tally.quarantined,
                RowOutcome::Rejected(_) => &mut tally.rejected,
                _ => &mut tally.delivered,
            };
            *count += loan.updates_of(row);
        }
        tally
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(LATENCY_MAX_US)
        .clamp(1, LATENCY_MAX_US)
}
