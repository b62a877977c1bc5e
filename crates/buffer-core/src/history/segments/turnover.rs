//! What a history does when its segment is full, or is to become another.
//!
//! Shared, what is retained goes into another segment and the old one is left whole; private, it
//! is compacted in place or moves into a segment of another size.

use super::super::displaced::Displaced;
use super::super::segment::{Plan, Segment};
use super::super::shape::Layout;
use super::{OLDER_MAX, Segments, Size};
use crate::sync::Arc;

impl<T> Segments<T> {
    /// Keeps more from the next row on; shared, that row brings it about.
    pub(in crate::history) fn grow(&mut self, depth: usize, next: u64) {
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
    pub(in crate::history) fn shrink(&mut self, next: u64, size: &Size) -> Displaced<T> {
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
    pub(in crate::history) fn clear(&mut self, next: u64, size: &Size) -> Displaced<T> {
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
    pub(in crate::history) fn take_all(&mut self) -> Vec<T> {
        let end = self.segment.filled().end;
        self.private().take_before(end)
    }

    /// From row `next` on, rows have another layout. Depth is at least 1.
    pub(in crate::history) fn change_layout(&mut self, layout: Layout, next: u64, size: &Size)
    where
        T: Copy,
    {
        self.publish(next);
        if let Some(audience) = &mut self.audience
            && layout.width() != self.segment.plan().layout.width()
        {
            audience.drop_spare();
        }
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
    pub(super) fn prepare(&mut self, next: u64, size: &Size) -> Displaced<T> {
        let (first, evicted) = (self.first(next), self.evicted(next, size));
        let is_long = next - 1 - self.published >= self.segment.plan().depth as u64;
        let displaced = if self.segment.is_full() || self.segment.plan().depth != size.depth {
            let published = if is_long { next - 1 } else { self.published };
            let capacity = self.segment.capacity();
            let before = self.turn_over(first, next, published, size, capacity);
            Displaced::with_segment(evicted, before)
        } else {
            Displaced::shared(evicted)
        };
        if is_long {
            // A batch that is to displace its own beginning is shown in parts. Not before the
            // turnover, in which a clone may panic.
            self.publish(next);
        }
        displaced
    }

    /// Replaces the segment of a shared history by one that has the rows from `first` on, and is
    /// about as large as `capacity`. It shows everything up to `published`. If no reader is left,
    /// the history is private after that. If a clone panics, nothing has changed.
    #[cold]
    fn turn_over(
        &mut self,
        first: u64,
        next: u64,
        published: u64,
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
        fresh.publish(published);
        let before = audience.turn_over(&mut self.segment, &self.older, fresh, row);
        self.published = published;
        if is_gone && size.depth > 0 {
            // Snapshots may still be held, but none of the segment that is current now.
            self.audience = None;
        }
        before
    }

    /// As [`Self::turn_over`], giving up memory and showing everything.
    fn turn_over_smaller(&mut self, first: u64, next: u64, size: &Size) -> Option<Arc<Segment<T>>> {
        let before = self.turn_over(first, next, next - 1, size, 0);
        if let Some(audience) = &mut self.audience {
            audience.drop_spare();
        }
        before
    }

    /// Makes room in a private history, and says where its rows end.
    #[cold]
    pub(super) fn make_room(&mut self, size: &Size) -> usize {
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
}
