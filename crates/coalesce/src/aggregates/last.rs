//! The newest or the oldest value of each key, and the newest change.

use std::fmt;
use std::marker::PhantomData;

use crate::{Aggregate, Stamp};

/// Keeps the newest value of each key.
///
/// Newest is what has the greatest [`Stamp`], which says what that means across threads: there is
/// an order between threads that add without a handle, and none between writers that do not tell
/// each other ([`Writer::follow`](crate::Writer::follow)). A batch
/// that comes back by [`restore`](crate::Coalescer::restore) never overwrites a newer value.
pub struct Last<V> {
    values: PhantomData<fn(V) -> V>,
}

/// Keeps the oldest value of each key, which is what has the least [`Stamp`].
///
/// It is the oldest since the last take: a batch that comes back by
/// [`restore`](crate::Coalescer::restore) brings older ones with it.
pub struct First<V> {
    values: PhantomData<fn(V) -> V>,
}

/// Keeps the newest change of each key, which can be that it is gone: a tombstone.
///
/// A deletion is an update like any other: it replaces what was put before, is replaced by what is
/// put after, counts as an update, and reaches the sink, which has to delete the key there.
///
/// ```
/// use coalesce::{Change, Changes, Coalescer};
///
/// let buffer = Coalescer::new(Changes::new());
/// let added = buffer.add_many([
///     ("valve 1", Change::Put("open")),
///     ("valve 2", Change::Put("open")),
///     ("valve 1", Change::Delete),
/// ]);
/// assert_eq!(added.accepted, 3);
/// let mut entries = buffer.take().into_entries();
/// entries.sort_by_key(|entry| entry.key);
/// assert_eq!(entries[0].partial.value(), &Change::Delete);
/// assert_eq!(entries[1].partial.value(), &Change::Put("open"));
/// ```
pub struct Changes<V> {
    last: Last<Change<V>>,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<V> {
    /// It gets this value.
    Put(V),
    /// It is gone.
    Delete,
}

/// A value with its place among the updates of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped<V> {
    value: V,
    stamp: Stamp,
}

impl<V> Stamped<V> {
    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// The value by itself.
    pub fn into_value(self) -> V {
        self.value
    }

    /// Its place among the updates of its key.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl<V> Aggregate for Last<V> {
    type Update = V;
    type Partial = Stamped<V>;

    fn start(&self, value: V, stamp: Stamp) -> Stamped<V> {
        Stamped { value, stamp }
    }

    fn absorb(&self, partial: &mut Stamped<V>, value: V, stamp: Stamp) -> Option<V> {
        self.merge(partial, Stamped { value, stamp })
            .map(Stamped::into_value)
    }

    fn merge(&self, partial: &mut Stamped<V>, other: Stamped<V>) -> Option<Stamped<V>> {
        if other.stamp > partial.stamp {
            Some(std::mem::replace(partial, other))
        } else {
            Some(other)
        }
    }
}

impl<V> Aggregate for First<V> {
    type Update = V;
    type Partial = Stamped<V>;

    fn start(&self, value: V, stamp: Stamp) -> Stamped<V> {
        Stamped { value, stamp }
    }

    fn absorb(&self, partial: &mut Stamped<V>, value: V, stamp: Stamp) -> Option<V> {
        self.merge(partial, Stamped { value, stamp })
            .map(Stamped::into_value)
    }

    fn merge(&self, partial: &mut Stamped<V>, other: Stamped<V>) -> Option<Stamped<V>> {
        if other.stamp < partial.stamp {
            Some(std::mem::replace(partial, other))
        } else {
            Some(other)
        }
    }
}

impl<V> Aggregate for Changes<V> {
    type Update = Change<V>;
    type Partial = Stamped<Change<V>>;

    fn start(&self, change: Change<V>, stamp: Stamp) -> Self::Partial {
        self.last.start(change, stamp)
    }

    fn absorb(
        &self,
        partial: &mut Self::Partial,
        change: Change<V>,
        stamp: Stamp,
    ) -> Option<Change<V>> {
        self.last.absorb(partial, change, stamp)
    }

    fn merge(&self, partial: &mut Self::Partial, other: Self::Partial) -> Option<Self::Partial> {
        self.last.merge(partial, other)
    }
}

macro_rules! without_values {
    ($($name:ident { $field:ident: $new:expr }: $doc:literal),*) => {
        $(
            impl<V> $name<V> {
                #[doc = $doc]
                #[must_use]
                pub const fn new() -> Self {
                    Self { $field: $new }
                }
            }

            impl<V> Default for $name<V> {
                fn default() -> Self {
                    Self::new()
                }
            }

            impl<V> Clone for $name<V> {
                fn clone(&self) -> Self {
                    *self
                }
            }

            impl<V> Copy for $name<V> {}

            impl<V> fmt::Debug for $name<V> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }
        )*
    };
}

without_values!(
    Last { values: PhantomData }: "The newest value of each key.",
    First { values: PhantomData }: "The oldest value of each key.",
    Changes { last: Last::new() }: "The newest change of each key."
);
