//! The slow pulse beside the queues: says once per second what people should hear of.
//!
//! An overflow, and what a sink rejects, is reported at most once per second and lane with its
//! count, a crossing of the watermark once each way, a lane that fails and one that works again
//! once each. Between the pulses nothing runs. The recorder of the metrics is foreign code: when it
//! panics, that is said, and the pulse goes on after a pause, which grows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_core::Direction;
use futures_util::FutureExt;

use crate::core::Core;
use crate::live::maintain;
use crate::notification::Level;
use crate::queue::{Queue, message_of, now, panics_in_a_row, pause_after};
use crate::telemetry::Publisher;

/// How often it looks.
const PULSE: Duration = Duration::from_secs(1);

pub(crate) struct Monitor {
    core: Arc<Core>,
    /// What was reported last of each queue, by the number of the queue.
    reported: HashMap<u64, Reported>,
    publisher: Publisher,
}

/// What was reported last.
#[derive(Default)]
struct Reported {
    overflow: u64,
    rejected: u64,
    crossing: u64,
    failing_since: Option<Instant>,
    restarts: u64,
}

impl Monitor {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            reported: HashMap::new(),
            publisher: Publisher::installed(),
        }
    }

    /// Looks once per second for as long as it is let, whatever panics.
    pub(crate) async fn run(mut self) {
        let mut panics = 0;
        loop {
            let began = now();
            let Err(panic) = AssertUnwindSafe(self.watch()).catch_unwind().await;
            let message = message_of(panic.as_ref());
            panics = panics_in_a_row(panics, now().saturating_duration_since(began));
            let pause = pause_after(panics);
            self.core.say(
                Level::Error,
                format!("the monitor has panicked: {message}; it starts again in {pause:?}"),
            );
            tokio::time::sleep(pause).await;
        }
    }

    async fn watch(&mut self) -> Infallible {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            let now = now();
            self.core.sample(now);
            self.look();
            for route in &self.core.shape.load().routes {
                route.rebalance();
            }
            if let Some(live) = &self.core.live {
                maintain(live, now);
            }
            // Foreign code comes last: whatever it does, the rest was done.
            let stats = self.core.stats();
            self.publisher.publish(&stats, &self.core.judge(&stats));
        }
    }

    fn look(&mut self) {
        let shape = self.core.shape.load_full();
        let is_only = shape.queues().count() == 1;
        let mut seen = Vec::new();
        let mut news = Vec::new();
        for queue in shape.queues() {
            let id = queue.id;
            seen.push(id);
            let place = match is_only {
                true => String::new(),
                false => format!(" (lane {})", queue.shown()),
            };
            let reported = self.reported.entry(id).or_default();
            look_at(queue, &place, reported, &mut news);
        }
        self.reported.retain(|id, _| seen.contains(id));
        for (level, message) in news {
            self.core.say(level, message);
        }
    }
}

fn look_at(queue: &Queue, place: &str, reported: &mut Reported, news: &mut Vec<(Level, String)>) {
    let (counts, fill) = queue.account.snapshot(&queue.buffer);
    let overflow = fill.displaced + fill.dropped + counts.lower_priority;
    let lost = overflow - reported.overflow;
    if lost > 0 {
        reported.overflow = overflow;
        news.push((
            Level::Warning,
            format!("{lost} records were dropped because the buffer is full{place}"),
        ));
    }
    let rejected = counts.rejected - reported.rejected;
    if rejected > 0 {
        reported.rejected = counts.rejected;
        news.push((
            Level::Warning,
            format!("{rejected} records were refused by the sink and are kept nowhere{place}"),
        ));
    }
    let crossing = queue.last_crossing();
    if let Some(crossing) = crossing.filter(|crossing| crossing.number > reported.crossing) {
        reported.crossing = crossing.number;
        let fill = format!(
            "{:.0} % ({} of {}){place}",
            crossing.utilization_pct(),
            crossing.current_size,
            crossing.max_size
        );
        news.push(match crossing.direction {
            Direction::Up => (Level::Warning, format!("the buffer is filling up: {fill}")),
            Direction::Down => (Level::Info, format!("the buffer has emptied to {fill}")),
        });
    }
    if counts.restarts > reported.restarts {
        reported.restarts = counts.restarts;
        let error = counts.last_error.as_deref().unwrap_or("no message");
        news.push((Level::Error, format!("{error}; it starts again{place}")));
    }
    match (reported.failing_since, counts.failing_since) {
        (None, Some(_)) => {
            let error = counts.last_error.as_deref().unwrap_or("no message");
            news.push((Level::Error, format!("the sink fails: {error}{place}")));
        }
        (Some(_), None) => news.push((Level::Info, format!("the sink works again{place}"))),
        _ => {}
    }
    reported.failing_since = counts.failing_since;
}
