//! What the service knows of those who read: which of their keys changed, and how far they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::log::Cleared;
use crate::signal::Signal;
use crate::state::Settled;
use crate::watch::Need;
use crate::{Backpressure, Closed, CommitSeq, FeedStats, KeyId, Requirement};

/// A subscriber to keys.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) signal: Arc<Signal>,
    pub(crate) entries: Vec<Option<Entry>>,
    pub(crate) vacant: Vec<u32>,
    /// Entries whose key changed, in the order in which they did. At most one per entry, so that a
    /// slow subscriber costs no memory.
    pub(crate) dirty: Vec<u32>,
    /// Keys whose grant was cut since the last poll.
    pub(crate) revised: Vec<KeyId>,
    pub(crate) backpressure: Backpressure,
    /// Its keys count as changed and are on no list, so that a commit passes it by.
    pub(crate) is_paused: bool,
    pub(crate) closed: Option<Closed>,
    /// How far it had come when it was closed.
    pub(crate) settled: Settled,
    /// A commit has waited for it in vain; none waits again before it polls.
    pub(crate) is_stalled: bool,
}

/// A key of a subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: KeyId,
    pub(crate) requirement: Requirement,
    pub(crate) need: Need,
    /// The number of the last update that was seen.
    pub(crate) cursor: u64,
    /// The number of the last update before it was watched.
    pub(crate) start: u64,
    /// It changed while its subscriber was paused, or before that, and was not seen since.
    pub(crate) is_told: bool,
}

impl Subscriber {
    pub(crate) fn new(signal: Arc<Signal>, backpressure: Backpressure) -> Self {
        Self {
            signal,
            entries: Vec::new(),
            vacant: Vec::new(),
            dirty: Vec::new(),
            revised: Vec::new(),
            backpressure,
            is_paused: false,
            closed: None,
            settled: Settled::default(),
            is_stalled: false,
        }
    }

    pub(crate) fn insert(&mut self, entry: Entry) -> u32 {
        match self.vacant.pop() {
            Some(at) => {
                self.entries[at as usize] = Some(entry);
                at
            }
            None => {
                let at = u32::try_from(self.entries.len());
                self.entries.push(Some(entry));
                at.expect("keys are capped by the range of u32")
            }
        }
    }

    /// Notes that a key changed, which it had seen up to then; `true` if it is the first since the
    /// last poll.
    #[inline]
    pub(crate) fn tell(&mut self, at: u32) -> bool {
        if self.is_paused {
            if let Some(Some(entry)) = self.entries.get_mut(at as usize) {
                entry.is_told = true;
            }
            return false;
        }
        self.dirty.push(at);
        self.signal.mark()
    }

    pub(crate) fn is_blocking(&self) -> bool {
        matches!(self.backpressure, Backpressure::Block(_))
    }
}

impl Entry {
    /// Whether it wants every update.
    pub(crate) fn wants_all(&self) -> bool {
        matches!(self.requirement, Requirement::Since { .. })
    }
}

/// A reader of the log.
#[derive(Debug)]
pub(crate) struct FeedState {
    pub(crate) signal: Arc<Signal>,
    pub(crate) position: u64,
    pub(crate) commit_seq: CommitSeq,
    pub(crate) updates_max: usize,
    pub(crate) backpressure: Backpressure,
    /// Its keys with the number of updates that each had before; all keys if `None`.
    pub(crate) keys: Option<Vec<(KeyId, u64)>>,
    pub(crate) set: KeySet,
    /// The position at which it began.
    pub(crate) start: u64,
    /// What the log dropped before it was read, since the last poll.
    pub(crate) missed: u64,
    /// Keys that were cleared by commits that the log dropped since.
    pub(crate) cleared: BTreeMap<KeyId, Cleared>,
    pub(crate) is_paused: bool,
    pub(crate) is_stalled: bool,
    pub(crate) closed: Option<Closed>,
    /// What had become of its updates when it was closed.
    pub(crate) settled: FeedStats,
}

impl FeedState {
    pub(crate) fn contains(&self, id: KeyId) -> bool {
        self.keys.is_none() || self.set.contains(id)
    }
}

/// A set of keys, a bit for each up to the greatest.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    words: Vec<u64>,
}

impl KeySet {
    pub(crate) fn insert(&mut self, id: KeyId) -> bool {
        let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    #[inline]
    pub(crate) fn contains(&self, id: KeyId) -> bool {
        let word = self.words.get(id.index() / 64);
        word.is_some_and(|word| word & (1 << (id.index() % 64)) != 0)
    }
}
