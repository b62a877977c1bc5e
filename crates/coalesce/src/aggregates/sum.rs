//! The number of updates, and the sum of their values.

use crate::{Aggregate, InvalidUpdate, Stamp};

/// Counts the updates of each key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count;

impl Aggregate for Count {
    type Update = ();
    type Partial = u64;

    fn start(&self, (): (), _stamp: Stamp) -> u64 {
        1
    }

    fn absorb(&self, partial: &mut u64, (): (), _stamp: Stamp) -> Option<()> {
        *partial = partial.saturating_add(1);
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        *partial = partial.saturating_add(other);
        None
    }
}

/// Adds up the values of each key, which may be negative.
///
/// NaN and infinite values are refused, and a sum that overflows stays at the greatest finite
/// number, so no update makes a sum useless for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum;

impl Aggregate for Sum {
    type Update = f64;
    type Partial = f64;

    fn check(&self, value: &f64) -> Result<(), InvalidUpdate> {
        if !value.is_finite() {
            return Err(InvalidUpdate::new("value", value, "finite"));
        }
        Ok(())
    }

    fn start(&self, value: f64, _stamp: Stamp) -> f64 {
        value
    }

    fn absorb(&self, partial: &mut f64, value: f64, _stamp: Stamp) -> Option<f64> {
        *partial = add_finite(*partial, value);
        None
    }

    fn merge(&self, partial: &mut f64, other: f64) -> Option<f64> {
        *partial = add_finite(*partial, other);
        None
    }
}

/// The sum of two finite numbers, kept finite.
#[inline]
pub(super) fn add_finite(left: f64, right: f64) -> f64 {
    (left + right).clamp(f64::MIN, f64::MAX)
}
