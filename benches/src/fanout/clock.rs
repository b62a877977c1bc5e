//! The clock that all processes of a run share: microseconds of `CLOCK_MONOTONIC`.
//!
//! It is what Node's `process.hrtime` reads too. Schedules, windows and latencies are in it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since some moment that is the same for every process of this machine.
pub(super) fn now_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The clock begins with the machine, so neither part is negative.
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// Returns at that moment or a little later; at once if it has passed.
pub(super) fn sleep_until(moment_us: u64) {
    let left_us = moment_us.saturating_sub(now_us());
    if left_us > 0 {
        std::thread::sleep(Duration::from_micros(left_us));
    }
}
