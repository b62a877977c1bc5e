//! What a poll returns.

use std::ops::Range;

use buffer_core::KeySeq;

use crate::{CommitSeq, Extract, KeyId};

/// The keys of one poll, all as of the same commit: it contains every commit up to
/// [`commit_seq`](Self::commit_seq) and nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<V> {
    pub(crate) commit_seq: CommitSeq,
    pub(crate) updates: Vec<KeyUpdate<V>>,
}

/// One key in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUpdate<V> {
    pub(crate) id: KeyId,
    pub(crate) range: Range<KeySeq>,
    pub(crate) missed: u64,
    pub(crate) extract: Extract<V>,
}

impl<V> Snapshot<V> {
    /// The last commit that is part of it.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// The keys: those that changed, in the order in which they did; or all, in no particular
    /// order.
    #[must_use]
    pub fn updates(&self) -> &[KeyUpdate<V>] {
        &self.updates
    }

    /// The keys by value.
    #[must_use]
    pub fn into_updates(self) -> Vec<KeyUpdate<V>> {
        self.updates
    }

    /// One key, if it is part of this. Linear in the number of keys.
    #[must_use]
    pub fn update(&self, id: KeyId) -> Option<&KeyUpdate<V>> {
        self.updates.iter().find(|update| update.id == id)
    }
}

impl<V> KeyUpdate<V> {
    /// The key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The numbers of the updates that the extractor was given: from the first up to, and without,
    /// the one after the last. Empty if the key was removed.
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

    /// What the extractor made of it.
    #[must_use]
    pub fn extract(&self) -> &Extract<V> {
        &self.extract
    }

    /// What the extractor made of it, by value.
    #[must_use]
    pub fn into_extract(self) -> Extract<V> {
        self.extract
    }
}
