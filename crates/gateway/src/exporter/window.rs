//! A distribution of the last five minutes, one HDR histogram per minute.
//!
//! Sum and count are of all time, as Prometheus has them; the quantiles are of what happened
//! lately, since over months nothing moves those of all time any more. Two significant digits are
//! kept. A histogram grows with the greatest value it has seen, up to 26 KiB.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use metrics::Unit;

/// How long one histogram is written.
const SLICE: Duration = Duration::from_secs(60);
/// How many of them make the window, the one being written included.
const SLICES: usize = 5;
/// The greatest value that is told apart, after scaling.
const SCALED_MAX: f64 = (1_u64 << 40) as f64;
/// Decimal digits that are kept.
const DIGITS: u8 = 2;

/// What a value is multiplied with before it is recorded as a whole number.
#[derive(Clone, Copy)]
pub(super) struct Scale(f64);

impl Scale {
    /// Whole numbers stay as they are, all else is kept to a millionth.
    pub(super) fn of(unit: Option<Unit>) -> Self {
        Self(match unit {
            Some(Unit::Count | Unit::Bytes) => 1.0,
            _ => 1e6,
        })
    }
}

pub(super) struct Window {
    scale: Scale,
    started: Instant,
    /// The number of the slice that is written; it lies at this modulo their count.
    current: u64,
    slices: [Histogram<u32>; SLICES],
    sum: f64,
    count: u64,
}

/// What a window says of itself.
pub(super) struct Seen {
    /// Those that were asked for; `NaN` if there is no value.
    pub(super) quantiles: Vec<f64>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

impl Window {
    pub(super) fn new(now: Instant, scale: Scale) -> Self {
        Self {
            scale,
            started: now,
            current: 0,
            slices: std::array::from_fn(|_| fresh()),
            sum: 0.0,
            count: 0,
        }
    }

    /// Records a value so many times. What is no number is left out; what is negative counts as 0.
    pub(super) fn record(&mut self, now: Instant, value: f64, count: usize) {
        if value.is_nan() || count == 0 {
            return;
        }
        self.turn(now);
        let scaled = (value * self.scale.0).round().clamp(0.0, SCALED_MAX) as u64;
        let times = u32::try_from(count).unwrap_or(u32::MAX);
        // The histogram grows as it must, far below what it could address.
        let _ = self.slices[self.current as usize % SLICES].record_n(scaled, times);
        self.sum += value * count as f64;
        self.count += count as u64;
    }

    pub(super) fn look(&mut self, now: Instant, quantiles: &[f64]) -> Seen {
        self.turn(now);
        let mut all = fresh();
        for slice in &self.slices {
            // Neither has a highest value that the other could not grow to.
            let _ = all.add(slice);
        }
        let at = |quantile: &f64| match all.is_empty() {
            true => f64::NAN,
            false => all.value_at_quantile(*quantile).min(all.max()) as f64 / self.scale.0,
        };
        Seen {
            quantiles: quantiles.iter().map(at).collect(),
            sum: self.sum,
            count: self.count,
        }
    }

    /// Clears the slices whose time has come again. A clock that went back changes nothing.
    fn turn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.started);
        let number = elapsed.as_secs() / SLICE.as_secs();
        let passed = number.saturating_sub(self.current);
        for step in 1..=passed.min(SLICES as u64) {
            self.slices[(self.current + step) as usize % SLICES].reset();
        }
        self.current += passed;
    }
}

fn fresh() -> Histogram<u32> {
    Histogram::new(DIGITS).expect("two digits are allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[(u64, f64, usize)], at_s: u64, expected: Option<(f64, f64)>) {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut window = Window::new(start, Scale::of(Some(Unit::Seconds)));
        for (second, value, count) in events {
            window.record(at(*second), *value, *count);
        }
        let seen = window.look(at(at_s), &[0.5, 1.0]);
        assert_eq!(
            seen.count,
            events.iter().map(|(_, _, n)| *n as u64).sum::<u64>()
        );
        match expected {
            None => assert!(seen.quantiles.iter().all(|q| q.is_nan()), "{events:?}"),
            Some((median, max)) => {
                let close = |is: f64, want: f64| (is - want).abs() <= want * 0.01;
                assert!(close(seen.quantiles[0], median), "{:?}", seen.quantiles);
                assert!(close(seen.quantiles[1], max), "{:?}", seen.quantiles);
            }
        }
    }

    #[test]
    fn quantiles_are_of_the_last_five_minutes_and_counts_of_all_time() {
        check(&[], 0, None);
        check(&[(0, 0.05, 99), (1, 2.0, 1)], 1, Some((0.05, 2.0)));
        // The slice of the first minute is cleared when the sixth begins.
        check(&[(0, 9.0, 5), (200, 0.5, 1)], 299, Some((9.0, 9.0)));
        check(&[(0, 9.0, 5), (200, 0.5, 1)], 300, Some((0.5, 0.5)));
        check(&[(0, 9.0, 5), (200, 0.5, 1)], 1_000_000, None);
        // An hour's silence, then a value.
        check(&[(0, 9.0, 5), (3_600, 0.5, 1)], 3_601, Some((0.5, 0.5)));
        // A clock that goes back.
        check(&[(400, 9.0, 5), (0, 0.5, 1)], 400, Some((9.0, 9.0)));
    }

    #[test]
    fn what_no_histogram_can_hold_is_clamped_and_memory_stays_bounded() {
        let start = Instant::now();
        let mut window = Window::new(start, Scale::of(None));
        for value in [f64::NAN, -1.0, f64::MAX, 1e300, 0.0] {
            window.record(start, value, 1);
        }
        window.record(start, 1.0, usize::MAX >> 8);
        let seen = window.look(start, &[1.0]);
        assert!(seen.quantiles[0] >= 1e6 && seen.quantiles[0] < 1.2e6);
        let bins: usize = window.slices.iter().map(Histogram::distinct_values).sum();
        assert!(bins <= SLICES * 8_192, "{bins} bins");
    }
}
