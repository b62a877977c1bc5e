//! A count that is claimed before something is put in, so that a cap holds at every moment.
//!
//! Invariant: the count is never below what is really there, because it is raised before and
//! lowered after.

use crate::sync::{AtomicU64, Ordering};

pub(crate) struct Credits {
    used: AtomicU64,
    max: Option<u64>,
}

/// One claimed place, given back on drop unless it is kept.
pub(crate) struct Claim<'a> {
    credits: &'a Credits,
    total: u64,
}

impl Credits {
    pub(crate) fn new(max: Option<u64>) -> Self {
        Self {
            used: AtomicU64::new(0),
            max,
        }
    }

    /// Claims one place, unless all are used.
    pub(crate) fn claim(&self) -> Option<Claim<'_>> {
        let max = self.max.unwrap_or(u64::MAX);
        let used = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (used < max).then(|| used + 1)
            })
            .ok()?;
        Some(Claim {
            credits: self,
            total: used + 1,
        })
    }

    /// Counts `places` without regard to the cap.
    pub(crate) fn force(&self, places: u64) {
        self.used.fetch_add(places, Ordering::AcqRel);
    }

    pub(crate) fn release(&self, places: u64) {
        self.used.fetch_sub(places, Ordering::AcqRel);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

impl Claim<'_> {
    /// Keeps the place; returns how many were used with it.
    pub(crate) fn keep(self) -> u64 {
        let total = self.total;
        std::mem::forget(self);
        total
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.credits.release(1);
    }
}
