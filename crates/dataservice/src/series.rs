//! Values with their times, as a reader gets them.

use std::fmt;

use buffer_core::Snapshot;

/// A value and when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<V> {
    /// Event time in microseconds.
    pub time_us: i64,
    /// The value.
    pub value: V,
}

/// Values and when each happened, oldest commit first. It is owned and never changes.
///
/// A deep history of plain values is not copied for it: then this holds a part of the history's
/// own memory, for as long as it lives.
///
/// ```
/// use dataservice::Series;
///
/// let series: Series<f64> = [(10, 1.5), (20, 2.5)].into_iter().collect();
/// assert_eq!(series.values(), [1.5, 2.5]);
/// assert_eq!(series.last(1).times_us(), [20]);
/// ```
pub struct Series<V>(Held<V>);

enum Held<V> {
    Nothing,
    One(Sample<V>),
    Own { times_us: Vec<i64>, values: Vec<V> },
    Shared(Snapshot<V>),
}

impl<V> Series<V> {
    /// No values.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Held::Nothing)
    }

    /// One value.
    #[must_use]
    pub const fn one(sample: Sample<V>) -> Self {
        Self(Held::One(sample))
    }

    pub(crate) fn own(times_us: Vec<i64>, values: Vec<V>) -> Self {
        debug_assert_eq!(times_us.len(), values.len(), "each value has its time");
        Self(Held::Own { times_us, values })
    }

    pub(crate) fn shared(snapshot: Snapshot<V>) -> Self {
        Self(Held::Shared(snapshot))
    }

    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &[V] {
        match &self.0 {
            Held::Nothing => &[],
            Held::One(sample) => std::slice::from_ref(&sample.value),
            Held::Own { values, .. } => values,
            Held::Shared(snapshot) => snapshot.values(),
        }
    }

    /// The event time of each value, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        match &self.0 {
            Held::Nothing => &[],
            Held::One(sample) => std::slice::from_ref(&sample.time_us),
            Held::Own { times_us, .. } => times_us,
            Held::Shared(snapshot) => snapshot.times(),
        }
    }

    /// The values with their times, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Sample<&V>> + ExactSizeIterator {
        let pairs = self.times_us().iter().zip(self.values());
        pairs.map(|(time_us, value)| Sample {
            time_us: *time_us,
            value,
        })
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest value.
    #[must_use]
    pub fn latest(&self) -> Option<Sample<&V>> {
        self.iter().next_back()
    }

    /// The last `count` of them.
    #[must_use]
    pub fn last(self, count: usize) -> Self {
        match self.0 {
            Held::One(_) if count == 0 => Self::empty(),
            Held::Own {
                mut times_us,
                mut values,
            } => {
                let first = values.len().saturating_sub(count);
                times_us.drain(..first);
                values.drain(..first);
                Self::own(times_us, values)
            }
            Held::Shared(snapshot) => Self::shared(snapshot.last(count)),
            held => Self(held),
        }
    }
}

impl<V: Clone> Series<V> {
    /// The newest value, without a copy if this holds it alone.
    #[must_use]
    pub fn into_latest(self) -> Option<Sample<V>> {
        match self.0 {
            Held::Nothing => None,
            Held::One(sample) => Some(sample),
            Held::Own {
                mut times_us,
                mut values,
            } => Some(Sample {
                time_us: times_us.pop()?,
                value: values.pop()?,
            }),
            Held::Shared(snapshot) => snapshot.latest().map(|newest| Sample {
                time_us: newest.time,
                value: newest.value.clone(),
            }),
        }
    }

    /// The times in microseconds and the values, without a copy if this holds them alone.
    #[must_use]
    pub fn into_parts(self) -> (Vec<i64>, Vec<V>) {
        match self.0 {
            Held::Own { times_us, values } => (times_us, values),
            Held::One(sample) => (vec![sample.time_us], vec![sample.value]),
            Held::Nothing => (Vec::new(), Vec::new()),
            Held::Shared(snapshot) => (snapshot.times().to_vec(), snapshot.values().to_vec()),
        }
    }
}

impl<V> Default for Series<V> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<V> FromIterator<(i64, V)> for Series<V> {
    fn from_iter<I: IntoIterator<Item = (i64, V)>>(samples: I) -> Self {
        let (times_us, values) = samples.into_iter().unzip();
        Self::own(times_us, values)
    }
}

impl<V: Clone> Clone for Series<V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Held::Nothing => Held::Nothing,
            Held::One(sample) => Held::One(sample.clone()),
            Held::Own { times_us, values } => Held::Own {
                times_us: times_us.clone(),
                values: values.clone(),
            },
            Held::Shared(snapshot) => Held::Shared(snapshot.clone()),
        })
    }
}

impl<V: PartialEq> PartialEq for Series<V> {
    fn eq(&self, other: &Self) -> bool {
        self.times_us() == other.times_us() && self.values() == other.values()
    }
}

impl<V: Eq> Eq for Series<V> {}

impl<V: fmt::Debug> fmt::Debug for Series<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.times_us().iter().zip(self.values());
        out.debug_map().entries(pairs).finish()
    }
}
