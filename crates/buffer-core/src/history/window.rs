//! What a history shows its owner: borrowed runs of values with their numbers and times.

use std::ops::Range;

use super::{Cursor, KeySeq};

/// One value of a history.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a, T> {
    /// Its number.
    pub seq: KeySeq,
    /// When it happened, in the caller's unit.
    pub time: i64,
    /// The value.
    pub value: &'a T,
}

impl<T> Clone for Entry<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Entry<'_, T> {}

/// A contiguous run of values of a history, in the order in which they were appended, with their
/// times. It is borrowed; copying it copies two pointers.
#[derive(Debug, PartialEq, Eq)]
pub struct Window<'a, T> {
    /// The number of the first value; of the next to be appended if there is none.
    first: KeySeq,
    values: &'a [T],
    times: &'a [i64],
}

impl<T> Clone for Window<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Window<'_, T> {}

impl<'a, T> Window<'a, T> {
    pub(super) fn new(first: u64, values: &'a [T], times: &'a [i64]) -> Self {
        debug_assert_eq!(values.len(), times.len(), "columns have the same length");
        Self {
            first: KeySeq::from_count(first),
            values,
            times,
        }
    }

    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// The time of each value.
    #[must_use]
    pub fn times(&self) -> &'a [i64] {
        self.times
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

    /// The numbers of the values: from the first up to, and without, the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        self.first..self.number_at(self.len())
    }

    /// The last value.
    #[must_use]
    pub fn latest(&self) -> Option<Entry<'a, T>> {
        self.iter().next_back()
    }

    /// The last `count` values of these, or all if there are fewer.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        let skipped = self.len().saturating_sub(count);
        Self {
            first: self.number_at(skipped),
            values: &self.values[skipped..],
            times: &self.times[skipped..],
        }
    }

    /// The values one by one, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Entry<'a, T>> + ExactSizeIterator {
        let first = self.first.number();
        self.values
            .iter()
            .zip(self.times)
            .enumerate()
            .map(move |(at, (value, time))| Entry {
                seq: KeySeq::from_count(first + at as u64),
                time: *time,
                value,
            })
    }

    fn number_at(&self, index: usize) -> KeySeq {
        KeySeq::from_count(self.first.number() + index as u64)
    }
}

/// What a cursor had not seen; `W` is a [`Window`], a [`Snapshot`](super::Snapshot), or one of
/// their likes for arrays.
#[must_use = "what is not read here counts as seen once `next` is used"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since<W> {
    /// The unseen values that are still retained.
    pub window: W,
    /// How many unseen values are gone: those between the cursor and the window.
    pub missed: u64,
    /// The cursor that has seen all of this.
    pub next: Cursor,
}
