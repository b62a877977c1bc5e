//! How fast counts grow, from samples that somebody takes about once a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back rates look.
pub(crate) const RATE_SPAN: Duration = Duration::from_secs(10);

/// Counts that only grow, as they stood at some moments.
#[derive(Clone, Debug)]
pub(crate) struct Samples<T> {
    span: Duration,
    samples: VecDeque<(Instant, T)>,
}

impl<T: Copy + Default> Samples<T> {
    /// Counts that began with nothing; keeps what is at most `span` old, and one before it.
    pub(crate) fn new(now: Instant, span: Duration) -> Self {
        Self {
            span,
            samples: VecDeque::from([(now, T::default())]),
        }
    }

    /// Remembers how far the counts have come. Samples closer than a second replace each other,
    /// so that their number is bounded.
    pub(crate) fn add(&mut self, now: Instant, counts: T) {
        let close = |at: Instant| now.saturating_duration_since(at) < CLOSEST;
        let before = self
            .samples
            .len()
            .checked_sub(2)
            .map(|index| self.samples[index].0);
        match self.samples.back_mut() {
            Some(last) if before.is_some_and(close) => *last = (now, counts),
            _ => self.samples.push_back((now, counts)),
        }
        while self.samples.len() > 1 && self.is_old(self.samples[1].0, now) {
            self.samples.pop_front();
        }
    }

    /// The latest counts that are at least as old as the span, or else the oldest.
    pub(crate) fn base(&self, now: Instant) -> (Instant, T) {
        let old = self
            .samples
            .iter()
            .rev()
            .find(|(at, _)| self.is_old(*at, now));
        let base = old.or(self.samples.front()).copied();
        base.unwrap_or((now, T::default()))
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) >= self.span
    }
}

/// Two samples are at least so far apart.
const CLOSEST: Duration = Duration::from_millis(900);

/// The rates of a queue: accepted, delivered and overflowed updates.
#[derive(Clone, Debug)]
pub(crate) struct Rates(Samples<[u64; 3]>);

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Samples::new(now, RATE_SPAN))
    }

    pub(crate) fn sample(&mut self, now: Instant, counts: [u64; 3]) {
        self.0.add(now, counts);
    }

    /// Events per second over the last ten seconds, or since the beginning.
    pub(crate) fn per_s(&self, now: Instant, counts: [u64; 3]) -> [f64; 3] {
        let (since, base) = self.0.base(now);
        let span = now
            .saturating_duration_since(since)
            .max(Duration::from_secs(1));
        let mut rates = [0.0; 3];
        for (rate, (count, base)) in rates.iter_mut().zip(counts.into_iter().zip(base)) {
            *rate = count.saturating_sub(base) as f64 / span.as_secs_f64();
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_happened_in_the_last_ten_seconds() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut rates = Rates::new(start);
        for second in 1..=20 {
            rates.sample(at(second), [second * 50, second * 10, 0]);
            rates.sample(at(second) + Duration::from_millis(1), [second * 50, 0, 0]);
        }
        assert!((rates.per_s(at(20), [1_000, 0, 0])[0] - 50.0).abs() < 6.0);
        for second in 21..=60 {
            rates.sample(at(second), [1_000, 200, 0]);
        }
        assert!(rates.per_s(at(60), [1_000, 200, 0])[0] == 0.0);
        assert!(rates.0.samples.len() <= 13, "the samples are bounded");
    }
}
