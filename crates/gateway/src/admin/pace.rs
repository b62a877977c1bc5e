//! How fast one socket is listened to: 20 requests at once, and 10 a second from then on.
//!
//! Whoever is faster is not refused but read later, so that nothing is lost and a flood costs
//! its sender.

use std::time::{Duration, Instant};

/// Requests that may come at once.
const BURST: u32 = 20;
/// What each of them takes.
const EACH: Duration = Duration::from_millis(100);

/// When the next request is read. Knows no clock.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all that was read is paid for.
    paid: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid: now }
    }

    /// Counts a request that was read.
    pub(super) fn read(&mut self, now: Instant) {
        self.paid = self.paid.max(now) + EACH;
    }

    /// When the next one may be.
    pub(super) fn next(&self, now: Instant) -> Instant {
        match self.paid.checked_sub(EACH * (BURST - 1)) {
            Some(moment) => moment.max(now),
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_are_read_at_once_and_then_ten_a_second() {
        let start = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.next(start), start);
            pace.read(start);
        }
        assert_eq!(pace.next(start), start + EACH);
        let later = start + EACH;
        assert_eq!(pace.next(later), later);
        pace.read(later);
        assert_eq!(pace.next(later), later + EACH);
        // Silence earns a burst, and no more.
        let later = start + Duration::from_secs(600);
        for _ in 0..BURST {
            assert_eq!(pace.next(later), later);
            pace.read(later);
        }
        assert_eq!(pace.next(later), later + EACH);
    }
}
