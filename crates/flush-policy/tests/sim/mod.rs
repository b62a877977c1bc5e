//! A buffer with a simulated clock that jumps to the next arrival or deadline, whichever is first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flush_policy::{Decision, FlushPolicy, Flushed, Load, Reason, Remainder};

/// One item that comes `gap` after the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) gap: Duration,
    pub(crate) bytes: usize,
    /// How much later the driver reports it.
    pub(crate) reported_late: Duration,
}

impl Arrival {
    pub(crate) fn after_ms(gap_ms: u64) -> Self {
        Self {
            gap: Duration::from_millis(gap_ms),
            bytes: 1,
            reported_late: Duration::ZERO,
        }
    }
}

/// How the simulated sink behaves.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    /// Most items that one flush takes.
    pub(crate) batch_max: usize,
    /// Outcome of each flush in turn, repeated; true delivers.
    pub(crate) delivers: Vec<bool>,
    /// What the driver waits after a failure.
    pub(crate) retry_delay: Duration,
}

impl Sink {
    pub(crate) fn perfect() -> Self {
        Self {
            batch_max: usize::MAX,
            delivers: vec![true],
            retry_delay: Duration::ZERO,
        }
    }
}

/// One attempt to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) reason: Reason,
    pub(crate) items: usize,
    /// How long the oldest item had waited.
    pub(crate) waited: Duration,
    pub(crate) delivered: bool,
}

/// Runs until all arrivals are in and the policy has nothing more to do; returns every attempt and
/// the number of items that stayed in the buffer.
pub(crate) fn run(
    policy: &mut dyn FlushPolicy,
    start: Instant,
    arrivals: &[Arrival],
    sink: &Sink,
) -> (Vec<Attempt>, usize) {
    let mut reports = VecDeque::new();
    let mut at = start;
    let mut reported = start;
    for arrival in arrivals {
        at += arrival.gap;
        // Reports come in order, as from one queue.
        reported = reported.max(at + arrival.reported_late);
        reports.push_back((reported, at, arrival.bytes));
    }
    let mut buffer: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut attempts = Vec::new();
    let mut outcomes = sink.delivers.iter().copied().cycle();
    let mut now = start;
    let mut retry_at = None;
    loop {
        assert!(attempts.len() < 100_000, "the policy flushes in circles");
        let due = policy
            .next_deadline()
            .map(|due| due.max(now).max(retry_at.unwrap_or(now)));
        let next_report = reports.front().map(|&(reported, _, _)| reported);
        let decision = match (next_report, due) {
            (Some(report), due) if due.is_none_or(|due| report <= due) => {
                now = report;
                let (_, arrived, bytes) = reports.pop_front().unwrap();
                buffer.push_back((arrived, bytes));
                policy.on_push(now, Load::new(1, bytes).arrived_at(arrived))
            }
            (_, Some(due)) => {
                now = due;
                let decision = policy.on_deadline(now);
                assert!(decision.is_flush(), "a deadline passed and nothing was due");
                decision
            }
            (_, None) => return (attempts, buffer.len()),
        };
        if retry_at.is_some_and(|retry_at| now < retry_at) {
            continue;
        }
        retry_at = flush(
            policy,
            now,
            decision,
            &mut buffer,
            sink,
            &mut outcomes,
            &mut attempts,
        );
    }
}

/// Follows `decision`, and those that come of it; returns when to try again after a failure.
fn flush(
    policy: &mut dyn FlushPolicy,
    now: Instant,
    mut decision: Decision,
    buffer: &mut VecDeque<(Instant, usize)>,
    sink: &Sink,
    outcomes: &mut impl Iterator<Item = bool>,
    attempts: &mut Vec<Attempt>,
) -> Option<Instant> {
    while let Decision::Flush(reason) = decision {
        assert!(
            !buffer.is_empty(),
            "an empty buffer was flushed for {reason}"
        );
        let items = buffer.len().min(sink.batch_max);
        let delivered = outcomes.next().unwrap();
        let waited = now - buffer[0].0;
        attempts.push(Attempt {
            at: now,
            reason,
            items,
            waited,
            delivered,
        });
        if delivered {
            buffer.drain(..items);
        }
        let remainder = match buffer.front() {
            Some(&(oldest, _)) => {
                let bytes = buffer.iter().map(|&(_, bytes)| bytes).sum();
                Remainder::new(buffer.len(), bytes, oldest)
            }
            None => Remainder::EMPTY,
        };
        if !delivered {
            let again = policy.on_flushed(now, Flushed::failed(remainder));
            assert!(again.is_flush(), "a failed flush was forgotten");
            return Some(now + sink.retry_delay);
        }
        decision = policy.on_flushed(now, Flushed::delivered(remainder));
    }
    None
}
