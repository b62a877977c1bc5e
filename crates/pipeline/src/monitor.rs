//! The slow pulse beside the driver: says once per second what people should hear of.
//!
//! An overflow, and what the sink rejects, is reported at most once per second with its count, a
//! crossing of the watermark once each way, a sink that fails and one that works again once each.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use buffer_core::{Crossing, Direction, Ring};
use parking_lot::Mutex;
use record::Timestamp;
use sinks::Entry;
use tokio::sync::broadcast;

use crate::account::Account;
use crate::driver::now;
use crate::live::{LiveData, maintain};
use crate::notification::{Level, Notification};

/// How often it looks.
const PULSE: Duration = Duration::from_secs(1);

/// The newest crossing of the watermark that was not yet reported. The ring's listener only leaves
/// it here: it runs on the threads of the sources.
pub(crate) type LastCrossing = Arc<Mutex<Option<Crossing>>>;

pub(crate) struct Monitor {
    pub(crate) ring: Ring<Entry>,
    pub(crate) account: Arc<Account>,
    pub(crate) live: Option<LiveData>,
    pub(crate) crossing: LastCrossing,
    pub(crate) notifications: broadcast::Sender<Notification>,
}

/// What was reported last.
#[derive(Default)]
struct Reported {
    overflow: u64,
    rejected: u64,
    crossing: u64,
    failing_since: Option<Instant>,
}

impl Monitor {
    pub(crate) async fn run(self) {
        let mut reported = Reported::default();
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            for (level, message) in self.look(&mut reported) {
                self.say(level, message);
            }
            if let Some(live) = &self.live {
                maintain(live, now());
            }
        }
    }

    fn look(&self, reported: &mut Reported) -> Vec<(Level, String)> {
        let mut news = Vec::new();
        let (counts, ring) = self.account.snapshot(&self.ring);
        let lost = ring.overflow_count() - reported.overflow;
        if lost > 0 {
            reported.overflow = ring.overflow_count();
            news.push((
                Level::Warning,
                format!("{lost} records were dropped because the buffer is full"),
            ));
        }
        let rejected = counts.rejected - reported.rejected;
        if rejected > 0 {
            reported.rejected = counts.rejected;
            news.push((
                Level::Warning,
                format!("{rejected} records were refused by the sink and are kept nowhere"),
            ));
        }
        let crossing = self
            .crossing
            .lock()
            .filter(|crossing| crossing.number > reported.crossing);
        if let Some(crossing) = crossing {
            reported.crossing = crossing.number;
            let fill = format!(
                "{:.0} % ({} of {})",
                crossing.utilization_pct(),
                crossing.current_size,
                crossing.max_size
            );
            news.push(match crossing.direction {
                Direction::Up => (Level::Warning, format!("the buffer is filling up: {fill}")),
                Direction::Down => (Level::Info, format!("the buffer has emptied to {fill}")),
            });
        }
        match (reported.failing_since, counts.failing_since) {
            (None, Some(_)) => {
                let error = counts.last_error.as_deref().unwrap_or("no message");
                news.push((Level::Error, format!("the sink fails: {error}")));
            }
            (Some(_), None) => news.push((Level::Info, "the sink works again".to_owned())),
            _ => {}
        }
        reported.failing_since = counts.failing_since;
        news
    }

    fn say(&self, level: Level, message: String) {
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
}
