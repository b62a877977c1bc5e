//! Caps, and what happens when they are reached.

use std::hash::{BuildHasher, Hash};

use crate::{Aggregate, Coalescer, Seeded, SettingsError};

const UPDATES_MAX_DEFAULT: u64 = 1_000;
const FLUSH_AT_DEFAULT: u64 = 100;

/// What happens to an update that does not fit under the cap on updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused and handed back.
    #[default]
    Reject,
    /// Everything is taken out, the update with it, and handed to its caller to be delivered.
    FlushNow,
}

/// What happens to an update whose key is new and does not fit under the cap on keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenKeysFull<K> {
    /// It is refused and handed back.
    #[default]
    Reject,
    /// Everything is taken out, the update with it, and handed to its caller to be delivered.
    FlushNow,
    /// It is accepted under this key, so that totals over all keys stay exact. The key has a place
    /// of its own under the cap, and [`updates_overflowed`] counts what it took in.
    ///
    /// [`updates_overflowed`]: crate::CoalescerStats::updates_overflowed
    OverflowKey(K),
}

/// Settings of a [`Coalescer`].
///
/// ```
/// use coalesce::{Added, Coalescer, Sum, WhenFull, WhenKeysFull};
///
/// let bytes_by_peer = Coalescer::builder(Sum)
///     .updates_max(1_000_000, WhenFull::FlushNow)
///     .keys_max(10_000, WhenKeysFull::OverflowKey("other".to_owned()))
///     .flush_at(50_000)
///     .build()?;
/// match bytes_by_peer.add_ref("10.0.0.7", 1_500.0) {
///     Ok(Added::Buffered) => {}
///     Ok(Added::FlushDue) => { /* take, here or by telling the thread that does */ }
///     Ok(Added::Flushed(batch)) => { /* deliver the batch */ }
///     Err(refused) => eprintln!("{refused}"),
/// }
/// # Ok::<(), coalesce::SettingsError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder<K, A, S = Seeded> {
    pub(crate) aggregate: A,
    pub(crate) hasher: S,
    pub(crate) updates_max: Option<u64>,
    pub(crate) when_full: WhenFull,
    pub(crate) keys_max: Option<u64>,
    pub(crate) when_keys_full: WhenKeysFull<K>,
    flush_at: FlushAt,
}

#[derive(Debug, Clone, Copy)]
enum FlushAt {
    /// 100, or the cap on updates if that is lower.
    Default,
    Given(Option<u64>),
}

impl<K, A> Builder<K, A> {
    pub(crate) fn new(aggregate: A) -> Self {
        Self {
            aggregate,
            hasher: Seeded::default(),
            updates_max: Some(UPDATES_MAX_DEFAULT),
            when_full: WhenFull::default(),
            keys_max: None,
            when_keys_full: WhenKeysFull::Reject,
            flush_at: FlushAt::Default,
        }
    }
}

impl<K, A, S> Builder<K, A, S> {
    /// Most updates that are held, and what happens beyond that; 1,000 and
    /// [`WhenFull::Reject`] unless set. `None` for no cap.
    ///
    /// The cap is exact over all handles, though each has credits for some updates so that it need
    /// not ask: credits count as updates, come in chunks that shrink as the cap comes near, and
    /// what others have and do not use is collected before anybody is refused. Only what is
    /// [restored](Coalescer::restore) can go beyond it. An update that is on its way in counts too,
    /// even if it turns out to be refused for its key.
    pub fn updates_max(mut self, updates_max: impl Into<Option<u64>>, when_full: WhenFull) -> Self {
        self.updates_max = updates_max.into();
        self.when_full = when_full;
        self
    }

    /// Most keys that are held, the overflow key included, and what happens beyond that. Not
    /// capped unless set, since there are never more keys than updates.
    ///
    /// The cap is exact too, by credits: a key that several handles hold counts once, and before
    /// anybody is refused what the handles hold is merged, in short portions, to see how many keys
    /// there really are. That is done once per time that the cap is reached; from then on an update
    /// of a key that its handle did not have since the last take costs a lock and a look-up among
    /// what was merged. Keys that the handles know go on without.
    pub fn keys_max(
        mut self,
        keys_max: impl Into<Option<u64>>,
        when_keys_full: WhenKeysFull<K>,
    ) -> Self {
        self.keys_max = keys_max.into();
        self.when_keys_full = when_keys_full;
        self
    }

    /// Number of updates from which on an add says that a flush is due; 100 unless set. `None` for
    /// never.
    ///
    /// The update that reaches the number says so, and each one after it, whichever handle it comes
    /// by. Two exceptions: an add that overlaps a take may still say so, once; and an update that
    /// is on its way in counts already.
    pub fn flush_at(mut self, updates: impl Into<Option<u64>>) -> Self {
        self.flush_at = FlushAt::Given(updates.into());
        self
    }

    /// Hashes keys differently than [`Seeded`], which is fast and seeded at random.
    pub fn hasher<T>(self, hasher: T) -> Builder<K, A, T> {
        Builder {
            aggregate: self.aggregate,
            hasher,
            updates_max: self.updates_max,
            when_full: self.when_full,
            keys_max: self.keys_max,
            when_keys_full: self.when_keys_full,
            flush_at: self.flush_at,
        }
    }

    /// Builds the coalescer.
    ///
    /// # Errors
    /// If a number is 0, if neither updates nor keys are capped, or if `flush_at` is beyond the cap
    /// on updates.
    pub fn build(self) -> Result<Coalescer<K, A, S>, SettingsError>
    where
        K: Hash + Eq + Clone,
        A: Aggregate,
        S: BuildHasher,
    {
        let given = match self.flush_at {
            FlushAt::Default => None,
            FlushAt::Given(flush_at) => flush_at,
        };
        for (field, value) in [
            ("updates_max", self.updates_max),
            ("keys_max", self.keys_max),
            ("flush_at", given),
        ] {
            if value == Some(0) {
                return Err(SettingsError::TooSmall {
                    field,
                    value: 0,
                    min: 1,
                });
            }
        }
        match (given, self.updates_max) {
            (Some(flush_at), Some(updates_max)) if flush_at > updates_max => {
                return Err(SettingsError::FlushAtBeyondCap {
                    flush_at,
                    updates_max,
                });
            }
            (_, None) if self.keys_max.is_none() => return Err(SettingsError::NoCap),
            _ => {}
        }
        Ok(Coalescer::from_settings(self))
    }

    /// The number of updates from which on a flush is due.
    pub(crate) fn flush_at_effective(&self) -> Option<u64> {
        match self.flush_at {
            FlushAt::Default => Some(
                self.updates_max
                    .map_or(FLUSH_AT_DEFAULT, |max| max.min(FLUSH_AT_DEFAULT)),
            ),
            FlushAt::Given(flush_at) => flush_at,
        }
    }
}
