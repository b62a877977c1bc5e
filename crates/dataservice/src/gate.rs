//! The service's lock, which lets readers in between commits.
//!
//! A writer at full speed takes the lock again before a reader that waits for it is awake. So a
//! reader that has to wait says so, and the commit that is being made hands the lock over to it.
//! Only readers that come now and then do this: a handover costs two changes of threads.

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, unlock_fair};

#[derive(Debug)]
pub(crate) struct Gate<T> {
    lock: Mutex<T>,
    /// Readers that wait to be let in.
    waiting: AtomicUsize,
}

impl<T> Gate<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            lock: Mutex::new(value),
            waiting: AtomicUsize::new(0),
        }
    }

    /// For a reader, or a change of what is read.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        if let Some(guard) = self.lock.try_lock() {
            return guard;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.lock.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// For a commit, or a reader that may come all the time.
    #[inline(always)]
    pub(crate) fn lock_unfair(&self) -> MutexGuard<'_, T> {
        self.lock.lock()
    }

    /// The end of a commit.
    #[inline(always)]
    pub(crate) fn release(&self, guard: MutexGuard<'_, T>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            unlock_fair(guard);
        }
    }
}
