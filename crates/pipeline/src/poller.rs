//! The thread that polls this host at a steady rate.
//!
//! Polls keep to a grid of the interval: one that takes too long leaves polls out, it does not
//! shift or bunch up those that follow. Each poll is one transaction. One that panics is reported
//! and polling starts again, with pauses that grow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use record::Timestamp;

use crate::intake::Intake;
use crate::queue::{message_of, panics_in_a_row, pause_after};
use crate::source::{HostConfig, HostSource};
use crate::{IntakeError, Refusal};

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
                keep_polling(&intake, &stopped, || poll(&options, &intake, &stopped));
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

/// Polls until it is told to stop or an error ends it. What panics starts again after a pause, and
/// is a source that has stopped meanwhile.
fn keep_polling(
    intake: &Intake,
    stopped: &mpsc::Receiver<()>,
    mut poll: impl FnMut() -> Result<(), IntakeError>,
) {
    let mut panics = 0;
    loop {
        let began = Instant::now();
        let reason = match catch_unwind(AssertUnwindSafe(&mut poll)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::error!(%error, "polling this host has ended");
                return intake.source_stopped(&error.to_string());
            }
            Err(panic) => format!("it has panicked: {}", message_of(panic.as_ref())),
        };
        panics = panics_in_a_row(panics, began.elapsed());
        let pause = pause_after(panics);
        tracing::error!(reason, ?pause, "polling this host starts again");
        intake.source_stopped(&reason);
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => intake.source_resumed(),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn poll(
    options: &PollerOptions,
    intake: &Intake,
    stopped: &mpsc::Receiver<()>,
) -> Result<(), IntakeError> {
    let mut host = HostSource::new(options.host.clone());
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
        // A refusal for want of room is counted and shown, and what one sink alone does not take
        // any more the others still do. Only the end of all lanes ends the poll.
        if accepted.refusal == Some(Refusal::Closed) && intake.is_closed() {
            return match intake.is_lost() {
                true => Err(Refusal::Closed.into()),
                false => Ok(()),
            };
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

    #[tokio::test]
    async fn a_poll_that_panics_is_reported_and_starts_again_and_an_error_ends_it() {
        let writer = sinks::BoxWriter::new(sinks::MemoryWriter::new());
        let pipeline = crate::Pipeline::to(writer).start().expect("valid");
        let name = sinks::ScopeName::new("host/normal");
        let intake = pipeline.intake(&name).await.expect("opens");
        let (_stop, stopped) = mpsc::channel();
        let mut seen = Vec::new();
        keep_polling(&intake, &stopped, || {
            seen.push(pipeline.stats().stopped_sources);
            match seen.len() {
                1 | 2 => panic!("no such sensor"),
                3 => Ok(()),
                _ => unreachable!("it was told to end"),
            }
        });
        assert_eq!(
            seen, [[""; 0]; 3],
            "each time it goes on, nothing is said to have stopped"
        );
        let (stop, stopped) = mpsc::channel();
        let mut calls = 0;
        keep_polling(&intake, &stopped, || {
            calls += 1;
            stop.send(()).expect("it is there");
            panic!("no such sensor");
        });
        let said = ["host/normal: it has panicked: no such sensor"];
        assert_eq!(
            (calls, &pipeline.stats().stopped_sources[..]),
            (1, &said.map(String::from)[..])
        );
        intake.source_resumed();
        keep_polling(&intake, &stopped, || Err(Refusal::Full.into()));
        let said = &pipeline.stats().stopped_sources;
        assert_eq!(said.len(), 1, "{said:?}");
    }

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
