//! The tracker: a posterior per key, in shards of a lock each.
//!
//! Keys are hashed, cloned and dropped outside of every lock, and iterators run before the first
//! is taken; only comparing keys happens under one, because a look-up is that. A batch takes the
//! lock of each shard that it touches once per 8,192 updates, and once more where it brings new
//! keys.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};

use crate::apply::Pending;
use crate::clock::Clock;
use crate::error::shown;
use crate::evidence::{Evidence, Rules};
use crate::keys::{Room, measured};
use crate::shard::{SHARDS, by_shard, shard_of};
use crate::{Builder, Outcome, Point, Posterior, SettingsError, UpdateError, Weights};

/// Updates that are sorted by shard together: as many as the nearer caches hold.
const WINDOW: usize = 8_192;

/// Bayesian trust per key.
///
/// Starts each key at the prior; a success adds its weight to alpha, a failure to beta. A batch
/// with a weight that is negative, not finite or above [`WEIGHT_MAX`](crate::WEIGHT_MAX), with a
/// key that is too long, or with more new keys than there is room for, is refused as a whole.
/// Updates of a key are atomic; a batch is not, for somebody who reads meanwhile.
///
/// ```
/// use trust::{Outcome, TrustTracker};
///
/// let tracker: TrustTracker<String> = TrustTracker::new();
/// tracker.batch_update([
///     ("rule 1", Outcome::Success, 2.0),
///     ("rule 1", Outcome::Failure, 1.0),
///     ("rule 2", Outcome::Success, 0.5),
/// ])?;
/// assert_eq!(tracker.posterior("rule 1").mean(), 3.0 / 5.0);
/// assert_eq!(tracker.posterior("rule 2").sample_size(), 0.5);
/// assert_eq!(tracker.posterior("never seen").mean(), 0.5);
/// assert!(tracker.update("rule 1", Outcome::Success, f64::NAN).is_err());
/// # Ok::<(), trust::UpdateError>(())
/// ```
pub struct TrustTracker<K> {
    pub(crate) rules: Rules,
    hasher: RandomState,
    pub(crate) room: Room,
    /// Held while the time is set.
    pub(crate) clock: Mutex<Clock>,
    /// Held while a snapshot is written to a file.
    pub(crate) saving: Mutex<()>,
    shards: Box<[Aligned<K>]>,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
struct Aligned<K>(Mutex<Shard<K>>);

pub(crate) struct Shard<K> {
    pub(crate) table: HashTable<Slot<K>>,
    /// The time; the same in all shards, but while it advances.
    pub(crate) now_us: u64,
}

pub(crate) struct Slot<K> {
    pub(crate) hash: u64,
    pub(crate) evidence: Evidence,
    pub(crate) key: K,
}

impl<K: Hash + Eq + Clone> Default for TrustTracker<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Hash + Eq + Clone> TrustTracker<K> {
    /// A tracker with the prior (1, 1), without decay and history.
    #[must_use]
    pub fn new() -> Self {
        Self::with_rules(Rules::DEFAULT)
    }

    /// A tracker with other settings.
    pub fn builder() -> Builder<K> {
        Builder::default()
    }

    pub(crate) fn with_rules(rules: Rules) -> Self {
        let shard = || {
            Aligned(Mutex::new(Shard {
                table: HashTable::new(),
                now_us: 0,
            }))
        };
        Self {
            rules,
            hasher: RandomState::default(),
            room: Room::new(rules.keys_max),
            clock: Mutex::default(),
            saving: Mutex::default(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Adds one observation.
    ///
    /// # Errors
    /// When the weight is negative, not finite or too large, the key too long, or new and one too
    /// many.
    pub fn update<Q>(&self, key: &Q, outcome: Outcome, weight: f64) -> Result<(), UpdateError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + Debug + ToOwned<Owned = K> + ?Sized,
    {
        self.batch_update([(key, outcome, weight)])
    }

    /// Adds observations, all or none.
    ///
    /// Costs one look-up each; larger batches wait less for memory, because several look-ups are
    /// under way at a time.
    ///
    /// # Errors
    /// When a weight is negative, not finite or too large, a key too long, or new and one too many;
    /// the error names it.
    pub fn batch_update<'a, Q>(
        &self,
        updates: impl IntoIterator<Item = (&'a Q, Outcome, f64)>,
    ) -> Result<(), UpdateError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + Debug + ToOwned<Owned = K> + ?Sized + 'a,
    {
        let updates = updates.into_iter();
        self.batch_add(updates.map(|(key, outcome, weight)| (key, Weights::of(outcome, weight))))
    }

    /// Adds observations that are added up already, all or none.
    ///
    /// # Errors
    /// When a weight is negative, not finite or too large, a key too long, or new and one too many;
    /// the error names it.
    pub fn batch_add<'a, Q>(
        &self,
        updates: impl IntoIterator<Item = (&'a Q, Weights)>,
    ) -> Result<(), UpdateError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + Debug + ToOwned<Owned = K> + ?Sized + 'a,
    {
        let updates = updates.into_iter();
        let mut pending = Vec::with_capacity(updates.size_hint().0);
        for (index, (key, weights)) in updates.enumerate() {
            if let Some(weight) = weights.invalid() {
                let key = shown(key);
                return Err(UpdateError::Weight { index, key, weight });
            }
            let (hash, bytes) = measured(&self.hasher, key);
            let limit = self.rules.key_bytes_max;
            if bytes > limit {
                let key = shown(key);
                return Err(UpdateError::KeyBytes {
                    index,
                    key,
                    bytes,
                    limit,
                });
            }
            pending.push(Pending { hash, key, weights });
        }
        if let [only] = pending.as_slice() {
            let shard = shard_of(only.hash);
            let new = self.add_known(shard, &[only]);
            if !new.is_empty() {
                self.add_new(shard, new, &mut self.reserve(&pending)?);
            }
            return Ok(());
        }
        let mut reserved = self.reserve(&pending)?;
        for window in pending.chunks(WINDOW) {
            let (sorted, ends) = by_shard(window, |update| update.hash);
            let mut start = 0;
            for (shard, &end) in ends.iter().enumerate() {
                if start < end {
                    let new = self.add_known(shard, &sorted[start..end]);
                    self.add_new(shard, new, &mut reserved);
                }
                start = end;
            }
        }
        Ok(())
    }

    /// What is known of a key; the prior, if it was never seen.
    #[must_use]
    pub fn posterior<Q>(&self, key: &Q) -> Posterior
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key).unwrap_or_else(|| self.unknown())
    }

    /// What is known of a key, if it was ever seen.
    #[must_use]
    pub fn find<Q>(&self, key: &Q) -> Option<Posterior>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with_slot(key, |evidence, now_us| {
            evidence.posterior(&self.rules, now_us)
        })
    }

    /// What is known of each of these keys, in their order; takes the lock of each shard once.
    #[must_use]
    pub fn posteriors<'a, Q>(&self, keys: impl IntoIterator<Item = &'a Q>) -> Vec<Posterior>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'a,
    {
        let asked = keys.into_iter().enumerate();
        let asked: Vec<(u64, usize, &Q)> = asked
            .map(|(index, key)| (self.hasher.hash_one(key), index, key))
            .collect();
        let mut found = vec![self.unknown(); asked.len()];
        let (sorted, ends) = by_shard(&asked, |one| one.0);
        let mut start = 0;
        for (shard, &end) in ends.iter().enumerate() {
            if start < end {
                let shard = self.shard(shard);
                for &&(hash, index, key) in &sorted[start..end] {
                    let slot = shard.table.find(hash, |slot| slot.is(hash, key));
                    if let Some(slot) = slot {
                        found[index] = slot.evidence.posterior(&self.rules, shard.now_us);
                    }
                }
            }
            start = end;
        }
        found
    }

    /// The newest points of a key, oldest first; none without [`Builder::history`].
    #[must_use]
    pub fn history<Q>(&self, key: &Q) -> Vec<Point>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let clock = *self.clock.lock();
        let points = self.with_slot(key, |evidence, _| {
            let points = evidence.history.iter().flat_map(|history| history.iter());
            points
                .map(|&(at_us, alpha, beta)| Point {
                    at: clock.to_caller(at_us),
                    alpha,
                    beta,
                })
                .collect()
        });
        points.unwrap_or_default()
    }

    /// Moves the time on to `to` on a clock of the caller's choice that does not jump, such as the
    /// time since the process started; counts microseconds. Evidence is discounted accordingly when
    /// it is next touched, so this costs the same for any number of keys. A time before the present
    /// one changes nothing. A leap is taken at its word, because it looks like a pause: do not feed
    /// it the time of day, which may be set.
    pub fn advance(&self, to: Duration) {
        let clock = self.clock.lock();
        let to_us = clock.to_tracker(to);
        for shard in 0..SHARDS {
            let mut shard = self.shard(shard);
            shard.now_us = shard.now_us.max(to_us);
        }
    }

    /// The time that was set last, on the caller's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        let clock = self.clock.lock();
        clock.to_caller(self.shard(0).now_us)
    }

    /// Multiplies the strength of every key by `factor`, from 0 to 1, down to the floor; means stay
    /// what they are. Walks all keys, shard by shard.
    ///
    /// # Errors
    /// When the factor is not from 0 to 1.
    pub fn discount(&self, factor: f64) -> Result<(), SettingsError> {
        if !(0.0..=1.0).contains(&factor) {
            return Err(SettingsError {
                field: "factor",
                value: factor,
                limit: "from 0 to 1",
            });
        }
        for shard in 0..SHARDS {
            let Shard { table, now_us } = &mut *self.shard(shard);
            for slot in table.iter_mut() {
                slot.evidence.discount(&self.rules, *now_us, factor);
            }
        }
        Ok(())
    }

    /// Forgets a key, and says what was known of it.
    pub fn remove<Q>(&self, key: &Q) -> Option<Posterior>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(shard_of(hash));
        let now_us = shard.now_us;
        let entry = shard.table.find_entry(hash, |slot| slot.is(hash, key));
        let removed = entry.ok().map(|entry| entry.remove().0);
        // The key is dropped behind the lock.
        drop(shard);
        self.room.give_back(usize::from(removed.is_some()));
        removed.map(|slot| slot.evidence.posterior(&self.rules, now_us))
    }

    /// The number of keys that were ever updated, and not removed.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard(shard).table.len()).sum()
    }

    /// Whether no key was ever updated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn unknown(&self) -> Posterior {
        Evidence::prior(&self.rules, 0).posterior(&self.rules, 0)
    }

    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(crate) fn shard(&self, shard: usize) -> MutexGuard<'_, Shard<K>> {
        self.shards[shard].0.lock()
    }

    fn with_slot<Q, T>(&self, key: &Q, read: impl FnOnce(&Evidence, u64) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(shard_of(hash));
        let slot = shard.table.find(hash, |slot| slot.is(hash, key))?;
        Some(read(&slot.evidence, shard.now_us))
    }
}

impl<K> Debug for TrustTracker<K> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TrustTracker")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
