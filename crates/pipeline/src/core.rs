//! What the handles of a pipeline and its own tasks share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use record::Timestamp;
use sinks::{BatchWriter, ScopeName};
use tokio::sync::broadcast;

#[cfg(feature = "alerts")]
use crate::alert::{AlertSpec, Alerts, InvalidAlert};
use crate::health::{HealthChange, HealthTracker};
use crate::intake::Targets;
use crate::opening::Opening;
use crate::queue::now;
use crate::reading::{Reading, Recent, read_route};
use crate::route::Route;
use crate::shape::Shape;
use crate::shutdown::Stop;
use crate::sources::Sources;
use crate::telemetry::Telemetry;
use crate::{
    Health, HealthStatus, Intake, Level, LiveData, Notification, PipelineError, Sender, Stats,
    intake,
};

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
    /// Held by a change from its beginning to its end, and by the end behind it.
    pub(crate) draining: tokio::sync::Mutex<()>,
    pub(crate) stop: Mutex<Stop>,
    pub(crate) intakes: Mutex<Vec<Weak<intake::Inner>>>,
    pub(crate) channel: Mutex<Option<Sender>>,
    pub(crate) started: Instant,
    pub(crate) health: Mutex<HealthTracker>,
    /// Set once somebody asked for the end, under `stop`: what is worse from then on is meant.
    pub(crate) is_stopping: AtomicBool,
    #[cfg(feature = "alerts")]
    pub(crate) alerts: Mutex<Option<Arc<Alerts>>>,
}

/// How long alerts that are replaced may still tell what they have.
#[cfg(feature = "alerts")]
const ALERTS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// How long they may in any case at the end.
#[cfg(feature = "alerts")]
const ALERTS_LEAST: std::time::Duration = std::time::Duration::from_secs(1);

impl Core {
    pub(crate) fn intake_of(&self, source: &ScopeName, targets: Targets) -> Intake {
        let sources = Arc::clone(&self.sources);
        let intake = Intake::new(source.clone(), targets, self.live.clone(), sources);
        let mut intakes = self.intakes.lock();
        intakes.retain(|intake| intake.strong_count() > 0);
        intakes.push(Arc::downgrade(&intake.inner));
        intake
    }

    #[cfg(feature = "alerts")]
    pub(crate) fn set_alerts(&self, specs: Vec<AlertSpec>) -> Result<(), InvalidAlert> {
        let alerts = match specs.is_empty() {
            true => None,
            false => Some(Arc::new(Alerts::start(specs, self.instance())?)),
        };
        let before = std::mem::replace(&mut *self.alerts.lock(), alerts);
        if let Some(before) = before {
            tokio::spawn(async move { before.close(now() + ALERTS_WITHIN).await });
        }
        Ok(())
    }

    /// Lets the alerts tell what they have; they get a while though the deadline be over.
    #[cfg(feature = "alerts")]
    pub(crate) async fn close_alerts(&self, deadline: Option<Instant>) {
        let alerts = self.alerts.lock().take();
        if let Some(alerts) = alerts {
            let least = now() + ALERTS_LEAST;
            alerts
                .close(deadline.map_or(least, |deadline| deadline.max(least)))
                .await;
        }
    }

    /// The name of this run in alerts.
    #[cfg(feature = "alerts")]
    fn instance(&self) -> String {
        match &self.live {
            Some(live) => live.instance().to_string(),
            None => format!("{:016x}", fastrand::u64(..)),
        }
    }

    /// Leads all sources to this shape; all or none.
    pub(crate) fn lead_to(&self, shape: &Arc<Shape>) -> Result<Vec<Opening>, PipelineError> {
        let intakes: Vec<_> = {
            let intakes = self.intakes.lock();
            intakes.iter().filter_map(Weak::upgrade).collect()
        };
        let (mut openings, mut led) = (Vec::new(), Vec::new());
        for intake in intakes {
            match intake.announce(shape) {
                Ok((targets, more)) => {
                    openings.extend(more);
                    led.push((intake, targets));
                }
                Err(error) => {
                    openings.into_iter().for_each(Opening::withdraw);
                    return Err(error);
                }
            }
        }
        led.into_iter()
            .for_each(|(intake, targets)| intake.follow(targets));
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
            let (mut stats, reading) = read_route(route, now);
            stats.is_ending = !shape.has(route);
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
        // All that an account counts, and in the same order.
        let ending = self.ending.lock();
        let shape = self.shape.load_full();
        let drained = ending.iter().filter(|route| !shape.has(route));
        let routes: Vec<_> = shape.routes.iter().chain(drained).cloned().collect();
        let retired = self.retired.lock().clone();
        drop(ending);
        let queues = || routes.iter().flat_map(|route| route.queues());
        for queue in queues() {
            queue.account.sample(now, &queue.buffer);
        }
        let running = queues().map(|queue| Reading::of(queue, now));
        if let Some(sum) = Reading::sum(retired.into_iter().chain(running)) {
            self.recent.lock().sample(now, sum.recent());
        }
    }

    /// How the pipeline is doing by this account. A change of the status is told to people and
    /// alerts.
    pub(crate) fn judge(&self, stats: &Stats) -> Health {
        let stopped = self.stopped();
        let mut tracker = self.health.lock();
        if self.is_stopping.load(Ordering::Acquire) {
            let mut health = Health::judge(stats, stopped.as_deref());
            health.status = health.status.max(tracker.status());
            return health;
        }
        let (health, change) = tracker.observe(now(), stats, stopped.as_deref());
        drop(tracker);
        if let Some(change) = change {
            self.tell(&change);
        }
        health
    }

    fn tell(&self, change: &HealthChange) {
        #[cfg(feature = "alerts")]
        {
            let alerts = self.alerts.lock().clone();
            if let Some(alerts) = alerts {
                alerts.notify(change);
            }
        }
        let level = match change.to {
            HealthStatus::Healthy => Level::Info,
            HealthStatus::Degraded => Level::Warning,
            HealthStatus::Critical => Level::Error,
        };
        let codes: Vec<&str> = change.reasons.iter().map(|reason| reason.code).collect();
        let why = match codes.as_slice() {
            [] => String::new(),
            codes => format!(": {}", codes.join(", ")),
        };
        let (from, to, score) = (change.from, change.to, change.score);
        self.say(
            level,
            format!("health went from {from} to {to} ({score} points){why}"),
        );
    }

    /// Says something to people: in the log, and to whoever listens.
    pub(crate) fn say(&self, level: Level, message: String) {
        match level {
            Level::Info => tracing::info!("{message}"),
            Level::Warning => tracing::warn!("{message}"),
            Level::Error => tracing::error!("{message}"),
        }
        let timestamp = Timestamp::from_system(SystemTime::now());
        // Nobody may be listening.
        let _ = self.notifications.send(Notification {
            level,
            message,
            timestamp,
        });
    }

    /// Why nothing is delivered any more, if that is so.
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
