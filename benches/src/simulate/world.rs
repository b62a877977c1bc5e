//! One seed from its first step to its last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

use crate::end::Shut;
use crate::life::Life;
use crate::shape::Shape;
use crate::sink::{Link, Sink, is_poison};
use crate::source::{Records, Source};
use crate::trace::{Lines, Tally, Trace};
use crate::weather::{BAD_WEATHER, Weather};
use crate::witness::{Id, Place};

/// What outlives the pipelines of a seed.
pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) shape: Shape,
    pub(crate) trace: Trace,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) sources: Vec<Source>,
    pub(crate) records: Records,
    /// The lock of each sink's server, which ghosts hold; new with each runtime.
    servers: Vec<Arc<tokio::sync::RwLock<()>>>,
    /// All that a sink's lanes ever accepted.
    pub(crate) accepted: BTreeSet<(usize, Id)>,
    /// Rows that may be missing in the end: dropped ones, and those that a kill lost.
    pub(crate) lost_at_most: u64,
    /// The same of sources that are read again: dropped ones alone.
    pub(crate) lost_for_good_at_most: u64,
    steps_left: u32,
}

/// What came of a seed.
pub(crate) struct Outcome {
    pub(crate) result: Result<()>,
    pub(crate) tally: Tally,
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) shape: String,
}

/// Whether the seed goes on after a life.
enum Next {
    Again,
    Over,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, lines: Lines) -> Outcome {
    // Batch ids and the like are drawn from the thread's own numbers.
    fastrand::seed(seed);
    let trace = Trace::new(lines);
    let mut world = World::new(seed, trace.clone());
    let shape = format!("{:#?}", world.shape);
    let result = world.all_lives(seed);
    Outcome {
        result,
        tally: trace.tally(),
        hash: trace.hash(),
        lines: trace.lines(),
        shape,
    }
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let shape = Shape::random(&mut random);
        let sinks = shape.sinks.iter();
        let sinks = sinks.map(|shape| Sink::new(shape, random.u64(..), trace.clone()));
        let sinks: Vec<Sink> = sinks.collect();
        let sources = shape.sources.iter().enumerate();
        let sources = sources.map(|(index, shape)| Source::new(shape.clone(), index));
        Self {
            sources: sources.collect(),
            servers: Vec::new(),
            sinks,
            shape,
            trace,
            records: Records::default(),
            accepted: BTreeSet::new(),
            lost_at_most: 0,
            lost_for_good_at_most: 0,
            steps_left: random.u32(20..100),
            random,
        }
    }

    /// Each life has a runtime of its own, so that a kill ends all of its tasks wherever they are.
    fn all_lives(&mut self, seed: u64) -> Result<()> {
        for life in 0.. {
            let runtime = runtime(seed.wrapping_add(life))?;
            self.servers = self.sinks.iter().map(|_| Arc::default()).collect();
            let next = runtime.block_on(async {
                self.trace.begin_life();
                let lived = self.live().await;
                self.trace.end_life();
                lived
            });
            // The killed pipeline's handles go after its tasks.
            let (next, killed) = next?;
            drop(runtime);
            drop(killed);
            if matches!(next, Next::Over) {
                break;
            }
        }
        for sink in &self.sinks {
            sink.audit()?;
        }
        self.account()
    }

    async fn live(&mut self) -> Result<(Next, Option<Life>)> {
        for sink in &self.sinks {
            sink.lay_ghosts(&mut self.random).await;
        }
        let mut life = Life::start(self)?;
        while self.steps_left > 0 {
            self.steps_left -= 1;
            self.trace.count(|tally| tally.steps += 1);
            life.connect(self).await;
            if life.pipeline.stopped().is_some() || life.has_lost() && self.random.u8(0..4) == 0 {
                life = self.again(life, None).await?;
                continue;
            }
            match self.random.u8(0..100) {
                0..30 => self.burst(&mut life, 90)?,
                30..50 => self.burst(&mut life, 3)?,
                50..62 => self.sleep(200).await,
                62..67 => self.sleep(30_000).await,
                67..69 => self.sleep(300_000).await,
                69..71 => self.jump(&mut life).await,
                71..82 => self.turn_weather(&mut life),
                82..85 => life.flush(self).await?,
                85..87 => life.purge(self),
                87..89 => {
                    life.kill(self).await?;
                    return Ok((Next::Again, Some(life)));
                }
                89..91 => {
                    let within = Duration::from_millis(self.random.u64(0..3_000));
                    life = self.again(life, Some(within)).await?;
                }
                91..93 => life = self.take_over(life).await?,
                93..95 => life.reroute(self).await?,
                95..97 => life.bad_neighbour(self).await?,
                _ => life.rest(self).await?,
            }
            life.check(self)?;
        }
        if life.has_lost() {
            life = self.again(life, None).await?;
        }
        life.connect(self).await;
        life.rest(self).await?;
        let life = self.read_on(life).await?;
        life.stop(self, None, Shut::Down).await?;
        Ok((Next::Over, None))
    }

    /// A connection of its own to a sink.
    pub(crate) fn connect(&mut self, index: usize) -> Result<Link> {
        let seed = self.random.u64(..);
        self.sinks[index].connect(&self.shape.sinks[index], &self.servers[index], seed)
    }

    /// Sources that are read again after a kill come to where they were, and all is delivered.
    async fn read_on(&mut self, mut life: Life) -> Result<Life> {
        life.heal(self);
        for _ in 0..READ_ON_MAX {
            if life.has_lost() {
                life = self.again(life, None).await?;
                life.heal(self);
                life.connect(self).await;
            }
            let behind = self.sources.iter().position(|source| source.left() > 0);
            let Some(index) = behind else {
                life.rest(self).await?;
                return Ok(life);
            };
            life.offer(self, index, self.sources[index].left().min(4))?;
            life.check(self)?;
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        bail!("a source was not read on in {READ_ON_MAX} steps")
    }

    /// Whether the sink refuses the record: as a bad row, or because it is none and the layer that
    /// finds bad rows has no quarantine.
    pub(crate) fn is_bad(&self, sink: usize, id: Id) -> bool {
        let is_malformed = self.records.of(id).key().is_none();
        self.shape.sinks[sink].refuses_rows && (is_poison(id) || is_malformed)
    }

    fn burst(&mut self, life: &mut Life, max: usize) -> Result<()> {
        let source = self.random.usize(0..self.sources.len());
        let count = self.random.usize(1..=max);
        life.offer(self, source, count)
    }

    async fn sleep(&mut self, ms_max: u64) {
        let time = Duration::from_millis(self.random.u64(0..=ms_max));
        self.trace.note(format_args!("sleeps {time:?}"));
        tokio::time::sleep(time).await;
    }

    /// The process is stopped for an hour, as by SIGSTOP: every timer is late at once.
    async fn jump(&mut self, life: &mut Life) {
        self.trace.note(format_args!("the clock jumps an hour"));
        self.trace.count(|tally| tally.jumps += 1);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        life.well_since.fill(Instant::now());
    }

    fn turn_weather(&mut self, life: &mut Life) {
        let sink = self.random.usize(0..self.sinks.len());
        let weather = match self.random.u8(0..3) {
            0 => Weather::Fair,
            _ => BAD_WEATHER[self.random.usize(0..BAD_WEATHER.len())],
        };
        life.weather(self, sink, weather);
    }

    /// Ends a life in order and begins another.
    async fn again(&mut self, life: Life, within: Option<Duration>) -> Result<Life> {
        life.stop(self, within, Shut::Down).await?;
        for sink in &self.sinks {
            // Somebody repairs what would fail for ever.
            let mut sky = sink.sky.lock();
            if sky.weather == Weather::Fatal {
                sky.weather = Weather::Fair;
            }
        }
        let next = Life::start(self)?;
        next.check(self)?;
        Ok(next)
    }

    /// A second pipeline opens the same scopes, and the first one is shut out.
    async fn take_over(&mut self, mut life: Life) -> Result<Life> {
        life.join_change(self).await?;
        self.trace
            .note(format_args!("a second pipeline takes over"));
        self.trace.count(|tally| tally.takeovers += 1);
        let mut next = Life::start(self)?;
        next.connect(self).await;
        life.stop(self, Some(Duration::from_secs(1)), Shut::Out)
            .await?;
        Ok(next)
    }

    /// Nothing is missing in the end but what was counted so.
    fn account(&self) -> Result<()> {
        let (mut missing, mut for_good) = (0, 0);
        for (sink, id) in self.accepted.iter().copied() {
            let contents = self.sinks[sink].contents.lock();
            // After a change of routes, a source that is read again comes to other scopes, and its
            // records may lie below their watermarks.
            let is_known = !(id.is_positioned() && contents.was_rerouted);
            if is_known && contents.place(id) == Place::Nowhere && !self.is_bad(sink, id) {
                missing += 1;
                for_good += u64::from(id.is_positioned());
            }
        }
        ensure!(
            missing <= self.lost_at_most,
            "law 1: {missing} rows are missing in the end, and {} at most may be",
            self.lost_at_most
        );
        ensure!(
            for_good <= self.lost_for_good_at_most,
            "law 8: {for_good} rows of sources with positions are missing, {} were dropped",
            self.lost_for_good_at_most
        );
        Ok(())
    }
}

/// Steps in which all sources must have been read on in the end.
const READ_ON_MAX: u32 = 10_000;

fn runtime(seed: u64) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder
        .enable_time()
        .start_paused(true)
        .build()
        .context("no runtime")
}
