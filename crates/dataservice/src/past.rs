//! What happened to keys since an earlier commit, for those who resume.

use std::collections::HashMap;
use std::sync::Arc;

use crate::after::After;
use crate::log::{Chunk, Cleared};
use crate::shared::Handle;
use crate::state::{Start, State};
use crate::{CommitSeq, KeyId};

/// What happened to each key after a commit, counted from the log without holding the lock.
pub(crate) struct Past<V> {
    commit_seq: CommitSeq,
    counted_to: u64,
    cleared_to: CommitSeq,
    counts: HashMap<KeyId, u64>,
    /// To be dropped after unlocking.
    chunks: Vec<Arc<Chunk<V>>>,
    after: After<V>,
}

impl<V: Clone> Past<V> {
    pub(crate) fn after(shared: &Handle<V>, commit_seq: CommitSeq) -> Option<Self> {
        let mut after = After::new();
        let mut state = shared.state.lock();
        let sealed = state.log_after(commit_seq, &mut after);
        let mut past = Self {
            commit_seq,
            counted_to: state.log_end(),
            cleared_to: state.commit_seq,
            counts: HashMap::new(),
            chunks: Vec::new(),
            after,
        };
        drop(state);
        let (position, chunks) = sealed?;
        past.count(&chunks, position, commit_seq);
        past.chunks = chunks;
        Some(past)
    }

    /// Counts what came since; `false` if the log was cut meanwhile.
    pub(crate) fn complete(&mut self, state: &mut State<V>) -> bool {
        let Some((_, later)) = state.log_after(self.commit_seq, &mut self.after) else {
            return false;
        };
        self.count(&later, self.counted_to, self.cleared_to);
        self.chunks.extend(later);
        true
    }

    fn count(&mut self, chunks: &[Arc<Chunk<V>>], position: u64, commit_seq: CommitSeq) {
        for chunk in chunks {
            for update in chunk.from(position) {
                *self.counts.entry(update.id).or_default() += 1;
            }
            // A key that was cleared has changed, with or without an update.
            for Cleared { id, .. } in chunk.cleared_after(commit_seq) {
                self.counts.entry(id).or_default();
            }
        }
    }

    /// Where a key begins for one who saw everything up to the commit.
    pub(crate) fn of(&self, id: KeyId) -> Start {
        self.counts
            .get(&id)
            .map_or(Start::Seen, |unseen| Start::Unseen(*unseen))
    }
}
