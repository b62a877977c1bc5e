//! Quantiles of the values of each key, from a sketch.

use std::fmt;

use sketches_ddsketch::{Config, DDSketch};

use crate::{Aggregate, InvalidUpdate, Stamp};

/// Estimates quantiles of the values of each key, each within 1 % of the true value.
///
/// The sketch is a `DDSketch` (Masson, Rim and Lee, VLDB 2019): sketches merge without losing
/// accuracy, in any order. It takes up to 2,048 counters per sign, some 16 KiB, which cover values
/// over 17 orders of magnitude; beyond that the quantiles nearest to 0 lose their bound. Usual
/// measurements of one key take a few hundred. Values have to be finite.
///
/// ```
/// use coalesce::{Coalescer, Quantiles};
///
/// let latencies = Coalescer::new(Quantiles);
/// assert_eq!(latencies.add_many((1..=1_000).map(|ms| ("GET /", f64::from(ms)))).accepted, 1_000);
/// let sketch = latencies.take().into_iter().next().expect("one key").partial;
/// let p99 = sketch.quantile(0.99).expect("between 0 and 1");
/// assert!((p99 - 990.0).abs() < 0.02 * 990.0);
/// assert_eq!((sketch.min(), sketch.max()), (1.0, 1_000.0));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantiles;

/// What [`Quantiles`] knows of the values of one key; there is always at least one.
#[derive(Clone)]
pub struct Sketch {
    /// Boxed, since most of the table is keys that are looked up and not sketches.
    sketch: Box<DDSketch>,
}

impl Sketch {
    /// The value below which this part of the values is; `None` unless `quantile` is between 0 and
    /// 1. Takes time in proportion to the counters.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        self.sketch.quantile(quantile).ok().flatten()
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sketch.count() as u64
    }

    /// The least value, exactly.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.sketch.min().unwrap_or(f64::NAN)
    }

    /// The greatest value, exactly.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.sketch.max().unwrap_or(f64::NAN)
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch")
            .field("count", &self.count())
            .field("min", &self.min())
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

impl Aggregate for Quantiles {
    type Update = f64;
    type Partial = Sketch;

    fn check(&self, value: &f64) -> Result<(), InvalidUpdate> {
        if !value.is_finite() {
            return Err(InvalidUpdate::new("value", value, "finite"));
        }
        Ok(())
    }

    fn start(&self, value: f64, _stamp: Stamp) -> Sketch {
        let mut sketch = Box::new(DDSketch::new(Config::defaults()));
        sketch.add(value);
        Sketch { sketch }
    }

    fn absorb(&self, partial: &mut Sketch, value: f64, _stamp: Stamp) -> Option<f64> {
        partial.sketch.add(value);
        None
    }

    fn merge(&self, partial: &mut Sketch, other: Sketch) -> Option<Sketch> {
        partial
            .sketch
            .merge(&other.sketch)
            .expect("all sketches have one configuration");
        Some(other)
    }
}
