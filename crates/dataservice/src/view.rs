//! What is copied out of a key's history.

use std::ops::Range;

use buffer_core::{Cursor, KeySeq, Window};

use crate::{CommitSeq, KeyId};

/// A value and when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<V> {
    /// Event time in microseconds.
    pub time_us: i64,
    /// The value.
    pub value: V,
}

/// Values and when each happened, oldest commit first; both have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series<V> {
    /// Event times in microseconds.
    pub times_us: Vec<i64>,
    /// The values.
    pub values: Vec<V>,
}

/// The part of one key's history that a [`Requirement`](crate::Requirement) names, as of one
/// commit. It owns its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<V> {
    id: KeyId,
    commit_seq: CommitSeq,
    range: Range<KeySeq>,
    values: Vec<V>,
    times_us: Vec<i64>,
    missed: u64,
}

impl<V: Clone> View<V> {
    /// Copies a window. `cursor` is what the reader saw before.
    pub(crate) fn copy(
        id: KeyId,
        commit_seq: CommitSeq,
        window: Window<'_, V>,
        cursor: Cursor,
    ) -> Self {
        let range = window.range();
        Self {
            id,
            commit_seq,
            missed: Cursor::before(range.start)
                .number()
                .saturating_sub(cursor.number()),
            range,
            values: window.values().to_vec(),
            times_us: window.times().to_vec(),
        }
    }
}

impl<V> View<V> {
    /// The key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The last commit that is part of it.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// The numbers of the values: from the first up to, and without, the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        self.range.clone()
    }

    /// How many updates of the key were committed since the last poll and are not in here: those
    /// that were displaced, and those that the requirement leaves out.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// The event time of each value, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        &self.times_us
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The newest value.
    #[must_use]
    pub fn into_latest(mut self) -> Option<Sample<V>> {
        let value = self.values.pop()?;
        let time_us = self.times_us.pop()?;
        Some(Sample { time_us, value })
    }

    /// All values.
    #[must_use]
    pub fn into_series(self) -> Series<V> {
        Series {
            times_us: self.times_us,
            values: self.values,
        }
    }
}
