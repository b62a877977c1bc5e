//! Keeps the task of a queue alive: one that panics is started again, with growing pauses.
//!
//! What the task had on loan goes back to the buffer while the panic unwinds, so it starts where
//! it was. Only an error of the sink, a shutdown, or the deadline of one ends it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::watch;

use super::driver::Driver;
use super::{Ended, now};
use crate::buffer::CloseOnDrop;
use crate::stats::LaneState;

/// The first pause after a panic; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A task that ran for so long has recovered, and its next panic is a first one.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

pub(super) async fn run(mut driver: Driver, end: watch::Sender<Option<Ended>>) {
    let queue = driver.queue();
    // Whoever still pushes once this has ended is refused, and knows.
    let closing = CloseOnDrop(std::sync::Arc::clone(&queue.buffer));
    let mut panics = 0_u32;
    let outcome = loop {
        let began = now();
        let message = match AssertUnwindSafe(driver.run()).catch_unwind().await {
            Ok(outcome) => break outcome,
            Err(panic) => message_of(panic.as_ref()),
        };
        panics = panics_in_a_row(panics, now().saturating_duration_since(began));
        let pause = pause_after(panics);
        let lane = queue.shown();
        tracing::error!(lane, message, ?pause, "the task that delivers has panicked");
        let error = format!("the task that delivers has panicked: {message}");
        queue.account.restarted(now(), error);
        queue.set_state(LaneState::Restarting);
        driver.rest(pause).await;
        queue.set_state(LaneState::Running);
        driver.reset();
    };
    if let Err(error) = &outcome {
        queue.sink.lose(error);
    }
    queue.set_state(LaneState::Ended);
    drop(closing);
    let _ = end.send(Some(outcome));
}

fn panics_in_a_row(before: u32, ran: Duration) -> u32 {
    match ran >= RECOVERED_AFTER {
        true => 1,
        false => before.saturating_add(1),
    }
}

fn pause_after(panics: u32) -> Duration {
    let doublings = panics.saturating_sub(1).min(16);
    PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

/// What a panic says.
pub(crate) fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The end of a pause that may be cut short by the deadline of a shutdown.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_a_long_run_forgets_them() {
        assert_eq!(pause_after(1), Duration::from_millis(100));
        assert_eq!(pause_after(4), Duration::from_millis(800));
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
        assert_eq!(panics_in_a_row(7, Duration::from_secs(59)), 8);
        assert_eq!(panics_in_a_row(7, Duration::from_secs(60)), 1);
    }
}
