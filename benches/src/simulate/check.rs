//! The laws, as far as an account tells.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pipeline::{RouteStats, Stats, Totals};

use crate::lanes::LaneKnown;
use crate::shape::Shape;

/// Laws 1 and 2 of all totals, routes and lanes, and that they agree with what the sources know.
///
/// # Errors
/// With the law that is broken.
pub(crate) fn account(stats: &Stats, shape: &Shape, lanes: &[Vec<LaneKnown>]) -> Result<()> {
    balance(&totals_of(stats)).context("in all")?;
    ensure!(
        stats.routes.len() >= shape.routes.len(),
        "{} routes run, {} are planned",
        stats.routes.len(),
        shape.routes.len()
    );
    for ending in &stats.routes[shape.routes.len()..] {
        let name = ending.route.as_deref().unwrap_or("default");
        balance(&ending.totals).with_context(|| format!("ending route {name}"))?;
    }
    for ((route, plan), known) in stats.routes.iter().zip(&shape.routes).zip(lanes) {
        let name = route.route.as_deref().unwrap_or("default");
        let context = || format!("route {name} into {}", route.sink);
        balance(&route.totals).with_context(context)?;
        route_of(route, plan.size(), known).with_context(context)?;
    }
    Ok(())
}

/// The totals of a pipeline.
pub(crate) fn totals_of(stats: &Stats) -> Totals {
    Totals {
        offered: stats.offered,
        accepted: stats.accepted,
        refused: stats.refused,
        delivered: stats.delivered,
        dropped: stats.dropped,
        quarantined: stats.quarantined,
        pending: stats.pending,
    }
}

fn route_of(route: &RouteStats, size_max: usize, known: &[LaneKnown]) -> Result<()> {
    let (mut pending, mut size) = (0, 0);
    for (lane, known) in route.lanes.iter().zip(known) {
        let name = lane.lane.as_str();
        balance(&lane.totals).with_context(|| name)?;
        let accepted = known.accepted.len() as u64;
        ensure!(
            (lane.totals.offered, lane.totals.accepted) == (known.offered, accepted),
            "law 1: {name}: offered {} and accepted {}, its sources say {} and {accepted}",
            lane.totals.offered,
            lane.totals.accepted,
            known.offered
        );
        ensure!(
            lane.buffer.current_size <= lane.buffer.max_size
                && lane.buffer.current_size as u64 == lane.totals.pending,
            "law 2: {name}: {} in a buffer for {}, and {} pending",
            lane.buffer.current_size,
            lane.buffer.max_size,
            lane.totals.pending
        );
        pending += lane.totals.pending;
        size += lane.buffer.max_size;
    }
    ensure!(
        pending == route.totals.pending,
        "law 1: {} are pending, {pending} in the lanes",
        route.totals.pending
    );
    ensure!(
        size <= size_max,
        "law 2: lanes for {size} of {size_max} records"
    );
    Ok(())
}

fn balance(totals: &Totals) -> Result<()> {
    ensure!(
        totals.offered == totals.accepted + totals.refused,
        "law 1: offered is not accepted + refused: {totals:?}"
    );
    let elsewhere = totals.dropped.total() + totals.quarantined + totals.pending;
    ensure!(
        totals.accepted == totals.delivered + elsewhere,
        "law 1: accepted is not delivered + dropped + quarantined + pending: {totals:?}"
    );
    Ok(())
}

/// Laws 5 and 10: while a sink is well, nothing waits for it for longer than its lane's age and
/// the time it takes to write all that waits.
///
/// # Errors
/// When something does.
pub(crate) fn ages(stats: &Stats, shape: &Shape, sink: usize, drain: Duration) -> Result<()> {
    for (route, plan) in stats.routes.iter().zip(&shape.routes) {
        if plan.sink != sink {
            continue;
        }
        for (lane, planned) in route.lanes.iter().zip(&plan.lanes) {
            let bound_s = (planned.age + drain).as_secs_f64();
            ensure!(
                lane.buffer.oldest_age_s <= bound_s,
                "law 5: {} of {} waits for {:.3} s though its sink is well, at most {bound_s:.3} s \
                 are allowed",
                lane.lane.as_str(),
                route.sink,
                lane.buffer.oldest_age_s
            );
        }
    }
    Ok(())
}
