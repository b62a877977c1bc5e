//! A thread's handle to a coalescer, and one key's.

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::coalescer::add_many;
use crate::shared::Shared;
use crate::{AddResult, AddedMany, Aggregate};

/// Adds to a [`Coalescer`](crate::Coalescer) from one thread; made by
/// [`writer`](crate::Coalescer::writer).
///
/// It can be sent to a thread but not shared by several. What it added stays in the buffer when it
/// is dropped: nothing waits in the handle.
pub struct Writer<K, A: Aggregate, S = RandomState> {
    shared: Arc<Shared<K, A, S>>,
    unshared: PhantomData<Cell<()>>,
}

impl<K, A, S> Writer<K, A, S>
where
    K: Hash + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    pub(crate) fn new(shared: Arc<Shared<K, A, S>>) -> Self {
        Self {
            shared,
            unshared: PhantomData,
        }
    }

    /// Adds an update to its key.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    pub fn add(&self, key: K, update: A::Update) -> AddResult<K, A> {
        self.shared.add(self.shared.hash(&key), key, update)
    }

    /// Adds an update to a key that is borrowed, and owned only if it is new.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    pub fn add_ref<Q>(&self, key: &Q, update: A::Update) -> AddResult<K, A>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.shared.hash(key);
        self.shared.add_ref(hash, key, update, Q::to_owned)
    }

    /// Adds several updates; one that is refused does not stop the others.
    pub fn add_many(&self, updates: impl IntoIterator<Item = (K, A::Update)>) -> AddedMany<K, A> {
        add_many(updates, |key, update| self.add(key, update))
    }

    /// A handle to one key, which is hashed now and not again.
    ///
    /// ```
    /// use coalesce::{Added, Coalescer, Count};
    ///
    /// let buffer = Coalescer::new(Count);
    /// let writer = buffer.writer();
    /// let requests = writer.bind("requests".to_owned());
    /// for _ in 0..10 {
    ///     assert_eq!(requests.add(()), Ok(Added::Buffered));
    /// }
    /// assert_eq!(buffer.take().entries()[0].partial, 10);
    /// // The handle goes on after a take.
    /// assert_eq!(requests.add(()), Ok(Added::Buffered));
    /// ```
    #[must_use]
    pub fn bind(&self, key: K) -> BoundKey<'_, K, A, S> {
        BoundKey {
            hash: self.shared.hash(&key),
            key,
            writer: self,
        }
    }
}

impl<K, A: Aggregate, S> fmt::Debug for Writer<K, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Adds to one key, again and again; made by [`Writer::bind`].
pub struct BoundKey<'a, K, A: Aggregate, S = RandomState> {
    writer: &'a Writer<K, A, S>,
    hash: u64,
    key: K,
}

impl<K, A, S> BoundKey<'_, K, A, S>
where
    K: Hash + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    /// Adds an update to the key.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    pub fn add(&self, update: A::Update) -> AddResult<K, A> {
        let shared = &self.writer.shared;
        shared.add_ref(self.hash, &self.key, update, K::clone)
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }
}

impl<K: fmt::Debug, A: Aggregate, S> fmt::Debug for BoundKey<'_, K, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
