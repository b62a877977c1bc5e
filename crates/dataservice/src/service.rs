//! The service: keys, values, and handles to everything else.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use crate::builder::Settings;
use crate::keys::Keys;
use crate::shared::{Handle, Shared};
use crate::state::Staged;
use crate::{
    Builder, CommitError, CommitSeq, DeclareError, Feed, FeedSpec, Instance, KeyId, KeyStats,
    Maintained, Newest, PutError, Refusal, RegisterError, Requirement, ResumePoint, Resumed,
    Schema, Spec, Stats, SubscribeError, Subscription, Transaction, View,
};

/// One history per key, shared by all who read it. A clone is a handle to the same service.
///
/// Writing by id costs a lock and an append; writing by key costs a look-up more. As a mapping, a
/// key that was registered and never written to, or that was removed, is not contained.
///
/// ```
/// use dataservice::DataService;
///
/// let service: DataService<String, f64> = DataService::new();
/// service.insert("boiler".into(), 1_000, 71.5)?;
/// assert_eq!(service.get("boiler"), Some(71.5));
/// assert_eq!(service.remove("boiler"), Some(71.5));
/// assert!(!service.contains("boiler"));
/// # Ok::<(), dataservice::PutError<f64>>(())
/// ```
pub struct DataService<K, V> {
    keys: Arc<Keys<K>>,
    shared: Handle<V>,
    instance: Instance,
}

impl<K, V> DataService<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    /// A service with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_settings(Settings::default())
    }

    /// Sets other limits.
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }

    pub(crate) fn with_settings(settings: Settings<V>) -> Self {
        Self {
            keys: Arc::new(Keys::new(settings.limits.keys_max)),
            shared: Arc::new(Shared::new(settings)),
            instance: Instance::random(),
        }
    }

    /// The random id of this service, different after every start.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// The id of a key, which is new or known.
    ///
    /// # Errors
    /// When the key is new and no more fit, or there is no memory for it.
    pub fn register(&self, key: K) -> Result<KeyId, RegisterError> {
        self.keys.intern(key, |count| self.add_keys(count))
    }

    /// The ids of keys, in their order, which become known if they were not. All or none: either
    /// there is room for all that are new, or none becomes known.
    ///
    /// # Errors
    /// When there is no room for all.
    pub fn register_all(&self, keys: Vec<K>) -> Result<Vec<KeyId>, RegisterError> {
        self.keys.intern_all(keys, |count| self.add_keys(count))
    }

    fn add_keys(&self, count: usize) -> Result<(), RegisterError> {
        self.shared.add_keys(count, Keys::<K>::BYTES)
    }

    /// Says what the values of a key are, so that a value of another kind or shape is refused when
    /// it is put. A service whose builder was told how to
    /// [describe](Builder::describe) values can check them.
    ///
    /// # Errors
    /// When the id is unknown, the service cannot check, or the key holds something else already.
    pub fn declare(&self, id: KeyId, schema: Schema) -> Result<(), DeclareError> {
        let known = self.shared.check(id);
        known.map_err(|keys| DeclareError::UnknownKey { id, keys })?;
        let describe = self.shared.settings.describe;
        let describe = describe.ok_or(DeclareError::NotDescribed)?;
        let declared = self.shared.declare(id, schema, describe);
        declared.map_err(|mismatch| DeclareError::Mismatch { id, mismatch })
    }

    /// The id of a key, if it is known.
    #[must_use]
    pub fn id<Q>(&self, key: &Q) -> Option<KeyId>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.keys.id(key)
    }

    /// The key of an id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<K> {
        self.keys.key(id)
    }

    /// How many keys were ever registered. One atomic load, so that who follows the list can look
    /// often whether there are new ones.
    #[must_use]
    pub fn keys_len(&self) -> usize {
        self.shared.keys_len()
    }

    /// The keys from this id on, in the order in which they were registered. The list only grows:
    /// go on from the last one's [`next`](KeyId::next) to see only what is new.
    #[must_use]
    pub fn keys_from(&self, first: KeyId) -> Vec<(KeyId, K)> {
        self.keys.from(first)
    }

    /// Commits one value of a key, which happened at `time_us`.
    ///
    /// # Errors
    /// When the id is unknown, the value is not what was declared, or as for
    /// [`Transaction::commit`]; the value is handed back.
    pub fn put(&self, id: KeyId, time_us: i64, value: V) -> Result<CommitSeq, PutError<V>> {
        if let Some(refusal) = self.shared.refusal(id, &value) {
            return Err(PutError { refusal, value });
        }
        let committed = self.shared.commit_one(Staged { id, time_us, value });
        committed.map_err(|(refusal, value)| PutError { refusal, value })
    }

    /// Commits values of one key together, each with its time in microseconds. All or none.
    ///
    /// # Errors
    /// As for [`Transaction::put_many`] and [`Transaction::commit`]; the transaction is handed back
    /// with what was taken.
    pub fn put_many(
        &self,
        id: KeyId,
        values: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<CommitSeq, CommitError<V>> {
        let mut transaction = self.begin();
        match transaction.put_many(id, values) {
            Ok(_) => transaction.commit(),
            Err(PutError { refusal, .. }) => Err(CommitError {
                refusal,
                transaction,
            }),
        }
    }

    /// Commits one value by key, and registers the key if it is new.
    ///
    /// # Errors
    /// When the key is new and no more fit; the value is handed back.
    pub fn insert(&self, key: K, time_us: i64, value: V) -> Result<CommitSeq, PutError<V>> {
        match self.register(key) {
            Ok(id) => self.put(id, time_us, value),
            Err(error) => Err(PutError {
                refusal: Refusal::Register(error),
                value,
            }),
        }
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Transaction<V> {
        Transaction::new(Arc::clone(&self.shared))
    }

    /// The number of the last commit.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.shared.state.lock().commit_seq
    }

    /// Subscribes to keys. Their histories grow at once to what is granted, and what they hold is
    /// shown by the first poll, which with its cursors is of one commit: there is no gap and no
    /// repetition between it and those that follow.
    ///
    /// # Errors
    /// When an id is unknown or there are too many subscribers.
    pub fn subscribe<O>(&self, spec: Spec<V, O>) -> Result<Subscription<V, O>, SubscribeError> {
        let subscription = Subscription::new(Arc::clone(&self.shared), spec, None);
        subscription.map(|(subscription, _)| subscription)
    }

    /// Subscribes to keys and continues where an earlier subscription stopped, which may have been
    /// to others: its first poll shows what was committed since. Needs a service that remembers
    /// [so much](Builder::resume_updates), or has feeds.
    ///
    /// # Errors
    /// As for [`subscribe`](Self::subscribe).
    pub fn resume<O>(
        &self,
        spec: Spec<V, O>,
        point: ResumePoint,
    ) -> Result<Resumed<Subscription<V, O>>, SubscribeError> {
        let from = self.known(point);
        let resumed = Subscription::new(Arc::clone(&self.shared), spec, Some(from))?;
        Ok(match resumed {
            (subscription, true) => Resumed::Continued(subscription),
            (subscription, false) => Resumed::Reset(subscription),
        })
    }

    /// Begins to follow every update of all keys, or of some, in the order of commits.
    ///
    /// # Errors
    /// When an id is unknown or there are too many subscribers.
    pub fn feed(&self, spec: FeedSpec) -> Result<Feed<V>, SubscribeError> {
        let (_, feed, _) = Feed::new(Arc::clone(&self.shared), spec, None, false)?;
        Ok(feed)
    }

    /// The newest value of every key of a feed, and the feed of everything after that: no gap and
    /// no repetition between them.
    ///
    /// # Errors
    /// As for [`feed`](Self::feed).
    pub fn feed_with_state(&self, spec: FeedSpec) -> Result<(Newest<V>, Feed<V>), SubscribeError> {
        let (state, feed, _) = Feed::new(Arc::clone(&self.shared), spec, None, true)?;
        Ok((state, feed))
    }

    /// A feed that continues where an earlier one stopped, as [`resume`](Self::resume) does.
    ///
    /// # Errors
    /// As for [`feed`](Self::feed).
    pub fn resume_feed(
        &self,
        spec: FeedSpec,
        point: ResumePoint,
    ) -> Result<Resumed<Feed<V>>, SubscribeError> {
        let from = self.known(point);
        let (_, feed, is_resumed) = Feed::new(Arc::clone(&self.shared), spec, Some(from), false)?;
        Ok(if is_resumed {
            Resumed::Continued(feed)
        } else {
            Resumed::Reset(feed)
        })
    }

    /// The commit of a point, or one that will never be if it is another service's.
    fn known(&self, point: ResumePoint) -> CommitSeq {
        if point.instance == self.instance {
            point.commit_seq
        } else {
            CommitSeq::from_number(u64::MAX)
        }
    }

    /// Reads a part of a key's history once; `None` if the id is unknown. It makes no history
    /// deeper: there is what subscribers, or the default depth, had kept.
    #[must_use]
    pub fn read(&self, id: KeyId, requirement: Requirement) -> Option<View<V>> {
        self.shared.read(id, requirement)
    }

    /// The newest value of a key.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let id = self.id(key)?;
        let view = self.shared.read(id, Requirement::Latest)?;
        view.into_latest().map(|sample| sample.value)
    }

    /// Whether a key holds a value.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(id) = self.id(key) else { return false };
        self.shared.state.lock().slots.at(id.index()).len() > 0
    }

    /// How many keys hold a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().counts.values
    }

    /// Whether no key holds a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every key that holds a value with its newest, as of one commit, in the order in which keys
    /// were registered. It copies them all before it returns.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (K, V)> + use<K, V> {
        let newest = self.shared.state.lock().newest();
        self.keys.name(newest).into_iter()
    }

    /// Takes away a key's values and hands back the newest. That is a commit: who watches the key
    /// is woken and finds it empty, and counts what it had not seen as missed.
    ///
    /// The id stays the key's own, subscriptions and numbering stay, and the next put brings the
    /// key back; it still counts against the limit of keys.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.shared.clear(&[self.id(key)?])
    }

    /// Takes away the values of keys, in one commit; ids that are unknown are passed by. What
    /// subscribers asked for stays, and so do ids and numbering; see [`remove`](Self::remove).
    pub fn clear(&self, ids: &[KeyId]) {
        let known = ids
            .iter()
            .copied()
            .filter(|id| self.shared.check(*id).is_ok());
        drop(self.shared.clear(&known.collect::<Vec<_>>()));
    }

    /// Does what has to be done now and then; call it about once a second. It works in parts of a
    /// fraction of a millisecond, between which the service is free for others, and leaves what is
    /// more than 64 of them to the next call.
    ///
    /// - Histories that are four times as deep as anyone needs, and have been so for the grace
    ///   period, which begins with the first call that sees it, shrink. The newest value stays.
    /// - Keys to which nothing was put for their [time to live](Builder::idle_after) lose their
    ///   values; it says which.
    /// - What was cut for lack of memory is given back when half of the memory is free.
    /// - Subscriptions that are overrun and asked for it are closed.
    ///
    /// A clock that jumps back only delays.
    pub fn maintain(&self, now: Instant) -> Maintained {
        self.shared.maintain(now)
    }

    /// The counters, all of the same moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The counters of a key; `None` if the id is unknown.
    #[must_use]
    pub fn key_stats(&self, id: KeyId) -> Option<KeyStats> {
        self.shared.state.lock().key_stats(id)
    }
}

impl<K, V> Default for DataService<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Clone for DataService<K, V> {
    fn clone(&self) -> Self {
        Self {
            keys: Arc::clone(&self.keys),
            shared: Arc::clone(&self.shared),
            instance: self.instance,
        }
    }
}

impl<K, V> fmt::Debug for DataService<K, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DataService")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
