//! What a history does for its readers: it publishes, and leaves them whole segments.

use std::ops::Range;

use super::board::Board;
use super::segment::{Plan, Segment};
use super::{Pool, Reader};
use crate::sync::Arc;

/// Fills an empty segment with clones of another's rows.
type CloneRows<T> = fn(&mut Segment<T>, &Segment<T>, Range<usize>);

/// The writer's side of a [`Board`].
pub(super) struct Audience<T> {
    board: Arc<Board<T>>,
    /// The segment before, to be used again when no snapshot has it any more. Kept only if its
    /// values need no destructor, since it is emptied in a call that appends.
    spare: Option<Arc<Segment<T>>>,
    /// Only who asks for a reader needs values that can be cloned.
    clone_rows: CloneRows<T>,
}

impl<T> Audience<T> {
    pub(super) fn new(segment: &Arc<Segment<T>>, older: &[Arc<Segment<T>>]) -> Self
    where
        T: Clone,
    {
        Self {
            board: Arc::new(Board::new(Arc::clone(segment), older.to_vec())),
            spare: None,
            clone_rows: Segment::clone_from_rows,
        }
    }

    pub(super) fn reader(&self) -> Reader<T> {
        Reader::new(Arc::clone(&self.board))
    }

    /// Whether no reader is left. Nobody but the writer can make one then.
    pub(super) fn is_gone(&self) -> bool {
        Arc::strong_count(&self.board) == 1
    }

    /// The memory of the spare segment, the board and this.
    pub(super) fn bytes(&self) -> usize {
        let spare = self.spare.as_ref().map_or(0, |spare| spare.bytes());
        let counts = 2 * size_of::<usize>();
        size_of::<Self>() + size_of::<Board<T>>() + counts + spare
    }

    pub(super) fn drop_spare(&mut self) {
        self.spare = None;
    }

    /// An empty segment: the spare one, one from the pool, or a new one.
    pub(super) fn fresh(
        &mut self,
        plan: Plan,
        capacity: usize,
        pool: Option<&Pool<T>>,
    ) -> Arc<Segment<T>> {
        if let Some(mut spare) = self.spare.take()
            && spare.capacity() == capacity
            && spare.plan().layout.width() == plan.layout.width()
            && let Some(segment) = Arc::get_mut(&mut spare)
        {
            segment.reset(plan);
            return spare;
        }
        Arc::new(Segment::new(plan, capacity, pool))
    }

    /// Fills `fresh` with the rows of `current` from `row` on, makes it the current segment, shows
    /// it, and returns the segment before if its values have to be dropped by somebody.
    ///
    /// Rows move if no snapshot has the segment, and are cloned otherwise. If a clone panics,
    /// nothing has changed.
    pub(super) fn turn_over(
        &mut self,
        current: &mut Arc<Segment<T>>,
        older: &[Arc<Segment<T>>],
        fresh: Arc<Segment<T>>,
        row: usize,
    ) -> Option<Arc<Segment<T>>> {
        let old = if std::mem::needs_drop::<T>() {
            match self.turn_over_by_moving(current, older, fresh, row) {
                Ok(old) => old,
                Err(fresh) => self.turn_over_by_cloning(current, older, fresh, row),
            }
        } else {
            self.turn_over_by_cloning(current, older, fresh, row)
        };
        if std::mem::needs_drop::<T>() {
            return Some(old);
        }
        self.spare = Some(old);
        None
    }

    /// Shows a segment that needs no rows of the one before.
    pub(super) fn show(&self, segment: &Arc<Segment<T>>, older: &[Arc<Segment<T>>]) {
        let older = older.to_vec();
        let mut shown = self.board.lock();
        let before = (
            std::mem::replace(&mut shown.segment, Arc::clone(segment)),
            std::mem::replace(&mut shown.older, older),
        );
        drop(shown);
        drop(before);
    }

    fn turn_over_by_moving(
        &self,
        current: &mut Arc<Segment<T>>,
        older: &[Arc<Segment<T>>],
        fresh: Arc<Segment<T>>,
        row: usize,
    ) -> Result<Arc<Segment<T>>, Arc<Segment<T>>> {
        debug_assert!(older.is_empty(), "only numbers have generations");
        // While this is locked nobody can take another handle, so that the board's is the only one
        // once the writer's is gone; the writer's is never the last.
        let mut shown = self.board.lock();
        drop(std::mem::replace(current, fresh));
        let Some(old) = Arc::get_mut(&mut shown.segment) else {
            return Err(std::mem::replace(current, Arc::clone(&shown.segment)));
        };
        Arc::get_mut(current)
            .expect("nobody has seen the fresh segment")
            .move_from(old, row);
        Ok(std::mem::replace(&mut shown.segment, Arc::clone(current)))
    }

    fn turn_over_by_cloning(
        &self,
        current: &mut Arc<Segment<T>>,
        older: &[Arc<Segment<T>>],
        mut fresh: Arc<Segment<T>>,
        row: usize,
    ) -> Arc<Segment<T>> {
        let rows = row..current.filled().end;
        let segment = Arc::get_mut(&mut fresh).expect("nobody has seen the fresh segment");
        (self.clone_rows)(segment, current, rows);
        let old = std::mem::replace(current, fresh);
        self.show(current, older);
        old
    }
}
