//! A thread's handle to a coalescer, and one key's.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash as Hashed};
use std::sync::Arc;

use crate::batch::add_many;
use crate::hash::Hash;
use crate::lane::Lane;
use crate::named::{Bound, Lent, LentStr, Own};
use crate::shared::Shared;
use crate::{AddResult, AddedMany, Aggregate, Key, Seeded, Stamp};

/// Adds to a [`Coalescer`](crate::Coalescer) from one thread; made by
/// [`writer`](crate::Coalescer::writer).
///
/// It can be sent to a thread but not shared by several:
///
/// ```compile_fail
/// fn is_sync<T: Sync>(_: &T) {}
/// is_sync(&coalesce::Coalescer::<u64, _>::new(coalesce::Count).writer());
/// ```
///
/// What it added stays in the buffer when it is dropped: nothing waits in the handle.
pub struct Writer<K, A: Aggregate, S = Seeded> {
    shared: Arc<Shared<K, A, S>>,
    /// Not `Sync`, and so neither is the writer.
    lane: Lane<K, A::Partial>,
}

impl<K, A, S> Writer<K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    pub(crate) fn new(shared: Arc<Shared<K, A, S>>) -> Self {
        // Writers that ended left parts behind.
        shared.settle();
        let lane = Lane::new(&shared.hub);
        Self { shared, lane }
    }

    /// Adds an update to its key.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    #[inline(always)]
    pub fn add(&self, key: K, update: A::Update) -> AddResult<K, A> {
        let hash = self.shared.hash(&key);
        self.shared.add(&self.lane, hash, Own(key), update)
    }

    /// Adds an update to a key that is borrowed, and owned only if this handle does not know it.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    #[inline(always)]
    pub fn add_ref<Q>(&self, key: &Q, update: A::Update) -> AddResult<K, A>
    where
        K: Borrow<Q>,
        Q: Hashed + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.shared.hash(key);
        self.shared.add(&self.lane, hash, Lent(key), update)
    }

    /// Adds several updates, 32 at a time, which costs less than one by one; one that is refused
    /// does not stop the others.
    ///
    /// An iterator that waits keeps up to 31 updates that nobody can take meanwhile. Should the
    /// aggregate, the iterator or a hash panic, those before are in, those after are not, and what
    /// was flushed goes back.
    pub fn add_many(&self, updates: impl IntoIterator<Item = (K, A::Update)>) -> AddedMany<K, A> {
        add_many(&self.shared, &self.lane, updates)
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

    /// A stamp that is no older than what this writer added last, to be
    /// [followed](Self::follow) by another one. Costs a lock.
    #[must_use]
    pub fn newest(&self) -> Stamp {
        let hub = self.shared.hub.lock();
        let order = self.lane.slot.write(|container| container.account.clock);
        Stamp::new(order.max(hub.held.clock), u32::MAX)
    }

    /// Makes what this writer adds from now on newer than `stamp`, which comes from a writer of the
    /// same coalescer. Costs a lock.
    ///
    /// Of two updates that two writers add between two takes, neither is older in general. Threads
    /// that do have an order, because one waits for the other, hand it over with their message:
    ///
    /// ```
    /// use coalesce::{Coalescer, Last};
    ///
    /// let buffer = Coalescer::new(Last::new());
    /// let (first, second) = (buffer.writer(), buffer.writer());
    /// let _ = first.add("valve", "opening");
    /// let _ = first.add("valve", "open");
    /// second.follow(first.newest());
    /// let _ = second.add("valve", "closed");
    /// assert_eq!(*buffer.take().entries()[0].partial.value(), "closed");
    /// ```
    pub fn follow(&self, stamp: Stamp) {
        let mut hub = self.shared.hub.lock();
        hub.held.clock = hub.held.clock.max(stamp.order());
        self.lane.slot.write(|container| {
            let clock = &mut container.account.clock;
            *clock = stamp.order().max(*clock);
        });
    }
}

impl<A: Aggregate, S: BuildHasher> Writer<Key, A, S> {
    /// Adds an update to a key that is a string, and copied only if this handle does not know it.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    #[inline(always)]
    pub fn add_str(&self, key: &str, update: A::Update) -> AddResult<Key, A> {
        let hash = self.shared.hash(key);
        self.shared.add(&self.lane, hash, LentStr(key), update)
    }
}

impl<K, A: Aggregate, S> Drop for Writer<K, A, S> {
    /// What the writer added stays in the buffer.
    fn drop(&mut self) {
        let Lane { slot, number, .. } = &mut self.lane;
        let mut hub = self.shared.hub.lock();
        let ended = hub.end_lane(*number, slot);
        drop(hub);
        drop(ended);
    }
}

impl<K, A: Aggregate, S> fmt::Debug for Writer<K, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Adds to one key, again and again; made by [`Writer::bind`].
pub struct BoundKey<'a, K, A: Aggregate, S = Seeded> {
    writer: &'a Writer<K, A, S>,
    hash: Hash,
    key: K,
}

impl<K, A, S> BoundKey<'_, K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    /// Adds an update to the key.
    ///
    /// # Errors
    /// As [`Coalescer::add`](crate::Coalescer::add).
    #[inline(always)]
    pub fn add(&self, update: A::Update) -> AddResult<K, A> {
        let Writer { shared, lane } = self.writer;
        shared.add(lane, self.hash, Bound(&self.key), update)
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
