//! What the last calls came to: by number or by time, in memory that is fixed at the start.

use std::time::{Duration, Instant};

use super::spec::WindowSpec;

/// Calls, and how many of them failed or were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Totals {
    fn add(&mut self, failed: u32, slow: u32) {
        // A bucket that overflowed would forget all its failures.
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(failed);
        self.slow = self.slow.saturating_add(slow);
    }

    /// The part of `count` in the calls, from 0 to 1.
    pub(super) fn rate(&self, count: u32) -> f64 {
        if self.calls == 0 {
            return 0.0;
        }
        f64::from(count) / f64::from(self.calls)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Window {
    Calls {
        /// The last calls, two bits each; the oldest is overwritten.
        ring: Box<[u8]>,
        next: usize,
        totals: Totals,
    },
    Time {
        origin: Instant,
        bucket: Duration,
        /// The number of the stretch of time that each bucket counts, and its calls.
        buckets: Box<[(u64, Totals)]>,
    },
}

const FAILED: u8 = 1;
const SLOW: u8 = 2;

impl Window {
    pub(super) fn new(spec: WindowSpec, now: Instant) -> Self {
        match spec {
            WindowSpec::Calls(calls) => Self::Calls {
                ring: vec![0; calls as usize].into(),
                next: 0,
                totals: Totals::default(),
            },
            WindowSpec::Time { bucket, buckets } => Self::Time {
                origin: now,
                bucket,
                buckets: vec![(0, Totals::default()); buckets as usize].into(),
            },
        }
    }

    /// Forgets every call.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Calls { next, totals, .. } => {
                *next = 0;
                *totals = Totals::default();
            }
            Self::Time { buckets, .. } => buckets.fill((0, Totals::default())),
        }
    }

    /// Counts a call that ended now.
    pub(super) fn record(&mut self, now: Instant, failed: bool, slow: bool) {
        match self {
            Self::Calls { ring, next, totals } => {
                if totals.calls as usize == ring.len() {
                    let oldest = ring[*next];
                    totals.calls -= 1;
                    totals.failed -= u32::from(oldest & FAILED);
                    totals.slow -= u32::from((oldest & SLOW) / SLOW);
                }
                ring[*next] = u8::from(failed) * FAILED + u8::from(slow) * SLOW;
                *next = (*next + 1) % ring.len();
                totals.add(u32::from(failed), u32::from(slow));
            }
            Self::Time {
                origin,
                bucket,
                buckets,
            } => {
                let number = stretch(*origin, *bucket, now);
                let slot = &mut buckets[(number % buckets.len() as u64) as usize];
                if slot.0 != number {
                    *slot = (number, Totals::default());
                }
                slot.1.add(u32::from(failed), u32::from(slow));
            }
        }
    }

    /// The calls that are in the window now.
    pub(super) fn totals(&self, now: Instant) -> Totals {
        match self {
            Self::Calls { totals, .. } => *totals,
            Self::Time {
                origin,
                bucket,
                buckets,
            } => {
                let current = stretch(*origin, *bucket, now);
                let recent = buckets
                    .iter()
                    .filter(|(number, _)| number + buckets.len() as u64 > current);
                recent.fold(Totals::default(), |sum, (_, totals)| Totals {
                    calls: sum.calls.saturating_add(totals.calls),
                    failed: sum.failed.saturating_add(totals.failed),
                    slow: sum.slow.saturating_add(totals.slow),
                })
            }
        }
    }
}

/// The number of the stretch of time that a moment lies in.
fn stretch(origin: Instant, bucket: Duration, now: Instant) -> u64 {
    let elapsed = now.saturating_duration_since(origin).as_nanos();
    u64::try_from(elapsed / bucket.as_nanos().max(1)).unwrap_or(u64::MAX)
}
