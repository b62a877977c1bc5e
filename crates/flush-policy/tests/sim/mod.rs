//! A buffer, a driver and a sink with a simulated clock that jumps to the next event.
//!
//! One flush is in flight at a time. While it is, arrivals are reported and their decisions left
//! alone, as the contract of `FlushPolicy` allows; what was taken stays in the buffer until it is
//! delivered. The example `simulate` is made of the same parts.

#![allow(
    dead_code,
    reason = "each of the programs that include this uses a part of it"
)]

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
    pub(crate) fn after(gap: Duration) -> Self {
        Self {
            gap,
            bytes: 1,
            reported_late: Duration::ZERO,
        }
    }

    pub(crate) fn after_ms(gap_ms: u64) -> Self {
        Self::after(Duration::from_millis(gap_ms))
    }
}

/// What a write takes, however large, and for each item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) fixed: Duration,
    pub(crate) per_item: Duration,
}

impl Cost {
    pub(crate) fn us(fixed_us: u64, per_item_us: u64) -> Self {
        Self {
            fixed: Duration::from_micros(fixed_us),
            per_item: Duration::from_micros(per_item_us),
        }
    }

    pub(crate) fn of(&self, items: usize) -> Duration {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        self.fixed + self.per_item.saturating_mul(items)
    }
}

/// How the simulated sink behaves.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    /// Most items that one flush takes, if the policy has no smaller view on that.
    pub(crate) batch_max: usize,
    /// Outcome of each flush in turn, repeated; true delivers.
    pub(crate) delivers: Vec<bool>,
    /// What the driver waits after a failure.
    pub(crate) retry_delay: Duration,
    /// What writes take, each from a time after the start on.
    pub(crate) costs: Vec<(Duration, Cost)>,
}

impl Sink {
    pub(crate) fn perfect() -> Self {
        Self::costing(Cost::default())
    }

    pub(crate) fn costing(cost: Cost) -> Self {
        Self {
            batch_max: usize::MAX,
            delivers: vec![true],
            retry_delay: Duration::ZERO,
            costs: vec![(Duration::ZERO, cost)],
        }
    }

    fn cost_at(&self, since_start: Duration) -> Cost {
        let begun = self.costs.iter().rev().find(|(at, _)| *at <= since_start);
        begun.map_or(Cost::default(), |&(_, cost)| cost)
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
    pub(crate) took: Duration,
    pub(crate) delivered: bool,
    /// What the policy wanted a batch to hold at most.
    pub(crate) batch_items: Option<usize>,
}

/// What came of it all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Run {
    pub(crate) attempts: Vec<Attempt>,
    /// How long each delivered item waited until the flush that delivered it began.
    pub(crate) waits: Vec<Duration>,
    /// Items that stayed in the buffer.
    pub(crate) left: usize,
}

/// Every attempt and the number of items that stayed in the buffer; see [`simulate`].
pub(crate) fn run(
    policy: &mut dyn FlushPolicy,
    start: Instant,
    arrivals: &[Arrival],
    sink: &Sink,
) -> (Vec<Attempt>, usize) {
    let run = simulate(policy, start, arrivals, sink);
    (run.attempts, run.left)
}

/// Runs until all arrivals are in and the policy has nothing more to do.
pub(crate) fn simulate(
    policy: &mut dyn FlushPolicy,
    start: Instant,
    arrivals: &[Arrival],
    sink: &Sink,
) -> Run {
    let mut reports = reports(start, arrivals);
    let mut world = World {
        policy,
        sink,
        start,
        now: start,
        buffer: VecDeque::new(),
        bytes: 0,
        in_flight: None,
        retry_at: start,
        run: Run::default(),
    };
    loop {
        assert!(
            world.run.attempts.len() < 100_000,
            "the policy flushes in circles"
        );
        let report = reports.front().map(|report| report.reported);
        if let Some(flight) = world.in_flight
            && report.is_none_or(|report| flight.ends <= report)
        {
            world.land(flight);
            continue;
        }
        let due = world.due();
        match (report, due) {
            (Some(report), due) if due.is_none_or(|due| report <= due) => {
                world.now = report;
                if let Some(report) = reports.pop_front() {
                    world.arrive(report);
                }
            }
            (_, Some(due)) => {
                world.now = due;
                let decision = world.policy.on_deadline(due);
                assert!(decision.is_flush(), "a deadline passed and nothing was due");
                world.follow(decision);
            }
            (_, None) => {
                world.run.left = world.buffer.len();
                return world.run;
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Report {
    reported: Instant,
    arrived: Instant,
    bytes: usize,
}

/// Reports come in order, as from one queue.
fn reports(start: Instant, arrivals: &[Arrival]) -> VecDeque<Report> {
    let (mut arrived, mut reported) = (start, start);
    let report = |arrival: &Arrival| {
        arrived += arrival.gap;
        reported = reported.max(arrived + arrival.reported_late);
        Report {
            reported,
            arrived,
            bytes: arrival.bytes,
        }
    };
    arrivals.iter().map(report).collect()
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    ends: Instant,
    attempt: Attempt,
}

struct World<'a> {
    policy: &'a mut dyn FlushPolicy,
    sink: &'a Sink,
    start: Instant,
    now: Instant,
    buffer: VecDeque<(Instant, usize)>,
    bytes: usize,
    in_flight: Option<Flight>,
    /// When a flush may begin again after a failure.
    retry_at: Instant,
    run: Run,
}

impl World<'_> {
    /// When the driver has to look again, unless a flush is in flight.
    fn due(&self) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        let deadline = self.policy.next_deadline()?;
        Some(deadline.max(self.now).max(self.retry_at))
    }

    fn arrive(&mut self, report: Report) {
        self.buffer.push_back((report.arrived, report.bytes));
        self.bytes += report.bytes;
        let load = Load::new(1, report.bytes).arrived_at(report.arrived);
        let decision = self.policy.on_push(self.now, load);
        if self.in_flight.is_none() && self.now >= self.retry_at {
            self.follow(decision);
        }
    }

    /// Begins the flush that is decided.
    fn follow(&mut self, decision: Decision) {
        let Decision::Flush(reason) = decision else {
            return;
        };
        let Some(&(oldest, _)) = self.buffer.front() else {
            panic!("an empty buffer was flushed for {reason}");
        };
        let batch_items = self.policy.batch_items();
        let batch_max = self.sink.batch_max.min(batch_items.unwrap_or(usize::MAX));
        let items = self.buffer.len().min(batch_max);
        let took = self.sink.cost_at(self.now - self.start).of(items);
        let number = self.run.attempts.len();
        let attempt = Attempt {
            at: self.now,
            reason,
            items,
            waited: self.now - oldest,
            took,
            delivered: self.sink.delivers[number % self.sink.delivers.len()],
            batch_items,
        };
        self.run.attempts.push(attempt);
        self.in_flight = Some(Flight {
            ends: self.now + took,
            attempt,
        });
    }

    /// Ends the flush that is in flight, and begins the next if one is due at once.
    fn land(&mut self, Flight { ends, attempt }: Flight) {
        self.in_flight = None;
        self.now = ends;
        if attempt.delivered {
            for (arrived, bytes) in self.buffer.drain(..attempt.items) {
                self.bytes -= bytes;
                self.run.waits.push(attempt.at - arrived);
            }
        }
        let remainder = match self.buffer.front() {
            Some(&(oldest, _)) => Remainder::new(self.buffer.len(), self.bytes, oldest),
            None => Remainder::EMPTY,
        };
        let flushed = match attempt.delivered {
            true => Flushed::delivered(remainder),
            false => Flushed::failed(remainder),
        };
        let flushed = flushed.wrote(attempt.items, attempt.took);
        let decision = self.policy.on_flushed(ends, flushed);
        if attempt.delivered {
            self.follow(decision);
        } else {
            assert!(decision.is_flush(), "a failed flush was forgotten");
            self.retry_at = ends + self.sink.retry_delay;
        }
    }
}
