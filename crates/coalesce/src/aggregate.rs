//! How updates of one key become one value.

use crate::InvalidUpdate;

/// Says how an update is absorbed by what its key has so far, and how two partial results merge.
///
/// The partial results of a key must not depend on the order in which they are merged: a batch that
/// was refused comes back after newer updates, and threads merge in any order. What needs the order
/// of updates keeps their [`Stamp`], as [`Last`](crate::Last) does.
///
/// [`start`](Self::start) and [`absorb`](Self::absorb) run while a take may wait for the update to
/// be in; [`merge`](Self::merge) and [`check`](Self::check), and `Eq`, `Hash` and `Clone` of a key,
/// may run under a lock that others wait for. All of them should be short, should not panic, and
/// must not use the same coalescer, which would wait for itself. An update whose absorption panics
/// is neither accepted nor refused, and a panic of [`merge`](Self::merge) loses the entry at hand,
/// which is counted as lost. What they displace is handed back and dropped when nobody waits.
///
/// ```
/// use coalesce::{Aggregate, Coalescer, InvalidUpdate, Stamp};
///
/// /// The greatest number of each key.
/// struct Max;
///
/// impl Aggregate for Max {
///     type Update = u64;
///     type Partial = u64;
///
///     fn start(&self, update: u64, _stamp: Stamp) -> u64 {
///         update
///     }
///
///     fn absorb(&self, partial: &mut u64, update: u64, _stamp: Stamp) -> Option<u64> {
///         *partial = update.max(*partial);
///         None
///     }
///
///     fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
///         *partial = other.max(*partial);
///         None
///     }
/// }
///
/// let peaks = Coalescer::new(Max);
/// assert_eq!(peaks.add_many([("pump", 3), ("pump", 9), ("pump", 4)]).accepted, 3);
/// assert_eq!(peaks.take().into_iter().next().expect("one key").partial, 9);
/// ```
pub trait Aggregate {
    /// What is added.
    type Update;
    /// What the updates of one key have become so far.
    type Partial;

    /// Refuses an update that would spoil the result, such as NaN in a sum.
    ///
    /// Runs before the update is counted.
    ///
    /// # Errors
    /// What is wrong with the update: the field, its value and what is allowed.
    fn check(&self, update: &Self::Update) -> Result<(), InvalidUpdate> {
        let _ = update;
        Ok(())
    }

    /// Makes a partial result of the first update of a key.
    fn start(&self, update: Self::Update, stamp: Stamp) -> Self::Partial;

    /// Adds an update to a partial result; returns what has to be dropped, if anything.
    fn absorb(
        &self,
        partial: &mut Self::Partial,
        update: Self::Update,
        stamp: Stamp,
    ) -> Option<Self::Update>;

    /// Adds one partial result to another; returns what has to be dropped, if anything.
    fn merge(&self, partial: &mut Self::Partial, other: Self::Partial) -> Option<Self::Partial>;
}

/// The place of an update among the updates of its key: a later one has a greater stamp.
///
/// Updates of one [`Writer`](crate::Writer) are stamped in their order. So are updates of several
/// writers between which the buffer was handed over: what was added before a take (or
/// [`stats`](crate::Coalescer::stats)) began is older than what is added after it ended. So are
/// updates that threads without a handle add by [`Coalescer::add`](crate::Coalescer::add) and its
/// kin, if one of them began after the other ended. Other updates of
/// several writers between two takes have an order that is the same for everybody, but need not be
/// that of their arrival: a count or a clock that told would be a cache line that all cores write.
/// Two threads that agree on an order between them share it by
/// [`Writer::newest`](crate::Writer::newest) and [`Writer::follow`](crate::Writer::follow).
///
/// Stamps of different coalescers say nothing about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    order: u64,
    /// Decides between updates that know nothing of each other.
    writer: u32,
}

impl Stamp {
    #[inline]
    pub(crate) const fn new(order: u64, writer: u32) -> Self {
        Self { order, writer }
    }

    pub(crate) const fn order(self) -> u64 {
        self.order
    }
}
