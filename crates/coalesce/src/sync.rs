//! The one place that names locks and atomics, so that loom can replace them.

pub(crate) use std::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(not(loom))]
pub(crate) type Guard<'a, T> = parking_lot::MutexGuard<'a, T>;
#[cfg(loom)]
pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

/// A lock that does not poison: what it guards is consistent whenever foreign code runs.
#[cfg(not(loom))]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);
#[cfg(loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    #[cfg(not(loom))]
    pub(crate) fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    #[cfg(not(loom))]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }

    #[cfg(loom)]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().expect("no model panics under a lock")
    }
}

/// A small number that differs between threads as far as it goes round.
#[cfg(not(loom))]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::AtomicUsize;

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending and has no locals any more is as good as the first.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    0
}
