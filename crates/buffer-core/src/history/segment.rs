//! One piece of memory with consecutive rows, which grows at its end while others read its front.
//!
//! Invariants, on which every unsafe block here and in [`segments`](super::segments) rests:
//!
//! 1. Rows `start..end` are filled; all others are vacant. Times are mere numbers: those before
//!    `end` stay readable when their row is vacated.
//! 2. Only the one writer changes `start`, `end` and rows. It moves values out of, or changes, rows
//!    that are filled only while it alone holds the segment, or holds it by `&mut`.
//! 3. Others read rows up to `published` only, which the writer stored after filling them.
//!
//! So a row that somebody else may look at is never written again, for as long as it lives.

#![allow(
    unsafe_code,
    reason = "one thread appends to a slice whose front others read"
)]

use std::ops::Range;

use super::buffer::Buffer;
use super::shape::Layout;
use super::{Pool, Window};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// What a segment is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The number of row 0.
    pub(super) base: u64,
    /// How many rows readers are shown at most.
    pub(super) depth: usize,
    /// Nothing with a smaller number is shown, here or in an older generation.
    pub(super) floor: u64,
    pub(super) layout: Layout,
}

pub(super) struct Segment<T> {
    head: Head,
    own: Own,
    plan: Plan,
    /// How many rows are used at most; the buffer may be a little larger.
    capacity: usize,
    buffer: Buffer<T>,
    pool: Option<Pool<T>>,
}

/// What readers load, on a line that the writer touches only to publish, and when a time is
/// earlier than the one before. Processors fetch lines in pairs, so that each of these has two.
#[repr(align(128))]
struct Head {
    /// The number of the newest row that readers may see.
    published: AtomicU64,
    /// The number of the newest row that is earlier than its predecessor, or 0.
    descent: AtomicU64,
}

/// What only the writer changes, on lines that readers leave alone.
#[repr(align(128))]
struct Own {
    start: AtomicUsize,
    end: AtomicUsize,
}

impl<T> Segment<T> {
    pub(super) fn new(plan: Plan, capacity: usize, pool: Option<&Pool<T>>) -> Self {
        let width = plan.layout.width();
        let spare = pool.and_then(|pool| pool.take(capacity, width));
        Self {
            head: Head {
                published: AtomicU64::new(0),
                descent: AtomicU64::new(0),
            },
            own: Own {
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
            },
            plan,
            capacity,
            buffer: spare.unwrap_or_else(|| Buffer::new(capacity, width)),
            pool: pool.cloned(),
        }
    }

    /// Begins anew with an empty segment, without allocating.
    pub(super) fn reset(&mut self, plan: Plan) {
        debug_assert_eq!(plan.layout.width(), self.plan.layout.width());
        self.drop_values();
        self.set_start(0);
        self.set_end(0);
        self.head.descent.store(0, Ordering::Relaxed);
        self.plan = plan;
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory it takes, with its own header and the counts of its holders.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + align_of::<Self>().max(2 * size_of::<usize>()) + self.buffer.bytes()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end() - self.start()
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.end() >= self.capacity
    }

    /// The filled rows.
    #[inline]
    pub(super) fn filled(&self) -> Range<usize> {
        self.start()..self.end()
    }

    /// The number of the first filled row, or of the next.
    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.plan.base + self.start() as u64
    }

    /// The row with this number; the next to be filled if it has none yet.
    pub(super) fn row(&self, number: u64) -> usize {
        let end = self.end();
        let row = number.saturating_sub(self.plan.base);
        usize::try_from(row).map_or(end, |row| row.min(end))
    }

    /// The rows from number `first` up to and including `last`; they must be in here.
    #[inline]
    pub(super) fn rows_between(&self, first: u64, last: u64) -> Range<usize> {
        let base = self.plan.base;
        if first > last {
            return 0..0;
        }
        (first - base) as usize..(last + 1 - base) as usize
    }

    /// Whether no time from number `first` on is earlier than the one before it. A reader may be
    /// told of a descent beyond what it sees, which only costs it a scan.
    pub(super) fn ascends_from(&self, first: u64) -> bool {
        self.head.descent.load(Ordering::Relaxed) <= first
    }

    /// Shows readers everything up to this number.
    pub(super) fn publish(&self, number: u64) {
        // Rows were filled before; who loads this number sees them.
        self.head.published.store(number, Ordering::Release);
    }

    pub(super) fn published(&self) -> u64 {
        self.head.published.load(Ordering::Acquire)
    }

    /// The values of rows, side by side.
    ///
    /// # Safety
    /// They are filled, and they are published or the caller keeps the writer from moving them.
    #[inline]
    pub(super) unsafe fn values(&self, rows: Range<usize>) -> &[T] {
        let width = self.plan.layout.width();
        // SAFETY: the caller's promise.
        unsafe { self.buffer.values(rows.start * width..rows.end * width) }
    }

    /// The times of rows.
    ///
    /// # Safety
    /// As for [`Self::values`].
    #[inline]
    pub(super) unsafe fn times(&self, rows: Range<usize>) -> &[i64] {
        // SAFETY: the caller's promise.
        unsafe { self.buffer.times(rows) }
    }

    /// Rows of one value each, of which the first has this number.
    ///
    /// # Safety
    /// As for [`Self::values`].
    #[inline]
    pub(super) unsafe fn window(&self, first: u64, rows: Range<usize>) -> Window<'_, T> {
        debug_assert_eq!(self.plan.layout.width(), 1, "values are rows");
        // SAFETY: the caller's promise.
        let (values, times) =
            unsafe { (self.buffer.values(rows.clone()), self.buffer.times(rows)) };
        Window::new(first, values, times)
    }

    /// Appends a row of one value.
    ///
    /// # Safety
    /// The caller is the one writer, `row` is where the filled rows end, and the segment is not
    /// full.
    #[inline(always)]
    pub(super) unsafe fn push(&self, row: usize, value: T, time: i64) {
        debug_assert!(row == self.end() && row < self.capacity);
        // SAFETY: the row is vacant, so that nobody looks at it, and inside since there is room.
        unsafe {
            self.push_time(row, time);
            self.buffer.set(row, value);
        }
        self.set_end(row + 1);
    }

    /// Appends a row of several values.
    ///
    /// # Safety
    /// As for [`Self::push`]; there are as many values as the layout is wide.
    pub(super) unsafe fn push_row(&self, values: &[T], time: i64)
    where
        T: Copy,
    {
        let row = self.end();
        debug_assert_eq!(values.len(), self.plan.layout.width());
        // SAFETY: the row is vacant, so that nobody looks at it, and inside since there is room.
        unsafe {
            self.push_time(row, time);
            self.buffer.set_all(row * values.len(), values);
        }
        self.set_end(row + 1);
    }

    /// # Safety
    /// As for [`Self::push`]; `row` is the first that is vacant.
    #[inline(always)]
    unsafe fn push_time(&self, row: usize, time: i64) {
        self.buffer.mark_written(row..row + 1);
        // SAFETY: the time before was written, and the row is vacant and inside.
        unsafe {
            // The row before may have left; then the number is the oldest, which changes nothing.
            if row > 0 && time < self.buffer.time_of(row - 1) {
                let number = self.plan.base + row as u64;
                self.head.descent.store(number, Ordering::Relaxed);
            }
            self.buffer.set_time(row, time);
        }
    }

    /// Takes the oldest value out.
    ///
    /// # Safety
    /// The caller is the one writer and alone holds the segment, `row` is where the filled rows
    /// begin, there is one, and rows have one value.
    #[inline]
    pub(super) unsafe fn take_oldest(&self, row: usize) -> T {
        debug_assert!(row == self.start() && row < self.end());
        self.set_start(row + 1);
        // SAFETY: the row was filled, is not in the range any more, and nobody else looks at it.
        unsafe { self.buffer.take(row) }
    }

    /// Takes the oldest rows out, up to this one. Rows of several values have no destructors and
    /// are forgotten.
    pub(super) fn take_before(&mut self, row: usize) -> Vec<T> {
        let rows = self.start()..row.min(self.end());
        if self.plan.layout.width() > 1 {
            self.set_start(rows.end.max(rows.start));
            return Vec::new();
        }
        // SAFETY: it is held by `&mut`, and the rows are filled.
        rows.map(|row| unsafe { self.take_oldest(row) }).collect()
    }

    /// Forgets the oldest row, whose values need no destructor. For the one writer.
    pub(super) fn skip_oldest(&self)
    where
        T: Copy,
    {
        self.set_start((self.start() + 1).min(self.end()));
    }

    /// Moves all rows to the front of the buffer.
    pub(super) fn compact(&mut self) {
        let rows = self.filled();
        // SAFETY: it is held by `&mut`, so that nobody looks at any row; those before the first
        // are vacant by invariant 1.
        unsafe {
            self.buffer
                .move_to_front(rows.clone(), self.plan.layout.width());
        }
        self.plan.base += rows.start as u64;
        self.set_start(0);
        self.set_end(rows.len());
    }

    /// Takes the newest rows, from `row` on, out of another segment of the same layout into this
    /// empty one.
    pub(super) fn move_from(&mut self, other: &mut Self, row: usize) {
        let end = other.end();
        assert!(
            self.len() == 0 && row >= other.start() && end - row <= self.capacity,
            "a new segment is empty and has room for what is kept"
        );
        // Vacant there before they are filled here: nothing between can fail, and if it did,
        // values would leak and not be dropped twice.
        other.set_end(row);
        // SAFETY: both are held by `&mut`, the rows were filled, and the new segment has room.
        unsafe {
            self.buffer
                .move_from(&mut other.buffer, row..end, self.plan.layout.width());
        }
        self.set_end(end - row);
        self.set_descent_of(other);
    }

    /// Clones rows of another segment of the same layout into this empty one. If a clone panics,
    /// the rows before it are filled.
    pub(super) fn clone_from_rows(&mut self, other: &Self, rows: Range<usize>)
    where
        T: Clone,
    {
        assert!(
            self.len() == 0 && rows.len() <= self.capacity,
            "a new segment is empty and has room for what is kept"
        );
        let width = self.plan.layout.width();
        self.buffer.mark_written(0..rows.len());
        // SAFETY: the one writer asks, and its own rows stay; here, the segment is held by `&mut`,
        // and row for row is vacant and inside.
        unsafe {
            for (row, time) in other.times(rows.clone()).iter().enumerate() {
                self.buffer.set_time(row, *time);
            }
            let mut filling = Filling {
                segment: self,
                values: 0,
                width,
            };
            for value in other.values(rows) {
                let value = value.clone();
                filling.segment.buffer.set(filling.values, value);
                filling.values += 1;
            }
        }
        self.set_descent_of(other);
    }

    fn set_descent_of(&self, other: &Self) {
        let descent = other.head.descent.load(Ordering::Relaxed);
        self.head.descent.store(descent, Ordering::Relaxed);
    }

    // `start` and `end` are the writer's own: atomics only since the last holder, on whatever
    // thread, drops what is filled. The count of holders orders that after every store.

    #[inline]
    fn start(&self) -> usize {
        self.own.start.load(Ordering::Relaxed)
    }

    #[inline]
    fn end(&self) -> usize {
        self.own.end.load(Ordering::Relaxed)
    }

    #[inline]
    fn set_start(&self, row: usize) {
        self.own.start.store(row, Ordering::Relaxed);
    }

    #[inline]
    fn set_end(&self, row: usize) {
        self.own.end.store(row, Ordering::Relaxed);
    }

    /// Drops what is filled; if a destructor panics, the rest leaks.
    fn drop_values(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let width = self.plan.layout.width();
        let rows = self.filled();
        self.set_end(rows.start);
        for at in rows.start * width..rows.end * width {
            // SAFETY: it is held by `&mut`, and the value was filled until now; only rows of one
            // value have destructors.
            drop(unsafe { self.buffer.take(at) });
        }
    }
}

impl<T> Drop for Segment<T> {
    fn drop(&mut self) {
        self.drop_values();
        if let Some(pool) = self.pool.take() {
            let vacant = Buffer::new(0, 1);
            pool.put(std::mem::replace(&mut self.buffer, vacant));
        }
    }
}

/// Counts what is cloned, also when a clone panics.
struct Filling<'a, T> {
    segment: &'a mut Segment<T>,
    values: usize,
    width: usize,
}

impl<T> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        // Values of a row that is not complete have no destructors: only rows of one value have.
        self.segment.set_end(self.values / self.width);
    }
}
