//! How fast a value changes.

use std::time::Duration;

use super::{Extracted, Extractor, Measure};
use crate::{Requirement, View};

/// The change per second over the last so many values, or over the last stretch of event time:
/// from the first value of the window to the newest, as a [`ChangeRate`].
///
/// - Values that are no finite number are left out.
/// - Of values that share a time the last to be committed counts. One that is earlier than one
///   before it is late, and left out.
/// - A time from the future is left out as soon as the next value has come: no value is used whose
///   time lies after the newest's, or the median of the last three if that is later. So where the
///   newest value is a late one, the window ends there until the next.
/// - Without two values of different times there is no rate.
/// - Values of a shape other than the newest value's are left out; fresh ones count as filtered.
///
/// A poll costs time linear in the window.
///
/// ```
/// use dataservice::{Extractor, Rate, View};
///
/// let energy_kwh = [(0, 98.0), (1_000_000, 99.0), (2_000_000, 0.5), (4_000_000, 2.5)];
/// let view = View::of(energy_kwh.into_iter().collect());
/// let rate = Rate::by_count(10).counter().extract(view).into_output().unwrap();
/// assert_eq!((rate.per_s(), rate.resets()), (Some((1.0 + 0.5 + 2.0) / 4.0), 1));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    requirement: Requirement,
    is_counter: bool,
}

impl Rate {
    /// Over the last `count` values, of which there must be two at least.
    #[must_use]
    pub const fn by_count(count: usize) -> Self {
        Self::over(Requirement::Count(count))
    }

    /// Over the last `span` of event time, by the rules of
    /// [`WindowByDuration`](crate::WindowByDuration).
    #[must_use]
    pub const fn by_duration(span: Duration) -> Self {
        Self::over(Requirement::Span {
            span,
            count_max: None,
        })
    }

    /// Over any part of a history.
    #[must_use]
    pub const fn over(requirement: Requirement) -> Self {
        Self {
            requirement,
            is_counter: false,
        }
    }

    /// The value is a counter, which only grows: where it falls, it was reset to 0 and has grown
    /// to what it shows. What it grew between its last value and the reset is lost.
    #[must_use]
    pub const fn counter(mut self) -> Self {
        self.is_counter = true;
        self
    }
}

impl<V: Measure> Extractor<V> for Rate {
    type Output = ChangeRate;

    fn requirement(&self) -> Requirement {
        self.requirement
    }

    fn extract(&mut self, view: View<V>) -> Extracted<ChangeRate> {
        let (times_us, values) = (view.uniform_times_us(), view.uniform());
        let Some(reference_us) = reference_us(times_us) else {
            return Extracted::nothing();
        };
        let mut change = Change::new(self.is_counter);
        for (time_us, value) in times_us.iter().zip(values) {
            match value.measure() {
                Some(number) if number.is_finite() && *time_us <= reference_us => {
                    change.step(*time_us, number);
                }
                _ => {}
            }
        }
        let foreign = view.fresh().saturating_sub(values.len());
        Extracted::show(change.rate(reference_us)).and_filtered(foreign)
    }
}

/// What [`Rate`] tells of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeRate {
    per_s: Option<f64>,
    resets: u64,
    start_us: i64,
    end_us: i64,
}

impl ChangeRate {
    /// The change per second.
    #[must_use]
    pub fn per_s(&self) -> Option<f64> {
        self.per_s
    }

    /// How often a counter was reset within the window; 0 of what is not a counter.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// The time of the first value used, in microseconds; of the newest value if none was.
    #[must_use]
    pub fn start_us(&self) -> i64 {
        self.start_us
    }

    /// The time of the last value used, in microseconds; of the newest value if none was.
    #[must_use]
    pub fn end_us(&self) -> i64 {
        self.end_us
    }
}

/// The change up to the last time, whose value may still be replaced by one of the same time.
struct Change {
    is_counter: bool,
    first: Option<(i64, f64)>,
    /// The last value of the time before `open`.
    settled: Option<f64>,
    open: Option<(i64, f64)>,
    growth: f64,
    resets: u64,
}

impl Change {
    fn new(is_counter: bool) -> Self {
        Self {
            is_counter,
            first: None,
            settled: None,
            open: None,
            growth: 0.0,
            resets: 0,
        }
    }

    fn step(&mut self, time_us: i64, number: f64) {
        match self.open {
            Some((open_us, _)) if time_us < open_us => return,
            Some((open_us, _)) if time_us > open_us => self.settle(),
            _ => {}
        }
        self.open = Some((time_us, number));
    }

    /// The open value is final: a later one has come, or none will.
    fn settle(&mut self) {
        let Some((time_us, number)) = self.open else {
            return;
        };
        self.first.get_or_insert((time_us, number));
        if let Some(before) = self.settled.replace(number) {
            if number >= before {
                self.growth += number - before;
            } else {
                self.growth += number;
                self.resets += 1;
            }
        }
    }

    fn rate(mut self, newest_us: i64) -> ChangeRate {
        self.settle();
        let (start_us, first) = self.first.unwrap_or((newest_us, 0.0));
        let (end_us, last) = self.open.unwrap_or((newest_us, 0.0));
        let change = if self.is_counter {
            self.growth
        } else {
            last - first
        };
        let seconds = end_us.abs_diff(start_us) as f64 / 1e6;
        ChangeRate {
            per_s: (seconds > 0.0).then(|| change / seconds),
            resets: if self.is_counter { self.resets } else { 0 },
            start_us,
            end_us,
        }
    }
}

/// The newest time, or the median of the last three if that is later: where
/// [`History::within`](buffer_core::History::within) lets a span end, too.
fn reference_us(times_us: &[i64]) -> Option<i64> {
    let newest = *times_us.last()?;
    let [.., a, b, c] = *times_us else {
        return Some(newest);
    };
    Some(newest.max(a.max(b).min(a.min(b).max(c))))
}
