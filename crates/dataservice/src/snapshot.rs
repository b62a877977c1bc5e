//! What a poll returns.

use std::ops::Range;

use buffer_core::KeySeq;

use crate::{CommitSeq, Extract, KeyId};

/// The keys of one poll, all as of the same commit: it contains every commit up to
/// [`commit_seq`](Self::commit_seq) and nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<O> {
    pub(crate) commit_seq: CommitSeq,
    pub(crate) is_reset: bool,
    pub(crate) revised: Vec<KeyId>,
    pub(crate) updates: Vec<KeyUpdate<O>>,
}

/// One key in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUpdate<O> {
    pub(crate) id: KeyId,
    pub(crate) range: Range<KeySeq>,
    pub(crate) missed: u64,
    pub(crate) filtered: u64,
    pub(crate) is_cleared: bool,
    pub(crate) extract: Option<O>,
}

impl<O> Snapshot<O> {
    /// The last commit that is part of it.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// Whether it does not continue what was shown before: forget that, all keys are in here.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Keys whose grant was cut since the last poll, for lack of memory. What is kept now says
    /// [`Subscription::granted`](crate::Subscription::granted).
    #[must_use]
    pub fn revised(&self) -> &[KeyId] {
        &self.revised
    }

    /// The keys: those that changed, in the order in which they did; or all, in no particular
    /// order.
    #[must_use]
    pub fn updates(&self) -> &[KeyUpdate<O>] {
        &self.updates
    }

    /// The keys by value.
    #[must_use]
    pub fn into_updates(self) -> Vec<KeyUpdate<O>> {
        self.updates
    }

    /// One key, if it is part of this. Linear in the number of keys.
    #[must_use]
    pub fn update(&self, id: KeyId) -> Option<&KeyUpdate<O>> {
        self.updates.iter().find(|update| update.id == id)
    }
}

impl<O> KeyUpdate<O> {
    /// The key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The numbers of the updates that the extractor was given: from the first up to, and without,
    /// the one after the last. Empty if the key was cleared.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        self.range.clone()
    }

    /// How many updates of the key were committed since the last poll and were not given to the
    /// extractor. For [`SinceLast`](crate::SinceLast) that is a gap; for
    /// [`LatestValue`](crate::LatestValue) it is what was skipped.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many updates since the last poll the extractor held back on purpose.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.filtered
    }

    /// Whether the key holds no value now: it was cleared, removed, or idle for too long.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.is_cleared
    }

    /// What the extractor made of it; `None` if the key was cleared.
    #[must_use]
    pub fn extract(&self) -> Option<&O> {
        self.extract.as_ref()
    }

    /// What the extractor made of it, by value.
    #[must_use]
    pub fn into_extract(self) -> Option<O> {
        self.extract
    }
}

impl<V> KeyUpdate<Extract<V>> {
    /// The values shown, oldest first; none if the key was cleared.
    #[must_use]
    pub fn values(&self) -> &[V] {
        self.extract.as_ref().map_or(&[], Extract::values)
    }

    /// The event time of each value shown, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        self.extract.as_ref().map_or(&[], Extract::times_us)
    }
}
