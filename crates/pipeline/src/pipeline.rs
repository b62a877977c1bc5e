//! The handle to a running pipeline.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use record::Priority;
use sinks::{BatchWriter, BoxWriter, Entry, ScopeName, WriteError};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::intake::{Targets, first_answers, open_soon};
use crate::monitor::Monitor;
use crate::opening::{Hold, Opening};
use crate::options::{PipelineBuilder, ShortBuilder};
use crate::queue::{CLOSE_WITHIN, now};
use crate::reading::{Reading, Recent, read_route};
use crate::route::Route;
use crate::shape::Shape;
use crate::sink::Sink;
use crate::sources::Sources;
use crate::telemetry::Telemetry;
use crate::{Health, Intake, LiveData, Notification, PipelineError, Sender, Stats, intake};

/// Notifications that a listener may fall behind before it misses some.
const NOTIFICATIONS_MAX: usize = 64;
/// How long a shutdown takes at most when nobody says.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// The source that senders are, unless they are given another name.
const CHANNEL: &str = "channel";

/// A running pipeline: sources, routes with their lanes, and sinks. A clone is another handle.
///
/// ```
/// use std::time::Instant;
/// use pipeline::{LaneSpec, Pipeline, RouteSpec, SinkSpec};
/// use record::{Priority, Record, Timestamp, Value};
/// use sinks::{BoxWriter, MemoryWriter, ScopeName};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
/// # let runtime = runtime.expect("runs");
/// # runtime.block_on(async {
/// let (archive, alarms) = (MemoryWriter::new(), MemoryWriter::new());
/// let pipeline = Pipeline::builder()
///     .sink(SinkSpec::new("archive", BoxWriter::new(archive.clone())))
///     .sink(SinkSpec::new("alarms", BoxWriter::new(alarms.clone()))
///         .lanes([LaneSpec::new(Priority::Critical)]))
///     .route(RouteSpec::to("archive"))
///     .route(RouteSpec::to("alarms").tags("alarm.*".parse()?))
///     .start()?;
/// let intake = pipeline.intake(&ScopeName::new("plc01")).await?;
/// let record = |tag| Record::new("PLC01", tag, Value::F64(21.5), Timestamp::default()).map(Ok);
/// let records = vec![record("D100")?, record("alarm.fire")?];
/// assert_eq!(intake.push(Instant::now(), records)?.accepted, 2);
/// let report = pipeline.shutdown(None).await;
/// assert_eq!((report.stats.delivered, report.stats.pending), (3, 0));
/// assert_eq!((archive.delivered().len(), alarms.delivered().len()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).expect("delivered");
/// ```
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    monitor: JoinHandle<()>,
}

/// What the pipeline's own tasks share with its handles.
pub(crate) struct Core {
    pub(crate) shape: ArcSwap<Shape>,
    pub(crate) live: Option<LiveData>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) recent: Mutex<Recent>,
    /// What routes counted that are gone.
    pub(crate) retired: Mutex<Option<Reading>>,
    pub(crate) notifications: broadcast::Sender<Notification>,
    pub(crate) telemetry: Telemetry,
    /// Routes that are being drained, and belong to no shape any more.
    pub(crate) ending: Mutex<Vec<Arc<Route>>>,
    /// Held for the moment in which sources are led to a shape. Pushes that block may hold it up.
    pub(crate) leading: Mutex<()>,
    /// Held while sources or routes are added, one at a time.
    pub(crate) changing: tokio::sync::Mutex<fastrand::Rng>,
    pub(crate) intakes: Mutex<Vec<Weak<intake::Inner>>>,
    channel: Mutex<Option<Sender>>,
    started: Instant,
    alert_threshold_pct: f64,
}

/// How a pipeline ended.
#[derive(Debug)]
pub struct Report {
    /// The last account; `pending` is what was not delivered.
    pub stats: Stats,
    /// What was accepted and not delivered, sink by sink, oldest first in each lane.
    pub undelivered: Vec<Entry>,
    /// The first error of a sink that ended delivery; `None` when only time ran out.
    pub error: Option<WriteError>,
    /// The same sink by sink, in the order of the plan.
    pub sinks: Vec<SinkReport>,
}

/// How one sink ended.
#[derive(Clone, Debug)]
pub struct SinkReport {
    /// Its name.
    pub sink: String,
    /// Which of the undelivered are its own.
    pub undelivered: std::ops::Range<usize>,
    /// The error that ended delivery, if one did.
    pub error: Option<WriteError>,
}

impl Pipeline {
    /// A pipeline of any shape: name its sinks, and the routes into them.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::default()
    }

    /// The shortest pipeline: everything into one sink, by one lane.
    ///
    /// ```
    /// use std::time::Instant;
    /// use pipeline::Pipeline;
    /// use record::{Record, Timestamp, Value};
    /// use sinks::{BoxWriter, MemoryWriter, ScopeName};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    /// # let runtime = runtime.expect("runs");
    /// # runtime.block_on(async {
    /// let sink = MemoryWriter::new();
    /// let pipeline = Pipeline::to(BoxWriter::new(sink.clone())).start()?;
    /// let intake = pipeline.intake(&ScopeName::new("example/normal")).await?;
    /// let record = Record::new("PLC01", "D100", Value::F64(21.5), Timestamp::default());
    /// let record = record.expect("valid names");
    /// let accepted = intake.push(Instant::now(), vec![Ok(record)]).expect("room for one");
    /// assert_eq!(accepted.accepted, 1);
    /// let report = pipeline.shutdown(None).await;
    /// assert_eq!((report.stats.delivered, report.stats.pending), (1, 0));
    /// assert_eq!(sink.delivered().len(), 1);
    /// # Ok::<(), pipeline::PipelineError>(()) }).expect("delivered");
    /// ```
    pub fn to(writer: BoxWriter) -> ShortBuilder {
        ShortBuilder::new(writer)
    }

    pub(crate) fn start(options: PipelineBuilder) -> Result<Self, PipelineError> {
        let mut random = fastrand::Rng::with_seed(options.seed);
        let telemetry = Telemetry::new();
        let nothing = Shape::default();
        let shape = Shape::start(&options.plan, &nothing, &telemetry, &mut random)?;
        let watermark = shape
            .queues()
            .next()
            .map(|queue| queue.spec.buffer.watermark);
        let (notifications, _) = broadcast::channel(NOTIFICATIONS_MAX);
        let core = Arc::new(Core {
            shape: ArcSwap::from_pointee(shape),
            live: options.live,
            sources: Arc::default(),
            recent: Mutex::new(Recent::new(now())),
            retired: Mutex::default(),
            ending: Mutex::default(),
            leading: Mutex::default(),
            notifications,
            telemetry,
            changing: tokio::sync::Mutex::new(random),
            intakes: Mutex::default(),
            channel: Mutex::default(),
            started: now(),
            alert_threshold_pct: watermark.unwrap_or_default().high_pct(),
        });
        let monitor = tokio::spawn(Monitor::new(Arc::clone(&core)).run());
        Ok(Self {
            inner: Arc::new(Inner { core, monitor }),
        })
    }

    /// Opens the scopes of a source in the sinks and gives it its way in. The names of the scopes
    /// begin with the source's: `plc01`, or `plc01/alarms/critical` where the route has a name and
    /// there are several lanes.
    ///
    /// # Errors
    /// When a sink cannot be reached or refuses, the source is there already, or too many scopes
    /// are open.
    pub async fn intake(&self, source: &ScopeName) -> Result<Intake, PipelineError> {
        let core = &self.inner.core;
        let _changing = core.changing.lock().await;
        let shape = core.shape.load_full();
        let (mut targets, openings) = Targets::announce(&shape, source, None, Hold::Not)?;
        if let Err(error) = targets.open(openings).await {
            targets.give_up();
            return Err(error.into());
        }
        Ok(core.intake_of(source, targets))
    }

    /// The same for a source without positions, which need not wait for the sinks: its records are
    /// buffered while a scope is not open, and delivered behind its watermark once it is. Scopes
    /// are opened in the background, again and again; health says why one is not.
    ///
    /// # Errors
    /// When a sink says within 2 s that it will never work, the source is there already, or too
    /// many scopes are open.
    pub async fn intake_at_once(&self, source: &ScopeName) -> Result<Intake, PipelineError> {
        let core = &self.inner.core;
        let _changing = core.changing.lock().await;
        let shape = core.shape.load_full();
        let (targets, openings) = Targets::announce(&shape, source, None, Hold::UntilOpen)?;
        if let Err(error) = first_answers(open_soon(openings)).await {
            targets.give_up();
            return Err(error.into());
        }
        Ok(core.intake_of(source, targets))
    }

    /// A channel into the pipeline, for threads and tasks of this program. All of them are one
    /// source, `channel`. Nothing is waited for: its scopes are opened in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime, the first time.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let core = &self.inner.core;
        let mut channel = core.channel.lock();
        if let Some(sender) = &*channel {
            return sender.clone();
        }
        let _leading = core.leading.lock();
        let shape = core.shape.load_full();
        let source = ScopeName::new(CHANNEL);
        let announced = Targets::announce(&shape, &source, None, Hold::UntilOpen);
        let (targets, openings) = announced.expect("nobody else has the name, which is short");
        drop(open_soon(openings));
        let sender = Sender::new(core.intake_of(&source, targets));
        *channel = Some(sender.clone());
        sender
    }

    /// The data service in which accepted records are shown, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&LiveData> {
        self.inner.core.live.as_ref()
    }

    /// One consistent account.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.core.stats()
    }

    /// How the pipeline is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.core.judge(&self.stats())
    }

    /// Why nothing is delivered any more, if that is so.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.inner.core.stopped()
    }

    /// Waits until nothing is delivered any more, because of a shutdown or because all sinks are
    /// lost.
    pub async fn wait_stopped(&self) {
        let core = &self.inner.core;
        loop {
            let shape = core.shape.load_full();
            for queue in shape.queues() {
                queue.wait_ended().await;
            }
            if Arc::ptr_eq(&shape, &core.shape.load_full()) {
                return;
            }
        }
    }

    /// Where its lanes record what each batch was like; a recorder can be attached to it.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.core.telemetry
    }

    /// Messages for people, from now on.
    #[must_use]
    pub fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.inner.core.notifications.subscribe()
    }

    /// Flushes what is buffered now and says how many updates that settled.
    ///
    /// # Errors
    /// The first failure of a sink; the updates stay in their buffers, and the other lanes are
    /// flushed all the same.
    pub async fn flush(&self) -> Result<u64, PipelineError> {
        let shape = self.inner.core.shape.load_full();
        let flushed = join_all(shape.queues().map(|queue| queue.flush())).await;
        let mut settled = 0;
        for count in flushed {
            settled += count?;
        }
        Ok(settled)
    }

    /// Throws away what waits in the lanes of this priority, or in all, and says how many updates
    /// that were. What is under way to a sink stays.
    pub fn purge(&self, lane: impl Into<Option<Priority>>) -> u64 {
        let lane = lane.into();
        let shape = self.inner.core.shape.load_full();
        let queues = shape.queues();
        let chosen = queues.filter(|queue| lane.is_none_or(|lane| queue.priority == lane));
        chosen.map(|queue| queue.purge()).sum()
    }

    /// Takes nothing more, delivers what is buffered, and closes the sinks. What is not delivered
    /// within the time, 10 s unless said, is handed back.
    ///
    /// # Cancellation
    /// The shutdown goes on; calling again waits for it.
    pub async fn shutdown(&self, within: impl Into<Option<Duration>>) -> Report {
        let core = &self.inner.core;
        let deadline = now().checked_add(within.into().unwrap_or(DRAIN_WITHIN));
        let shape = core.shape.load_full();
        shape.queues().for_each(|queue| queue.close(deadline));
        join_all(shape.queues().map(|queue| queue.wait_ended())).await;
        self.inner.monitor.abort();
        let mut undelivered = Vec::new();
        let mut sinks = Vec::new();
        for sink in &shape.sinks {
            let first = undelivered.len();
            let of_sink = |queue: &&Arc<_>| is_of(queue, sink);
            let left = join_all(
                shape
                    .queues()
                    .filter(of_sink)
                    .map(|queue| queue.leftovers()),
            );
            undelivered.extend(left.await.into_iter().flatten());
            sinks.push(SinkReport {
                sink: sink.name.clone(),
                undelivered: first..undelivered.len(),
                error: sink.lost(),
            });
        }
        join_all(shape.sinks.iter().map(close)).await;
        Report {
            stats: self.stats(),
            undelivered,
            error: sinks.iter().find_map(|sink| sink.error.clone()),
            sinks,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }
}

fn is_of(queue: &crate::queue::Queue, sink: &Arc<Sink>) -> bool {
    Arc::ptr_eq(&queue.sink, sink)
}

/// Closes a sink that nobody writes to any more.
pub(crate) async fn close(sink: &Arc<Sink>) {
    let closed = tokio::time::timeout(CLOSE_WITHIN, sink.writer.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::warn!(sink = sink.name, %error, "the sink was not closed cleanly");
    }
}

impl Core {
    fn intake_of(&self, source: &ScopeName, targets: Targets) -> Intake {
        let sources = Arc::clone(&self.sources);
        let intake = Intake::new(source.clone(), targets, self.live.clone(), sources);
        let mut intakes = self.intakes.lock();
        intakes.retain(|intake| intake.strong_count() > 0);
        intakes.push(Arc::downgrade(&intake.inner));
        intake
    }

    /// Leads all sources to this shape; all or none.
    pub(crate) fn lead_to(&self, shape: &Arc<Shape>) -> Result<Vec<Opening>, PipelineError> {
        let intakes: Vec<_> = {
            let intakes = self.intakes.lock();
            intakes.iter().filter_map(Weak::upgrade).collect()
        };
        let mut openings = Vec::new();
        for intake in intakes {
            match intake.reshape(shape) {
                Ok(more) => openings.extend(more),
                Err(error) => {
                    openings.into_iter().for_each(Opening::withdraw);
                    return Err(error);
                }
            }
        }
        Ok(openings)
    }

    pub(crate) fn stats(&self) -> Stats {
        let now = now();
        // In this order, so that a route that ends is counted once at every moment.
        let ending = self.ending.lock();
        let shape = self.shape.load_full();
        let mut sum = self.retired.lock().clone();
        let mut routes = Vec::with_capacity(shape.routes.len());
        let ending = ending.iter().filter(|route| !shape.has(route));
        for route in shape.routes.iter().chain(ending) {
            let (stats, reading) = read_route(route, now);
            routes.push(stats);
            match (&mut sum, reading) {
                (Some(sum), Some(reading)) => sum.add(&reading),
                (None, reading) => sum = reading,
                (Some(_), None) => {}
            }
        }
        let sum = sum.expect("a plan has a sink, and every route a lane");
        let names: Vec<&str> = shape.sinks.iter().map(|sink| sink.writer.name()).collect();
        Stats {
            uptime_s: now.saturating_duration_since(self.started).as_secs_f64(),
            offered: sum.totals.offered,
            accepted: sum.totals.accepted,
            refused: sum.totals.refused,
            updates_per_second: sum.updates_per_second(),
            delivered: sum.totals.delivered,
            dropped: sum.totals.dropped,
            quarantined: sum.totals.quarantined,
            pending: sum.totals.pending,
            buffer: sum.buffer(now),
            flushes: sum.flushes,
            sink: sum.sink(names.join(", "), now),
            latency_ms: sum.latency(),
            stopped_sources: self.sources.all_stopped(),
            unrouted: self.sources.all_unrouted(),
            recent: self.recent.lock().stats(now, sum.recent()),
            routes,
            sinks: shape.sinks.iter().map(|sink| sink.state()).collect(),
        }
    }

    /// Remembers how far the counts have come.
    pub(crate) fn sample(&self, now: Instant) {
        let shape = self.shape.load();
        for queue in shape.queues() {
            queue.account.sample(now, &queue.buffer);
        }
        let retired = self.retired.lock().clone();
        let running = shape.queues().map(|queue| Reading::of(queue, now));
        if let Some(sum) = Reading::sum(retired.into_iter().chain(running)) {
            self.recent.lock().sample(now, sum.recent());
        }
    }

    /// Why nothing is delivered any more, if that is so.
    /// What an account means.
    pub(crate) fn judge(&self, stats: &Stats) -> Health {
        let stopped = self.stopped();
        Health::judge(stats, self.alert_threshold_pct, stopped.as_deref())
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        let shape = self.shape.load();
        let mut why = None;
        for queue in shape.queues() {
            if let Err(error) = queue.ended()? {
                why.get_or_insert(error.to_string());
            }
        }
        Some(why.unwrap_or_else(|| "the pipeline was shut down".to_owned()))
    }
}

impl Drop for Inner {
    /// Every handle is gone: what is buffered is delivered, and then all tasks end.
    fn drop(&mut self) {
        self.monitor.abort();
        self.core
            .shape
            .load()
            .queues()
            .for_each(|queue| queue.close(None));
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = self.inner.core.shape.load();
        out.debug_struct("Pipeline")
            .field("sinks", &shape.sinks.len())
            .field("routes", &shape.routes.len())
            .finish_non_exhaustive()
    }
}
