//! How lives and routes end, and where each record is then.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pipeline::{Outcome, SinkReport, Stats};
use sinks::Entry;
use tokio::time::Instant;

use crate::attempts::Settled;
use crate::check::totals_of;
use crate::lanes::{LaneKnown, Places};
use crate::life::{CALL_MAX, Life};
use crate::weather::Weather;
use crate::witness::{Id, Place};
use crate::world::World;

/// How a life ends in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Nobody else writes.
    Down,
    /// Another pipeline has taken over its scopes, so it cannot ask what it has written.
    Out,
    /// Others went on; what a sink did then is not known.
    Meanwhile,
}

/// What was handed back, sink by sink.
struct HandedBack {
    ids: Vec<HashSet<Id>>,
    /// Whether the sink had answered, so that none of them can come there any more.
    is_clear: Vec<bool>,
}

impl Life {
    /// The process is killed here and now: what the model can say of it then.
    pub(crate) async fn kill(&mut self, world: &mut World) -> Result<()> {
        if self
            .change
            .as_ref()
            .is_some_and(|change| change.done.is_finished())
        {
            self.join_change(world).await?;
        }
        world.trace.note(format_args!("kill"));
        world.trace.count(|tally| tally.kills += 1);
        let stats = self.check(world)?;
        let mut sum = Places::default();
        let ended = self.change.iter().flat_map(|change| &change.ended);
        for lane in self
            .lanes
            .iter()
            .flatten()
            .chain(&self.retired)
            .chain(ended)
        {
            sum.add(&lane.places(world)?);
        }
        sum.check_killed(&totals_of(&stats), self.kept())?;
        self.count_lost(world, &stats);
        world.lost_at_most += stats.pending;
        Ok(())
    }

    /// Updates that changes of routes handed back.
    fn kept(&self) -> u64 {
        self.retired.iter().map(|lane| lane.back.len() as u64).sum()
    }

    /// Shuts down in order, and accounts for every record.
    pub(crate) async fn stop(
        mut self,
        world: &mut World,
        within: Option<Duration>,
        shut: Shut,
    ) -> Result<()> {
        self.join_change(world).await?;
        world.trace.note(format_args!("shutdown within {within:?}"));
        world.trace.count(|tally| tally.shutdowns += 1);
        let report = tokio::time::timeout(CALL_MAX, self.pipeline.shutdown(within)).await;
        let report = report.context("a shutdown did not return within an hour")?;
        self.check(world)?;
        world.trace.note(format_args!(
            "handed back {}, error {:?}",
            report.undelivered.len(),
            report.error.as_ref().map(ToString::to_string)
        ));
        let settled = self.settled();
        let lanes = self.lanes.iter_mut().flatten();
        let back = handed_back(
            world,
            &report.undelivered,
            &report.sinks,
            lanes,
            &settled,
            &self.panics_before,
            shut,
        )?;
        let mut sum = Places::default();
        let routes = report.stats.routes.iter().flat_map(|route| &route.lanes);
        for (lane, stats) in self.lanes.iter().flatten().zip(routes) {
            let places = lane.places(world)?;
            let unknown = self.unknown_max(world, lane.sink);
            places
                .check_ended(&stats.totals, unknown)
                .with_context(|| {
                    let sink = &world.shape.sinks[lane.sink].name;
                    format!("{} into {sink}", stats.lane.as_str())
                })?;
            sum.add(&places);
        }
        for lane in &self.retired {
            // What was handed back with its route counts as quarantined.
            let mut places = lane.places(world)?;
            places.quarantined += std::mem::take(&mut places.handed_back);
            places.missing_sound = 0;
            sum.add(&places);
        }
        let unknown = (0..world.sinks.len())
            .map(|sink| self.unknown_max(world, sink))
            .sum();
        sum.check_ended(&totals_of(&report.stats), unknown)
            .context("in all")?;
        self.outcomes(world, &back)?;
        self.count_lost(world, &report.stats);
        replay(world, &back);
        Ok(())
    }

    /// Rows of a sink that may be there though nobody knows: a writer that panics says nothing.
    fn unknown_max(&self, world: &World, sink: usize) -> u64 {
        let panics = world.sinks[sink].sky.lock().panics - self.panics_before[sink];
        let batch_max = 60;
        panics * batch_max
    }

    /// Waits for the change of routes that is under way.
    pub(crate) async fn join_change(&mut self, world: &mut World) -> Result<()> {
        let Some(mut change) = self.change.take() else {
            return Ok(());
        };
        let done = tokio::time::timeout(CALL_MAX, &mut change.done).await;
        let done = done.context("a change of routes did not return within an hour")??;
        let done = done.context("a change of routes was refused")?;
        world.trace.note(format_args!(
            "routes are changed: kept {}, started {}, ended {}, handed back {}",
            done.kept,
            done.started,
            done.ended,
            done.undelivered.len()
        ));
        let lanes = change.ended.iter_mut();
        let back = handed_back(
            world,
            &done.undelivered,
            &done.sinks,
            lanes,
            &change.settled,
            &self.panics_before,
            Shut::Meanwhile,
        )?;
        replay(world, &back);
        self.retired.append(&mut change.ended);
        // What came meanwhile has waited for the slowest of the sinks that the change drained.
        self.well_since.fill(Instant::now());
        self.check(world)?;
        Ok(())
    }

    fn count_lost(&self, world: &mut World, stats: &Stats) {
        let dropped = stats.dropped.total();
        world.trace.count(|tally| tally.dropped += dropped);
        world.lost_at_most += dropped;
        world.lost_for_good_at_most += dropped;
    }

    /// What senders were told of their records is so.
    fn outcomes(&mut self, world: &World, back: &HandedBack) -> Result<()> {
        let Self {
            tracked, retired, ..
        } = self;
        for (id, tracked) in tracked {
            let mut context = TaskContext::from_waker(Waker::noop());
            let mut told = tokio::task::unconstrained(tracked);
            let Poll::Ready(outcomes) = Pin::new(&mut told).poll(&mut context) else {
                bail!("whoever sent row {} waits for ever", id.0);
            };
            for (name, outcome) in outcomes {
                let sink = world.sinks.iter().position(|sink| *sink.name == *name);
                let sink = sink.context("an outcome of a strange sink")?;
                let place = world.sinks[sink].contents.lock().place(*id);
                let holds = match &outcome {
                    Outcome::Delivered => place == Place::Delivered,
                    Outcome::Rejected(_) => world.is_bad(sink, *id),
                    Outcome::Dropped(_) => place == Place::Nowhere,
                    Outcome::Undelivered => {
                        let is_back =
                            |lane: &LaneKnown| lane.sink == sink && lane.back.contains(id);
                        !back.is_clear[sink]
                            || back.ids[sink].contains(id)
                            || retired.iter().any(is_back)
                    }
                    _ => false,
                };
                ensure!(
                    holds,
                    "law 1: the sender of row {} was told {outcome:?} by {name}, it is {place:?}",
                    id.0
                );
            }
        }
        Ok(())
    }
}

/// What was handed back: nothing that the sink had said it has, and nothing that it has, but for
/// batches whose outcome nobody could learn, because the sink was dead or did not answer any more.
fn handed_back<'a>(
    world: &World,
    undelivered: &[Entry],
    reports: &[SinkReport],
    lanes: impl Iterator<Item = &'a mut LaneKnown>,
    settled: &[Settled],
    panics_before: &[u64],
    shut: Shut,
) -> Result<HandedBack> {
    let mut lanes: Vec<&mut LaneKnown> = lanes.collect();
    let mut back = HandedBack {
        ids: world.sinks.iter().map(|_| HashSet::new()).collect(),
        is_clear: vec![true; world.sinks.len()],
    };
    let mut count = 0;
    for report in reports {
        let found = world
            .sinks
            .iter()
            .position(|sink| *sink.name == *report.sink);
        let index = found.context("a report of a strange sink")?;
        let sink = &world.sinks[index];
        let contents = sink.contents.lock();
        let answers = matches!(sink.weather(), Weather::Fair | Weather::Dead);
        // One that is dead by now may have written what it was last given, and cannot be asked.
        let is_silent = sink.weather() == Weather::Dead;
        // Behind a panic nobody knows what was written.
        let is_calm = sink.sky.lock().panics == panics_before[index];
        let is_clear = is_calm && answers && report.error.is_none() && shut == Shut::Down;
        back.is_clear[index] = is_clear;
        for entry in &undelivered[report.undelivered.clone()] {
            count += 1;
            let id = Id::of(entry).context("a strange row was handed back")?;
            let source = world.records.of(id).source;
            let mut lanes = lanes.iter_mut().filter(|lane| lane.sink == index);
            let lane = lanes.find(|lane| lane.accepted.contains(&id));
            let lane = lane.with_context(|| {
                format!(
                    "row {} came back from {} and was never accepted",
                    id.0, sink.name
                )
            })?;
            ensure!(
                back.ids[index].insert(id),
                "law 1: row {} was handed back twice from {}",
                id.0,
                sink.name
            );
            lane.back.insert(id);
            let place = contents.place_in(&lane.scope(world, source), id);
            ensure!(
                !settled[index].has(entry),
                "law 8: row {} was handed back, and {} had said that it is written",
                id.0,
                sink.name
            );
            ensure!(
                !is_clear || is_silent || place == Place::Nowhere,
                "law 8: row {} is {place:?} in {}, and was handed back",
                id.0,
                sink.name
            );
        }
    }
    ensure!(
        count == undelivered.len(),
        "of {} that were handed back, {count} belong to a sink",
        undelivered.len()
    );
    world.trace.count(|tally| tally.handed_back += count as u64);
    Ok(back)
}

/// What came from sources that cannot be read again is written from the fallback file.
fn replay(world: &mut World, back: &HandedBack) {
    let mut elsewhere = 0;
    for (index, sink) in world.sinks.iter().enumerate() {
        let mut contents = sink.contents.lock();
        for id in &back.ids[index] {
            let is_absent = back.is_clear[index] && contents.place(*id) == Place::Nowhere;
            if !id.is_positioned() && is_absent {
                contents.put(*id, Place::Replayed);
            }
            // The others are read again, or come to the sink after all.
            elsewhere += u64::from(!is_absent);
        }
    }
    world.lost_at_most += elsewhere;
}
