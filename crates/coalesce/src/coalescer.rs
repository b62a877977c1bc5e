//! The coalescer itself, and what an add answers.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::batch::add_many;
use crate::named::{Lent, LentStr, Own};
use crate::shared::Shared;
use crate::{AddError, Aggregate, Builder, CoalescerStats, Key, Seeded, TakeReason, Taken, Writer};

/// Merges updates per key, from many threads, until somebody takes everything out.
///
/// Cloning it gives another handle to the same buffer. Each [`writer`](Self::writer) fills a table
/// of its own: an add costs one hash, one look-up, and no line of memory that another thread
/// writes. A take swaps the tables, and merges them while the writers go on with others.
///
/// Every update is in exactly one [`Taken`]: all that was added before a take began is in it or in
/// an earlier one. Updates of one writer keep their order; [`Stamp`](crate::Stamp) says what order
/// there is between writers. The caps hold for the buffer at every moment, over all writers: see
/// [`Builder::updates_max`] for how.
///
/// ```
/// use coalesce::{Added, Coalescer, Sum};
///
/// let buffer = Coalescer::new(Sum);
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         let writer = buffer.writer();
///         scope.spawn(move || {
///             for reading in [1.0, 2.0, 3.0] {
///                 let added = writer.add("watts", reading);
///                 assert_eq!(added, Ok(Added::Buffered));
///             }
///         });
///     }
/// });
/// let batch = buffer.take();
/// assert_eq!((batch.updates(), batch.keys()), (6, 1));
/// assert_eq!(batch.entries()[0].partial, 12.0);
///
/// // The sink refused it, so it goes back, and merges with what has come since.
/// assert_eq!(buffer.add("watts", 4.0), Ok(Added::Buffered));
/// buffer.restore(batch);
/// assert_eq!(buffer.take().entries()[0].partial, 16.0);
/// ```
pub struct Coalescer<K, A: Aggregate, S = Seeded> {
    shared: Arc<Shared<K, A, S>>,
}

/// What became of an update that was accepted.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a flush that is due has to be carried out, and what was taken delivered"]
pub enum Added<K, P> {
    /// It is in the buffer.
    Buffered,
    /// It is in the buffer, which holds `flush_at` updates or more: it is time to take.
    ///
    /// Every add says so until somebody does.
    FlushDue,
    /// It did not fit under a cap whose policy is `FlushNow`: here is everything that was in the
    /// buffer, and the update.
    Flushed(Taken<K, P>),
}

/// The answer to an update of an aggregate `A`.
pub type AddResult<K, A> =
    Result<Added<K, <A as Aggregate>::Partial>, AddError<K, <A as Aggregate>::Update>>;

/// What became of several updates.
#[derive(Debug)]
#[must_use = "what was taken has to be delivered"]
pub struct AddedMany<K, A: Aggregate> {
    /// Updates that were accepted.
    pub accepted: u64,
    /// Updates that were refused, one error each; they do not stop the others.
    pub refused: Vec<AddError<K, A::Update>>,
    /// What had to be taken out meanwhile, in order.
    pub flushed: Vec<Taken<K, A::Partial>>,
    /// Whether the last accepted update said that a flush is due.
    pub is_flush_due: bool,
}

impl<K, A> Coalescer<K, A>
where
    K: Hash + Eq + Clone,
    A: Aggregate,
{
    /// A coalescer that holds up to 1,000 updates, refuses more, and says from 100 on that a flush
    /// is due.
    #[must_use]
    pub fn new(aggregate: A) -> Self {
        Self::from_settings(Builder::new(aggregate))
    }

    /// Settings, to change the caps and what happens when they are reached.
    pub fn builder(aggregate: A) -> Builder<K, A> {
        Builder::new(aggregate)
    }
}

impl<K, A, S> Coalescer<K, A, S>
where
    K: Hash + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    pub(crate) fn from_settings(settings: Builder<K, A, S>) -> Self {
        Self {
            shared: Arc::new(Shared::new(settings)),
        }
    }

    /// A handle for one thread, which can be sent there and cannot be shared.
    ///
    /// It has up to four tables of its own, as large as what it added between two takes needs: two
    /// that it fills in turn, and up to two that were emptied and know the keys. What it does not
    /// use any more is given back by the next takes, and all of it when it is dropped.
    #[must_use]
    pub fn writer(&self) -> Writer<K, A, S> {
        Writer::new(Arc::clone(&self.shared))
    }

    /// Adds an update to its key, without a handle of one's own.
    ///
    /// Threads that have none share 16, each under a lock: this costs a lock in addition, which
    /// only threads that got the same one wait for, and a clock that they all write. Of two updates
    /// that are added without a handle, one of which began after the other ended, on whichever
    /// thread, the second is newer; [`Stamp`](crate::Stamp) says what holds between writers.
    ///
    /// # Errors
    /// If the aggregate refuses the update, or a cap whose policy is `Reject` is reached. The error
    /// holds the key and the update.
    pub fn add(&self, key: K, update: A::Update) -> AddResult<K, A> {
        let hash = self.shared.hash(&key);
        let lane = self.shared.open_lane();
        self.shared.add(&lane, hash, Own(key), update)
    }

    /// Adds an update to a key that is borrowed, and owned only if it is new.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_ref<Q>(&self, key: &Q, update: A::Update) -> AddResult<K, A>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.shared.hash(key);
        let lane = self.shared.open_lane();
        self.shared.add(&lane, hash, Lent(key), update)
    }

    /// Adds several updates; one that is refused does not stop the others.
    ///
    /// They are gathered 32 at a time before any of them is added: an iterator that waits, as that
    /// of a channel does, keeps up to 31 updates that nobody can take meanwhile. Should the
    /// aggregate, the iterator or a hash panic, those before are in, those after are not, and what
    /// was flushed goes back.
    pub fn add_many(&self, updates: impl IntoIterator<Item = (K, A::Update)>) -> AddedMany<K, A> {
        add_many(&self.shared, &self.shared.open_lane(), updates)
    }

    /// Takes everything out, because somebody asked for it.
    pub fn take(&self) -> Taken<K, A::Partial> {
        self.take_for(TakeReason::Manual)
    }

    /// Takes everything out, for a reason under which it is counted if there was anything.
    ///
    /// Takes time in proportion to the number of keys in all handles, and stops nobody meanwhile:
    /// handles go on with other tables, and no lock is held while these are merged. Handles get
    /// their tables back empty, with the keys that they knew, unless most of those had no updates:
    /// after a burst memory is given back.
    pub fn take_for(&self, reason: TakeReason) -> Taken<K, A::Partial> {
        self.shared.take_with(reason, None)
    }

    /// Brings back what could not be delivered, merged with what has come since.
    ///
    /// Nothing is refused, since it was accepted once: until the next take the buffer can hold its
    /// caps and what was out. It is put back in a moment, however large it is, and merged by the
    /// next take; but where more than 64 parts and four per handle wait for one, whoever restores
    /// merges all but 32. An entry without updates is dropped. The batch has to come from this
    /// coalescer, or the order of updates is lost for aggregates that need it.
    pub fn restore(&self, batch: Taken<K, A::Partial>) {
        self.shared.restore(batch);
    }

    /// Number of updates in the buffer, at once, exact when nobody adds meanwhile.
    ///
    /// Takes a short lock and reads one number per handle.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.shared.hub.lock().held.updates()
    }

    /// All counts, as of one moment after the call began.
    ///
    /// Merges what the handles hold, so that keys are counted once: this costs as much as a take,
    /// under the lock that all handles share, though 32 keys at a time, so that nobody waits for
    /// long. [`updates`](Self::updates) is cheaper.
    #[must_use]
    pub fn stats(&self) -> CoalescerStats {
        self.shared.stats()
    }

    /// Number of keys that memory is held for, with updates or without, in a hash table with room
    /// to spare. Costs a hand-over.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let mut hub = self.shared.hub.lock();
        hub.park_all();
        let capacity = hub.held.capacity();
        drop(hub);
        self.shared.settle();
        capacity
    }
}

impl<A: Aggregate, S: BuildHasher> Coalescer<Key, A, S> {
    /// Adds an update to a key that is a string, and copied only if it is new.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_str(&self, key: &str, update: A::Update) -> AddResult<Key, A> {
        let hash = self.shared.hash(key);
        let lane = self.shared.open_lane();
        self.shared.add(&lane, hash, LentStr(key), update)
    }
}

impl<K, A: Aggregate, S> Clone for Coalescer<K, A, S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, A: Aggregate, S> fmt::Debug for Coalescer<K, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").finish_non_exhaustive()
    }
}
