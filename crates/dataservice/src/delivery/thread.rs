//! Threads, so that loom can replace them.

use std::time::Instant;

#[cfg(loom)]
pub(super) use loom::thread::{Builder, JoinHandle, Thread, current};
#[cfg(not(loom))]
pub(super) use std::thread::{Builder, JoinHandle, Thread, current};

/// Parks this thread until it is unparked or the moment has come; may return early.
#[cfg(not(loom))]
pub(super) fn park_until(due: Option<Instant>) {
    match due {
        None => std::thread::park(),
        Some(due) => std::thread::park_timeout(due.saturating_duration_since(Instant::now())),
    }
}

/// A timed wait never fires under the model.
#[cfg(loom)]
pub(super) fn park_until(_due: Option<Instant>) {
    loom::thread::park();
}
