//! What an account says is wrong.

use super::blame::Blame;
use super::deductions as table;
use super::trend::{Lately, Trend};
use super::{Deduction, Health};
use crate::{BufferStats, LaneState, LaneStats, RouteStats, Stats};

/// A failing sink counts for more after so long.
const FAILING_LONG_S: f64 = 10.0;
/// Of so many attempts at least the part that succeeded says something.
const ATTEMPTS_MIN: u64 = 10;
const SUCCESS_MIN_PCT: f64 = 90.0;
/// Losses up to this are no fault of the sizes.
const LOST_MAX_PCT: f64 = 1.0;
/// The part of its age bound from which a record counts as waiting for the timer.
const DUE_PART: f64 = 0.9;
/// Shorter bounds are reached before anybody could do something about them.
const DUE_BOUND_MIN_S: f64 = 10.0;
/// How far beyond bound and write a flush may be without being late.
const LATE_GRACE_S: f64 = 1.0;
const TIMER_MAX_PCT: f64 = 80.0;
const BUSY_MIN_PCT: f64 = 50.0;

pub(super) fn judge(stats: &Stats, stopped: Option<&str>, trend: Option<&Trend>) -> Health {
    let mut blame = Blame::default();
    if let Some(error) = stopped {
        let message = format!("nothing is delivered any more: {error}");
        blame.on(&table::STOPPED, message);
    }
    judge_sinks(stats, &mut blame);
    judge_lanes(stats, stopped.is_some(), trend, &mut blame);
    let recent = &stats.recent;
    let attempts = recent.batches + recent.failures;
    if attempts >= ATTEMPTS_MIN
        && recent.success_rate_pct < SUCCESS_MIN_PCT
        && !blame.has(&table::SINK_FAILING)
    {
        let message = format!(
            "only {:.0} % of {attempts} attempts to write succeeded in the last {:.0} s",
            recent.success_rate_pct, recent.span_s
        );
        blame.on(&table::SINK_UNSTEADY, message);
    }
    for reason in &stats.stopped_sources {
        let message = format!("a source has ended: {reason}");
        blame.on(&table::SOURCE_STOPPED, message);
    }
    if trend.is_some_and(Trend::is_unrouted) {
        let message = format!("no route matches {} records so far", stats.unrouted);
        blame.on(&table::UNROUTED, message);
    }
    blame.verdict()
}

fn judge_failing(sink: &str, failing_s: f64, error: Option<&str>, blame: &mut Blame) {
    if failing_s <= 0.0 {
        return;
    }
    let deduction = if failing_s >= FAILING_LONG_S {
        &table::SINK_DOWN
    } else {
        &table::SINK_FAILING
    };
    let error = error.unwrap_or("no message");
    let message = format!("{sink} has failed for {failing_s:.1} s: {error}");
    blame.on(deduction, message);
}

fn judge_fill(buffer_of: &str, buffer: &BufferStats, blame: &mut Blame) {
    let message = format!(
        "{buffer_of} is {:.0} % full ({} records)",
        buffer.utilization_pct, buffer.max_size
    );
    blame.on(&table::BUFFER_HIGH, message);
}

fn judge_losses(of: &str, accepted_per_s: f64, buffer: &BufferStats, blame: &mut Blame) {
    let lost_per_s = buffer.overflow_per_s;
    let lost_pct = lost_per_s * 100.0 / accepted_per_s.max(lost_per_s).max(1e-9);
    if lost_pct > LOST_MAX_PCT {
        let message =
            format!("{lost_per_s:.0} records per second{of}, {lost_pct:.1} %, are dropped");
        blame.on(&table::OVERFLOW, message);
    }
}

fn judge_sinks(stats: &Stats, blame: &mut Blame) {
    for sink in &stats.sinks {
        let shown = match stats.sinks.len() {
            1 => "the sink".to_owned(),
            _ => format!("the sink `{}`", sink.sink),
        };
        if let Some(why) = &sink.lost {
            let message = format!("{shown} takes nothing any more: {why}");
            blame.on(&table::SINK_LOST, message);
            continue;
        }
        let lanes = stats
            .routes
            .iter()
            .filter(|route| route.sink == sink.sink)
            .flat_map(|route| &route.lanes);
        let worst = lanes.max_by(|a, b| a.failing_for_s.total_cmp(&b.failing_for_s));
        let failing_s = worst.map_or(0.0, |lane| lane.failing_for_s);
        let error = worst.and_then(|lane| lane.last_error.as_deref());
        judge_failing(&shown, failing_s, error, blame);
        if sink.breaker == Some("open") {
            let deduction = if failing_s > 0.0 {
                &table::BREAKER_OPEN
            } else {
                &table::BREAKER_HELD
            };
            blame.on(deduction, format!("the breaker of {shown} is open"));
        }
    }
}

fn judge_lanes(stats: &Stats, is_stopped: bool, trend: Option<&Trend>, blame: &mut Blame) {
    let count: usize = stats.routes.iter().map(|route| route.lanes.len()).sum();
    for route in &stats.routes {
        let sink = stats.sinks.iter().find(|sink| sink.sink == route.sink);
        let is_lost = sink.is_some_and(|sink| sink.lost.is_some());
        let is_open = sink.is_some_and(|sink| sink.breaker == Some("open"));
        for lane in &route.lanes {
            let lane = Lane {
                stats: lane,
                of: if count == 1 {
                    String::new()
                } else {
                    format!(" of the {}", named(route, lane))
                },
                lately: trend.map_or_else(Lately::default, |trend| trend.of(route, lane)),
            };
            if !is_stopped && !is_lost {
                lane.judge_task(blame);
            }
            judge_fill_of(&lane, blame);
            let losses = lane.stats.updates_per_second;
            judge_losses(&lane.of, losses, &lane.stats.buffer, blame);
            lane.judge_lost(blame);
            let is_well = lane.stats.failing_for_s <= 0.0
                && lane.stats.state == LaneState::Running
                && !is_lost
                && !is_open;
            if is_well && !is_stopped {
                lane.judge_times(blame);
            }
        }
    }
}

fn judge_fill_of(lane: &Lane<'_>, blame: &mut Blame) {
    if lane.stats.high {
        let buffer_of = format!("the buffer{}", lane.of);
        judge_fill(&buffer_of, &lane.stats.buffer, blame);
    }
}

/// Such as: lane normal of the route `alarms` into `archive`.
fn named(route: &RouteStats, lane: &LaneStats) -> String {
    let (lane, sink) = (lane.lane.as_str(), &route.sink);
    match &route.route {
        Some(name) => format!("lane {lane} of the route `{name}` into `{sink}`"),
        None => format!("lane {lane} into `{sink}`"),
    }
}

/// A lane and how to speak of it.
struct Lane<'a> {
    stats: &'a LaneStats,
    /// Empty where there is no other.
    of: String,
    lately: Lately,
}

impl Lane<'_> {
    /// The task behind it.
    fn judge_task(&self, blame: &mut Blame) {
        let Self { stats, of, .. } = self;
        match stats.state {
            LaneState::Ended => {
                let message = format!("the delivery{of} has ended");
                blame.on(&table::LANE_ENDED, message);
            }
            LaneState::Restarting => {
                let message = format!("the delivery{of} has panicked and waits to be started");
                blame.on(&table::LANE_RESTARTING, message);
            }
            _ if self.lately.restarted => {
                let count = stats.restarts;
                let message = format!("the delivery{of} was started again {count} times so far");
                blame.on(&table::LANE_RESTARTED, message);
            }
            _ => {}
        }
    }

    /// Records that did not get where they should.
    fn judge_lost(&self, blame: &mut Blame) {
        let Self { stats, of, lately } = self;
        let totals = &stats.totals;
        let dropped = &totals.dropped;
        let counts: [(bool, &Deduction, u64, &str); 4] = [
            (
                lately.rejected,
                &table::REJECTED,
                dropped.rejected,
                "were refused by the sink and are kept nowhere",
            ),
            (
                lately.expired,
                &table::EXPIRED,
                dropped.expired,
                "had waited too long and were dropped",
            ),
            (
                lately.displaced,
                &table::DISPLACED,
                dropped.lower_priority,
                "were dropped for more urgent ones",
            ),
            (
                lately.quarantined,
                &table::QUARANTINE_GROWING,
                totals.quarantined,
                "went to the quarantine",
            ),
        ];
        for (is_recent, deduction, count, what) in counts {
            if is_recent {
                blame.on(deduction, format!("{count} records{of} {what} so far"));
            }
        }
    }

    /// How long things take, in a lane that can deliver.
    fn judge_times(&self, blame: &mut Blame) {
        let Self { stats, of, lately } = self;
        let (p99, target) = (stats.latency_ms.p99, stats.latency_target_ms);
        if lately.delivered && target > 0.0 && p99 > target {
            let message = format!(
                "99 of 100 records{of} take up to {p99:.0} ms to be delivered, {target:.0} ms is \
                 the target"
            );
            blame.on(&table::LATENCY_HIGH, message);
        }
        if let Some(bound) = stats.age_max_s {
            let oldest = stats.buffer.oldest_age_s;
            let late = bound + stats.write_ms.p99 / 1000.0 + LATE_GRACE_S;
            let message =
                format!("the oldest record{of} has waited for {oldest:.1} s of {bound} s at most");
            if oldest > late {
                blame.on(&table::FLUSH_LATE, message);
            } else if bound >= DUE_BOUND_MIN_S && oldest > DUE_PART * bound {
                blame.on(&table::FLUSH_DUE, message);
            }
        }
        if let Some(flushes) = lately.flushes
            && flushes.timer_pct > TIMER_MAX_PCT
            && flushes.busy_pct > BUSY_MIN_PCT
        {
            let message = format!(
                "{:.0} % of the flushes{of} are by timer, and writing takes {:.0} % of the time",
                flushes.timer_pct, flushes.busy_pct
            );
            blame.on(&table::TIMER_FLUSHES, message);
        }
    }
}
