//! The counters behind the law of conservation, and the measurements beside them.
//!
//! `delivered`, `quarantined` and `rejected` move under the same lock as the acknowledgement to the
//! ring, and a snapshot is taken under it, so that every snapshot balances. Accepted, dropped and
//! pending are the ring's own counts, never derived here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use buffer_core::{Lease, Ring, RingStats};
use flush_policy::{FlushCounts, Outcome, Reason};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use sinks::{Entry, Receipt};

/// How far back rates look.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// Longest latency that is told apart, in microseconds: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

pub(crate) struct Account {
    counts: Mutex<Counts>,
}

/// What is counted beside the ring's own counts.
#[derive(Clone)]
pub(crate) struct Counts {
    /// Refused before they reached the ring.
    pub(crate) refused_early: u64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    pub(crate) quarantined: u64,
    /// Refused by the sink and kept nowhere.
    pub(crate) rejected: u64,
    pub(crate) flushes: FlushCounts,
    pub(crate) retries: u64,
    pub(crate) batches: u64,
    pub(crate) in_flight_since: Option<Instant>,
    pub(crate) failing_since: Option<Instant>,
    pub(crate) last_error: Option<String>,
    /// Sources that ended though nobody stopped them, with the reason.
    pub(crate) stopped_sources: Vec<String>,
    pub(crate) delivered_rate: Rate,
    pub(crate) accepted_rate: Rate,
    pub(crate) dropped_rate: Rate,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) write_us: Histogram<u64>,
}

impl Account {
    pub(crate) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_MAX_US, 2).expect("the bounds are in order");
        Self {
            counts: Mutex::new(Counts {
                refused_early: 0,
                delivered: 0,
                repeated: 0,
                quarantined: 0,
                rejected: 0,
                flushes: FlushCounts::default(),
                retries: 0,
                batches: 0,
                in_flight_since: None,
                failing_since: None,
                last_error: None,
                stopped_sources: Vec::new(),
                delivered_rate: Rate::default(),
                accepted_rate: Rate::default(),
                dropped_rate: Rate::default(),
                latency_us: histogram(),
                write_us: histogram(),
            }),
        }
    }

    /// Both sides of the balance, of one moment.
    pub(crate) fn snapshot<T>(&self, ring: &Ring<T>) -> (Counts, RingStats) {
        let counts = self.counts.lock();
        let ring = ring.stats();
        (counts.clone(), ring)
    }

    /// Records that were refused before they reached the ring.
    pub(crate) fn refuse_early(&self, records: usize) {
        self.counts.lock().refused_early += records as u64;
    }

    /// So many records were accepted, of all that the ring took, and so many fell out of it.
    pub(crate) fn took(&self, now: Instant, accepted: usize, dropped: usize) {
        let mut counts = self.counts.lock();
        counts.accepted_rate.add(now, accepted as u64);
        if dropped > 0 {
            counts.dropped_rate.add(now, dropped as u64);
        }
    }

    /// A source has ended though nobody stopped it.
    pub(crate) fn source_stopped(&self, reason: String) {
        self.counts.lock().stopped_sources.push(reason);
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

    /// The last error, if the sink fails.
    pub(crate) fn failure(&self) -> Option<String> {
        let counts = self.counts.lock();
        counts.failing_since.and(counts.last_error.clone())
    }

    /// No further attempt will be made for now; the batch is back in the buffer.
    pub(crate) fn give_up(&self) {
        self.counts.lock().in_flight_since = None;
    }

    /// The sink has the batch: acknowledges the lease and counts its rows, as one step.
    pub(crate) fn settle(
        &self,
        lease: Lease<Entry>,
        receipt: &Receipt,
        reason: Reason,
        began: Instant,
        now: Instant,
    ) {
        // The rows outlive the lock, so that none of them is freed under it.
        let rows = lease.share();
        let mut counts = self.counts.lock();
        lease.ack();
        counts.delivered += receipt.delivered() as u64;
        counts.repeated += receipt.repeated() as u64;
        // What a fallback took is safe, and not in the sink.
        counts.quarantined += (receipt.quarantined().len() + receipt.diverted()) as u64;
        counts.rejected += receipt.rejected().len() as u64;
        counts.flushes.record(reason, Outcome::Delivered);
        counts.batches += 1;
        counts.in_flight_since = None;
        counts.failing_since = None;
        counts.delivered_rate.add(now, receipt.delivered() as u64);
        let write = micros(now.saturating_duration_since(began));
        counts.write_us.saturating_record(write);
        for run in rows.chunk_by(|a, b| a.arrival == b.arrival) {
            let latency = micros(now.saturating_duration_since(run[0].arrival));
            counts
                .latency_us
                .saturating_record_n(latency, run.len() as u64);
        }
        drop(counts);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(LATENCY_MAX_US)
        .clamp(1, LATENCY_MAX_US)
}

/// Events per second over the last ten seconds, in bins of one second.
#[derive(Clone, Default)]
pub(crate) struct Rate {
    bins: VecDeque<(Instant, u64)>,
}

impl Rate {
    pub(crate) fn add(&mut self, now: Instant, events: u64) {
        let fresh = self.bins.back().is_none_or(|(start, _)| {
            now.saturating_duration_since(*start) >= Duration::from_secs(1)
        });
        if fresh {
            self.bins.push_back((now, events));
        } else if let Some((_, count)) = self.bins.back_mut() {
            *count += events;
        }
        while self
            .bins
            .front()
            .is_some_and(|(start, _)| outdated(*start, now))
        {
            self.bins.pop_front();
        }
    }

    pub(crate) fn per_s(&self, now: Instant) -> f64 {
        let recent = self.bins.iter().filter(|(start, _)| !outdated(*start, now));
        let (mut events, mut first) = (0, None);
        for (start, count) in recent {
            events += count;
            first.get_or_insert(*start);
        }
        let span = first.map_or(RATE_SPAN, |first| now.saturating_duration_since(first));
        events as f64 / span.clamp(Duration::from_secs(1), RATE_SPAN).as_secs_f64()
    }
}

fn outdated(start: Instant, now: Instant) -> bool {
    now.saturating_duration_since(start) > RATE_SPAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_happened_in_the_last_ten_seconds() {
        let start = Instant::now();
        let at = |s: f64| start + Duration::from_secs_f64(s);
        let mut rate = Rate::default();
        assert!(rate.per_s(start) == 0.0);
        for step in 0..200 {
            rate.add(at(f64::from(step) * 0.1), 5);
        }
        assert!(
            (rate.per_s(at(20.0)) - 50.0).abs() < 6.0,
            "{}",
            rate.per_s(at(20.0))
        );
        assert!(rate.per_s(at(60.0)) == 0.0);
        assert!(rate.bins.len() <= 12, "the bins are bounded");
    }
}
