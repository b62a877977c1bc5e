//! The one place that names a lock, so that loom can replace it.
//!
//! Guards are passed through the waiting calls by value, as loom wants it. Locks do not poison:
//! no foreign code runs under them.

pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(loom))]
pub(crate) use plain::{AtomicBool, Condvar, Guard, Mutex};

#[cfg(loom)]
pub(crate) use modelled::{AtomicBool, Condvar, Guard, Mutex};

#[cfg(not(loom))]
mod plain {
    use std::time::Instant;

    pub(crate) use std::sync::atomic::AtomicBool;

    pub(crate) type Guard<'a, T> = parking_lot::MutexGuard<'a, T>;

    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            self.0.lock()
        }
    }

    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits for a notification until `deadline`; says whether the deadline came first.
        pub(crate) fn wait_until<'a, T>(
            &self,
            mut guard: Guard<'a, T>,
            deadline: Option<Instant>,
        ) -> (Guard<'a, T>, bool) {
            let timed_out = match deadline {
                Some(deadline) => self.0.wait_until(&mut guard, deadline).timed_out(),
                None => {
                    self.0.wait(&mut guard);
                    false
                }
            };
            (guard, timed_out)
        }
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    pub(crate) use loom::sync::atomic::AtomicBool;

    pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            self.0
                .lock()
                .expect("no foreign code panics under the lock")
        }
    }

    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Loom has no time: a wait with a deadline is a wait without one.
        pub(crate) fn wait_until<'a, T>(
            &self,
            guard: Guard<'a, T>,
            _deadline: Option<Instant>,
        ) -> (Guard<'a, T>, bool) {
            (
                self.0
                    .wait(guard)
                    .expect("no foreign code panics under the lock"),
                false,
            )
        }
    }
}
