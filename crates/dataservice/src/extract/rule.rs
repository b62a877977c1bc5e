//! Rules that say which values a subscriber gets to see.

use std::time::Duration;

use super::Measure;
use crate::Sample;

/// Judges the values of one key, one after the other. [`Extractor::filter`] takes closures; a rule
/// of your own, for [`Extractor::sift`], has a memory besides.
///
/// [`Extractor::filter`]: crate::Extractor::filter
/// [`Extractor::sift`]: crate::Extractor::sift
pub trait Rule<V>: Send + Sync {
    /// Whether this value is shown, which comes after all those judged before.
    fn passes(&mut self, sample: Sample<&V>) -> bool;

    /// Whether the newest value, held back before, is shown by a poll that has nothing fresh: the
    /// subscriber asked for what there is. If so, it counts as one that passed.
    fn settles(&mut self, newest: Sample<&V>) -> bool {
        let _ = newest;
        false
    }

    /// The key was cleared, or its values have another shape from now on.
    fn forget(&mut self) {}
}

/// Lets a value pass if it differs from the last one that passed by more than a band.
///
/// The first value passes. The first that is no number passes, and after it the first that is one;
/// between the two nothing does. The same goes for infinities, each of which differs from
/// everything but itself.
///
/// It judges what its extractor reads: below [`LatestValue`](crate::LatestValue) only the newest
/// value at each poll, below [`SinceLast`](crate::SinceLast) every update.
///
/// ```
/// use dataservice::{DataService, Deadband, Extractor, SinceLast, Spec};
///
/// let service: DataService<&str, f64> = DataService::new();
/// let level = service.register("level")?;
/// let changes = SinceLast::default().deadband(Deadband::absolute(0.5));
/// let mut changes = service.subscribe(Spec::new().key(level, changes))?;
/// service.put_many(level, [(1, 10.0), (2, 10.4), (3, 10.6), (4, f64::NAN), (5, f64::NAN)])?;
/// let snapshot = changes.poll().expect("it was woken");
/// let update = snapshot.update(level).unwrap();
/// assert_eq!((update.times_us(), update.filtered()), (&[1, 3, 4][..], 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Deadband {
    band: Band,
    last: Last,
}

#[derive(Debug, Clone, Copy)]
enum Band {
    Absolute(f64),
    /// A part of the last value that passed.
    Relative(f64),
}

/// What passed last.
#[derive(Debug, Clone, Copy)]
enum Last {
    Nothing,
    NoNumber,
    Number(f64),
}

impl Deadband {
    /// A band in the unit of the values. Its sign does not count; 0, and NaN, let every change
    /// pass.
    #[must_use]
    pub const fn absolute(band: f64) -> Self {
        Self::new(Band::Absolute(width(band)))
    }

    /// A band in percent of the last value that passed. Its sign does not count; 0, and NaN, let
    /// every change pass, and so does a last value of 0.
    #[must_use]
    pub const fn percent(percent: f64) -> Self {
        Self::new(Band::Relative(width(percent) / 100.0))
    }

    const fn new(band: Band) -> Self {
        Self {
            band,
            last: Last::Nothing,
        }
    }
}

const fn width(band: f64) -> f64 {
    if band.is_nan() { 0.0 } else { band.abs() }
}

impl<V: Measure> Rule<V> for Deadband {
    fn passes(&mut self, sample: Sample<&V>) -> bool {
        let number = sample.value.measure().filter(|number| !number.is_nan());
        let passes = match (self.last, number) {
            (Last::Nothing, _) | (Last::NoNumber, Some(_)) | (Last::Number(_), None) => true,
            (Last::NoNumber, None) => false,
            (Last::Number(last), Some(number)) if last.is_infinite() => number != last,
            (Last::Number(last), Some(number)) => {
                let band = match self.band {
                    Band::Absolute(band) => band,
                    Band::Relative(part) => part * last.abs(),
                };
                number.is_infinite() || (number - last).abs() > band
            }
        };
        if passes {
            self.last = number.map_or(Last::NoNumber, Last::Number);
        }
        passes
    }

    fn forget(&mut self) {
        self.last = Last::Nothing;
    }
}

/// Lets a value pass if its event time is at least so far from that of the last one that passed.
///
/// The first value passes. A time that goes back by as much passes too, so that one value from the
/// future does not hold back all that follow.
///
/// A value that is held back is not kept for later: nothing here waits. Who reads the newest value
/// gets one that is newer still with the first update far enough from the last shown. Only if the
/// source falls silent does the last value stay unseen; then a poll that has nothing fresh,
/// [`Subscription::snapshot`](crate::Subscription::snapshot), shows it.
///
/// This limits what is shown by the clock of the source. How often to poll is said by
/// [`Spec::min_interval`](crate::Spec::min_interval), which never holds back the newest value.
#[derive(Debug, Clone, Copy)]
pub struct MinSeparation {
    separation_us: u64,
    last_us: Option<i64>,
}

impl MinSeparation {
    /// So much event time between two values that pass.
    #[must_use]
    pub fn new(separation: Duration) -> Self {
        Self {
            separation_us: u64::try_from(separation.as_micros()).unwrap_or(u64::MAX),
            last_us: None,
        }
    }
}

impl<V> Rule<V> for MinSeparation {
    fn passes(&mut self, sample: Sample<&V>) -> bool {
        let passes = self
            .last_us
            .is_none_or(|last_us| sample.time_us.abs_diff(last_us) >= self.separation_us);
        if passes {
            self.last_us = Some(sample.time_us);
        }
        passes
    }

    fn settles(&mut self, newest: Sample<&V>) -> bool {
        self.last_us = Some(newest.time_us);
        true
    }

    fn forget(&mut self) {
        self.last_us = None;
    }
}

/// A condition on each value by itself.
#[derive(Debug, Clone, Copy)]
pub struct Condition<F>(pub(super) F);

impl<V, F> Rule<V> for Condition<F>
where
    F: FnMut(Sample<&V>) -> bool + Send + Sync,
{
    fn passes(&mut self, sample: Sample<&V>) -> bool {
        (self.0)(sample)
    }
}
