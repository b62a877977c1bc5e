//! Every update of all keys in the order of commits, for feeds and for those who resume.
//!
//! The log is a queue of chunks. The last one is filled under the service's lock; a reader seals
//! it, takes the chunks that it has not seen by count, and reads them without a lock. It is as long
//! as its readers need: what every feed has seen, and nobody may resume from, goes. It keeps
//! nothing while it has no reader.

use std::collections::VecDeque;
use std::sync::Arc;

use buffer_core::{Cursor, KeySeq};

use crate::after::After;
use crate::state::Staged;
use crate::sync::Mutex;
use crate::{CommitSeq, KeyId};

/// One update in a [`FeedBatch`](crate::FeedBatch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<V> {
    /// The key.
    pub id: KeyId,
    /// The number of the update among those of its key.
    pub seq: KeySeq,
    /// Event time in microseconds.
    pub time_us: i64,
    /// The value.
    pub value: V,
}

/// A key that lost its values, in a [`FeedBatch`](crate::FeedBatch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleared {
    /// The key.
    pub id: KeyId,
    /// It lost the updates up to here; those after it came later.
    pub up_to: Cursor,
}

/// How many updates a chunk holds: enough that a chunk costs nothing per update, and little enough
/// that it lies in a processor's cache until its readers come.
pub(crate) const CHUNK: usize = 2_048;

/// Emptied chunks that are kept to be filled again.
const SPARES_MAX: usize = 64;

/// A run of updates, with the commits that end in it.
#[derive(Debug)]
pub(crate) struct Chunk<V> {
    /// The position of the first update in the log.
    pub(crate) first: u64,
    pub(crate) updates: Vec<Update<V>>,
    /// Keys that were cleared, with the commit that did it.
    cleared: Vec<(CommitSeq, Cleared)>,
    /// The commits in here, each with the number of updates up to its end.
    commits: Vec<(CommitSeq, usize)>,
    /// What the values weigh, once the chunk is sealed.
    weight: usize,
    spares: Arc<Spares<V>>,
}

/// Buffers of chunks that nobody reads any more. The last who lets go of a chunk, on whatever
/// thread, drops its values and leaves the buffer here.
#[derive(Debug)]
pub(crate) struct Spares<V> {
    buffers: Mutex<Vec<Vec<Update<V>>>>,
}

#[derive(Debug)]
pub(crate) struct Log<V> {
    sealed: VecDeque<Arc<Chunk<V>>>,
    tail: Chunk<V>,
    bytes_sealed: usize,
    /// The last commit that is not in here any more.
    dropped_commit: CommitSeq,
    /// How many updates are kept for those who resume.
    pub(crate) retain: usize,
    /// What a commit had copied when a clone panicked, to be dropped after unlocking.
    aborted: Vec<Update<V>>,
    weigh: Option<fn(&V) -> usize>,
    spares: Arc<Spares<V>>,
}

/// A run of updates that is being copied into the log. If a clone panics, it is taken back, so that
/// no reader ever finds updates that were not committed.
struct Copying<'a, V> {
    log: &'a mut Log<V>,
    place: usize,
    is_done: bool,
}

impl<V> Drop for Copying<'_, V> {
    fn drop(&mut self) {
        if !self.is_done {
            let copied = self.log.tail.updates.drain(self.place..);
            self.log.aborted.extend(copied);
        }
    }
}

impl<V> Log<V> {
    pub(crate) fn new(retain: usize, weigh: Option<fn(&V) -> usize>) -> Self {
        let spares = Arc::new(Spares {
            buffers: Mutex::new(Vec::new()),
        });
        Self {
            sealed: VecDeque::new(),
            tail: Chunk::at(0, &spares),
            bytes_sealed: 0,
            dropped_commit: CommitSeq::START,
            retain,
            aborted: Vec::new(),
            weigh,
            spares,
        }
    }

    /// Begins to keep updates, of which it has kept none before `commit_seq`.
    pub(crate) fn begin(&mut self, commit_seq: CommitSeq) {
        self.dropped_commit = commit_seq;
    }

    /// The position of the next update.
    pub(crate) fn end(&self) -> u64 {
        self.tail.first + self.tail.updates.len() as u64
    }

    /// Appends an update of the commit that is being made; its number in its key comes with
    /// [`number`](Self::number).
    #[inline(always)]
    pub(crate) fn push(&mut self, id: KeyId, time_us: i64, value: V) {
        self.tail.updates.push(Update {
            id,
            seq: KeySeq::FIRST,
            time_us,
            value,
        });
    }

    /// Prepares for so many updates, and gives the place of the first.
    pub(crate) fn reserve(&mut self, updates: usize, after: &mut After<V>) -> usize {
        after.updates.append(&mut self.aborted);
        if self.tail.updates.capacity() == 0 {
            self.tail.updates = self.spares.take();
        }
        self.tail.updates.reserve(updates);
        self.tail.updates.len()
    }

    /// Copies updates to their [places](Self::reserve).
    ///
    /// # Panics
    /// When a clone does; then nothing was copied.
    #[inline(always)]
    pub(crate) fn copy(&mut self, updates: &[Staged<V>])
    where
        V: Clone,
    {
        let place = self.tail.updates.len();
        let mut copying = Copying {
            log: self,
            place,
            is_done: false,
        };
        for update in updates {
            let value = update.value.clone();
            copying.log.push(update.id, update.time_us, value);
        }
        copying.is_done = true;
    }

    /// Gives the update at a place its number in its key.
    #[inline(always)]
    pub(crate) fn number(&mut self, place: usize, seq: u64) {
        if let (Some(update), Some(seq)) = (self.tail.updates.get_mut(place), KeySeq::new(seq)) {
            update.seq = seq;
        }
    }

    /// The key was cleared by a commit, which is [marked](Self::mark) next.
    pub(crate) fn clear(&mut self, cleared: Cleared, commit_seq: CommitSeq) {
        self.tail.cleared.push((commit_seq, cleared));
    }

    /// The commit is made. Chunks end with commits, so that each is whole in one of them.
    pub(crate) fn mark(&mut self, commit_seq: CommitSeq) {
        self.tail
            .commits
            .push((commit_seq, self.tail.updates.len()));
        if self.tail.updates.len() >= CHUNK || self.tail.commits.len() >= CHUNK {
            self.seal();
        }
    }

    /// Ends the chunk that is being filled, so that readers can have it.
    pub(crate) fn seal(&mut self) {
        if self.tail.commits.is_empty() {
            return;
        }
        let next = Chunk::at(self.end(), &self.spares);
        let mut chunk = std::mem::replace(&mut self.tail, next);
        // A reader that polls often seals chunks of a few updates. They must not take the memory of
        // whole ones, and their buffers go on being filled.
        self.tail.updates = cut_off(&mut chunk.updates);
        self.tail.commits = cut_off(&mut chunk.commits);
        chunk.cleared.shrink_to_fit();
        if let Some(weigh) = self.weigh {
            chunk.weight = chunk.updates.iter().map(|it| weigh(&it.value)).sum();
        }
        self.bytes_sealed += chunk.bytes();
        self.sealed.push_back(Arc::new(chunk));
    }

    /// The sealed chunks with updates from a position on, and commits after one.
    pub(crate) fn after(&self, position: u64, commit_seq: CommitSeq) -> Vec<Arc<Chunk<V>>> {
        let seen =
            |chunk: &Arc<Chunk<V>>| chunk.end() <= position && chunk.last_commit() <= commit_seq;
        let first = self.sealed.partition_point(seen);
        self.sealed.range(first..).cloned().collect()
    }

    /// The position after a commit, if everything after it is still here.
    pub(crate) fn position_after(&self, commit_seq: CommitSeq) -> Option<u64> {
        if commit_seq < self.dropped_commit {
            return None;
        }
        let seen = self
            .sealed
            .partition_point(|chunk| chunk.last_commit() <= commit_seq);
        let chunk = self.sealed.get(seen).map_or(&self.tail, Arc::as_ref);
        let ends = chunk.commits.partition_point(|(seq, _)| *seq <= commit_seq);
        let end = ends.checked_sub(1).map_or(0, |last| chunk.commits[last].1);
        Some(chunk.first + end as u64)
    }

    /// Drops the oldest chunk.
    pub(crate) fn pop(&mut self) -> Option<Arc<Chunk<V>>> {
        let chunk = self.sealed.pop_front()?;
        self.dropped_commit = chunk.last_commit();
        self.bytes_sealed -= chunk.bytes();
        Some(chunk)
    }

    /// All chunks, and the one that is being filled, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Chunk<V>> {
        let sealed = self.sealed.iter().map(Arc::as_ref);
        sealed.chain(std::iter::once(&self.tail))
    }

    /// The oldest chunk that is sealed.
    pub(crate) fn oldest(&self) -> Option<&Arc<Chunk<V>>> {
        self.sealed.front()
    }

    /// The memory of its sealed chunks in bytes, without what values own on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_sealed
    }

    pub(crate) fn spares(&self) -> &Arc<Spares<V>> {
        &self.spares
    }
}

/// Leaves a buffer as large as what it holds if that is little, and gives back the large one.
fn cut_off<T>(buffer: &mut Vec<T>) -> Vec<T> {
    if buffer.len() >= CHUNK / 4 || buffer.capacity() < CHUNK {
        return Vec::new();
    }
    let mut few = Vec::with_capacity(buffer.len());
    few.append(buffer);
    std::mem::replace(buffer, few)
}

impl<V> Chunk<V> {
    fn at(first: u64, spares: &Arc<Spares<V>>) -> Self {
        Self {
            first,
            updates: Vec::new(),
            cleared: Vec::new(),
            commits: Vec::new(),
            weight: 0,
            spares: Arc::clone(spares),
        }
    }

    /// The position after the last update.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.updates.len() as u64
    }

    /// The updates from a position on.
    pub(crate) fn from(&self, position: u64) -> &[Update<V>] {
        let skip = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.updates.get(skip..).unwrap_or_default()
    }

    /// The keys that commits after this one cleared.
    pub(crate) fn cleared_after(&self, commit_seq: CommitSeq) -> impl Iterator<Item = Cleared> {
        let cleared = self.cleared.iter();
        let after = cleared.filter(move |(seq, _)| *seq > commit_seq);
        after.map(|(_, cleared)| *cleared)
    }

    /// The last commit that ends in here.
    pub(crate) fn last_commit(&self) -> CommitSeq {
        self.commits
            .last()
            .map_or(CommitSeq::START, |(seq, _)| *seq)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.weight
            + self.updates.capacity() * size_of::<Update<V>>()
            + self.commits.capacity() * size_of::<(CommitSeq, usize)>()
            + self.cleared.capacity() * size_of::<(CommitSeq, Cleared)>()
    }
}

impl<V> Drop for Chunk<V> {
    fn drop(&mut self) {
        let mut updates = std::mem::take(&mut self.updates);
        updates.clear();
        self.spares.give(updates);
    }
}

impl<V> Spares<V> {
    fn take(&self) -> Vec<Update<V>> {
        let spare = self.buffers.lock().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(CHUNK))
    }

    fn give(&self, emptied: Vec<Update<V>>) {
        let is_usual = (CHUNK..=2 * CHUNK).contains(&emptied.capacity());
        // The sanitizer knows no fences, and so not that the last owner of a chunk comes after the
        // others. That what is freed is free it knows.
        if is_usual && !cfg!(thread_sanitizer) {
            let mut buffers = self.buffers.lock();
            if buffers.len() < SPARES_MAX {
                buffers.push(emptied);
            }
        }
    }

    /// Frees them all; how many bytes that were.
    pub(crate) fn release(&self) -> usize {
        let buffers = std::mem::take(&mut *self.buffers.lock());
        let capacity: usize = buffers.iter().map(Vec::capacity).sum();
        capacity * size_of::<Update<V>>()
    }
}
