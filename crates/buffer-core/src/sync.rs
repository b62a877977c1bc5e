//! The one place that names a lock, so that loom can replace it.
//!
//! Guards are passed through the waiting calls by value, as loom wants it. Locks do not poison:
//! no foreign code runs under them.

pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(loom))]
pub(crate) use plain::{
    AtomicBool, AtomicUsize, Condvar, Guard, MutPtr, Mutex, UnsafeCell, fence, pause,
};

#[cfg(loom)]
pub(crate) use modelled::{
    AtomicBool, AtomicUsize, Condvar, Guard, MutPtr, Mutex, UnsafeCell, fence, pause,
};

// What histories need beside locks.
#[cfg(loom)]
pub(crate) use modelled::{Arc, AtomicU64, RowMarks};
#[cfg(not(loom))]
pub(crate) use plain::{Arc, AtomicU64, RowMarks};

#[cfg(not(loom))]
mod plain {
    use std::time::Instant;

    pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, fence};

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

    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Loom checks that nobody else is in the cell meanwhile.
        #[inline]
        pub(crate) fn with_mut<R>(&self, with: impl FnOnce(*mut T) -> R) -> R {
            with(self.0.get())
        }

        /// Loom checks that nobody else is in the cell until the result is dropped.
        #[inline(always)]
        pub(crate) fn get_mut(&self) -> MutPtr<T> {
            MutPtr(self.0.get())
        }
    }

    pub(crate) struct MutPtr<T>(*mut T);

    impl<T> MutPtr<T> {
        #[inline(always)]
        pub(crate) fn with<R>(&self, with: impl FnOnce(*mut T) -> R) -> R {
            with(self.0)
        }
    }

    /// One turn of a loop that waits for another thread to end a short section.
    pub(crate) fn pause(turns: &mut u32) {
        *turns = turns.saturating_add(1);
        if *turns < 64 {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }

    // What histories need beside locks.

    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::AtomicU64;

    /// Tells the model which rows of a buffer are read and written, which plain code has no need
    /// to know.
    pub(crate) struct RowMarks;

    impl RowMarks {
        pub(crate) fn new(_rows: usize) -> Self {
            Self
        }

        pub(crate) fn write(&self, _rows: std::ops::Range<usize>) {}

        pub(crate) fn read(&self, _rows: std::ops::Range<usize>) {}
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    pub(crate) use loom::cell::{MutPtr, UnsafeCell};
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};

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
    pub(crate) fn pause(turns: &mut u32) {
        *turns += 1;
        loom::thread::yield_now();
    }

    // What histories need beside locks.

    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::AtomicU64;

    /// A cell per row of a buffer. A slice cannot consist of loom's cells, so that each access to
    /// the slice is told to the cells beside it, and loom finds the races there.
    pub(crate) struct RowMarks(Vec<loom::cell::UnsafeCell<()>>);

    impl RowMarks {
        pub(crate) fn new(rows: usize) -> Self {
            Self((0..rows).map(|_| loom::cell::UnsafeCell::new(())).collect())
        }

        pub(crate) fn write(&self, rows: std::ops::Range<usize>) {
            for mark in &self.0[rows] {
                mark.with_mut(|_| ());
            }
        }

        pub(crate) fn read(&self, rows: std::ops::Range<usize>) {
            for mark in &self.0[rows] {
                mark.with(|_| ());
            }
        }
    }
}
