//! What the handles of a service share: the lock, and what happens after unlocking.

use std::sync::Arc;
use std::time::Instant;

use buffer_core::History;

use crate::builder::Limits;
use crate::signal::Signal;
use crate::state::{Maintained, Staged, State};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::{CommitSeq, KeyId, Refusal, Requirement, Stats, View};

#[derive(Debug)]
pub(crate) struct Shared<V> {
    pub(crate) state: Mutex<State<V>>,
    pub(crate) limits: Limits,
    /// How many keys there are, for checks that need no lock.
    keys: AtomicUsize,
    wakes_panicked: AtomicU64,
}

impl<V: Clone> Shared<V> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::new(State::new()),
            limits,
            keys: AtomicUsize::new(0),
            wakes_panicked: AtomicU64::new(0),
        }
    }

    pub(crate) fn keys_len(&self) -> usize {
        self.keys.load(Ordering::Acquire)
    }

    /// Whether there is a key with this id; if not, how many there are.
    pub(crate) fn check(&self, id: KeyId) -> Result<(), usize> {
        let keys = self.keys_len();
        if id.index() < keys { Ok(()) } else { Err(keys) }
    }

    pub(crate) fn refusal(&self, id: KeyId) -> Option<Refusal> {
        self.check(id)
            .err()
            .map(|keys| Refusal::UnknownKey { id, keys })
    }

    /// Makes room for the values of one more key.
    pub(crate) fn add_key(&self) {
        let history = History::with_room(self.limits.depth_default, self.limits.room);
        let mut state = self.state.lock();
        state.slots.push(crate::slot::Slot::new(history));
        self.keys.store(state.slots.len(), Ordering::Release);
    }

    /// Commits; an empty commit is none. What was displaced is left in `staged`, to be dropped by
    /// the caller.
    pub(crate) fn commit(&self, staged: &mut [Staged<V>]) -> CommitSeq {
        let (commit_seq, wakes) = {
            let mut state = self.state.lock();
            if staged.is_empty() {
                return state.commit_seq;
            }
            let wakes = state.commit(staged);
            (state.commit_seq, wakes)
        };
        self.wake(&wakes);
        commit_seq
    }

    /// Takes away every value of a key and hands back the newest.
    pub(crate) fn clear(&self, id: KeyId) -> Option<V> {
        let (values, wakes) = self.state.lock().clear(id);
        self.wake(&wakes);
        values.into_newest()
    }

    pub(crate) fn read(&self, id: KeyId, requirement: Requirement) -> Option<View<V>> {
        self.check(id).ok()?;
        let depth = match requirement {
            Requirement::Count(count) => count,
            other => other.grant(&self.limits, size_of::<V>()).depth,
        };
        Some(self.state.lock().read(id, requirement, depth))
    }

    pub(crate) fn maintain(&self, now: Instant) -> Maintained {
        let (maintained, displaced) = self.state.lock().maintain(now, &self.limits);
        drop(displaced);
        maintained
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            keys: state.slots.len(),
            keys_max: self.limits.keys_max,
            values: state.counts.values,
            commits: state.commit_seq.number(),
            updates: state.counts.updates,
            displaced: state.counts.displaced,
            subscribers: state.subscribers_len(),
            wakes: state.counts.wakes,
            wakes_panicked: self.wakes_panicked.load(Ordering::Relaxed),
        }
    }

    /// Runs before displaced values are dropped: if a destructor panics, nobody is left waiting.
    pub(crate) fn wake(&self, wakes: &[Arc<Signal>]) {
        for signal in wakes {
            if !signal.raise() {
                self.wakes_panicked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A handle to what is shared.
pub(crate) type Handle<V> = Arc<Shared<V>>;
