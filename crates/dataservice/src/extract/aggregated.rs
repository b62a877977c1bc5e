//! Sums, means and extremes of a window.

use std::time::Duration;

use super::sliding::{Partial, Sliding};
use super::{Extracted, Extractor, Measure};
use crate::{Requirement, View};

/// Which number of a [`Summary`] is its [`value`](Summary::value).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aggregation {
    /// The sum if every number of the window [counts](Measure::is_count) something, otherwise the
    /// mean.
    #[default]
    Auto,
    /// The sum; 0 of no numbers.
    Sum,
    /// The mean.
    Mean,
    /// The smallest number.
    Min,
    /// The largest number.
    Max,
    /// How many numbers there are.
    Count,
}

/// Sum, mean, extremes and count of the last so many values, or of the last stretch of event time,
/// as a [`Summary`].
///
/// - NaN (and a value that [measures](Measure) nothing) is counted and left out of everything
///   else: it does not make a sum NaN, and nothing of it stays when it has left the window. An
///   infinity is a number: it makes the sum infinite for as long as it is in the window.
/// - The sum is computed with compensation for rounding, and is exact for integers up to 2⁵³.
/// - Values of a shape other than the newest value's are left out; fresh ones count as filtered.
///
/// An update costs constant time, amortised over the time in which the window turns over; a poll
/// reads up to 63 values besides the fresh ones. It holds about one byte per value of the window.
///
/// ```
/// use dataservice::{Aggregated, DataService, Spec, Summary};
///
/// let service: DataService<&str, f64> = DataService::new();
/// let speed = service.register("speed")?;
/// let spec = Spec::<_, Summary>::of().key(speed, Aggregated::by_count(3));
/// let mut means = service.subscribe(spec)?;
/// service.put_many(speed, [(1, 9.0), (2, 20.0), (3, f64::NAN), (4, 40.0)])?;
///
/// let snapshot = means.poll().expect("it was woken");
/// let summary = snapshot.update(speed).unwrap().extract().unwrap();
/// assert_eq!((summary.value(), summary.max()), (Some(30.0), Some(40.0)));
/// assert_eq!((summary.count(), summary.nan_count()), (2, 1));
/// assert_eq!((summary.start_us(), summary.end_us()), (2, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Aggregated {
    requirement: Requirement,
    aggregation: Aggregation,
    sliding: Sliding,
}

impl Aggregated {
    /// Over the last `count` values.
    #[must_use]
    pub fn by_count(count: usize) -> Self {
        Self::over(Requirement::Count(count))
    }

    /// Over the last `span` of event time, by the rules of
    /// [`WindowByDuration`](crate::WindowByDuration).
    #[must_use]
    pub fn by_duration(span: Duration) -> Self {
        Self::over(Requirement::Span {
            span,
            count_max: None,
        })
    }

    /// Over any part of a history. With [`Requirement::Since`] each update goes into exactly one
    /// summary.
    #[must_use]
    pub fn over(requirement: Requirement) -> Self {
        Self {
            requirement,
            aggregation: Aggregation::Auto,
            sliding: Sliding::new(),
        }
    }

    /// Which number is the summary's value. Default [`Aggregation::Auto`].
    #[must_use]
    pub fn show(mut self, aggregation: Aggregation) -> Self {
        self.aggregation = aggregation;
        self
    }
}

impl<V: Measure> Extractor<V> for Aggregated {
    type Output = Summary;

    fn requirement(&self) -> Requirement {
        self.requirement
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Summary> {
        if view.is_empty() {
            self.sliding = Sliding::new();
            return Extracted::nothing();
        }
        let all = self.sliding.cover(&view);
        let foreign = view.fresh().saturating_sub(view.uniform().len());
        Extracted::show(Summary::new(self.aggregation, &all)).and_filtered(foreign)
    }
}

/// What [`Aggregated`] tells of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    aggregation: Aggregation,
    count: u64,
    nan_count: u64,
    sum: f64,
    min: f64,
    max: f64,
    start_us: i64,
    end_us: i64,
}

impl Summary {
    fn new(asked: Aggregation, all: &Partial) -> Self {
        let aggregation = match asked {
            Aggregation::Auto if all.numbers > 0 && all.counts == all.numbers => Aggregation::Sum,
            Aggregation::Auto => Aggregation::Mean,
            asked => asked,
        };
        Self {
            aggregation,
            count: all.numbers,
            nan_count: all.nans,
            sum: all.sum(),
            min: all.min,
            max: all.max,
            start_us: all.start_us,
            end_us: all.end_us,
        }
    }

    /// Which number [`value`](Self::value) is; never [`Aggregation::Auto`].
    #[must_use]
    pub fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    /// The number that was asked for; `None` for a mean or an extreme of no numbers.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self.aggregation {
            Aggregation::Sum => Some(self.sum),
            Aggregation::Auto | Aggregation::Mean => self.mean(),
            Aggregation::Min => self.min(),
            Aggregation::Max => self.max(),
            Aggregation::Count => Some(self.count as f64),
        }
    }

    /// How many numbers the window holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many values of the window are no number.
    #[must_use]
    pub fn nan_count(&self) -> u64 {
        self.nan_count
    }

    /// The sum of the numbers; 0 if there are none, NaN if both infinities are among them.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean of the numbers.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The smallest number.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest number.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The earliest event time among the window's values, NaN included, in microseconds.
    #[must_use]
    pub fn start_us(&self) -> i64 {
        self.start_us
    }

    /// The latest event time among the window's values, NaN included, in microseconds.
    #[must_use]
    pub fn end_us(&self) -> i64 {
        self.end_us
    }
}
