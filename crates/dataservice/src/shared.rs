//! What the handles of a service share: the lock, and what happens after unlocking.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::after::After;
use crate::builder::Settings;
use crate::cascade::TooDeep;
use crate::gate::Gate;
use crate::signal::Signal;
use crate::state::{Maintained, Memory, Staged, State};
use crate::sync::{AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, RwLock};
use crate::{CommitSeq, KeyId, Mismatch, Refusal, RegisterError, Requirement, Schema, Stats, View};

#[derive(Debug)]
pub(crate) struct Shared<V> {
    pub(crate) state: Gate<State<V>>,
    pub(crate) settings: Settings<V>,
    /// Where commits wait for readers that block them.
    room: Condvar,
    /// How many keys there are, for checks that need no lock.
    keys: AtomicUsize,
    /// What keys were declared to hold, and how many were.
    declared: RwLock<HashMap<KeyId, Schema>>,
    declared_len: AtomicUsize,
    /// Buffers of transactions, to be used again.
    spares: Mutex<Vec<Vec<Staged<V>>>>,
    times: Times,
    wakes_panicked: AtomicU64,
    refused_memory: AtomicU64,
}

/// A handle to what is shared.
pub(crate) type Handle<V> = Arc<Shared<V>>;

/// Parts of the maintenance that one call does at most, each of which holds the lock for a fraction
/// of a millisecond: a million keys are swept by one call.
const MAINTAIN_PARTS_MAX: usize = 64;

/// How long commits held the lock: one in so many is timed.
const TIMED_EVERY: u64 = 64;

/// Buffers of transactions that are kept, and how large they may be, in bytes.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
struct Times {
    timed: AtomicU64,
    nanoseconds: AtomicU64,
    nanoseconds_max: AtomicU64,
}

impl<V> Shared<V> {
    /// An empty buffer for a transaction, which has its memory already if one was kept.
    pub(crate) fn spare(&self) -> Vec<Staged<V>> {
        self.spares.lock().pop().unwrap_or_default()
    }

    /// Keeps the buffer of a transaction.
    pub(crate) fn keep_spare(&self, mut staged: Vec<Staged<V>>) {
        staged.clear();
        if (1..=SPARE_BYTES_MAX).contains(&(staged.capacity() * size_of::<Staged<V>>())) {
            let mut spares = self.spares.lock();
            if spares.len() < SPARES_MAX {
                spares.push(staged);
                return;
            }
        }
        drop(staged);
    }
}

impl<V: Clone> Shared<V> {
    pub(crate) fn new(settings: Settings<V>) -> Self {
        Self {
            state: Gate::new(State::new(&settings)),
            settings,
            room: Condvar::default(),
            keys: AtomicUsize::new(0),
            declared: RwLock::default(),
            declared_len: AtomicUsize::new(0),
            spares: Mutex::new(Vec::new()),
            times: Times::default(),
            wakes_panicked: AtomicU64::new(0),
            refused_memory: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn keys_len(&self) -> usize {
        self.keys.load(Ordering::Acquire)
    }

    /// Whether there is a key with this id; if not, how many there are.
    #[inline(always)]
    pub(crate) fn check(&self, id: KeyId) -> Result<(), usize> {
        let keys = self.keys_len();
        if id.index() < keys { Ok(()) } else { Err(keys) }
    }

    /// Why a value of this key is not taken.
    #[inline(always)]
    pub(crate) fn refusal(&self, id: KeyId, value: &V) -> Option<Refusal> {
        if let Err(keys) = self.check(id) {
            std::hint::cold_path();
            return Some(Refusal::UnknownKey { id, keys });
        }
        if self.declared_len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.mismatch(id, value)
    }

    #[cold]
    fn mismatch(&self, id: KeyId, value: &V) -> Option<Refusal> {
        let expected = self.declared.read().get(&id).copied()?;
        let describe = self.settings.describe?;
        let mismatch = expected.mismatch(&describe(value))?;
        Some(Refusal::Mismatch { id, mismatch })
    }

    /// From now on the key takes only values of this schema. `Err` says what else it holds.
    pub(crate) fn declare(
        &self,
        id: KeyId,
        schema: Schema,
        describe: fn(&V) -> Schema,
    ) -> Result<(), Mismatch> {
        let newest = self
            .read(id, Requirement::Latest)
            .and_then(View::into_latest);
        if let Some(mismatch) = newest.and_then(|it| schema.mismatch(&describe(&it.value))) {
            return Err(mismatch);
        }
        let mut declared = self.declared.write();
        declared.insert(id, schema);
        self.declared_len.store(declared.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Makes room for the values of so many more keys, whose names take `key_bytes` each.
    pub(crate) fn add_keys(&self, count: usize, key_bytes: usize) -> Result<(), RegisterError> {
        let mut after = After::new();
        let added = {
            let mut state = self.state.lock();
            let added = state.add_keys(count, key_bytes, &mut after);
            self.keys.store(state.slots.len(), Ordering::Release);
            added
        };
        self.finish(after);
        added.map_err(|bytes| {
            self.refused_memory.fetch_add(1, Ordering::Relaxed);
            RegisterError::OutOfMemory {
                bytes,
                limit: self.settings.limits.memory_max,
            }
        })
    }

    /// Commits one value, or hands it back.
    pub(crate) fn commit_one(&self, update: Staged<V>) -> Result<CommitSeq, (Refusal, V)> {
        if let Some(refusal) = self.cascade() {
            return Err((refusal, update.value));
        }
        let mut after = After::new();
        let committed = {
            let mut state = self.wait_for_readers(std::slice::from_ref(&update));
            match self.memory_refusal(&mut state, std::slice::from_ref(&update), &mut after) {
                Some(refusal) => Err((refusal, update.value)),
                None => Ok(self.timed(state, |state| {
                    state.commit_one(update, &self.settings, &mut after)
                })),
            }
        };
        self.finish(after);
        committed
    }

    /// Commits what is staged, or leaves it where it is; an empty commit is none.
    pub(crate) fn commit(&self, staged: &mut Vec<Staged<V>>) -> Result<CommitSeq, Refusal> {
        if let Some(refusal) = self.cascade() {
            return Err(refusal);
        }
        let mut after = After::new();
        let committed = {
            let mut state = self.wait_for_readers(staged);
            if staged.is_empty() {
                return Ok(state.commit_seq);
            }
            match self.memory_refusal(&mut state, staged, &mut after) {
                Some(refusal) => Err(refusal),
                None => Ok(self.timed(state, |state| {
                    state.commit(staged, &self.settings, &mut after)
                })),
            }
        };
        self.finish(after);
        committed
    }

    /// Takes away every value of keys and hands back the newest of the last.
    pub(crate) fn clear(&self, ids: &[KeyId]) -> Option<V> {
        let mut after = After::new();
        let newest = self.state.lock().clear(ids, &self.settings, &mut after);
        self.finish(after);
        newest
    }

    pub(crate) fn read(&self, id: KeyId, requirement: Requirement) -> Option<View<V>> {
        self.check(id).ok()?;
        let limits = &self.settings.limits;
        let depth = match requirement {
            Requirement::Count(count) => count,
            other => other.need(limits, size_of::<V>(), usize::MAX).depth_max,
        };
        Some(self.state.lock().read(id, requirement, depth))
    }

    /// In parts, between which the lock is free.
    pub(crate) fn maintain(&self, now: Instant) -> Maintained {
        let mut maintained = Maintained::default();
        for _ in 0..MAINTAIN_PARTS_MAX {
            let mut after = After::new();
            let (part, is_more) = self.state.lock().maintain(now, &self.settings, &mut after);
            self.finish(after);
            maintained.add(part);
            if !is_more {
                break;
            }
        }
        maintained
    }

    pub(crate) fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let timed = load(&self.times.timed).max(1);
        let mean = load(&self.times.nanoseconds) / timed;
        let state = self.state.lock();
        let Memory { limit, .. } = state.memory;
        Stats {
            keys: state.slots.len(),
            keys_max: self.settings.limits.keys_max,
            values: state.counts.values,
            commits: state.commit_seq.number(),
            updates: state.counts.updates,
            displaced: state.counts.displaced,
            subscribers: state.readers_len(),
            feeds: state.feeds_len(),
            log_updates: state.log_updates(),
            wakes: state.counts.wakes,
            wakes_panicked: load(&self.wakes_panicked),
            resizes: state.counts.resizes,
            expired: state.counts.expired,
            bytes: state.bytes_taken(),
            bytes_spare: self.settings.registry.pool.bytes(),
            bytes_max: limit,
            refused_memory: load(&self.refused_memory),
            commit_time_mean: Duration::from_nanos(mean),
            commit_time_max: Duration::from_nanos(load(&self.times.nanoseconds_max)),
        }
    }

    /// Does what had to wait until the lock was released. Wakes come first: if a destructor
    /// panics, nobody is left waiting.
    pub(crate) fn finish(&self, mut after: After<V>) {
        self.wake(&after.take_wakes());
        drop(after);
    }

    pub(crate) fn wake(&self, wakes: &[Arc<Signal>]) {
        for signal in wakes {
            if !signal.raise() {
                self.wakes_panicked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Somebody polled: commits that waited for it look again.
    pub(crate) fn polled(&self, state: MutexGuard<'_, State<V>>) {
        let is_waited_for = state.is_waited_for();
        drop(state);
        if is_waited_for {
            self.room.notify_all();
        }
    }

    /// A reader that commits may have waited for is gone.
    pub(crate) fn room_made(&self, state: MutexGuard<'_, State<V>>) {
        drop(state);
        self.room.notify_all();
    }

    /// The lock, once nobody who makes commits wait would lose something by this one, or was waited
    /// for in vain.
    fn wait_for_readers(&self, staged: &[Staged<V>]) -> MutexGuard<'_, State<V>> {
        let mut state = self.state.lock_to_commit();
        if !state.is_waited_for() || crate::cascade::depth() > 0 {
            return state;
        }
        let start = Instant::now();
        loop {
            let mut slow = state.slow_readers(staged);
            let now = Instant::now();
            let mut in_vain = slow.clone();
            in_vain.retain(|_, timeout| now.saturating_duration_since(start) >= *timeout);
            state.stalled(&in_vain);
            slow.retain(|reader, _| !in_vain.contains_key(reader));
            let Some(timeout) = slow.values().min() else {
                return state;
            };
            // A deadline beyond the clock's range is no deadline.
            state = match start.checked_add(*timeout) {
                Some(deadline) => self.room.wait_until(state, deadline),
                None => self.room.wait(state),
            };
        }
    }

    fn cascade(&self) -> Option<Refusal> {
        let limit = self.settings.limits.cascade_max;
        let too_deep = crate::cascade::check(limit).err()?;
        let TooDeep { depth, limit } = too_deep;
        Some(Refusal::Cascade { depth, limit })
    }

    /// Why there is no memory for updates, if values are weighed and there is none.
    fn memory_refusal(
        &self,
        state: &mut State<V>,
        staged: &[Staged<V>],
        after: &mut After<V>,
    ) -> Option<Refusal> {
        let weigh = self.settings.weigh?;
        let weight: usize = staged.iter().map(|update| weigh(&update.value)).sum();
        let refusal = state.refusal_for(weight, staged, weigh, after)?;
        self.refused_memory.fetch_add(1, Ordering::Relaxed);
        Some(refusal)
    }

    /// Times one in so many commits.
    #[inline(always)]
    fn timed(
        &self,
        mut state: MutexGuard<'_, State<V>>,
        commit: impl FnOnce(&mut State<V>) -> CommitSeq,
    ) -> CommitSeq {
        if !state.commit_seq.number().is_multiple_of(TIMED_EVERY) {
            let commit_seq = commit(&mut state);
            self.state.release(state);
            return commit_seq;
        }
        let start = Instant::now();
        let commit_seq = commit(&mut state);
        self.state.release(state);
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times.timed.fetch_add(1, Ordering::Relaxed);
        self.times.nanoseconds.fetch_add(took, Ordering::Relaxed);
        self.times
            .nanoseconds_max
            .fetch_max(took, Ordering::Relaxed);
        commit_seq
    }
}
