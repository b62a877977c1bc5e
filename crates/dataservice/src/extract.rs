//! Extractors decide what a subscriber reads from a history that all share.

use std::sync::Arc;
use std::time::Duration;

use crate::{Requirement, Sample, Series, View};

/// What a subscriber wants to know of a key.
///
/// [`requirement`](Self::requirement) is asked once, when a key is subscribed to; the service
/// copies that part out under its lock and calls [`extract`](Self::extract) after unlocking, in
/// the thread that polls. So an extractor may take its time and may call the service. If it
/// panics, the panic comes out of the poll, whose updates count as seen; other subscribers do not
/// notice.
///
/// ```
/// use dataservice::{DataService, Extract, Extractor, Requirement, Sample, Spec, View};
///
/// /// The mean of the last ten values.
/// struct Mean;
///
/// impl Extractor<f64> for Mean {
///     fn requirement(&self) -> Requirement {
///         Requirement::Count(10)
///     }
///
///     fn extract(&self, view: View<f64>) -> Extract<f64> {
///         let Some(time_us) = view.times_us().last().copied() else { return Extract::Nothing };
///         let value = view.values().iter().sum::<f64>() / view.len() as f64;
///         Extract::Latest(Sample { time_us, value })
///     }
/// }
///
/// let service: DataService<&str, f64> = DataService::new();
/// let speed = service.register("speed")?;
/// let mut means = service.subscribe(Spec::new().key(speed, Mean))?;
/// service.put_many(speed, [(1, 2.0), (2, 4.0)])?;
/// assert_eq!(means.poll().unwrap().update(speed).unwrap().extract().values(), [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Extractor<V>: Send + Sync {
    /// Which part of the history it reads.
    fn requirement(&self) -> Requirement;

    /// What a subscriber gets for it.
    fn extract(&self, view: View<V>) -> Extract<V>;
}

/// What a subscriber gets of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extract<V> {
    /// There is nothing to show: the key holds no value, or the extractor held it back.
    Nothing,
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
            Self::Nothing => &[],
            Self::Latest(sample) => std::slice::from_ref(&sample.value),
            Self::Series(series) => &series.values,
        }
    }

    /// The event time of each value, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        match self {
            Self::Nothing => &[],
            Self::Latest(sample) => std::slice::from_ref(&sample.time_us),
            Self::Series(series) => &series.times_us,
        }
    }
}

impl<V, E: Extractor<V> + ?Sized> Extractor<V> for Arc<E> {
    fn requirement(&self) -> Requirement {
        (**self).requirement()
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        (**self).extract(view)
    }
}

/// The newest value, whatever came before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatestValue;

impl<V> Extractor<V> for LatestValue {
    fn requirement(&self) -> Requirement {
        Requirement::Latest
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        view.into_latest().map_or(Extract::Nothing, Extract::Latest)
    }
}

/// The last so many values at each poll. Not a way to see every update once: windows overlap, or
/// leave gaps. That is [`SinceLast`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowByCount {
    count: usize,
}

impl WindowByCount {
    /// The last `count` values. With 0 only the fact that a key changed is shown.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        Self { count }
    }
}

impl<V> Extractor<V> for WindowByCount {
    fn requirement(&self) -> Requirement {
        Requirement::Count(self.count)
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        series(view)
    }
}

/// The values of the last stretch of event time, by the rules of
/// [`History::within`](buffer_core::History::within).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowByDuration {
    span: Duration,
    count_max: Option<usize>,
}

impl WindowByDuration {
    /// The values of the last `span`, as many as the service keeps for a span.
    #[must_use]
    pub const fn new(span: Duration) -> Self {
        Self {
            span,
            count_max: None,
        }
    }

    /// The last `count` of them at most. Say it if you know how dense the values are: the history
    /// is kept that deep.
    #[must_use]
    pub const fn count_max(self, count: usize) -> Self {
        Self {
            span: self.span,
            count_max: Some(count),
        }
    }
}

impl<V> Extractor<V> for WindowByDuration {
    fn requirement(&self) -> Requirement {
        Requirement::Span {
            span: self.span,
            count_max: self.count_max,
        }
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        series(view)
    }
}

/// Everything kept, under a cap on values and one on bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullHistory {
    count_max: usize,
    bytes_max: usize,
}

impl FullHistory {
    /// Up to `count_max` values in up to `bytes_max` bytes, which are counted as
    /// [`Requirement::All`] says.
    #[must_use]
    pub const fn new(count_max: usize, bytes_max: usize) -> Self {
        Self {
            count_max,
            bytes_max,
        }
    }
}

impl Default for FullHistory {
    /// 10,000 values or 20 MB.
    fn default() -> Self {
        Self::new(10_000, 20_000_000)
    }
}

impl<V> Extractor<V> for FullHistory {
    fn requirement(&self) -> Requirement {
        Requirement::All {
            count_max: self.count_max,
            bytes_max: self.bytes_max,
        }
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        series(view)
    }
}

/// Every update exactly once, in the order of commits. What was displaced before a poll is counted
/// in [`KeyUpdate::missed`](crate::KeyUpdate::missed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinceLast {
    count_max: usize,
}

impl SinceLast {
    /// Every update, of which up to `count_max` may wait between two polls.
    #[must_use]
    pub const fn new(count_max: usize) -> Self {
        Self { count_max }
    }
}

impl Default for SinceLast {
    /// 1,000 updates of a key may wait.
    fn default() -> Self {
        Self::new(1_000)
    }
}

impl<V> Extractor<V> for SinceLast {
    fn requirement(&self) -> Requirement {
        Requirement::Since {
            count_max: self.count_max,
        }
    }

    fn extract(&self, view: View<V>) -> Extract<V> {
        series(view)
    }
}

fn series<V>(view: View<V>) -> Extract<V> {
    if view.is_empty() {
        Extract::Nothing
    } else {
        Extract::Series(view.into_series())
    }
}
