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
            pool,
        }
    }

    pub(super) fn segment(&self) -> &Segment<T> {
        &self.segment
    }

    pub(super) fn is_private(&self) -> bool {
        self.audience.is_none()
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

    /// The memory of all segments.
    pub(super) fn bytes(&self) -> usize {
        let older: usize = self.older.iter().map(|segment| segment.bytes()).sum();
        let spare = self
            .audience
            .as_ref()
            .map_or(0, |audience| audience.spare_bytes());
        self.segment.bytes() + older + spare
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
            return self.append_shared(value, time, next, size, show);
        }
        let Range { start, mut end } = self.segment.filled();
        let displaced = if end - start >= size.depth {
            // SAFETY: this is the writer, the segment is private, and it has a row since a private
            // history has a depth of at least 2.
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

    #[inline(never)]
    fn append_shared(
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
        if let Some(audience) = &mut self.audience {
            audience.published = next - 1;
            self.segment.publish(next - 1);
        }
    }

    /// A handle for another thread. What is retained becomes visible to it at once.
    pub(super) fn reader(&mut self, next: u64, depth: usize) -> Reader<T>
    where
        T: Clone,
    {
        self.publish(next);
        if let Some(audience) = &self.audience {
            return audience.reader();
        }
        let floor = self.first(next);
        let segment = self.private();
        segment.compact();
        segment.plan_mut().floor = floor;
        segment.plan_mut().depth = depth;
        segment.publish(next - 1);
        let audience = Audience::new(&self.segment, &self.older, next - 1);
        let reader = audience.reader();
        self.audience = Some(Box::new(audience));
        reader
    }

    /// Keeps more from the next row on; shared, that row brings it about.
    pub(super) fn grow(&mut self, depth: usize, next: u64) {
        if self.audience.is_some() {
            return;
        }
        let floor = self.first(next);
        let segment = self.private();
        segment.plan_mut().floor = floor;
        segment.plan_mut().depth = depth;
        if segment.len() == 0 {
            // At depth 0 numbers went on without rows.
            let plan = Plan {
                base: next,
                ..*segment.plan()
            };
            segment.reset(plan);
        }
    }

    /// Keeps only the newest rows from now on, and gives up memory. The depth is below the present
    /// one, and at least 2 if this is private.
    pub(super) fn shrink(&mut self, next: u64, size: &Size) -> Displaced<T> {
        self.publish(next);
        let before = self.first(next);
        let first = before.max(next.saturating_sub(size.depth as u64));
        let evicted = (first - before) as usize;
        self.drop_older(first);
        if self.audience.is_some() {
            let before = self.turn_over_smaller(first, next, size);
            return Displaced::with_segment(evicted, before);
        }
        let row = self.segment.row(first);
        let segment = self.private();
        let values = segment.take_before(row);
        segment.plan_mut().depth = size.depth;
        segment.plan_mut().floor = first;
        let capacity = size.room.capacity_next(0, segment.len(), size.depth);
        if capacity < segment.capacity() {
            self.refit(capacity);
        }
        Displaced::with_values(evicted, values)
    }

    /// Keeps nothing of what was appended; readers see that at once.
    pub(super) fn clear(&mut self, next: u64, size: &Size) -> Displaced<T> {
        self.publish(next);
        let evicted = (next - self.first(next)) as usize;
        self.older.clear();
        if self.audience.is_some() {
            let before = self.turn_over_smaller(next, next, size);
            return Displaced::with_segment(evicted, before);
        }
        let plan = Plan {
            base: next,
            floor: next,
            ..*self.segment.plan()
        };
        let values = self.take_all();
        let capacity = size.room.capacity_first(size.depth);
        self.segment = Arc::new(Segment::new(plan, capacity, self.pool.as_ref()));
        Displaced::with_values(evicted, values)
    }

    /// Takes out everything that is in the segment of a private history.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        let end = self.segment.filled().end;
        self.private().take_before(end)
    }

    /// From row `next` on, rows have another layout. Depth is at least 1.
    pub(super) fn change_layout(&mut self, layout: Layout, next: u64, size: &Size)
    where
        T: Copy,
    {
        self.publish(next);
        let mut floor = self.first(next);
        if next > self.segment.first().max(floor) {
            self.segment.publish(next - 1);
            self.older.push(Arc::clone(&self.segment));
        }
        self.drop_older(floor);
        if self.older.len() > OLDER_MAX {
            let excess = self.older.len() - OLDER_MAX;
            self.older.drain(..excess);
            floor = floor.max(self.older[0].first());
        }
        let plan = Plan {
            base: next,
            depth: size.depth,
            floor,
            layout,
        };
        let capacity = size.room.capacity_first(size.depth);
        let fresh = Segment::new(plan, capacity, self.pool.as_ref());
        fresh.publish(next - 1);
        self.segment = Arc::new(fresh);
        if let Some(audience) = &self.audience {
            audience.show(&self.segment, &self.older);
        }
    }

    /// Makes room for the row `next` of a shared history of depth 1 or more.
    fn prepare(&mut self, next: u64, size: &Size) -> Displaced<T> {
        let first = self.first(next);
        let evicted = usize::from(next - first >= size.depth as u64);
        let shown = self.segment.plan().depth as u64;
        let pending = self
            .audience
            .as_ref()
            .map_or(0, |audience| next - 1 - audience.published);
        if pending >= shown {
            // A batch that is to displace its own beginning is shown in parts.
            self.publish(next);
        }
        if self.segment.is_full() || self.segment.plan().depth != size.depth {
            let before = self.turn_over(first, next, size, self.segment.capacity());
            return Displaced::with_segment(evicted, before);
        }
        Displaced::shared(evicted)
    }

    /// Replaces the segment of a shared history by one that has the rows from `first` on, and is
    /// about as large as `capacity`. If no reader is left, the history is private after that.
    #[cold]
    fn turn_over(
        &mut self,
        first: u64,
        next: u64,
        size: &Size,
        capacity: usize,
    ) -> Option<Arc<Segment<T>>> {
        self.drop_older(first);
        let row = self.segment.row(first);
        let len = self.segment.filled().end - row;
        let plan = Plan {
            base: next - len as u64,
            depth: size.depth,
            floor: first,
            layout: self.segment.plan().layout,
        };
        let capacity = size.room.capacity_next(capacity, len, size.depth);
        let audience = self.audience.as_mut()?;
        let is_gone = audience.is_gone();
        let fresh = audience.fresh(plan, capacity, self.pool.as_ref());
        let before = audience.turn_over(&mut self.segment, &self.older, fresh, row);
        if is_gone && size.depth > 1 {
            // Snapshots may still be held, but none of the segment that is current now.
            self.audience = None;
        }
        before
    }

    /// As [`Self::turn_over`], giving up memory.
    fn turn_over_smaller(&mut self, first: u64, next: u64, size: &Size) -> Option<Arc<Segment<T>>> {
        let before = self.turn_over(first, next, size, 0);
        if let Some(audience) = &mut self.audience {
            audience.drop_spare();
        }
        before
    }

    /// Makes room in a private history, and says where its rows end.
    #[cold]
    fn make_room(&mut self, size: &Size) -> usize {
        let (capacity, len) = (self.segment.capacity(), self.segment.len());
        let next = self.segment.first() + len as u64;
        self.drop_older(self.first(next));
        let wanted = size.room.capacity_next(capacity, len, size.depth);
        if wanted > capacity {
            self.refit(wanted);
        } else {
            self.private().compact();
        }
        len
    }

    /// Moves the rows of a private history into a segment of this capacity.
    fn refit(&mut self, capacity: usize) {
        let plan = Plan {
            base: self.segment.first(),
            ..*self.segment.plan()
        };
        let mut fresh = Segment::new(plan, capacity, self.pool.as_ref());
        let segment = self.private();
        let row = segment.filled().start;
        fresh.move_from(segment, row);
        self.segment = Arc::new(fresh);
    }

    /// Lets go of generations that end before this number.
    fn drop_older(&mut self, first: u64) {
        self.older.retain(|segment| segment.published() >= first);
    }

    fn private(&mut self) -> &mut Segment<T> {
        Arc::get_mut(&mut self.segment).expect("nobody else has the segment of a private history")
    }
}
