//! The handle of a callback.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::slot::Slot;
use crate::Closed;

/// A callback that a [`Dispatcher`](super::Dispatcher) calls. Dropping it unsubscribes.
///
/// It may be dropped anywhere, also in its own callback or in another one. A call that is running
/// then is not waited for: it ends, and is the last. Otherwise the subscriber is dropped here and
/// now, and nothing is called any more once this returned.
#[must_use = "dropping the handle unsubscribes"]
pub struct Callback {
    slot: Arc<Slot>,
}

/// Whether a callback will be called again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackState {
    /// It will, when something changes.
    #[default]
    Active,
    /// It panicked too often in a row. Its subscriber was dropped, and asks for nothing any more.
    Quarantined,
    /// Its subscriber was closed.
    Closed(Closed),
    /// The dispatcher stopped.
    Stopped,
}

/// What became of a callback up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackStats {
    /// Whether it will be called again.
    pub state: CallbackState,
    /// Calls that returned.
    pub calls: u64,
    /// Calls, or pulls before them, that panicked.
    pub panics: u64,
    /// How long the last call took that returned.
    pub last: Duration,
    /// How long these calls took on average.
    pub mean: Duration,
    /// How long the longest of them took.
    pub max: Duration,
}

impl Callback {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// What became of it up to now. A running call is not in it.
    #[must_use]
    pub fn stats(&self) -> CallbackStats {
        self.slot.stats()
    }

    /// Whether it will be called again.
    #[must_use]
    pub fn state(&self) -> CallbackState {
        self.stats().state
    }

    #[cfg(feature = "crossbeam-channel")]
    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.slot.cancel();
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Callback")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
