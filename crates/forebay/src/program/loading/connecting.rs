//! A sink that cannot be reached at first.

use std::time::Instant;

use anyhow::{Result, anyhow};
use pipeline::PipelineError;
use sinks::{Retry, RetryDecision, RetryPolicy};

use crate::program::storage::Place;

/// The attempts to open a scope, as patient as those of a batch.
pub(crate) struct Connecting {
    retry: Retry,
    place: String,
}

impl Connecting {
    pub(crate) fn new(policy: RetryPolicy, place: &Place) -> Self {
        Self {
            retry: Retry::new(policy, Instant::now(), fastrand::u64(..)),
            place: place.to_string(),
        }
    }

    /// Waits until it is time for another attempt.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn rest(&mut self, error: PipelineError) -> Result<()> {
        let PipelineError::Sink(error) = error else {
            return Err(error.into());
        };
        match self.retry.on_failure(Instant::now(), &error) {
            RetryDecision::After(delay) | RetryDecision::Postpone(delay) => {
                tracing::warn!(place = self.place, %error, ?delay, "the sink is not reached yet");
                tokio::time::sleep(delay).await;
                Ok(())
            }
            RetryDecision::GiveUp(_) => Err(anyhow!("cannot use {}: {error}", self.place)),
        }
    }
}
