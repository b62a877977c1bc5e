//! The last few values of each key, in order.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::num::NonZeroUsize;

use crate::{Aggregate, Stamp};

/// Keeps the newest values of each key, up to a number, in the order of their [`Stamp`]s.
///
/// Older ones are dropped and counted. A merge takes time in proportion to the values kept.
///
/// ```
/// use std::num::NonZeroUsize;
/// use coalesce::{Append, Coalescer};
///
/// let buffer = Coalescer::new(Append::new(NonZeroUsize::new(2).expect("not 0")));
/// assert_eq!(buffer.add_many([("log", "a"), ("log", "b"), ("log", "c")]).accepted, 3);
/// let entry = buffer.take().into_iter().next().expect("one key");
/// assert_eq!(entry.partial.dropped(), 1);
/// assert_eq!(entry.partial.into_values(), ["b", "c"]);
/// assert_eq!(entry.updates, 3);
/// ```
#[derive(Debug)]
pub struct Append<V> {
    values_max: NonZeroUsize,
    values: PhantomData<fn(V) -> V>,
}

impl<V> Append<V> {
    /// Up to `values_max` values of each key.
    #[must_use]
    pub const fn new(values_max: NonZeroUsize) -> Self {
        Self {
            values_max,
            values: PhantomData,
        }
    }
}

/// The newest values of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended<V> {
    /// The oldest first; there is at least one.
    values: VecDeque<(Stamp, V)>,
    dropped: u64,
}

impl<V> Appended<V> {
    /// The values, the oldest first.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.values.iter().map(|(_, value)| value)
    }

    /// The values by themselves, the oldest first.
    #[must_use]
    pub fn into_values(self) -> Vec<V> {
        self.values.into_iter().map(|(_, value)| value).collect()
    }

    /// Number of older values that are not there any more.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<V> Aggregate for Append<V> {
    type Update = V;
    type Partial = Appended<V>;

    fn start(&self, value: V, stamp: Stamp) -> Appended<V> {
        Appended {
            values: VecDeque::from([(stamp, value)]),
            dropped: 0,
        }
    }

    fn absorb(&self, partial: &mut Appended<V>, value: V, stamp: Stamp) -> Option<V> {
        let displaced = if partial.values.len() >= self.values_max.get() {
            partial.dropped += 1;
            partial.values.pop_front()
        } else {
            None
        };
        // One writer's stamps grow, and nobody else's come here.
        partial.values.push_back((stamp, value));
        displaced.map(|(_, value)| value)
    }

    fn merge(&self, partial: &mut Appended<V>, other: Appended<V>) -> Option<Appended<V>> {
        partial.dropped += other.dropped;
        partial.values.extend(other.values);
        partial
            .values
            .make_contiguous()
            .sort_by_key(|(stamp, _)| *stamp);
        let excess = partial.values.len().saturating_sub(self.values_max.get());
        if excess == 0 {
            return None;
        }
        partial.dropped += excess as u64;
        Some(Appended {
            values: partial.values.drain(..excess).collect(),
            dropped: 0,
        })
    }
}
