//! One pipeline from its start to its end, and what the model knows of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pipeline::source::Item;
use pipeline::{BufferOptions, Intake, Pipeline, Report, Stats};
use sinks::{RetryPolicy, ScopeName};
use tokio::time::Instant;

use crate::check::{self, Known};
use crate::sink::Link;
use crate::weather::Weather;
use crate::witness::{Id, Place};
use crate::world::World;

/// Virtual time that any call may take.
const CALL_MAX: Duration = Duration::from_secs(3_600);
/// Virtual time after which a sink that is well again must have caught up.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// A running pipeline.
pub(crate) struct Life {
    pub(crate) pipeline: Pipeline,
    link: Link,
    doors: Vec<Option<Intake>>,
    accepted: Vec<Id>,
    offered: u64,
    settled_before: u64,
    /// Since when nothing has gone wrong that could delay a delivery.
    pub(crate) well_since: Instant,
}

/// How a life ended.
enum End<'a> {
    Killed,
    Stopped(&'a Report),
}

impl Life {
    /// Starts a pipeline on what the earlier ones left.
    pub(crate) fn start(world: &mut World) -> Result<Self> {
        let shape = &world.shape.sinks[0];
        let sink = &world.sinks[0];
        let seed = world.random.u64(..);
        let link = sink.connect(shape, &world.server, seed)?;
        let lane = shape.lanes[0];
        let pipeline = Pipeline::builder(link.writer.clone())
            .buffer(BufferOptions {
                max_size: lane.size,
                policy: lane.policy,
                ..BufferOptions::default()
            })
            .flush(lane.batch, lane.age)
            .retry(RetryPolicy::new(Duration::from_millis(10), RETRY_MAX, None))
            .seed(seed)
            .start()?;
        let settled_before = sink.contents.lock().settled;
        Ok(Self {
            pipeline,
            link,
            doors: world.sources.iter().map(|_| None).collect(),
            accepted: Vec::new(),
            offered: 0,
            settled_before,
            well_since: Instant::now(),
        })
    }

    /// Opens what is not open yet. A sink that is dead is tried again at the next step.
    pub(crate) async fn connect(&mut self, world: &mut World) -> Result<()> {
        for index in 0..self.doors.len() {
            if self.doors[index].is_some() || self.pipeline.stopped().is_some() {
                continue;
            }
            let source = &mut world.sources[index];
            let name = ScopeName::new(&source.shape.name);
            let opened = match source.is_positioned() {
                true => tokio::time::timeout(PATIENCE, self.pipeline.intake(&name)).await,
                false => Ok(self.pipeline.intake_at_once(&name).await),
            };
            match opened {
                Ok(Ok(intake)) => {
                    if source.is_positioned() {
                        source.seek(intake.watermark(), &world.records);
                    }
                    self.doors[index] = Some(intake);
                }
                Ok(Err(error)) => {
                    world
                        .trace
                        .note(format_args!("{name} is not opened: {error}"));
                }
                Err(_) => world
                    .trace
                    .note(format_args!("{name} is not opened in time")),
            }
        }
        Ok(())
    }

    /// Offers the next records of a source.
    pub(crate) fn offer(&mut self, world: &mut World, index: usize, count: usize) -> Result<()> {
        let Some(intake) = &self.doors[index] else {
            return Ok(());
        };
        let source = &mut world.sources[index];
        let ids = source.next(count, &mut world.records, &mut world.random);
        let now = Instant::now().into_std();
        let pushed = if source.is_positioned() {
            let item = |id: &Id| Item {
                position: world.records.of(*id).position,
                content: world.records.content(*id),
            };
            intake.push_items(now, ids.iter().map(item).collect())
        } else {
            let contents = ids.iter().map(|id| world.records.content(*id)).collect();
            match world.random.u8(0..4) {
                0 => intake
                    .try_push_all(now, contents)
                    .map(|()| pipeline::Accepted {
                        accepted: count,
                        ..pipeline::Accepted::default()
                    }),
                _ => intake.push(now, contents),
            }
        };
        let accepted = pushed.as_ref().map_or(0, |pushed| pushed.accepted);
        ensure!(accepted <= count, "{accepted} of {count} were accepted");
        self.offered += count as u64;
        self.accepted.extend(&ids[..accepted]);
        world.accepted.extend(&ids[..accepted]);
        if source.is_positioned() {
            source.taken += accepted;
        }
        let name = &source.shape.name;
        world.trace.note(format_args!(
            "{name} offers {count} from {:?}, {accepted} accepted: {:?}",
            ids.first().map(|id| id.0),
            pushed.map(|pushed| (pushed.dropped, pushed.refusal)),
        ));
        world.trace.count(|tally| tally.offered += count as u64);
        Ok(())
    }

    /// Changes the weather over the sink.
    pub(crate) fn weather(&mut self, world: &World, weather: Weather) {
        let sink = &world.sinks[0];
        world
            .trace
            .note(format_args!("weather of {}: {weather:?}", sink.name));
        sink.sky.lock().weather = weather;
        self.well_since = Instant::now();
        if weather != Weather::Hanging {
            self.link.release();
        }
    }

    /// Asks for a flush, and does not wait for ever.
    pub(crate) async fn flush(&self, world: &World) -> Result<()> {
        match tokio::time::timeout(PATIENCE, self.pipeline.flush()).await {
            Ok(Ok(settled)) => {
                world.trace.note(format_args!("a flush settled {settled}"));
                let pending = self.pipeline.stats().pending;
                ensure!(pending == 0, "{pending} are pending right after a flush");
            }
            Ok(Err(error)) => world.trace.note(format_args!("a flush failed: {error}")),
            Err(_) => world.trace.note(format_args!("a flush was given up")),
        }
        Ok(())
    }

    /// With all sinks well, everything is delivered though nothing arrives (law 5).
    pub(crate) async fn rest(&mut self, world: &mut World) -> Result<()> {
        self.weather(world, Weather::Fair);
        tokio::time::sleep(RECOVERY).await;
        self.connect(world).await?;
        if let Some(why) = self.pipeline.stopped() {
            world
                .trace
                .note(format_args!("stopped before it could rest: {why}"));
            return Ok(());
        }
        let stats = self.pipeline.stats();
        ensure!(
            stats.pending == 0,
            "law 5: {} are still pending {RECOVERY:?} after the last failure: {:?}",
            stats.pending,
            stats.sink.last_error
        );
        let source = world.random.usize(0..world.sources.len());
        self.offer(world, source, 1)?;
        let shape = &world.shape.sinks[0];
        let bound = shape.lanes[0].age + shape.write_max + Duration::from_millis(5);
        // A bad row costs a write more.
        tokio::time::sleep(bound + shape.write_max).await;
        // An older pipeline that was still opening a scope may have shut this one out.
        if self.pipeline.stopped().is_none() {
            let pending = self.pipeline.stats().pending;
            ensure!(
                pending == 0,
                "law 5: {pending} are pending {bound:?} after they arrived"
            );
        }
        Ok(())
    }

    /// What must hold at every moment.
    pub(crate) fn check(&self, world: &World) -> Result<Stats> {
        if let Some(broken) = world.trace.broken() {
            bail!("{broken}");
        }
        let stats = self.pipeline.stats();
        let shape = &world.shape.sinks[0];
        let known = Known {
            offered: self.offered,
            accepted: self.accepted.len() as u64,
            settled: world.sinks[0].contents.lock().settled - self.settled_before,
            cap: shape.lanes[0].size,
        };
        check::account(&stats, &known)?;
        let is_well = world.sinks[0].weather() == Weather::Fair
            && self.well_since.elapsed() > RECOVERY
            && self.pipeline.stopped().is_none();
        if is_well {
            let lane = shape.lanes[0];
            let drain = shape.write_max * u32::try_from(2 * lane.size)?;
            check::age(&stats, lane.age + drain + Duration::from_millis(5))?;
        }
        world.trace.note(format_args!(
            "has delivered {}, dropped {}, quarantined {}, pending {}, refused {}",
            stats.delivered,
            stats.dropped.total(),
            stats.quarantined,
            stats.pending,
            stats.refused
        ));
        Ok(stats)
    }

    /// The process is killed here and now: what the model can say of it then.
    pub(crate) fn kill(&self, world: &mut World) -> Result<()> {
        world.trace.note(format_args!("kill"));
        world.trace.count(|tally| tally.kills += 1);
        let stats = self.check(world)?;
        self.settle(world, &stats, &End::Killed)
    }

    /// Shuts down in order, and accounts for every record.
    pub(crate) async fn stop(self, world: &mut World, within: Option<Duration>) -> Result<()> {
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
        self.settle(world, &report.stats, &End::Stopped(&report))
    }

    /// The last account against the places of the records.
    fn settle(&self, world: &mut World, stats: &Stats, end: &End<'_>) -> Result<()> {
        let back = match end {
            End::Killed => HashSet::new(),
            End::Stopped(report) => self.handed_back(world, report)?,
        };
        let contents = Arc::clone(&world.sinks[0].contents);
        let mut contents = contents.lock();
        let (mut delivered, mut quarantined, mut missing, mut sound) = (0, 0, 0, 0);
        for id in self.accepted.iter().filter(|id| !back.contains(*id)) {
            match contents.place(*id) {
                Place::Delivered => delivered += 1,
                Place::Quarantined => quarantined += 1,
                Place::Nowhere => {
                    missing += 1;
                    sound += u64::from(!world.is_bad(*id));
                }
                Place::Replayed => bail!("row {} was replayed before it was accepted", id.0),
            }
        }
        let dropped = stats.dropped.total();
        world.trace.count(|tally| tally.dropped += dropped);
        world.lost_at_most += dropped;
        world.lost_for_good_at_most += dropped;
        match end {
            End::Killed => {
                world.lost_at_most += stats.pending;
                ensure!(
                    stats.delivered <= delivered && stats.quarantined <= quarantined,
                    "law 1: {} were said to be delivered and {} quarantined, the store has \
                     {delivered} and {quarantined}",
                    stats.delivered,
                    stats.quarantined
                );
                ensure!(
                    missing <= dropped + stats.pending,
                    "law 1: {missing} are missing, {dropped} were dropped and {} pending",
                    stats.pending
                );
            }
            End::Stopped(report) => {
                ensure!(
                    (stats.delivered, stats.quarantined, dropped)
                        == (delivered, quarantined, missing),
                    "law 1: delivered {}, quarantined {}, dropped {dropped}; the store has \
                     {delivered} and {quarantined}, and {missing} are missing",
                    stats.delivered,
                    stats.quarantined
                );
                ensure!(
                    stats.pending == report.undelivered.len() as u64,
                    "law 1: {} are pending, and {} were handed back",
                    stats.pending,
                    report.undelivered.len()
                );
                ensure!(
                    sound <= dropped - stats.dropped.rejected,
                    "law 9: {sound} sound rows are missing, {dropped} were dropped, {} of them \
                     rejected",
                    stats.dropped.rejected
                );
            }
        }
        for id in back {
            let is_replayed = !world.sources[world.records.of(id).source].is_positioned();
            if is_replayed && contents.place(id) == Place::Nowhere {
                contents.put(id, Place::Replayed);
            }
        }
        Ok(())
    }

    /// What a shutdown handed back: nothing that the store has, but for one batch whose outcome
    /// nobody could learn, because the sink did not answer any more.
    fn handed_back(&self, world: &World, report: &Report) -> Result<HashSet<Id>> {
        let contents = world.sinks[0].contents.lock();
        let answers = matches!(world.sinks[0].weather(), Weather::Fair | Weather::Dead);
        let unknown_max = match answers && report.error.is_none() {
            true => 0,
            false => world.shape.sinks[0].lanes[0].batch,
        };
        let accepted: HashSet<Id> = self.accepted.iter().copied().collect();
        let (mut back, mut unknown) = (HashSet::new(), 0);
        for entry in &report.undelivered {
            let id = Id::of(entry).context("a strange row was handed back")?;
            ensure!(
                accepted.contains(&id),
                "row {} came back and was never accepted",
                id.0
            );
            ensure!(back.insert(id), "row {} was handed back twice", id.0);
            let place = contents.place(id);
            unknown += usize::from(place != Place::Nowhere);
            ensure!(
                unknown <= unknown_max,
                "law 8: row {} is {place:?}, and was handed back",
                id.0
            );
        }
        let count = back.len() as u64;
        world.trace.count(|tally| tally.handed_back += count);
        Ok(back)
    }
}

/// How long the model waits for an answer that need not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The lock of a server, which ghosts hold; one per runtime.
pub(crate) fn server() -> Arc<tokio::sync::RwLock<()>> {
    Arc::default()
}
