//! Count, mean, variance, least and greatest value of each key.

use crate::{Aggregate, InvalidUpdate, Stamp};

/// Summarises the values of each key in constant memory.
///
/// Updates are absorbed by Welford's method (Technometrics 4, 1962), and partial results merged by
/// the method of Chan, Golub and `LeVeque` (COMPSTAT 1982): neither subtracts large squares from
/// each other, so a small spread around a large mean keeps its digits. Values have to be finite and
/// of at most [`Stats::VALUE_ABS_MAX`], so that their squares are finite too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats;

impl Stats {
    /// The greatest accepted magnitude of a value.
    pub const VALUE_ABS_MAX: f64 = 1e150;
}

/// What [`Stats`] knows of the values of one key; there is always at least one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    /// Number of values, at least 1.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// Mean times count.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.mean * self.count as f64
    }

    /// Variance of these values, divided by `count`.
    #[must_use]
    pub fn population_variance(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// Variance of what these values are a sample of, divided by `count - 1`; `None` for one value.
    #[must_use]
    pub fn sample_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }

    /// The least value.
    #[must_use]
    pub const fn min(&self) -> f64 {
        self.min
    }

    /// The greatest value.
    #[must_use]
    pub const fn max(&self) -> f64 {
        self.max
    }
}

impl Aggregate for Stats {
    type Update = f64;
    type Partial = Moments;

    fn check(&self, value: &f64) -> Result<(), InvalidUpdate> {
        // A NaN fails the comparison too.
        if value.abs() <= Self::VALUE_ABS_MAX {
            return Ok(());
        }
        Err(InvalidUpdate::new(
            "value",
            value,
            "a number of a magnitude of at most 1e150",
        ))
    }

    fn start(&self, value: f64, _stamp: Stamp) -> Moments {
        Moments {
            count: 1,
            mean: value,
            squares: 0.0,
            min: value,
            max: value,
        }
    }

    fn absorb(&self, partial: &mut Moments, value: f64, _stamp: Stamp) -> Option<f64> {
        partial.count += 1;
        let before = value - partial.mean;
        partial.mean += before / partial.count as f64;
        partial.squares += before * (value - partial.mean);
        partial.min = partial.min.min(value);
        partial.max = partial.max.max(value);
        None
    }

    fn merge(&self, partial: &mut Moments, other: Moments) -> Option<Moments> {
        let count = partial.count + other.count;
        let share = other.count as f64 / count as f64;
        let apart = other.mean - partial.mean;
        partial.squares += other.squares + apart * apart * partial.count as f64 * share;
        partial.mean += apart * share;
        partial.count = count;
        partial.min = partial.min.min(other.min);
        partial.max = partial.max.max(other.max);
        None
    }
}
