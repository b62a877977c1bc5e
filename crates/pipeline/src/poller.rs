//! The thread that polls this host at a steady rate.
//!
//! Polls keep to a grid of the interval: one that takes too long leaves polls out, it does not
//! shift or bunch up those that follow. Each poll is one transaction.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use record::Timestamp;

use crate::intake::Intake;
use crate::source::{HostConfig, HostSource};

/// How often this host is polled.
#[derive(Clone, Debug)]
pub struct PollerOptions {
    /// From poll to poll.
    pub interval: Duration,
    /// What is polled.
    pub host: HostConfig,
}

impl Default for PollerOptions {
    /// Ten polls per second.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            host: HostConfig::default(),
        }
    }
}

/// A running poll of this host; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Poller {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Starts polling into `intake`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: PollerOptions, intake: Intake) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("host-poller".into())
            .spawn(move || {
                let mut ending = Ending {
                    intake,
                    reason: Some("it has panicked".to_owned()),
                };
                ending.reason = poll(options, &ending.intake, &stopped)
                    .err()
                    .map(|e| e.to_string());
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Ends the poll and waits for the one under way.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by it; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.end();
    }
}

/// Polls closer together than this would only measure the polling.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Says why the thread ended, also when it panics.
struct Ending {
    intake: Intake,
    reason: Option<String>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(reason) = &self.reason {
            tracing::error!(%reason, "polling this host has ended");
            self.intake.source_stopped(reason);
        }
    }
}

fn poll(
    options: PollerOptions,
    intake: &Intake,
    stopped: &mpsc::Receiver<()>,
) -> Result<(), crate::IntakeError> {
    let mut host = HostSource::new(options.host);
    let mut due = Instant::now();
    let mut warned = false;
    loop {
        let now = Instant::now();
        let mut records = host.poll(now, Timestamp::from_system(SystemTime::now()));
        // A new key for which there is no room costs only itself.
        let left_out = intake.keep_showable(&mut records);
        if left_out > 0 && !std::mem::replace(&mut warned, true) {
            tracing::warn!(
                left_out,
                "readings of this host are left out: [history] max_keys is reached"
            );
        }
        let accepted = intake.push(now, records.into_iter().map(Ok).collect())?;
        // A refusal for want of room is counted and shown; only a closed buffer ends the poll.
        if accepted.refusal == Some(buffer_core::Refusal::Closed) {
            return Ok(());
        }
        due = next_on_grid(due, options.interval.max(INTERVAL_MIN), Instant::now());
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The next moment of the grid that is still to come; those that were missed are left out.
fn next_on_grid(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now {
        return next;
    }
    let late = now.saturating_duration_since(next).as_nanos();
    let missed = late / interval.as_nanos().max(1) + 1;
    next + interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_poll_leaves_polls_out_and_keeps_the_grid() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let table = [
            (0, 100),
            (99, 100),
            (100, 200),
            (150, 200),
            (950, 1000),
            (1000, 1100),
        ];
        for (now, expected) in table {
            assert_eq!(
                next_on_grid(start, ms(100), start + ms(now)) - start,
                ms(expected),
                "at {now} ms"
            );
        }
    }
}
