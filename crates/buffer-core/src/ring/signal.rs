//! How a thread waits for its turn or for items.

use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// How often a waiting thread lets others go first before it sleeps.
const YIELDS: u32 = if cfg!(loom) { 0 } else { 16 };

/// A flag that one thread raises and another waits for.
pub(super) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn new() -> Self {
        Self {
            raised: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    pub(super) fn raise(&self) {
        *self.raised.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until it is raised, and lowers it; says whether it was.
    ///
    /// Other threads are let through a few times first: what is waited for often comes at once, and
    /// being put to sleep and woken costs more than a push or a drain.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        for _ in 0..YIELDS {
            if std::mem::take(&mut *self.raised.lock()) {
                return true;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            std::thread::yield_now();
        }
        let mut raised = self.raised.lock();
        while !*raised {
            let (again, timed_out) = self.changed.wait_until(raised, deadline);
            raised = again;
            if timed_out {
                break;
            }
        }
        std::mem::take(&mut *raised)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}
