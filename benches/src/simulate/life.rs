//! One pipeline from its start to its end, and what the model knows of it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use pipeline::{
    Intake, Pipeline, PipelineError, Reconfigured, RouteStats, SinkSpec, Stats, Tracked,
};
use sinks::{RetryPolicy, ScopeName};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::attempts::Settled;
use crate::check;
use crate::lanes::LaneKnown;
use crate::shape::{RouteShape, Shape, SourceKind, Way};
use crate::sink::Link;
use crate::weather::Weather;
use crate::witness::Id;
use crate::world::World;

/// Virtual time that any call may take.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(3_600);
/// Virtual time after which a sink that is well again must have caught up, if it writes at once.
pub(crate) const RECOVERY: Duration = Duration::from_secs(90);

/// A running pipeline.
pub(crate) struct Life {
    pub(crate) pipeline: Pipeline,
    /// The ways to the sinks, and those that were given up for others.
    pub(crate) links: Vec<Link>,
    old_links: Vec<Link>,
    pub(crate) doors: Vec<Option<Intake>>,
    /// What each lane of the plan took.
    pub(crate) lanes: Vec<Vec<LaneKnown>>,
    /// The same of lanes that a change of routes has ended.
    pub(crate) retired: Vec<LaneKnown>,
    /// How often each sink had panicked before.
    pub(crate) panics_before: Vec<u64>,
    pub(crate) change: Option<Change>,
    pub(crate) tracked: Vec<(Id, Tracked)>,
    /// Since when nothing has gone wrong that could delay a delivery, sink by sink.
    pub(crate) well_since: Vec<Instant>,
}

/// A change of routes under way.
pub(crate) struct Change {
    pub(crate) done: JoinHandle<Result<Reconfigured, PipelineError>>,
    /// The lanes that it ends.
    pub(crate) ended: Vec<LaneKnown>,
    /// What is known of the sinks that they lead to.
    pub(crate) settled: Vec<Settled>,
}

impl Life {
    /// Starts a pipeline on what the earlier ones left.
    pub(crate) fn start(world: &mut World) -> Result<Self> {
        let mut links = Vec::new();
        for index in 0..world.sinks.len() {
            links.push(world.connect(index)?);
        }
        let plan = world
            .shape
            .plan(|index, kept| Some(spec_of(world, index, &kept, &links[index])));
        let pipeline = Pipeline::builder()
            .plan(plan)
            .seed(world.random.u64(..))
            .start()?;
        Ok(Self {
            pipeline,
            links,
            old_links: Vec::new(),
            doors: world.sources.iter().map(|_| None).collect(),
            lanes: lanes_of(world),
            retired: Vec::new(),
            panics_before: world
                .sinks
                .iter()
                .map(|sink| sink.sky.lock().panics)
                .collect(),
            change: None,
            tracked: Vec::new(),
            well_since: vec![Instant::now(); world.sinks.len()],
        })
    }

    /// Opens what is not open yet. A sink that is dead is tried again at the next step.
    pub(crate) async fn connect(&mut self, world: &mut World) {
        for index in 0..self.doors.len() {
            if self.doors[index].is_some() || self.pipeline.stopped().is_some() {
                continue;
            }
            let source = &mut world.sources[index];
            let name = ScopeName::new(source.scope());
            let opened = match source.shape.kind {
                SourceKind::Positioned => {
                    tokio::time::timeout(PATIENCE, self.pipeline.intake(&name)).await
                }
                SourceKind::Numbered => Ok(self.pipeline.intake_at_once(&name).await),
                SourceKind::Sender => Ok(Ok(self.pipeline.sender().intake().clone())),
            };
            match opened {
                Ok(Ok(intake)) => {
                    source.seek(intake.watermark(), &world.records);
                    let watermark = intake.watermark();
                    world
                        .trace
                        .note(format_args!("{name} is open, from {watermark}"));
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
    }

    /// What the pipeline knows that each sink has.
    pub(crate) fn settled(&self) -> Vec<Settled> {
        self.links.iter().map(|link| link.settled.clone()).collect()
    }

    /// Changes the weather over a sink.
    pub(crate) fn weather(&mut self, world: &World, index: usize, weather: Weather) {
        let sink = &world.sinks[index];
        world
            .trace
            .note(format_args!("weather of {}: {weather:?}", sink.name));
        let before = std::mem::replace(&mut sink.sky.lock().weather, weather);
        if before != weather {
            self.well_since[index] = Instant::now();
        }
        if weather != Weather::Hanging {
            self.links[index].release();
            self.old_links.iter().for_each(Link::release);
        }
    }

    /// Asks for a flush, and does not wait for ever.
    pub(crate) async fn flush(&self, world: &World) -> Result<()> {
        match tokio::time::timeout(PATIENCE, self.pipeline.flush()).await {
            Ok(Ok(settled)) => {
                world.trace.note(format_args!("a flush settled {settled}"));
                let stats = self.pipeline.stats();
                // Those that are ending are none of its affair.
                let routes = stats.routes.iter().take(world.shape.routes.len());
                let mut lanes = routes.flat_map(|route| &route.lanes);
                let left = lanes.find(|lane| lane.totals.pending > 0);
                ensure!(
                    left.is_none(),
                    "some are pending right after a flush: {left:?}"
                );
            }
            Ok(Err(error)) => world.trace.note(format_args!("a flush failed: {error}")),
            Err(_) => world.trace.note(format_args!("a flush was given up")),
        }
        Ok(())
    }

    /// Throws away what waits.
    pub(crate) fn purge(&self, world: &mut World) {
        let lanes: Vec<_> = world
            .shape
            .routes
            .iter()
            .flat_map(|route| &route.lanes)
            .collect();
        let lane = lanes[world.random.usize(0..lanes.len())].priority;
        let lane = world.random.bool().then_some(lane);
        let purged = self.pipeline.purge(lane);
        world
            .trace
            .note(format_args!("purged {purged} of {lane:?}"));
        world.trace.count(|tally| tally.purges += 1);
    }

    /// Whether nothing more is delivered to a sink.
    pub(crate) fn is_lost(&self, index: usize) -> bool {
        self.pipeline.stats().sinks[index].lost.is_some()
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.pipeline
            .stats()
            .sinks
            .iter()
            .any(|sink| sink.lost.is_some())
    }

    /// Changes the routes while it runs; a sink that is lost gets a new connection.
    pub(crate) async fn reroute(&mut self, world: &mut World) -> Result<()> {
        self.join_change(world).await?;
        let before = world.shape.routes.clone();
        let mut shape = world.shape.clone();
        shape.reroute(&mut world.random);
        if is_shape_of(&self.pipeline.stats(), &shape) {
            return Ok(()); // Nobody could tell when it has happened.
        }
        world.trace.count(|tally| tally.reloads += 1);
        let settled = self.settled();
        let mut renewed = vec![false; world.sinks.len()];
        for (index, renewed) in renewed.iter_mut().enumerate() {
            *renewed = self.is_lost(index) || world.random.u8(0..10) == 0;
            if *renewed {
                let link = world.connect(index)?;
                self.old_links
                    .push(std::mem::replace(&mut self.links[index], link));
                self.well_since[index] = Instant::now();
            }
        }
        world.shape = shape;
        let plan = world.shape.plan(|index, kept| {
            renewed[index].then(|| spec_of(world, index, &kept, &self.links[index]))
        });
        world
            .trace
            .note(format_args!("routes change, new sinks {renewed:?}"));
        let within = Duration::from_millis(world.random.u64(0..5_000));
        let pipeline = self.pipeline.clone();
        // The change is made on a thread of its own. All that is to happen at this moment happens
        // before it or after it, so that a seed takes the same course every time.
        others_first().await;
        let done = tokio::spawn(async move { pipeline.reconfigure(plan, within).await });
        let is_led = || is_shape_of(&self.pipeline.stats(), &world.shape);
        while !is_led() && !done.is_finished() {
            tokio::task::yield_now().await;
        }
        threads_end().await;
        others_first().await;
        for sink in &world.sinks {
            sink.contents.lock().was_rerouted = true;
        }
        let old = std::mem::replace(&mut self.lanes, lanes_of(world));
        let mut ended = Vec::new();
        for (route, lanes) in before.iter().zip(old) {
            let after = &world.shape.routes;
            let goes_on = after.iter().position(|other| other == route);
            // One that would get other records than before does not go on.
            let goes_on = goes_on.filter(|_| route.ahead(&before) == route.ahead(after));
            match goes_on.filter(|_| !renewed[route.sink]) {
                Some(index) => self.lanes[index] = lanes,
                None => ended.extend(lanes),
            }
        }
        self.change = Some(Change {
            done,
            ended,
            settled,
        });
        Ok(())
    }

    /// Sets all sinks well, and starts counting.
    pub(crate) fn heal(&mut self, world: &World) {
        for index in 0..world.sinks.len() {
            self.weather(world, index, Weather::Fair);
        }
    }

    /// With all sinks well, everything is delivered though nothing arrives (law 5).
    pub(crate) async fn rest(&mut self, world: &mut World) -> Result<()> {
        self.heal(world);
        self.join_change(world).await?;
        let drains = (0..world.sinks.len()).map(|sink| world.shape.drain_max(sink));
        tokio::time::sleep(RECOVERY + drains.max().unwrap_or_default()).await;
        self.connect(world).await;
        if self.has_lost() {
            world
                .trace
                .note(format_args!("lost a sink before it could rest"));
            return Ok(());
        }
        self.check(world)?;
        let stats = self.pipeline.stats();
        ensure!(
            stats.pending == 0,
            "law 5: {} are still pending {RECOVERY:?} after the last failure: {:?}",
            stats.pending,
            stats.sink.last_error
        );
        let source = world.random.usize(0..world.sources.len());
        self.offer(world, source, 1)?;
        let bounds = (0..world.sinks.len()).map(|sink| world.shape.one_max(sink));
        let bound = bounds.max().unwrap_or_default();
        tokio::time::sleep(bound).await;
        // An older pipeline that was still opening a scope may have shut this one out.
        if !self.has_lost() {
            let pending = self.pipeline.stats().pending;
            ensure!(
                pending == 0,
                "law 5: {pending} are pending {bound:?} after they arrived"
            );
        }
        Ok(())
    }

    /// One sink dies, and the others do not notice (law 10).
    pub(crate) async fn bad_neighbour(&mut self, world: &mut World) -> Result<()> {
        self.rest(world).await?;
        let dead = world.random.usize(0..world.sinks.len());
        self.weather(world, dead, Weather::Dead);
        for _ in 0..5 {
            let source = world.random.usize(0..world.sources.len());
            let count = world.random.usize(1..=5);
            self.offer(world, source, count)?;
            let others = (0..world.sinks.len()).filter(|sink| *sink != dead);
            let bounds = others
                .map(|sink| world.shape.one_max(sink) + 5 * 2 * world.shape.sinks[sink].write_max);
            let bound = bounds.max().unwrap_or_default();
            tokio::time::sleep(bound).await;
            let stats = self.check(world)?;
            for (route, plan) in stats.routes.iter().zip(&world.shape.routes) {
                let waits = plan.sink != dead && route.totals.pending > 0;
                ensure!(
                    !waits || self.is_lost(plan.sink),
                    "law 10: {} are pending for {} {bound:?} after they arrived, beside a dead one",
                    route.totals.pending,
                    route.sink
                );
            }
        }
        self.weather(world, dead, Weather::Fair);
        Ok(())
    }

    /// What must hold at every moment.
    pub(crate) fn check(&self, world: &World) -> Result<Stats> {
        if let Some(broken) = world.trace.broken() {
            bail!("{broken}");
        }
        let stats = self.pipeline.stats();
        check::account(&stats, &world.shape, &self.lanes)?;
        let ended = self.change.iter().flat_map(|change| &change.ended);
        let all = self
            .lanes
            .iter()
            .flatten()
            .chain(&self.retired)
            .chain(ended);
        let (mut offered, mut accepted) = (0, 0);
        for lane in all {
            offered += lane.offered;
            accepted += lane.accepted.len() as u64;
        }
        ensure!(
            (stats.offered, stats.accepted) == (offered, accepted),
            "law 1: offered {} and accepted {} in all, the sources say {offered} and {accepted}",
            stats.offered,
            stats.accepted
        );
        for (index, sink) in world.sinks.iter().enumerate() {
            let is_well = sink.weather() == Weather::Fair
                && self.well_since[index].elapsed() > RECOVERY
                && self.change.is_none()
                && stats.sinks[index].lost.is_none();
            let drain = world.shape.drain_max(index);
            if is_well && self.well_since[index].elapsed() > RECOVERY + drain {
                check::ages(
                    &stats,
                    &world.shape,
                    index,
                    drain + Duration::from_millis(5),
                )?;
            }
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
}

/// All others get their turns until they have nothing more to do at this moment.
async fn others_first() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

/// Waits until no thread works for the runtime.
async fn threads_end() {
    #[cfg(tokio_unstable)]
    loop {
        let metrics = tokio::runtime::Handle::current().metrics();
        let is_idle = metrics.num_idle_blocking_threads() == metrics.num_blocking_threads();
        if is_idle && metrics.blocking_queue_depth() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Whether these are the routes that run.
fn is_shape_of(stats: &Stats, shape: &Shape) -> bool {
    let route = |route: &RouteStats, planned: &RouteShape| {
        let lanes = route.lanes.iter().map(|lane| lane.lane);
        route.route == planned.name
            && route.sink == shape.sinks[planned.sink].name
            && lanes.eq(planned.lanes.iter().map(|lane| lane.priority))
    };
    // Behind them stand those that are ending.
    stats.routes.len() >= shape.routes.len()
        && stats
            .routes
            .iter()
            .zip(&shape.routes)
            .all(|(stats, planned)| route(stats, planned))
}

fn lanes_of(world: &World) -> Vec<Vec<LaneKnown>> {
    let routes = world.shape.routes.iter().enumerate();
    routes
        .map(|(route, shape)| {
            let lanes = 0..shape.lanes.len();
            lanes
                .map(|lane| LaneKnown::new(world, Way { route, lane }))
                .collect()
        })
        .collect()
}

fn spec_of(world: &World, index: usize, kept: &SinkSpec, link: &Link) -> SinkSpec {
    let retry = RetryPolicy::new(Duration::from_millis(10), RETRY_MAX, None);
    let spec = world
        .shape
        .sink_spec(index, kept.name(), link.writer.clone());
    let spec = spec.retry(retry);
    match &link.breaker {
        Some(breaker) => spec.breaker(breaker.clone()),
        None => spec,
    }
}

/// How often the others get a turn at one moment.
const YIELDS: usize = 200;
/// How long the model waits for an answer that need not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(2);
