//! Extractors decide what a subscriber reads from a history that all share.
//!
//! They run in the thread that polls, outside every lock, on a [`View`] that they own. What they
//! remember (a deadband's last report, a running sum) is their own: every key of a subscription has
//! an extractor for itself.

mod basic;

use std::fmt;

use crate::{Requirement, Sample, Series, View};

pub use basic::{FullHistory, LatestValue, SinceLast, WindowByCount, WindowByDuration};

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
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extract<V> {
    /// One value.
    Latest(Sample<V>),
    /// Any number of values.
    Series(Series<V>),
}

impl<V> Extract<V> {
    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &[V] {
        match self {
            Self::Latest(sample) => std::slice::from_ref(&sample.value),
            Self::Series(series) => series.values(),
        }
    }

    /// The event time of each value, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        match self {
            Self::Latest(sample) => std::slice::from_ref(&sample.time_us),
            Self::Series(series) => series.times_us(),
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Extract<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.times_us().iter().zip(self.values());
        out.debug_map().entries(pairs).finish()
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
