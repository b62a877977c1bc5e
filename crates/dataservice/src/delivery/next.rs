//! Waiting for the next item in the caller's thread.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::Pull;
use super::work::due_after;
use crate::{Closed, Feed, FeedBatch, Snapshot, Subscription};

/// What a subscriber remembers between two calls of [`Pull::next`]: when the second is due.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// At once before the first item.
    due: Option<Instant>,
}

/// Why there is no next item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NextError {
    /// Nothing changed in this time, or it was not due.
    #[error("no update was due in this time")]
    Timeout,
    /// Everything was shown, and nothing will follow.
    #[error("the subscription is closed: {0}")]
    Closed(Closed),
}

pub(super) fn next<P: Pull>(pull: &mut P, timeout: Duration) -> Result<P::Item, NextError> {
    let now = Instant::now();
    // A deadline beyond the clock's range is no deadline.
    let deadline = now.checked_add(timeout);
    if let Some(due) = pull.pace().due
        && due > now
        && pull.closed().is_none()
    {
        let pause = due - now;
        std::thread::sleep(pause.min(timeout));
        if pause > timeout {
            return Err(NextError::Timeout);
        }
    }
    loop {
        if let Some(item) = pull.poll() {
            pull.pace().due = due_after(Instant::now(), pull.min_interval());
            return Ok(item);
        }
        if let Some(reason) = pull.closed() {
            return Err(NextError::Closed(reason));
        }
        let rest = deadline.map_or(timeout, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if rest.is_zero() {
            return Err(NextError::Timeout);
        }
        // Whatever it says, the poll knows.
        let _ = pull.wait(rest);
    }
}

impl<V: Clone, O> Subscription<V, O> {
    /// Waits for the next snapshot, up to this long. Returns at once if there is something to show
    /// and it is due, also with a timeout of 0.
    ///
    /// It keeps [`min_interval`](Self::min_interval): after a snapshot that it returned the next
    /// one comes no sooner, and everything that changed meanwhile is in it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use dataservice::{DataService, LatestValue, NextError, Spec};
    ///
    /// let service: DataService<&str, f64> = DataService::new();
    /// let speed = service.register("speed")?;
    /// let mut dial = service.subscribe(Spec::new().key(speed, LatestValue))?;
    /// service.put(speed, 1, 71.5)?;
    /// let seen = dial.next(Duration::from_secs(1))?;
    /// assert_eq!(seen.update(speed).unwrap().values(), [71.5]);
    /// assert_eq!(dial.next(Duration::ZERO), Err(NextError::Timeout));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there was none in this time, or none will ever come.
    pub fn next(&mut self, timeout: Duration) -> Result<Snapshot<O>, NextError> {
        next(self, timeout)
    }
}

impl<V: Clone> Feed<V> {
    /// Waits for the next batch, up to this long, as
    /// [`Subscription::next`](crate::Subscription::next) does.
    ///
    /// # Errors
    /// When there was none in this time, or none will ever come.
    pub fn next(&mut self, timeout: Duration) -> Result<FeedBatch<V>, NextError> {
        next(self, timeout)
    }
}
