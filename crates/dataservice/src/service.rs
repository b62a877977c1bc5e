//! The service: keys, values, and handles to everything else.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use crate::builder::Limits;
use crate::keys::Keys;
use crate::shared::{Handle, Shared};
use crate::state::Staged;
use crate::{
    Builder, CommitSeq, Instance, KeyId, KeyLimit, Maintained, PutError, Refusal, Requirement,
    Spec, Stats, SubscribeError, Subscription, Transaction, View,
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
        Self::with_limits(Limits::default())
    }

    /// Sets other limits.
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self {
            keys: Arc::new(Keys::new(limits.keys_max)),
            shared: Arc::new(Shared::new(limits)),
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
    /// When the key is new and no more fit.
    pub fn register(&self, key: K) -> Result<KeyId, KeyLimit> {
        self.keys.intern(key, || self.shared.add_key())
    }

    /// The ids of keys, in their order, which become known if they were not. All or none: either
    /// there is room for all that are new, or none becomes known.
    ///
    /// # Errors
    /// When there is no room for all.
    pub fn register_all(&self, keys: Vec<K>) -> Result<Vec<KeyId>, KeyLimit> {
        self.keys.intern_all(keys, || self.shared.add_key())
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
    /// When the id is unknown; the value is handed back.
    pub fn put(&self, id: KeyId, time_us: i64, value: V) -> Result<CommitSeq, PutError<V>> {
        if let Some(refusal) = self.shared.refusal(id) {
            return Err(PutError { refusal, value });
        }
        Ok(self.shared.commit(&mut [Staged {
            id,
            time_us,
            value: Some(value),
        }]))
    }

    /// Commits values of one key together, each with its time in microseconds. All or none.
    ///
    /// # Errors
    /// As for [`Transaction::put_many`].
    pub fn put_many(
        &self,
        id: KeyId,
        values: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<CommitSeq, PutError<V>> {
        let mut transaction = self.begin();
        transaction.put_many(id, values)?;
        Ok(transaction.commit())
    }

    /// Commits one value by key, and registers the key if it is new.
    ///
    /// # Errors
    /// When the key is new and no more fit; the value is handed back.
    pub fn insert(&self, key: K, time_us: i64, value: V) -> Result<CommitSeq, PutError<V>> {
        match self.register(key) {
            Ok(id) => self.put(id, time_us, value),
            Err(limit) => Err(PutError {
                refusal: Refusal::KeyLimit(limit),
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
    /// shown by the first poll.
    ///
    /// # Errors
    /// When an id is unknown or there are too many subscribers.
    pub fn subscribe<O: 'static>(
        &self,
        spec: Spec<V, O>,
    ) -> Result<Subscription<V, O>, SubscribeError> {
        Subscription::new(Arc::clone(&self.shared), spec)
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
        !self.shared.state.lock().slots[id.index()]
            .history
            .is_empty()
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
        self.shared.clear(self.id(key)?)
    }

    /// Shrinks histories that are four times as deep as anyone needs, and have been so for the
    /// grace period, which begins with the first call that sees it. Call it every few seconds.
    ///
    /// The newest value of a key is never displaced. A clock that jumps back only delays.
    pub fn maintain(&self, now: Instant) -> Maintained {
        self.shared.maintain(now)
    }

    /// The counters, all of the same moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
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
