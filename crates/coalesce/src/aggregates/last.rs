//! The newest value of each key.

use std::fmt;
use std::marker::PhantomData;

use crate::{Aggregate, Stamp};

/// Keeps the newest value of each key, in the order in which updates were accepted.
///
/// A batch that comes back by [`restore`](crate::Coalescer::restore) never overwrites a newer
/// value.
pub struct Last<V> {
    values: PhantomData<fn(V) -> V>,
}

impl<V> Last<V> {
    /// The newest value of each key.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            values: PhantomData,
        }
    }
}

impl<V> Default for Last<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Last<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Last<V> {}

impl<V> fmt::Debug for Last<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Last")
    }
}

/// A value with its place among the updates of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest<V> {
    value: V,
    stamp: Stamp,
}

impl<V> Newest<V> {
    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// The value by itself.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V> Aggregate for Last<V> {
    type Update = V;
    type Partial = Newest<V>;

    fn start(&self, value: V, stamp: Stamp) -> Newest<V> {
        Newest { value, stamp }
    }

    fn absorb(&self, partial: &mut Newest<V>, value: V, stamp: Stamp) -> Option<V> {
        self.merge(partial, Newest { value, stamp })
            .map(Newest::into_value)
    }

    fn merge(&self, partial: &mut Newest<V>, other: Newest<V>) -> Option<Newest<V>> {
        if other.stamp > partial.stamp {
            Some(std::mem::replace(partial, other))
        } else {
            Some(other)
        }
    }
}
