//! The service's lock, which lets readers in between commits.
//!
//! A writer at full speed takes the lock again before a reader that sleeps in front of it is
//! awake, and waking it costs the writer more than a commit. So a reader first looks for the
//! moment between two commits without sleeping, for about as long as a large commit takes. If
//! there is none, it says that it waits, and the commit that is being made hands the lock over to
//! it: the writer then waits until the reader is awake and done. Readers that may come all the
//! time do not ask for that.

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, unlock_fair};

/// How often a reader tries before it sleeps, and pauses of the processor between two tries: about
/// 0.1 ms in all. A model tries once.
const TRIES: u32 = if cfg!(loom) { 0 } else { 64 };
const PAUSES: u32 = 32;

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
        if let Some(guard) = self.try_for_long() {
            return guard;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.lock.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// For a reader that may come all the time.
    pub(crate) fn lock_modestly(&self) -> MutexGuard<'_, T> {
        self.try_for_long().unwrap_or_else(|| self.lock.lock())
    }

    /// For a commit.
    #[inline(always)]
    pub(crate) fn lock_to_commit(&self) -> MutexGuard<'_, T> {
        self.lock.lock()
    }

    fn try_for_long(&self) -> Option<MutexGuard<'_, T>> {
        for _ in 0..TRIES {
            if let Some(guard) = self.lock.try_lock() {
                return Some(guard);
            }
            for _ in 0..PAUSES {
                std::hint::spin_loop();
            }
        }
        self.lock.try_lock()
    }

    /// The end of a commit.
    #[inline(always)]
    pub(crate) fn release(&self, guard: MutexGuard<'_, T>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            unlock_fair(guard);
        }
    }
}
