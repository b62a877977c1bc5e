//! What the service's one lock protects: every history, the log, and what each reader has not
//! seen.
//!
//! Since a commit, a poll and a read each hold the lock once, each of them is atomic to the
//! others, and what a poll takes out is one commit prefix across all its keys. What has to happen
//! after unlocking (wakes, destructors of displaced values) is put into an [`After`].
//!
//! One lock, because it is the fastest way: a transaction takes it once and then runs at the speed
//! of memory, where a lock per shard costs every update; and because nothing else gives one order
//! of commits to all readers for free. Readers hold it briefly: they take segments and chunks by
//! count, and copy only single values.

mod commit;
mod feeds;
mod maintain;
mod memory;
mod poll;
mod read;
mod watch;

use crate::after::After;
use crate::builder::Settings;
use crate::chunked::Chunked;
use crate::log::Log;
use crate::slab::Slab;
use crate::slot::Slot;
use crate::subscriber::{FeedState, Subscriber};
use crate::watch::Watch;
use crate::{CommitSeq, KeyId, Schema};

use buffer_core::{Generation, KeySeq, Pool};

pub use maintain::Maintained;

pub(crate) use commit::Staged;
pub(crate) use feeds::{FeedAsk, FeedPolled};
pub(crate) use memory::Memory;
pub(crate) use poll::{Polled, Scope, Settled};
pub(crate) use watch::Start;

#[derive(Debug)]
pub(crate) struct State<V> {
    pub(crate) slots: Chunked<Slot<V>>,
    watches: Slab<Watch>,
    subscribers: Slab<Subscriber>,
    feeds: Slab<FeedState>,
    /// How many feeds are not closed.
    feeds_open: usize,
    log: Log<V>,
    /// What is known of the shapes of values, by the number of the key; empty if nobody said how
    /// to tell them.
    shapes: Vec<Option<KeyShape>>,
    /// Histories that may shrink.
    too_deep: maintain::TooDeep,
    /// Keys that became deep. Some may be so no more.
    deep: Vec<KeyId>,
    /// Keys whose histories were cut for lack of memory.
    cut: Vec<KeyId>,
    weigh: Option<fn(&V) -> usize>,
    depth_default: usize,
    /// How many subscribers, and how many feeds, make commits wait.
    blocking_subscribers: usize,
    blocking_feeds: usize,
    pub(crate) memory: Memory,
    /// Spare segments of histories.
    pool: Pool<V>,
    pub(crate) commit_seq: CommitSeq,
    pub(crate) counts: Counts,
    sweep: maintain::Sweep,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Keys that hold a value.
    pub(crate) values: usize,
    pub(crate) updates: u64,
    pub(crate) displaced: u64,
    pub(crate) wakes: u64,
    pub(crate) expired: u64,
    pub(crate) resizes: u64,
}

/// The shape of a key's values now, and since when.
#[derive(Debug, Clone, Copy)]
struct KeyShape {
    schema: Schema,
    generation: u64,
    start: KeySeq,
}

impl<V: Clone> State<V> {
    pub(crate) fn new(settings: &Settings<V>) -> Self {
        let pool = settings.registry.pool.clone();
        Self {
            slots: Chunked::new(),
            watches: Slab::new(),
            subscribers: Slab::new(),
            feeds: Slab::new(),
            feeds_open: 0,
            log: Log::new(settings.limits.resume_updates, settings.weigh),
            shapes: Vec::new(),
            too_deep: maintain::TooDeep::default(),
            deep: Vec::new(),
            cut: Vec::new(),
            weigh: settings.weigh,
            depth_default: settings.limits.depth_default,
            blocking_subscribers: 0,
            blocking_feeds: 0,
            memory: Memory::new(settings.limits.memory_max, pool.bytes_max()),
            pool,
            commit_seq: CommitSeq::START,
            counts: Counts::default(),
            sweep: maintain::Sweep::default(),
        }
    }

    pub(crate) fn readers_len(&self) -> usize {
        self.subscribers.len() + self.feeds.len()
    }

    pub(crate) fn feeds_len(&self) -> usize {
        self.feeds.len()
    }

    pub(crate) fn log_updates(&self) -> u64 {
        self.log.end()
            - self
                .log
                .oldest()
                .map_or(self.log.end(), |chunk| chunk.first)
    }

    /// Makes room for so many more keys, whose names take `key_bytes` each. `Err` has the bytes
    /// that there would be.
    pub(crate) fn add_keys(
        &mut self,
        count: usize,
        key_bytes: usize,
        after: &mut After<V>,
    ) -> Result<(), usize> {
        let bytes = count.saturating_mul(size_of::<Slot<V>>() + key_bytes);
        self.make_room(bytes, after)?;
        self.memory.charge(bytes as isize);
        for _ in 0..count {
            self.slots.push(Slot::new());
        }
        Ok(())
    }

    fn generation(&self, id: KeyId) -> (Generation, KeySeq) {
        match self.shapes.get(id.index()) {
            Some(Some(shape)) => (Generation::from_number(shape.generation), shape.start),
            _ => (Generation::default(), KeySeq::FIRST),
        }
    }
}
