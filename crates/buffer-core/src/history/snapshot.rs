//! Owned runs of values that no longer change.

#![allow(
    unsafe_code,
    reason = "one thread appends to a slice whose front others read"
)]

use std::fmt;
use std::ops::Range;

use super::segment::Segment;
use super::shape::Layout;
use super::{Entry, KeySeq, Window};
use crate::sync::Arc;

/// A contiguous run of values of a history, in the order in which they were appended, with their
/// times. It is owned: it copied nothing, and holds the memory it shows, which is the whole segment
/// of about 2.5 times the history's depth, until it is dropped.
///
/// Dropping the last snapshot of a segment that the history has left runs the destructors of the
/// values in it.
pub struct Snapshot<T> {
    segment: Arc<Segment<T>>,
    /// The number of the first row; of the next to be appended if there is none.
    first: u64,
    /// Filled and published: made by a reader from what it loaded.
    rows: Range<usize>,
}

impl<T> Snapshot<T> {
    pub(super) fn new(segment: Arc<Segment<T>>, first: u64, rows: Range<usize>) -> Self {
        Self {
            segment,
            first,
            rows,
        }
    }

    /// The whole run.
    #[must_use]
    pub fn window(&self) -> Window<'_, T> {
        Window::new(self.first, self.values(), self.times())
    }

    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &[T] {
        // SAFETY: published rows are filled, and nobody changes them while this holds the segment.
        unsafe { self.segment.values(self.rows.clone()) }
    }

    /// The time of each value.
    #[must_use]
    pub fn times(&self) -> &[i64] {
        // SAFETY: as for the values.
        unsafe { self.segment.times(self.rows.clone()) }
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The numbers of the values: from the first up to, and without, the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        KeySeq::from_count(self.first)..KeySeq::from_count(self.first + self.len() as u64)
    }

    /// The last value.
    #[must_use]
    pub fn latest(&self) -> Option<Entry<'_, T>> {
        self.window().latest()
    }

    /// The last `count` values of these, or all if there are fewer, of the same memory.
    #[must_use]
    pub fn last(mut self, count: usize) -> Self {
        let skipped = self.len().saturating_sub(count);
        self.first += skipped as u64;
        self.rows.start += skipped;
        self
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.segment.plan().layout
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self {
            segment: Arc::clone(&self.segment),
            first: self.first,
            rows: self.rows.clone(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Snapshot")
            .field("first", &self.first)
            .field("values", &self.values())
            .field("times", &self.times())
            .finish()
    }
}
