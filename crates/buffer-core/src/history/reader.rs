//! The reading half of a history, for other threads.

use std::fmt;
use std::ops::Range;

use super::board::{Board, holding};
use super::segment::Segment;
use super::{Cursor, Displaced, Pool, Since, Snapshot, span};
use crate::sync::Arc;

/// Reads a [`History`](super::History) from any thread, while its owner appends.
///
/// What it returns are owned [`Snapshot`]s: they copy no value, and stay as they are for as long as
/// they are held, whatever the owner does meanwhile. It sees what the owner has published, and goes
/// on seeing that when the owner is gone. A clone reads the same history; an idle reader holds
/// nothing back.
///
/// A snapshot costs a short lock and a count, both shared with other readers and not with the
/// appending thread, and one load of what that thread published. When the owner turns to another
/// segment, the same lock is held while values that need a destructor move there, up to a depth of
/// them: that much longer a reader may wait.
pub struct Reader<T> {
    board: Arc<Board<T>>,
}

// Readers and what they return go to other threads, and so does what holds the values there.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Reader<u64>>();
    is_send_and_sync::<Snapshot<u64>>();
    is_send_and_sync::<Pool<u64>>();
    is_send_and_sync::<Displaced<u64>>();
};

impl<T> Reader<T> {
    pub(super) fn new(board: Arc<Board<T>>) -> Self {
        Self { board }
    }

    /// How many values were ever appended and published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.board.segment().published()
    }

    /// The newest value, in a snapshot of one; of none if nothing is retained.
    #[must_use]
    pub fn latest(&self) -> Snapshot<T> {
        self.window(1)
    }

    /// The last `count` values, or as many as there are: while a batch is open, its values may
    /// have taken the place of as many older ones; see
    /// [`History::append_deferred`](super::History::append_deferred).
    #[must_use]
    pub fn window(&self, count: usize) -> Snapshot<T> {
        let (segment, newest) = self.load();
        let (first, rows) = visible(&segment, newest, count);
        Snapshot::new(segment, first, rows)
    }

    /// Everything after the cursor that is still retained, and how much was not. For what is
    /// retained and what is missed see [`History::since`](super::History::since). While a batch
    /// is open, values that made place for it count as missed, as for [`window`](Self::window).
    pub fn since(&self, cursor: Cursor) -> Since<Snapshot<T>> {
        let shown = self.board.lock();
        let newest = shown.segment.published();
        let plan = shown.segment.plan();
        let seen = cursor.number().min(newest);
        let oldest = plan
            .floor
            .max((newest + 1).saturating_sub(plan.depth as u64));
        let first = oldest.max(seen + 1);
        let segment = Arc::clone(holding(&shown.older, &shown.segment, first));
        drop(shown);
        // A generation ends where the next begins; the current one goes on meanwhile.
        let last = segment.published().min(newest);
        let rows = segment.rows_between(first, last);
        Since {
            next: Cursor::from_number(last.max(first - 1)),
            missed: first - 1 - seen,
            window: Snapshot::new(segment, first, rows),
        }
    }

    /// The values of the last `span` of time, by the rules of
    /// [`History::within`](super::History::within).
    #[must_use]
    pub fn within(&self, span: i64) -> Snapshot<T> {
        let (segment, newest) = self.load();
        let (first, rows) = visible(&segment, newest, usize::MAX);
        let ascending = segment.ascends_from(first);
        let all = Snapshot::new(segment, first, rows);
        let len = span::length_within(all.times(), span.max(0), ascending);
        all.last(len)
    }

    fn load(&self) -> (Arc<Segment<T>>, u64) {
        let segment = self.board.segment();
        let newest = segment.published();
        (segment, newest)
    }
}

/// The last `count` rows of a segment that readers may see, and the number of the first.
fn visible<T>(segment: &Segment<T>, newest: u64, count: usize) -> (u64, Range<usize>) {
    let plan = segment.plan();
    let count = count.min(plan.depth) as u64;
    let first = (newest + 1)
        .saturating_sub(count)
        .max(plan.base)
        .max(plan.floor);
    (first, segment.rows_between(first, newest))
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.board))
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reader")
            .field("published", &self.published())
            .finish_non_exhaustive()
    }
}
