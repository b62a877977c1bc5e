//! The writer's side of a history that lies in segments.
//!
//! A history is *private* until somebody asks for a reader: then nobody else holds its segment,
//! values are taken out as they leave, and a full segment is compacted in place. Once *shared*,
//! rows stay where they are; when the segment is full, what is retained goes into another one and
//! the old is left to whoever still reads it. When all readers are gone, the next turnover makes it
//! private again.

#![allow(
    unsafe_code,
    reason = "one thread appends to a slice whose front others read"
)]

mod turnover;

use std::ops::Range;

use super::audience::Audience;
use super::board::holding;
use super::displaced::Displaced;
use super::segment::{Plan, Segment};
use super::shape::Layout;
use super::{Pool, Reader, Room, Window};
use crate::sync::Arc;

/// How many earlier generations are kept at most.
pub(super) const OLDER_MAX: usize = 4;

/// Invariants: the number of the next row is the `next` of every call; without an audience the
/// handle `segment` is the only one; with one, its rows begin at row 0, and `depth` and `floor` of
/// its plan are what readers see.
pub(super) struct Segments<T> {
    segment: Arc<Segment<T>>,
    /// Segments of earlier generations, oldest first; each ends where the next begins.
    older: Vec<Arc<Segment<T>>>,
    audience: Option<Box<Audience<T>>>,
    /// The number of the newest row that readers see, if there are any.
    published: u64,
    pool: Option<Pool<T>>,
}

/// Whether readers see a value when it is appended, or when all are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Now,
    Later,
}

/// How many values to keep, and how to allocate for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) depth: usize,
    pub(super) room: Room,
}

impl<T> Segments<T> {
    pub(super) fn new(next: u64, size: &Size, pool: Option<Pool<T>>) -> Self {
        let plan = Plan {
            base: next,
            depth: size.depth,
            floor: next,
            layout: Layout::SCALAR,
        };
        let capacity = size.room.capacity_first(size.depth);
        Self {
            segment: Arc::new(Segment::new(plan, capacity, pool.as_ref())),
            older: Vec::new(),
            audience: None,
            published: 0,
            pool,
        }
    }

    pub(super) fn segment(&self) -> &Segment<T> {
        &self.segment
    }

    pub(super) fn is_private(&self) -> bool {
        self.audience.is_none()
    }

    /// Whether no reader is left. At depth 0 nothing turns over, so that it has to be asked.
    pub(super) fn is_forsaken(&self) -> bool {
        self.audience
            .as_ref()
            .is_none_or(|audience| audience.is_gone())
    }

    pub(super) fn set_pool(&mut self, pool: &Pool<T>) {
        self.pool = Some(pool.clone());
    }

    /// The number of the oldest retained row; `next` if there is none.
    #[inline]
    pub(super) fn first(&self, next: u64) -> u64 {
        let plan = self.segment.plan();
        let oldest = if self.older.is_empty() {
            self.segment.first().max(plan.floor)
        } else {
            plan.floor
        };
        oldest.max(next.saturating_sub(plan.depth as u64))
    }

    /// The last `count` rows of the current generation, and the number of the first.
    #[inline]
    pub(super) fn last(&self, count: usize, next: u64) -> (u64, Range<usize>) {
        let first = self
            .first(next)
            .max(self.segment.first())
            .max(next.saturating_sub(count as u64))
            // At depth 0 numbers go on without rows.
            .min(next);
        (first, self.segment.rows_between(first, next - 1))
    }

    /// The last `count` rows, of one value each.
    #[inline]
    pub(super) fn window(&self, count: usize, next: u64) -> Window<'_, T> {
        let (first, rows) = if self.audience.is_none() {
            // All that is filled is retained.
            let Range { start, end } = self.segment.filled();
            let len = (end - start).min(count);
            (next - len as u64, end - len..end)
        } else {
            std::hint::cold_path();
            self.last(count, next)
        };
        // SAFETY: the rows are filled, and the writer moves none while it is borrowed.
        unsafe { self.segment.window(first, rows) }
    }

    /// The segment that has, or is to have, the row of this number, which is retained.
    pub(super) fn holding(&self, number: u64) -> &Segment<T> {
        holding(&self.older, &self.segment, number)
    }

    /// The memory of all segments and of what manages them.
    pub(super) fn bytes(&self) -> usize {
        let older: usize = self.older.iter().map(|segment| segment.bytes()).sum();
        let audience = self
            .audience
            .as_ref()
            .map_or(0, |audience| audience.bytes());
        size_of::<Self>() + size_of_val(&*self.older) + self.segment.bytes() + older + audience
    }

    /// Appends the row `next` of one value.
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        value: T,
        time: i64,
        next: u64,
        size: &Size,
        show: Show,
    ) -> Displaced<T> {
        if self.audience.is_some() {
            std::hint::cold_path();
            return if self.has_place(next, size) {
                self.append_in_place(value, time, next, size, show)
            } else {
                self.append_making_room(value, time, next, size, show)
            };
        }
        let Range { start, mut end } = self.segment.filled();
        let displaced = if end - start >= size.depth {
            // SAFETY: this is the writer, the segment is private, and it has a row since a private
            // history of values has a depth of at least 1.
            Displaced::one(unsafe { self.segment.take_oldest(start) })
        } else {
            Displaced::nothing()
        };
        if end >= self.segment.capacity() {
            end = self.make_room(size);
        }
        // SAFETY: this is the writer, rows end there, and there is room.
        unsafe { self.segment.push(end, value, time) };
        displaced
    }

    /// Whether the row `next` of a shared history needs nothing but to be written.
    #[inline]
    fn has_place(&self, next: u64, size: &Size) -> bool {
        let plan = self.segment.plan();
        let pending = next - 1 - self.published;
        // At depth 0 there is never one.
        pending < plan.depth as u64 && plan.depth == size.depth && !self.segment.is_full()
    }

    #[inline]
    fn append_in_place(
        &mut self,
        value: T,
        time: i64,
        next: u64,
        size: &Size,
        show: Show,
    ) -> Displaced<T> {
        let evicted = self.evicted(next, size);
        // SAFETY: this is the writer, rows end there, and there is room.
        unsafe { self.segment.push(self.segment.filled().end, value, time) };
        if show == Show::Now {
            self.publish(next + 1);
        }
        Displaced::shared(evicted)
    }

    #[cold]
    fn append_making_room(
        &mut self,
        value: T,
        time: i64,
        next: u64,
        size: &Size,
        show: Show,
    ) -> Displaced<T> {
        let displaced = if size.depth == 0 {
            Displaced::one(value)
        } else {
            let mut displaced = self.prepare(next, size);
            let Range { start, end } = self.segment.filled();
            if self.audience.is_none() && end - start >= size.depth {
                // SAFETY: this is the writer, the segment just became private, and has a row.
                displaced = displaced.and(unsafe { self.segment.take_oldest(start) });
            }
            // SAFETY: this is the writer, rows end there, and `prepare` made room.
            unsafe { self.segment.push(end, value, time) };
            displaced
        };
        if show == Show::Now {
            self.publish(next + 1);
        }
        displaced
    }

    /// Appends the row `next` of several numbers. Depth is at least 1.
    pub(super) fn append_row(&mut self, values: &[T], time: i64, next: u64, size: &Size)
    where
        T: Copy,
    {
        if self.audience.is_some() {
            // Numbers have no destructors.
            drop(self.prepare(next, size));
        }
        if self.audience.is_none() {
            if self.segment.len() >= size.depth {
                self.segment.skip_oldest();
            }
            if self.segment.is_full() {
                self.make_room(size);
            }
        }
        // SAFETY: this is the writer, and there is room.
        unsafe { self.segment.push_row(values, time) };
    }

    /// Shows readers all rows before `next`.
    #[inline]
    pub(super) fn publish(&mut self, next: u64) {
        if self.audience.is_some() {
            self.published = next - 1;
            self.segment.publish(next - 1);
        }
    }

    /// A handle for another thread. The first one publishes; nobody sees an open batch through
    /// those before it.
    pub(super) fn reader(&mut self, next: u64, depth: usize) -> Reader<T>
    where
        T: Clone,
    {
        if self.is_forsaken() {
            self.publish(next);
        }
        if let Some(audience) = &self.audience {
            return audience.reader();
        }
        let floor = self.first(next);
        let segment = self.private();
        segment.compact();
        segment.plan_mut().floor = floor;
        segment.plan_mut().depth = depth;
        segment.publish(next - 1);
        self.published = next - 1;
        let audience = Audience::new(&self.segment, &self.older);
        let reader = audience.reader();
        self.audience = Some(Box::new(audience));
        reader
    }

    /// How many rows leave a shared history when `next` comes.
    #[inline]
    fn evicted(&self, next: u64, size: &Size) -> usize {
        usize::from(next - self.first(next) >= size.depth as u64)
    }

    fn private(&mut self) -> &mut Segment<T> {
        Arc::get_mut(&mut self.segment).expect("nobody else has the segment of a private history")
    }
}
