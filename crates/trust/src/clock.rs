//! The caller's clock beside the tracker's time.
//!
//! The tracker's time goes on from where a snapshot's ended; the caller's clock starts anew with
//! each process. What lies between them is added wherever one becomes the other.

use std::time::Duration;

/// The largest time of a tracker, some 292,000 years.
pub(crate) const TIME_MAX_US: u64 = i64::MAX as u64;

/// How far the tracker's time is ahead of the caller's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    ahead_us: i64,
}

impl Clock {
    /// It is `tracker_us`, at most [`TIME_MAX_US`], while the caller's clock says `now`.
    pub(crate) fn set(&mut self, now: Duration, tracker_us: u64) {
        // Both are at most the largest positive number, so that the difference is one.
        self.ahead_us = tracker_us.cast_signed() - micros(now).cast_signed();
    }

    pub(crate) fn to_tracker(self, now: Duration) -> u64 {
        let us = micros(now).saturating_add_signed(self.ahead_us);
        us.min(TIME_MAX_US)
    }

    /// What was before the caller's epoch is at it.
    pub(crate) fn to_caller(self, tracker_us: u64) -> Duration {
        let ahead_us = i128::from(self.ahead_us);
        let us = i128::from(tracker_us) - ahead_us;
        Duration::from_micros(u64::try_from(us).unwrap_or(0))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).map_or(TIME_MAX_US, |us| us.min(TIME_MAX_US))
}
