//! Extractors decide what a subscriber reads from a history that all share.
//!
//! They run in the thread that polls, outside every lock, on a [`View`] that they own. What they
//! remember (a deadband's last report, a running sum) is their own: every key of a subscription has
//! an extractor for itself.

mod aggregated;
mod basic;
mod downsampled;
mod lttb;
mod measure;
mod rate;
mod rule;
mod sifted;
mod sliding;

use std::fmt;
use std::time::Duration;

use crate::{Requirement, Sample, Series, View};

pub use aggregated::{Aggregated, Aggregation, Summary};
pub use basic::{FullHistory, LatestValue, SinceLast, WindowByCount, WindowByDuration};
pub use downsampled::{Downsampled, downsample};
pub use measure::Measure;
pub use rate::{ChangeRate, Rate};
pub use rule::{Condition, Deadband, MinSeparation, Rule};
pub use sifted::{Mapped, Sifted};

/// What a subscriber wants to know of a key.
///
/// [`requirement`](Self::requirement) is asked once, when a key is subscribed to; the service
/// takes that part out under its lock and calls [`extract`](Self::extract) after unlocking, in
/// the thread that polls. So an extractor may take its time and may call the service. If it
/// panics, the panic comes out of the poll, whose updates count as missed; other subscribers do
/// not notice.
///
/// ```
/// use dataservice::{DataService, Extract, Extracted, Extractor, Requirement, Sample, Spec, View};
///
/// /// The mean of the last ten values.
/// struct Mean;
///
/// impl Extractor<f64> for Mean {
///     type Output = Extract<f64>;
///
///     fn requirement(&self) -> Requirement {
///         Requirement::Count(10)
///     }
///
///     fn extract(&mut self, view: View<f64>) -> Extracted<Extract<f64>> {
///         let Some(newest) = view.latest() else { return Extracted::nothing() };
///         let value = view.values().iter().sum::<f64>() / view.len() as f64;
///         Extracted::show(Extract::Latest(Sample { time_us: newest.time_us, value }))
///     }
/// }
///
/// let service: DataService<&str, f64> = DataService::new();
/// let speed = service.register("speed")?;
/// let mut means = service.subscribe(Spec::new().key(speed, Mean))?;
/// service.put_many(speed, [(1, 2.0), (2, 4.0)])?;
/// assert_eq!(means.poll().unwrap().update(speed).unwrap().values(), [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Extractor<V>: Send + Sync {
    /// What it makes of a view.
    type Output;

    /// Which part of the history it reads.
    fn requirement(&self) -> Requirement;

    /// What a subscriber gets for it, and how many fresh updates it held back.
    fn extract(&mut self, view: View<V>) -> Extracted<Self::Output>;

    /// The same, given only values that differ enough from the last one that was. [`Sifted`] says
    /// what becomes of the others.
    fn deadband(self, deadband: Deadband) -> Sifted<Self, Deadband, V>
    where
        Self: Sized,
    {
        Sifted::new(self, deadband)
    }

    /// The same, given only values so far apart in event time; see [`MinSeparation`].
    fn min_separation(self, separation: Duration) -> Sifted<Self, MinSeparation, V>
    where
        Self: Sized,
    {
        Sifted::new(self, MinSeparation::new(separation))
    }

    /// The same, given only values of which this holds.
    ///
    /// ```
    /// use dataservice::{DataService, Extractor, Sample, SinceLast, Spec};
    ///
    /// let service: DataService<&str, f64> = DataService::new();
    /// let level = service.register("level")?;
    /// let alarms = SinceLast::default().filter(|sample: Sample<&f64>| *sample.value > 80.0);
    /// let mut alarms = service.subscribe(Spec::new().key(level, alarms))?;
    /// service.put_many(level, [(1, 79.0), (2, 85.0)])?;
    /// assert_eq!(alarms.poll().unwrap().update(level).unwrap().values(), [85.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn filter<F>(self, condition: F) -> Sifted<Self, Condition<F>, V>
    where
        Self: Sized,
        F: FnMut(Sample<&V>) -> bool + Send + Sync,
    {
        Sifted::new(self, Condition(condition))
    }

    /// The same, given only values that pass a rule.
    fn sift<R: Rule<V>>(self, rule: R) -> Sifted<Self, R, V>
    where
        Self: Sized,
    {
        Sifted::new(self, rule)
    }

    /// The same with its output turned into something else.
    ///
    /// ```
    /// use dataservice::{Aggregated, DataService, Extractor, Spec, Summary};
    ///
    /// let service: DataService<&str, f64> = DataService::new();
    /// let level = service.register("level")?;
    /// let largest = Aggregated::by_count(10).map(|summary: Summary| summary.max());
    /// let mut largest = service.subscribe(Spec::<_, Option<f64>>::of().key(level, largest))?;
    /// service.put_many(level, [(1, 79.0), (2, 85.0), (3, 80.0)])?;
    /// assert_eq!(largest.poll().unwrap().update(level).unwrap().extract(), Some(&Some(85.0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn map<P, F>(self, turn: F) -> Mapped<Self, F, V>
    where
        Self: Sized,
        F: FnMut(Self::Output) -> P + Send + Sync,
    {
        Mapped::new(self, turn)
    }
}

/// What an extractor made of a view.
///
/// Of the view's [`fresh`](View::fresh) updates, those that are not counted as filtered count as
/// delivered: they are shown, or went into what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Extracted<O> {
    pub(crate) output: Option<O>,
    pub(crate) filtered: u64,
}

impl<O> Extracted<O> {
    /// Shows this.
    pub fn show(output: O) -> Self {
        Self {
            output: Some(output),
            filtered: 0,
        }
    }

    /// There is nothing to show: the key holds no value.
    pub fn nothing() -> Self {
        Self {
            output: None,
            filtered: 0,
        }
    }

    /// Shows nothing, and has held back so many fresh updates on purpose.
    pub fn held_back(updates: usize) -> Self {
        Self {
            output: None,
            filtered: updates as u64,
        }
    }

    /// The same, with so many more fresh updates that were held back on purpose.
    pub fn and_filtered(mut self, updates: usize) -> Self {
        self.filtered += updates as u64;
        self
    }

    /// The same with the output turned into something else.
    pub fn map<P>(self, turn: impl FnOnce(O) -> P) -> Extracted<P> {
        Extracted {
            output: self.output.map(turn),
            filtered: self.filtered,
        }
    }

    /// How many fresh updates were held back on purpose.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.filtered
    }

    /// What is shown.
    #[must_use]
    pub fn into_output(self) -> Option<O> {
        self.output
    }
}

/// What the ready-made extractors show of a key.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Extract<V> {
    /// One value.
    Latest(Sample<V>),
    /// Any number of values.
    Series(Series<V>),
    /// What [`Aggregated`] tells of a window.
    Summary(Summary),
    /// What [`Rate`] tells of a window.
    Rate(ChangeRate),
    /// The points of a plot, which [`Downsampled`] chose.
    Plot(Series<f64>),
}

impl<V> Extract<V> {
    /// The values, oldest first; none of what is a number made of them, or a plot.
    #[must_use]
    pub fn values(&self) -> &[V] {
        match self {
            Self::Latest(sample) => std::slice::from_ref(&sample.value),
            Self::Series(series) => series.values(),
            Self::Summary(_) | Self::Rate(_) | Self::Plot(_) => &[],
        }
    }

    /// The event time of each of the [values](Self::values), in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        match self {
            Self::Latest(sample) => std::slice::from_ref(&sample.time_us),
            Self::Series(series) => series.times_us(),
            Self::Summary(_) | Self::Rate(_) | Self::Plot(_) => &[],
        }
    }
}

impl<V> From<Summary> for Extract<V> {
    fn from(summary: Summary) -> Self {
        Self::Summary(summary)
    }
}

impl<V> From<ChangeRate> for Extract<V> {
    fn from(rate: ChangeRate) -> Self {
        Self::Rate(rate)
    }
}

impl<V> From<Series<f64>> for Extract<V> {
    fn from(points: Series<f64>) -> Self {
        Self::Plot(points)
    }
}

impl<V: fmt::Debug> fmt::Debug for Extract<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(_) | Self::Series(_) => {
                let pairs = self.times_us().iter().zip(self.values());
                out.debug_map().entries(pairs).finish()
            }
            Self::Summary(summary) => summary.fmt(out),
            Self::Rate(rate) => rate.fmt(out),
            Self::Plot(points) => points.fmt(out),
        }
    }
}

impl<V, E: Extractor<V> + ?Sized> Extractor<V> for Box<E> {
    type Output = E::Output;

    fn requirement(&self) -> Requirement {
        (**self).requirement()
    }

    fn extract(&mut self, view: View<V>) -> Extracted<E::Output> {
        (**self).extract(view)
    }
}
