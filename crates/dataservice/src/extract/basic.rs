//! The extractors that show values as they are.

use std::time::Duration;

use super::{Extract, Extracted, Extractor};
use crate::{Requirement, View};

/// The newest value, whatever came before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatestValue;

impl<V: Clone> Extractor<V> for LatestValue {
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        Requirement::Latest
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
        match view.into_latest() {
            Some(sample) => Extracted::show(Extract::Latest(sample)),
            None => Extracted::nothing(),
        }
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
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        Requirement::Count(self.count)
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
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
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        Requirement::Span {
            span: self.span,
            count_max: self.count_max,
        }
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
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
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        Requirement::All {
            count_max: self.count_max,
            bytes_max: self.bytes_max,
        }
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
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
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        Requirement::Since {
            count_max: self.count_max,
        }
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
        series(view)
    }
}

fn series<V>(view: View<V>) -> Extracted<Extract<V>> {
    if view.is_empty() {
        Extracted::nothing()
    } else {
        Extracted::show(Extract::Series(view.into_series()))
    }
}
