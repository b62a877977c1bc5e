//! The least and the greatest value of each key.

use crate::{Aggregate, InvalidUpdate, Stamp};

/// Keeps the least and the greatest value of each key. NaN is refused.
///
/// ```
/// use coalesce::{Coalescer, MinMax};
///
/// let buffer = Coalescer::new(MinMax);
/// assert_eq!(buffer.add_many([("bar", 3.5), ("bar", 1.5), ("bar", 2.0)]).accepted, 3);
/// let range = buffer.take().entries()[0].partial;
/// assert_eq!((range.min(), range.max()), (1.5, 3.5));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MinMax;

/// The least and the greatest value of one key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    min: f64,
    max: f64,
}

impl Range {
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

impl Aggregate for MinMax {
    type Update = f64;
    type Partial = Range;

    fn check(&self, value: &f64) -> Result<(), InvalidUpdate> {
        if value.is_nan() {
            return Err(InvalidUpdate::new("value", value, "a number"));
        }
        Ok(())
    }

    fn start(&self, value: f64, _stamp: Stamp) -> Range {
        Range {
            min: value,
            max: value,
        }
    }

    fn absorb(&self, partial: &mut Range, value: f64, _stamp: Stamp) -> Option<f64> {
        partial.min = partial.min.min(value);
        partial.max = partial.max.max(value);
        None
    }

    fn merge(&self, partial: &mut Range, other: Range) -> Option<Range> {
        partial.min = partial.min.min(other.min);
        partial.max = partial.max.max(other.max);
        None
    }
}
