//! Runs of arrays as one matrix.

use std::ops::Range;

use super::shape::Layout;
use super::{Generation, KeySeq, Number, Shape, Snapshot};

/// Consecutive arrays of one shape, one per row, in one contiguous piece of memory, with their
/// times. It is borrowed; copying it copies pointers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix<'a, E> {
    layout: &'a Layout,
    /// The number of the first row; of the next to be appended if there is none.
    first: u64,
    elements: &'a [E],
    times: &'a [i64],
}

impl<'a, E: Number> Matrix<'a, E> {
    pub(super) fn new(layout: &'a Layout, first: u64, elements: &'a [E], times: &'a [i64]) -> Self {
        debug_assert_eq!(elements.len(), times.len() * layout.width());
        Self {
            layout,
            first,
            elements,
            times,
        }
    }

    /// The shape of each row.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// The generation of the history that all rows belong to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.layout.generation
    }

    /// How many arrays there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// All elements, row after row.
    #[must_use]
    pub fn as_slice(&self) -> &'a [E] {
        self.elements
    }

    /// The elements of one row, the oldest being row 0; `None` beyond the last.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&'a [E]> {
        self.elements.chunks_exact(self.layout.width()).nth(index)
    }

    /// The rows one by one, oldest first.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [E]> + ExactSizeIterator + use<'a, E> {
        self.elements.chunks_exact(self.layout.width())
    }

    /// The time of each row.
    #[must_use]
    pub fn times(&self) -> &'a [i64] {
        self.times
    }

    /// The numbers of the rows: from the first up to, and without, the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        KeySeq::from_count(self.first)..KeySeq::from_count(self.first + self.rows() as u64)
    }

    /// The last `count` rows of these, or all if there are fewer.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        let skipped = self.rows().saturating_sub(count);
        Self {
            layout: self.layout,
            first: self.first + skipped as u64,
            elements: &self.elements[skipped * self.layout.width()..],
            times: &self.times[skipped..],
        }
    }
}

/// A [`Matrix`] that is owned: it copied nothing, and what it shows stays for as long as it is
/// held.
#[derive(Debug, Clone)]
pub struct MatrixSnapshot<E> {
    rows: Snapshot<E>,
}

impl<E: Number> MatrixSnapshot<E> {
    pub(super) fn new(rows: Snapshot<E>) -> Self {
        Self { rows }
    }

    /// The arrays as one matrix.
    #[must_use]
    pub fn matrix(&self) -> Matrix<'_, E> {
        let rows = &self.rows;
        Matrix::new(rows.layout(), rows.first(), rows.values(), rows.times())
    }

    /// How many arrays there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
