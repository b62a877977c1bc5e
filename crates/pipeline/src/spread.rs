//! How measurements of the last minutes are spread.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long one of the two histograms is filled.
const HALF: Duration = Duration::from_secs(150);

/// Measurements of the last two and a half to five minutes, in two histograms that take turns: so
/// a bad hour is forgotten, in constant memory.
#[derive(Clone)]
pub(crate) struct Spread {
    now: Histogram<u64>,
    before: Histogram<u64>,
    since: Instant,
}

impl Spread {
    /// Tells measurements from 1 to `max` apart, to two digits.
    pub(crate) fn new(now: Instant, max: u64) -> Self {
        let histogram = || Histogram::new_with_bounds(1, max, 2).expect("the bounds are in order");
        Self {
            now: histogram(),
            before: histogram(),
            since: now,
        }
    }

    pub(crate) fn record(&mut self, now: Instant, value: u64, count: u64) {
        self.turn(now);
        self.now.saturating_record_n(value, count);
    }

    /// Those of the last minutes as one.
    pub(crate) fn recent(mut self, now: Instant) -> Histogram<u64> {
        self.turn(now);
        // Both have the same bounds.
        let _ = self.before.add(&self.now);
        self.before
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < HALF {
            return;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.reset();
        if age >= HALF * 2 {
            self.before.reset();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten_and_the_last_two_are_not() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut spread = Spread::new(start, 1_000);
        spread.record(at(100), 900, 5);
        spread.record(at(160), 10, 1);
        assert_eq!(spread.clone().recent(at(200)).len(), 6);
        assert_eq!(spread.clone().recent(at(320)).len(), 1);
        spread.record(at(320), 20, 2);
        assert_eq!(spread.clone().recent(at(330)).len(), 3);
        assert_eq!(spread.recent(at(1_000)).len(), 0);
    }
}
