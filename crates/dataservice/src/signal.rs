//! How a subscriber learns that something changed.
//!
//! A signal says only that there are unseen changes. It is marked and cleared under the service's
//! lock, together with the list of what changed, and raised after unlocking: then whoever waits is
//! woken. At most one wake is pending, whatever number of commits came before the next poll.
//!
//! No wake is lost: a waiter looks at the mark while it holds this signal's own lock, and a raise
//! takes that lock after the mark was made. So either the waiter sees the mark, or the raise finds
//! the waiter. A wake may come late, after somebody polled; then it is harmless.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};

/// How often a thread lets others run before it sleeps. A model waits for what it yields to.
const YIELDS: u32 = if cfg!(loom) { 0 } else { 16 };

#[derive(Debug, Default)]
pub(crate) struct Signal {
    pending: AtomicBool,
    waker: Mutex<Option<Waker>>,
    changed: Condvar,
}

impl Signal {
    /// Notes a change; `true` if it is the first since the last poll, which then has to be raised
    /// after unlocking. Called under the service's lock.
    pub(crate) fn mark(&self) -> bool {
        let first = !self.pending.load(Ordering::Relaxed);
        if first {
            self.pending.store(true, Ordering::Release);
        }
        first
    }

    /// Everything is seen. Called under the service's lock.
    pub(crate) fn clear(&self) {
        self.pending.store(false, Ordering::Release);
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Wakes whoever waits. `false` if the waker panicked: that is its own affair, and the next
    /// subscriber must be woken all the same.
    pub(crate) fn raise(&self) -> bool {
        let waker = {
            let mut waker = self.waker.lock();
            self.changed.notify_all();
            waker.take()
        };
        match waker {
            Some(waker) => catch_unwind(AssertUnwindSafe(|| waker.wake())).is_ok(),
            None => true,
        }
    }

    /// Waits until there are changes; `false` if there were none in this time.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        if self.is_pending() {
            return true;
        }
        if timeout.is_zero() {
            return false;
        }
        // A deadline beyond the clock's range is no deadline.
        let deadline = Instant::now().checked_add(timeout);
        // Under load the next commit is near, and waking a thread that sleeps costs the writer more
        // than its commit.
        for _ in 0..YIELDS {
            std::thread::yield_now();
            if self.is_pending() {
                return true;
            }
        }
        let mut guard = self.waker.lock();
        loop {
            if self.is_pending() {
                return true;
            }
            match deadline {
                None => guard = self.changed.wait(guard),
                Some(deadline) if Instant::now() < deadline => {
                    guard = self.changed.wait_until(guard, deadline);
                }
                Some(_) => return false,
            }
        }
    }

    /// Leaves a waker for the next raise. `true` if there are changes already.
    pub(crate) fn register(&self, waker: Waker) -> bool {
        let (replaced, pending) = {
            let mut current = self.waker.lock();
            (current.replace(waker), self.is_pending())
        };
        // Dropped here, after unlocking: a waker is somebody else's code.
        drop(replaced);
        pending
    }
}
