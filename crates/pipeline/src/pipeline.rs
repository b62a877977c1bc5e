//! The handle to a running pipeline.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use record::{Priority, Timestamp};
use sinks::{BoxWriter, Entry, ErrorKind, ScopeName, WriteError};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::core::Core;
use crate::health::HealthTracker;
use crate::intake::{Coming, Targets, open_soon};
use crate::monitor::Monitor;
use crate::opening::Hold;
use crate::options::{PipelineBuilder, ShortBuilder};
use crate::queue::now;
use crate::reading::Recent;
use crate::shape::Shape;
use crate::telemetry::Telemetry;
#[cfg(feature = "alerts")]
use crate::{AlertSpec, AlertStats, InvalidAlert};
use crate::{Health, Intake, Level, LiveData, Notification, PipelineError, Sender, Stats};

/// Notifications that a listener may fall behind before it misses some.
const NOTIFICATIONS_MAX: usize = 64;
/// The source that senders are.
const CHANNEL: &str = "channel";
/// How many names are tried for it.
const CHANNELS_MAX: usize = 16;

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
            draining: tokio::sync::Mutex::default(),
            stop: Mutex::default(),
            intakes: Mutex::default(),
            channel: Mutex::default(),
            started: now(),
            health: Mutex::new(HealthTracker::new()),
            is_stopping: AtomicBool::new(false),
            #[cfg(feature = "alerts")]
            alerts: Mutex::default(),
        });
        #[cfg(feature = "alerts")]
        if let Err(error) = core.set_alerts(options.alerts) {
            core.shape.load().close_but(&nothing);
            return Err(error.into());
        }
        let monitor = tokio::spawn(Monitor::new(Arc::clone(&core)).run());
        Ok(Self {
            inner: Arc::new(Inner { core, monitor }),
        })
    }

    /// Opens the scopes of a source in the sinks and gives it its way in. The names of the scopes
    /// begin with the source's: `plc01`, or `plc01/alarms/critical` where the route has a name and
    /// there are several lanes.
    ///
    /// A source whose intakes were all dropped may come again, and goes on where it was.
    ///
    /// # Errors
    /// When a sink cannot be reached, refuses, or does not answer within 30 s, the source is there
    /// already, or too many scopes are open.
    ///
    /// # Cancellation
    /// Nothing of the source remains.
    pub async fn intake(&self, source: &ScopeName) -> Result<Intake, PipelineError> {
        let core = &self.inner.core;
        let mut coming = Coming::new(&core.sources, source)?;
        loop {
            let changing = core.changing.lock().await;
            let shape = core.shape.load_full();
            let openings = coming.announce(&shape, Hold::Not)?;
            if openings.is_empty() {
                if !coming.is_open() {
                    return Err(not_open_yet(source).into());
                }
                let targets = coming.arrive().expect("it was announced");
                return Ok(core.intake_of(source, targets));
            }
            // Sinks and routes may change while a sink takes its time.
            drop(changing);
            if let Err(error) = coming.open(openings).await {
                coming.give_up().await;
                if Arc::ptr_eq(&shape, &core.shape.load_full()) {
                    return Err(error.into());
                }
            }
        }
    }

    /// The same for a source without positions, which need not wait for the sinks: its records are
    /// buffered while a scope is not open, and delivered behind its watermark once it is. Scopes
    /// are opened in the background, again and again; health says why one is not.
    ///
    /// # Errors
    /// When a sink says within 2 s that it will never work, the source is there already, or too
    /// many scopes are open.
    ///
    /// # Cancellation
    /// Nothing of the source remains, a moment later.
    pub async fn intake_at_once(&self, source: &ScopeName) -> Result<Intake, PipelineError> {
        let core = &self.inner.core;
        let mut coming = Coming::new(&core.sources, source)?;
        let _changing = core.changing.lock().await;
        let shape = core.shape.load_full();
        let openings = coming.announce(&shape, Hold::UntilOpen)?;
        if let Err(error) = coming.open_soon(openings).await {
            coming.give_up().await;
            return Err(error.into());
        }
        let targets = coming.arrive().expect("it was announced");
        Ok(core.intake_of(source, targets))
    }

    /// A channel into the pipeline, for threads and tasks of this program. All of them are one
    /// source, `channel`, or `channel-2` and so on where another source has taken that name.
    /// Nothing is waited for: its scopes are opened in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime, and when a sink has no scope left, the first time.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let core = &self.inner.core;
        let mut channel = core.channel.lock();
        if let Some(sender) = &*channel {
            return sender.clone();
        }
        let _leading = core.leading.lock();
        let shape = core.shape.load_full();
        let names = (1..=CHANNELS_MAX).map(|number| match number {
            1 => ScopeName::new(CHANNEL),
            _ => ScopeName::new(format!("{CHANNEL}-{number}")),
        });
        let announced = names.map(|source| {
            let announced = Targets::announce(&shape, &source, None, Hold::UntilOpen);
            announced.map(|(targets, openings)| (source, targets, openings))
        });
        let announced = announced.filter_map(Result::ok).next();
        let (source, targets, openings) = announced.expect("a sink has a scope for the channel");
        open_soon(openings);
        let sender = Sender::new(core.intake_of(&source, targets));
        *channel = Some(sender.clone());
        sender
    }

    /// The data service in which accepted records are shown, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&LiveData> {
        self.inner.core.live.as_ref()
    }

    /// Changes after each push that shows something critical, so that who sends live data in turns
    /// knows that it must not wait.
    #[must_use]
    pub fn urgent(&self) -> watch::Receiver<u64> {
        self.inner.core.sources.urgent.subscribe()
    }

    /// One consistent account.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.core.stats()
    }

    /// How the pipeline is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let core = &self.inner.core;
        core.judge(&core.stats())
    }

    /// Tells changes of health to these from now on, in the place of those before, which may still
    /// tell what they have.
    ///
    /// # Errors
    /// When one of them is impossible; then nothing has changed.
    #[cfg(feature = "alerts")]
    pub fn set_alerts(&self, alerts: Vec<AlertSpec>) -> Result<(), InvalidAlert> {
        self.inner.core.set_alerts(alerts)
    }

    /// What became of what the alerts should tell.
    #[cfg(feature = "alerts")]
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertStats> {
        let alerts = self.inner.core.alerts.lock().clone();
        alerts.map_or_else(Vec::new, |alerts| alerts.stats())
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

    /// Sends people a message, beside those of the pipeline itself.
    pub fn notify(&self, level: Level, message: &str) {
        // Nobody may be listening.
        let _ = self.inner.core.notifications.send(Notification {
            level,
            message: message.to_owned(),
            timestamp: Timestamp::from_system(SystemTime::now()),
        });
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

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    pub(crate) fn stop_monitor(&self) {
        self.inner.monitor.abort();
    }
}

fn not_open_yet(source: &ScopeName) -> WriteError {
    let message = format!("the scopes of `{source}` are still being opened since it was here last");
    WriteError::new(ErrorKind::Transient, message)
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
