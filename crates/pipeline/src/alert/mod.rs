//! Tells somebody when the health changes: by a POST to a URL, or by a command.
//!
//! Each alert has a task, a timeout, retries and a breaker of its own, so that one whose target
//! hangs delays no other and nothing else. It holds one change that waits and one on its way; a
//! newer change takes the place of one that waits. [`Alerts::notify`] never waits. What an alert
//! decides is pure ([`outbox`]); this is the shell with the clock.
//!
//! An alert tells of changes, not of states: there are no reminders, and a change that nobody
//! could be told of before the process ended is not told by the next one.

mod command;
mod outbox;
mod post;
mod spec;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use record::Timestamp;
use serde::Serialize;
use sinks::{BreakerState, WriteError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::{HealthChange, HealthReason, HealthStatus};
use outbox::{Letter, Outbox, Settled, Step};
use post::Post;
pub use spec::{AlertSpec, AlertTarget, InvalidAlert};

/// What became of the changes that an alert should tell.
///
/// `offered = sent + failed + replaced + pending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertStats {
    /// The alert's name.
    pub name: String,
    /// Changes that it should tell.
    pub offered: u64,
    /// Changes that were told.
    pub sent: u64,
    /// Changes that it gave up.
    pub failed: u64,
    /// Changes whose place a newer one took before they were told.
    pub replaced: u64,
    /// Changes that wait or are on their way: 0, 1 or 2.
    pub pending: u64,
    /// Failed attempts that are followed by another one.
    pub retries: u64,
    /// Its breaker: `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// The last error, kept after recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Alerts that run, each in a task of its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::{Duration, Instant};
/// use pipeline::{AlertSpec, Alerts, HealthChange, HealthStatus};
///
/// let spec = AlertSpec::command("log", "cat", Vec::<String>::new());
/// let alerts = Alerts::start(vec![spec], "plant-7")?;
/// alerts.notify(&HealthChange {
///     from: HealthStatus::Healthy,
///     to: HealthStatus::Critical,
///     score: 30,
///     reasons: Vec::new(),
/// });
/// alerts.close(Instant::now() + Duration::from_secs(10)).await;
/// assert_eq!(alerts.stats()[0].sent, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Alerts {
    instance: String,
    alerts: Vec<Alert>,
}

struct Alert {
    shared: Arc<Shared>,
    /// Held by whoever waits for its end.
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What the task of an alert shares with those who ask for something.
struct Shared {
    name: String,
    outbox: Mutex<Outbox>,
    wake: Notify,
}

/// What is told.
#[derive(Serialize)]
struct Payload<'a> {
    name: &'a str,
    instance: &'a str,
    from: HealthStatus,
    to: HealthStatus,
    score: u8,
    reasons: &'a [HealthReason],
    timestamp: Timestamp,
    text: String,
}

/// The clock that decisions are told.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Alerts {
    /// Starts the alerts; `instance` is what they say of where they come from. Nothing is connected
    /// or started before the first change.
    ///
    /// # Errors
    /// The first thing that is impossible, before anything is started.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(specs: Vec<AlertSpec>, instance: impl Into<String>) -> Result<Self, InvalidAlert> {
        spec::check_all(&specs)?;
        let mut made = Vec::with_capacity(specs.len());
        for spec in specs {
            let target = Target::of(&spec)?;
            let outbox = Outbox::new(&spec, now(), fastrand::u64(..))?;
            let shared = Arc::new(Shared {
                name: spec.name.clone(),
                outbox: Mutex::new(outbox),
                wake: Notify::new(),
            });
            made.push((shared, target, spec));
        }
        let alerts = made.into_iter().map(|(shared, target, spec)| Alert {
            task: tokio::sync::Mutex::new(Some(tokio::spawn(run(
                Arc::clone(&shared),
                target,
                spec,
            )))),
            shared,
        });
        Ok(Self {
            instance: instance.into(),
            alerts: alerts.collect(),
        })
    }

    /// Tells all alerts that want to know of this change. Never waits; changes that come faster
    /// than they can be told replace each other.
    pub fn notify(&self, change: &HealthChange) {
        let timestamp = Timestamp::from_system(SystemTime::now());
        for alert in &self.alerts {
            let shared = &alert.shared;
            if !shared.outbox.lock().wants(change.to) {
                continue;
            }
            let letter = self.letter(&shared.name, change, timestamp);
            let replaced = shared.outbox.lock().offer(now(), letter);
            drop(replaced);
            shared.wake.notify_one();
        }
    }

    /// What became of the changes, alert by alert.
    #[must_use]
    pub fn stats(&self) -> Vec<AlertStats> {
        self.alerts
            .iter()
            .map(|alert| alert.shared.stats())
            .collect()
    }

    /// Takes no more changes, tells those that wait, and ends by the deadline at the latest. What
    /// could not be told counts as failed; commands that still run then are killed.
    ///
    /// # Cancellation
    /// The alerts go on until the deadline; calling again waits for them.
    pub async fn close(&self, deadline: Instant) {
        for alert in &self.alerts {
            alert.shared.outbox.lock().close(deadline);
            alert.shared.wake.notify_one();
        }
        let deadline = tokio::time::Instant::from_std(deadline);
        for alert in &self.alerts {
            let mut running = alert.task.lock().await;
            if let Some(task) = running.as_mut() {
                if tokio::time::timeout_at(deadline, &mut *task).await.is_err() {
                    task.abort();
                    // Its command is killed when it is dropped, which is over when this returns.
                    let _ = task.await;
                }
                *running = None;
            }
            alert.shared.outbox.lock().abandon();
        }
    }

    fn letter(&self, name: &str, change: &HealthChange, timestamp: Timestamp) -> Letter {
        let why = change.reasons.first().map_or("", |it| it.message.as_str());
        let colon = if why.is_empty() { "" } else { ": " };
        let payload = Payload {
            name,
            instance: &self.instance,
            from: change.from,
            to: change.to,
            score: change.score,
            reasons: &change.reasons,
            timestamp,
            text: format!(
                "{} is {}, it was {}; score {}{colon}{why}",
                self.instance, change.to, change.from, change.score
            ),
        };
        Letter {
            status: change.to,
            score: change.score,
            body: serde_json::to_string(&payload).expect("texts and numbers are JSON"),
        }
    }
}

impl Drop for Alert {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Alert {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Alert({})", self.shared.name)
    }
}

impl Shared {
    fn stats(&self) -> AlertStats {
        let outbox = self.outbox.lock();
        let counts = outbox.counts();
        AlertStats {
            name: self.name.clone(),
            offered: counts.offered,
            sent: counts.sent,
            failed: counts.failed,
            replaced: counts.replaced,
            pending: outbox.pending(),
            retries: counts.retries,
            breaker: match outbox.breaker() {
                BreakerState::Open | BreakerState::ForcedOpen => "open",
                BreakerState::HalfOpen => "half_open",
                _ => "closed",
            },
            last_error: counts.last_error,
        }
    }
}

/// What sends.
enum Target {
    Post(Box<Post>),
    Command { program: String, args: Vec<String> },
}

impl Target {
    fn of(spec: &AlertSpec) -> Result<Self, InvalidAlert> {
        Ok(match &spec.target {
            AlertTarget::Url(url) => {
                let options = spec.http_options(url)?;
                let shown = spec.target.shown();
                Self::Post(Box::new(Post::new(options, shown, fastrand::u64(..))))
            }
            AlertTarget::Command { program, args } => Self::Command {
                program: program.clone(),
                args: args.clone(),
            },
        })
    }

    async fn send(&mut self, letter: &Arc<Letter>, spec: &AlertSpec) -> Result<(), WriteError> {
        match self {
            Self::Post(post) => post.send(letter, spec.timeout).await,
            Self::Command { program, args } => {
                command::run(program, args, letter, spec.timeout).await
            }
        }
    }
}

/// The task of one alert.
async fn run(shared: Arc<Shared>, mut target: Target, spec: AlertSpec) {
    loop {
        let step = shared.outbox.lock().next(now());
        match step {
            Step::Idle => shared.wake.notified().await,
            Step::Until(due) => {
                let due = tokio::time::Instant::from_std(due);
                // A newer change, or the end, may come before.
                let _ = tokio::time::timeout_at(due, shared.wake.notified()).await;
            }
            Step::Send(sending) => {
                let letter = Arc::clone(&sending.letter);
                let outcome = target.send(&letter, &spec).await;
                let error = outcome.as_ref().err().map(ToString::to_string);
                let settled = shared.outbox.lock().settle(now(), sending, outcome);
                say(&spec.name, &letter, &settled, error.as_deref());
            }
            Step::Done => return,
        }
    }
}

fn say(alert: &str, letter: &Letter, settled: &Settled, error: Option<&str>) {
    let (status, error) = (letter.status.as_str(), error.unwrap_or_default());
    match settled {
        Settled::Sent => tracing::info!(alert, status, "an alert was sent"),
        Settled::Again => tracing::debug!(alert, status, error, "an alert failed for now"),
        Settled::GivenUp => tracing::warn!(alert, status, error, "an alert was given up"),
    }
}
