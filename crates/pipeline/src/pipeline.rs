//! The handle to a running pipeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_core::{Demand, Ring};
use flush_policy::Reason;
use parking_lot::Mutex;
use sinks::{Batch, BatchWriter, BoxWriter, Entry, ErrorKind, RetryPolicy};
use sinks::{ScopeIndex, ScopeName, WriteError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::driver::{DRAIN_WITHIN, Driver, FlushRequest, now};
use crate::monitor::{LastCrossing, Monitor};
use crate::opening::{Opening, Openings, Watermark};
use crate::options::PipelineBuilder;
use crate::stats::Moment;
use crate::{Health, Intake, LiveData, Notification, PipelineError, Stats};

/// Notifications that a listener may fall behind before it misses some.
const NOTIFICATIONS_MAX: usize = 64;
/// Flush requests that may wait.
const REQUESTS_MAX: usize = 16;

/// A running pipeline: one buffer, one flush policy, one sink. A clone is another handle.
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
/// let pipeline = Pipeline::builder(BoxWriter::new(sink.clone())).start()?;
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
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    ring: Ring<Entry>,
    writer: BoxWriter,
    live: Option<LiveData>,
    account: Arc<Account>,
    started: Instant,
    /// The scopes that were opened, in the order of their indices.
    scopes: tokio::sync::Mutex<Vec<ScopeName>>,
    requests: mpsc::Sender<FlushRequest>,
    stop: watch::Sender<Option<Instant>>,
    ended: watch::Receiver<Option<Ended>>,
    /// The batch whose write the driver did not wait for to the end.
    abandoned: Arc<Mutex<Option<Batch>>>,
    openings: Arc<Openings>,
    retry: RetryPolicy,
    monitor: JoinHandle<()>,
    notifications: broadcast::Sender<Notification>,
    alert_threshold_pct: f64,
}

/// How the driver ended: with the error that made it give up, or without.
pub(crate) type Ended = Result<(), WriteError>;

/// How a pipeline ended.
#[derive(Debug)]
pub struct Report {
    /// The last account; `pending` is what was not delivered.
    pub stats: Stats,
    /// What was accepted and not delivered, oldest first.
    pub undelivered: Vec<Entry>,
    /// The error of the sink that ended delivery; `None` when only time ran out.
    pub error: Option<WriteError>,
}

impl Pipeline {
    /// A pipeline into this sink, with more choices.
    pub fn builder(writer: BoxWriter) -> PipelineBuilder {
        PipelineBuilder::new(writer)
    }

    pub(crate) fn start(options: PipelineBuilder) -> Result<Self, PipelineError> {
        // A flush that could only come once the buffer is more than full would never come.
        let size = options
            .flush
            .items_min()
            .map(|items| items.min(options.buffer.max_size));
        let bytes = options.flush_bytes.min(options.buffer.max_bytes);
        let policy = options.flush.size(size).bytes(bytes).build()?;
        let crossing = LastCrossing::default();
        let listener = Arc::clone(&crossing);
        let ring = Ring::builder(options.buffer.max_size)
            .max_bytes(options.buffer.max_bytes, Entry::size_bytes)
            .policy(options.buffer.policy.ring_policy())
            .watermark(options.buffer.watermark)
            .on_crossing(move |crossing| {
                let mut last = listener.lock();
                if last.is_none_or(|last| last.number < crossing.number) {
                    *last = Some(crossing);
                }
            })
            .build()?;
        let account = Arc::new(Account::new());
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (stop, stopping) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let abandoned = Arc::new(Mutex::new(None));
        let openings = Arc::new(Openings::new());
        let (notifications, _) = broadcast::channel(NOTIFICATIONS_MAX);
        let driver = Driver {
            ring: ring.clone(),
            policy,
            due: Demand {
                items: size.unwrap_or(usize::MAX),
                bytes,
            },
            batch_max: options.batch_max,
            writer: options.writer.clone(),
            retry: options.retry,
            random: fastrand::Rng::with_seed(options.seed),
            account: Arc::clone(&account),
            requests: inbox,
            stop: stopping,
            next_batch: fastrand::u64(..),
            openings: Arc::clone(&openings),
            told: Demand { items: 0, bytes: 0 },
            abandoned: Arc::clone(&abandoned),
        };
        // Whoever still pushes once it has ended is refused, and knows; also after a panic.
        let closing = CloseOnDrop(ring.clone());
        tokio::spawn(async move {
            let _closing = closing;
            let outcome = driver.run().await;
            let _ = end.send(Some(outcome));
        });
        let monitor = Monitor {
            ring: ring.clone(),
            account: Arc::clone(&account),
            live: options.live.clone(),
            crossing,
            notifications: notifications.clone(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                ring,
                writer: options.writer,
                live: options.live,
                account,
                started: now(),
                scopes: tokio::sync::Mutex::default(),
                requests,
                stop,
                ended,
                abandoned,
                openings,
                retry: options.retry,
                monitor: tokio::spawn(monitor.run()),
                notifications,
                alert_threshold_pct: options.buffer.watermark.high_pct(),
            }),
        })
    }

    /// Opens a scope in the sink and gives a source its way in.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses, or too many scopes are open.
    pub async fn intake(&self, name: &ScopeName) -> Result<Intake, PipelineError> {
        let inner = &self.inner;
        let mut scopes = inner.scopes.lock().await;
        let index = next_index(&scopes, name)?;
        let opened = inner.writer.open_scope(index, name).await?;
        scopes.push(name.clone());
        Ok(self.intake_of(name, index, Watermark::known(opened)))
    }

    /// The same for a source without positions, which need not wait for the sink: its records are
    /// buffered while the scope is not open, and delivered behind its watermark once it is. The
    /// scope is opened in the background, again and again; health says why it is not.
    ///
    /// # Errors
    /// When the sink says within 2 s that it will never work, or too many scopes are open.
    pub async fn intake_at_once(&self, name: &ScopeName) -> Result<Intake, PipelineError> {
        let inner = &self.inner;
        let mut scopes = inner.scopes.lock().await;
        let index = next_index(&scopes, name)?;
        let watermark = Watermark::default();
        let opening = Opening {
            writer: inner.writer.clone(),
            index,
            name: name.clone(),
            watermark: watermark.clone(),
            openings: Arc::clone(&inner.openings),
            account: Arc::clone(&inner.account),
            retry: inner.retry,
        };
        opening.start(inner.ended.clone()).await?;
        scopes.push(name.clone());
        Ok(self.intake_of(name, index, watermark))
    }

    fn intake_of(&self, name: &ScopeName, index: ScopeIndex, watermark: Watermark) -> Intake {
        let inner = &self.inner;
        Intake::new(
            name.clone(),
            index,
            watermark,
            inner.ring.clone(),
            inner.live.clone(),
            Arc::clone(&inner.account),
        )
    }

    /// The data service in which accepted records are shown, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&LiveData> {
        self.inner.live.as_ref()
    }

    /// One consistent account.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let (counts, ring) = inner.account.snapshot(&inner.ring);
        let moment = Moment {
            now: now(),
            started: inner.started,
            oldest_queued: inner.ring.peek(1).first().map(|row| row.arrival),
            sink: inner.writer.name().to_owned(),
        };
        Stats::new(&counts, &ring, &moment)
    }

    /// How the pipeline is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let stopped = self.stopped();
        Health::judge(
            &self.stats(),
            self.inner.alert_threshold_pct,
            stopped.as_deref(),
        )
    }

    /// Why nothing is delivered any more, if that is so.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        match &*self.inner.ended.borrow() {
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(())) => Some("the pipeline was shut down".to_owned()),
            None if self.inner.ended.has_changed().is_err() => {
                Some("the task that delivers has panicked".to_owned())
            }
            None => None,
        }
    }

    /// Waits until nothing is delivered any more, because of a shutdown or an error.
    pub async fn wait_stopped(&self) {
        // An error means that the driver is gone, which is what is waited for.
        let _ = self.inner.ended.clone().wait_for(Option::is_some).await;
    }

    /// Messages for people, from now on.
    #[must_use]
    pub fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.inner.notifications.subscribe()
    }

    /// Flushes what is buffered now and says how many updates that settled.
    ///
    /// # Errors
    /// When the sink fails; the updates stay in the buffer.
    pub async fn flush(&self) -> Result<u64, PipelineError> {
        let stopped = |pipeline: &Self| {
            let why = pipeline
                .stopped()
                .unwrap_or_else(|| "the pipeline has ended".to_owned());
            WriteError::new(ErrorKind::Fatal, why)
        };
        let (done, outcome) = oneshot::channel();
        let request = FlushRequest { done };
        self.inner
            .requests
            .send(request)
            .await
            .map_err(|_| stopped(self))?;
        Ok(outcome.await.map_err(|_| stopped(self))??)
    }

    /// Takes nothing more, delivers what is buffered, and closes the sink. What is not delivered
    /// within the time, 10 s unless said, is handed back.
    ///
    /// # Cancellation
    /// The shutdown goes on; calling again waits for it.
    pub async fn shutdown(&self, within: impl Into<Option<Duration>>) -> Report {
        let inner = &self.inner;
        inner.ring.close();
        let deadline = now().checked_add(within.into().unwrap_or(DRAIN_WITHIN));
        inner.stop.send_replace(deadline);
        self.wait_stopped().await;
        inner.monitor.abort();
        let abandoned = inner.abandoned.lock().take();
        let mut undelivered = Vec::new();
        if let Some(batch) = abandoned {
            // A write that was cut off may have gone through since.
            let rows = batch.rows().to_vec();
            let settled = tokio::time::timeout(CLOSE_WITHIN, self.settle_abandoned(batch)).await;
            if settled.is_err() {
                tracing::error!("the sink does not say whether it wrote the last batch");
            }
            if inner.ring.stats().leased > 0 {
                // The sink still holds on to them, so they have not come back to the ring.
                undelivered = rows;
            }
        }
        undelivered.extend(inner.openings.place(&inner.ring.peek(usize::MAX)));
        let closed = tokio::time::timeout(CLOSE_WITHIN, inner.writer.close()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the sink was not closed cleanly");
        }
        let error = match &*inner.ended.borrow() {
            Some(outcome) => outcome.clone().err(),
            None => Some(WriteError::new(
                ErrorKind::Fatal,
                "the task that delivers has panicked",
            )),
        };
        Report {
            stats: self.stats(),
            undelivered,
            error,
        }
    }
}

impl Pipeline {
    /// Offers the abandoned batch once more, behind the write that was not waited for: a sink knows
    /// again what it has, so nothing is both in the sink and handed back. Without a receipt the
    /// rows are back in the ring afterwards.
    async fn settle_abandoned(&self, batch: Batch) {
        let inner = &self.inner;
        let began = now();
        let written = inner.writer.write(&batch).await;
        let count = batch.rows().len();
        drop(batch);
        // A sink that works in order has let go of the rows before it answered.
        while inner.ring.stats().leased > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let Ok(receipt) = written else { return };
        // Nothing was leased since, so its rows are the oldest.
        if let Some(lease) = inner.ring.lease(count) {
            inner
                .account
                .settle(lease, &receipt, Reason::Shutdown, began, now());
        }
    }
}

/// The number of the next scope.
fn next_index(scopes: &[ScopeName], name: &ScopeName) -> Result<ScopeIndex, PipelineError> {
    if scopes.contains(name) {
        return Err(PipelineError::ScopeOpen {
            name: name.to_string(),
        });
    }
    let index = u16::try_from(scopes.len()).map(ScopeIndex);
    index.map_err(|_| PipelineError::TooManyScopes {
        limit: usize::from(u16::MAX) + 1,
    })
}

/// Closes a ring when the task that empties it is gone, however it went.
struct CloseOnDrop(Ring<Entry>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.monitor.abort();
    }
}

/// How long closing the sink may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pipeline")
            .field("ring", &self.inner.ring)
            .finish_non_exhaustive()
    }
}
