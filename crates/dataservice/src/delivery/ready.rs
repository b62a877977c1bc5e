//! The callbacks that were woken and not called yet, and the thread that sleeps while there are
//! none.
//!
//! A slot is in the list at most once, which its own mark sees to; so the list is as long as there
//! are callbacks. The sleeper says under the lock that it is going to park, after it found nothing:
//! a push either comes before that and is found, or finds the flag and unparks.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::slot::Slot;
use super::thread::{Thread, current, park_until};
use crate::sync::{AtomicBool, Mutex, Ordering};

#[derive(Default)]
pub(super) struct Ready {
    list: Mutex<List>,
    stopping: AtomicBool,
    /// The one thread that takes.
    sleeper: OnceLock<Thread>,
}

#[derive(Default)]
struct List {
    woken: Vec<Arc<Slot>>,
    is_parked: bool,
}

impl Ready {
    /// Adds a slot that is not in the list. After a stop it is let go.
    pub(super) fn push(&self, slot: Arc<Slot>) {
        let unpark = {
            let mut list = self.list.lock();
            // Read under the lock: what is pushed before a stop is cleared by it.
            if self.is_stopping() {
                false
            } else {
                list.woken.push(slot);
                std::mem::take(&mut list.is_parked)
            }
        };
        if unpark {
            self.unpark();
        }
    }

    /// Waits for slots, and takes all of them in the order in which they were woken; none if the
    /// moment came first. `false` once it is to stop.
    pub(super) fn take(&self, woken: &mut Vec<Arc<Slot>>, due: Option<Instant>) -> bool {
        loop {
            {
                let mut list = self.list.lock();
                list.is_parked = false;
                if self.is_stopping() {
                    return false;
                }
                if !list.woken.is_empty() {
                    std::mem::swap(woken, &mut list.woken);
                    return true;
                }
                if due.is_some_and(|due| due <= Instant::now()) {
                    return true;
                }
                list.is_parked = true;
            }
            park_until(due);
        }
    }

    /// Names the thread that takes: this one. Before its first take, so that who finds it parked
    /// also finds its name.
    pub(super) fn enter(&self) {
        let _ = self.sleeper.set(current());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        let (left, unpark) = {
            let mut list = self.list.lock();
            self.stopping.store(true, Ordering::Release);
            let left = std::mem::take(&mut list.woken);
            (left, std::mem::take(&mut list.is_parked))
        };
        drop(left);
        if unpark {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}
