//! When an adapter connects again.
//!
//! Each failed attempt doubles the wait, from 0.05 s to 0.1 s up to 2.5 s to 5 s, at random between
//! the two. Whoever asks earlier gets the last error at once, as it was, with the time that is
//! left.

use std::time::Duration;

use tokio::time::Instant;

use crate::WriteError;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often the delay doubles at most: far more than it takes to reach the longest.
const DOUBLINGS_MAX: u32 = 16;

/// What a writer knows of its attempts to connect.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    wait: Option<(Instant, WriteError)>,
}

impl Backoff {
    /// Whether it is time to connect.
    ///
    /// # Errors
    /// The last one, with what is left of the wait, while it is too early.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        let Some((until, error)) = &self.wait else {
            return Ok(());
        };
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Err(error.clone().with_retry_after(left)),
            _ => Ok(()),
        }
    }

    /// Takes note of a failed attempt; the error then says when the next one makes sense.
    pub(crate) fn failed(&mut self, error: WriteError) -> WriteError {
        let doubled = BACKOFF_MIN * 2_u32.pow(self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        // Several writers do not come back at the same moment, and none comes back at once.
        let spread = 0.5 + fastrand::f64() / 2.0;
        let delay = doubled.min(BACKOFF_MAX).mul_f64(spread);
        self.wait = Some((Instant::now() + delay, error.clone()));
        error.with_retry_after(delay)
    }

    /// Takes note of one that went well.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn the_wait_doubles_up_to_its_limit_and_starts_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let refused = || WriteError::new(ErrorKind::Fatal, "no such database");
        assert!(backoff.check().is_ok());
        for step in 0..40 {
            let error = backoff.failed(refused());
            let longest = (BACKOFF_MIN * (1 << step.min(10))).min(BACKOFF_MAX);
            let wait = error.retry_after().expect("a wait");
            assert!(wait >= longest / 2 && wait <= longest, "{step}: {wait:?}");
            let again = backoff.check().expect_err("too early");
            assert_eq!(again.kind(), ErrorKind::Fatal);
            assert_eq!(again.retry_after(), Some(wait));
            tokio::time::advance(wait).await;
            assert!(backoff.check().is_ok());
        }
        backoff.succeeded();
        let wait = backoff.failed(refused()).retry_after().expect("a wait");
        assert!(wait <= BACKOFF_MIN);
    }
}
