//! Raw room for rows: a column of values and a column of times.
//!
//! A row is `width` values side by side and one time. The buffer does not know which rows are
//! filled: it allocates, frees its memory, and never drops a value. That knowledge is
//! [`Segment`](super::segment::Segment)'s, and with it the duty to prove each access.

#![allow(
    unsafe_code,
    reason = "one thread appends to a slice whose front others read"
)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::sync::RowMarks;

pub(super) struct Buffer<T> {
    values: Box<[MaybeUninit<UnsafeCell<T>>]>,
    times: Box<[MaybeUninit<UnsafeCell<i64>>]>,
    marks: RowMarks,
}

// SAFETY: a shared buffer gives out references to values (so `T: Sync`) and lets one thread move
// values in and out that another made (so `T: Send`); the callers of the unsafe methods see to it
// that no row is written while it is read.
unsafe impl<T: Send + Sync> Sync for Buffer<T> {}

impl<T> Buffer<T> {
    /// Room for `rows` rows of `width` values.
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self {
            values: Box::new_uninit_slice(rows.saturating_mul(width)),
            times: Box::new_uninit_slice(rows),
            marks: RowMarks::new(rows),
        }
    }

    /// How many rows of `width` values fit.
    pub(super) fn rows(&self, width: usize) -> usize {
        self.times.len().min(self.values.len() / width)
    }

    /// How much memory it holds.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.values) + size_of_val(&*self.times)
    }

    /// Tells the model that rows are about to be written.
    #[inline]
    pub(super) fn mark_written(&self, rows: Range<usize>) {
        self.marks.write(rows);
    }

    /// Where a value lies, or would lie just behind the last. Writing through it is allowed as far
    /// as [`Self::set`] is.
    ///
    /// # Safety
    /// `at` is at most the number of values.
    #[inline]
    unsafe fn value(&self, at: usize) -> *mut T {
        debug_assert!(at <= self.values.len(), "a value lies in its buffer");
        // SAFETY: in the allocation, or just behind it.
        let cell = unsafe { self.values.as_ptr().add(at) };
        UnsafeCell::raw_get(cell.cast::<UnsafeCell<T>>())
    }

    /// Where a time lies; as for [`Self::value`].
    ///
    /// # Safety
    /// `row` is at most the number of times.
    #[inline]
    unsafe fn time(&self, row: usize) -> *mut i64 {
        debug_assert!(row <= self.times.len(), "a time lies in its buffer");
        // SAFETY: in the allocation, or just behind it.
        let cell = unsafe { self.times.as_ptr().add(row) };
        UnsafeCell::raw_get(cell.cast::<UnsafeCell<i64>>())
    }

    /// Writes a value without dropping what lay there.
    ///
    /// # Safety
    /// `at` is inside, no other thread writes, and nobody has a reference to this value.
    #[inline]
    pub(super) unsafe fn set(&self, at: usize, value: T) {
        debug_assert!(at < self.values.len(), "a value is written inside");
        // SAFETY: inside by contract, and nobody else looks at it.
        unsafe { self.value(at).write(value) };
    }

    /// Writes values side by side.
    ///
    /// # Safety
    /// As for [`Self::set`], for all of them.
    #[inline]
    pub(super) unsafe fn set_all(&self, at: usize, values: &[T])
    where
        T: Copy,
    {
        debug_assert!(at + values.len() <= self.values.len());
        // SAFETY: inside by contract, and nobody else looks there, so that the two do not overlap.
        unsafe {
            self.value(at)
                .copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }

    /// Writes a time.
    ///
    /// # Safety
    /// As for [`Self::set`].
    #[inline]
    pub(super) unsafe fn set_time(&self, row: usize, time: i64) {
        debug_assert!(row < self.times.len(), "a time is written inside");
        // SAFETY: inside by contract, and nobody else looks at it.
        unsafe { self.time(row).write(time) };
    }

    /// Moves a value out; its place is vacant then.
    ///
    /// # Safety
    /// The place is filled, no other thread reads or writes it, and nobody has a reference to it.
    /// Rows have one value.
    #[inline]
    pub(super) unsafe fn take(&self, at: usize) -> T {
        self.marks.write(at..at + 1);
        // SAFETY: filled by contract, and ours alone.
        unsafe { self.value(at).read() }
    }

    /// A time that was written before.
    ///
    /// # Safety
    /// It is filled, and no other thread writes it.
    #[inline]
    pub(super) unsafe fn time_of(&self, row: usize) -> i64 {
        self.marks.read(row..row + 1);
        // SAFETY: filled by contract.
        unsafe { self.time(row).read() }
    }

    /// Values that were written before.
    ///
    /// # Safety
    /// All of them are filled, and stay as they are while the reference lives.
    #[inline]
    pub(super) unsafe fn values(&self, range: Range<usize>) -> &[T] {
        debug_assert!(range.start <= range.end && range.end <= self.values.len());
        // SAFETY: filled and unchanged by contract.
        unsafe { std::slice::from_raw_parts(self.value(range.start), range.end - range.start) }
    }

    /// Times that were written before.
    ///
    /// # Safety
    /// As for [`Self::values`].
    #[inline]
    pub(super) unsafe fn times(&self, rows: Range<usize>) -> &[i64] {
        debug_assert!(rows.start <= rows.end && rows.end <= self.times.len());
        self.marks.read(rows.clone());
        // SAFETY: filled and unchanged by contract.
        unsafe { std::slice::from_raw_parts(self.time(rows.start), rows.end - rows.start) }
    }

    /// Moves rows here, to the front; their places there are vacant then.
    ///
    /// # Safety
    /// They are filled there, as many fit here, and nobody has a reference to either.
    pub(super) unsafe fn move_from(&mut self, other: &mut Self, rows: Range<usize>, width: usize) {
        let count = rows.len();
        debug_assert!(count <= self.rows(width) && rows.end <= other.rows(width));
        // Moving out is to the model what writing is: nobody may look at the places after that.
        other.marks.write(rows.clone());
        self.marks.write(0..count);
        // SAFETY: both ranges are inside by contract, and two buffers do not overlap.
        unsafe {
            other
                .value(rows.start * width)
                .copy_to_nonoverlapping(self.value(0), count * width);
            other
                .time(rows.start)
                .copy_to_nonoverlapping(self.time(0), count);
        }
    }

    /// Moves rows to the front.
    ///
    /// # Safety
    /// They are filled, everything before them is vacant, and nobody has a reference to any.
    pub(super) unsafe fn move_to_front(&mut self, rows: Range<usize>, width: usize) {
        let count = rows.len();
        debug_assert!(rows.end <= self.rows(width));
        self.marks.write(0..rows.end);
        // SAFETY: both ranges are inside; `copy_to` allows that they overlap.
        unsafe {
            self.value(rows.start * width)
                .copy_to(self.value(0), count * width);
            self.time(rows.start).copy_to(self.time(0), count);
        }
    }
}
