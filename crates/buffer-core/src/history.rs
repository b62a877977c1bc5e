//! `History`: the last N values of one key, numbered and timed.
//!
//! Values and times lie in two columns that are contiguous at every moment, so that a window is
//! borrowed and never copied. A column has about 2.5 times the room of its depth: values are
//! appended until the room ends, and then moved to its front in one go, which costs less than one
//! moved element per append.
//!
//! Invariants: numbers are dense and start at 1; what is retained is always the newest part; a
//! history of depth 0 or 1 allocates nothing. Whatever is displaced is handed back, since the
//! caller may hold a lock and a value's destructor must not run under it.
//!
//! Deliberately absent: a lock (one owner appends; share it as you like), a clock (times are the
//! caller's), and an order of times: late values stay where they arrived.

mod column;
mod room;
mod sequence;
mod span;
mod store;
mod window;

pub use room::{Room, RoomError};
pub use sequence::{Cursor, KeySeq};
pub use window::{Appended, Entry, Since, Window};

use std::ops::Range;

use store::Store;

/// The last values of one key, numbered by [`KeySeq`] and with a time each.
///
/// The unit of time is the caller's; it only has to be the same everywhere. Appending is amortised
/// constant; [`latest`](Self::latest), [`window`](Self::window) and [`since`](Self::since) are
/// constant; [`within`](Self::within) is logarithmic while times ascend, and linear in the length
/// while a value that came late is retained.
///
/// ```
/// use buffer_core::{Cursor, History};
///
/// let mut history = History::new(3);
/// for (time, value) in [(10, 'a'), (20, 'b'), (30, 'c'), (40, 'd')] {
///     history.append(value, time);
/// }
/// assert_eq!(history.window(2).values(), ['c', 'd']);
///
/// // A cursor says exactly what it missed: 'a' was displaced before anyone looked.
/// let since = history.since(Cursor::START);
/// assert_eq!((since.window.values(), since.missed), (&['b', 'c', 'd'][..], 1));
/// assert!(history.since(since.next).window.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct History<T> {
    store: Store<T>,
    /// How many values were ever appended, which is also the number of the newest.
    appended: u64,
    /// How many values are kept at most. Up to 1, `store` is never a segment.
    depth: usize,
    room: Room,
}

impl<T> History<T> {
    /// An empty history that keeps the last `depth` values, with the usual [`Room`].
    ///
    /// A depth of 0 counts and keeps nothing.
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self::with_room(depth, Room::default())
    }

    /// An empty history that keeps the last `depth` values and allocates as `room` says.
    #[must_use]
    pub fn with_room(depth: usize, room: Room) -> Self {
        Self {
            store: Store::Empty,
            appended: 0,
            depth,
            room,
        }
    }

    /// Appends a value that happened at `time`, and hands back the value it displaced.
    ///
    /// Times need not ascend: a late value is appended where it arrived, and windows by count and
    /// cursors follow the order of arrival. Who holds a lock drops the result after unlocking.
    pub fn append(&mut self, value: T, time: i64) -> Appended<T> {
        self.appended += 1;
        let seq = KeySeq::from_count(self.appended);
        let displaced = match self.depth {
            0 => Some(value),
            depth => self.store.append(value, time, seq, depth, self.room),
        };
        Appended { seq, displaced }
    }

    /// The newest value, or `None` before the first and at depth 0.
    #[must_use]
    pub fn latest(&self) -> Option<Entry<'_, T>> {
        self.window(1).latest()
    }

    /// The last `count` values in the order in which they were appended, or as many as there are.
    #[must_use]
    pub fn window(&self, count: usize) -> Window<'_, T> {
        let (values, times) = self.store.columns();
        Window::new(self.first_number(), values, times).last(count)
    }

    /// Everything after the cursor that is still retained, and how much was not.
    ///
    /// `missed` is exact through eviction, growth and shrinking. A cursor beyond the newest value
    /// comes from another history; it is answered as if it stood at the newest.
    pub fn since(&self, cursor: Cursor) -> Since<'_, T> {
        let seen = cursor.number().min(self.appended);
        let unseen = self.appended - seen;
        let window = self.window(usize::try_from(unseen).unwrap_or(usize::MAX));
        let missed = unseen - window.len() as u64;
        Since {
            window,
            missed,
            next: Cursor::from_number(self.appended),
        }
    }

    /// The values of the last `span` of time, as one contiguous run up to the newest.
    ///
    /// - The span ends at the *reference*: the time of the newest value, or the median of the last
    ///   three if that is later. So one late value does not pull the window back, and one value
    ///   from the future rules it only until the next arrives.
    /// - It begins half a median period after `reference - span`. A span of five periods therefore
    ///   holds five values, though the clock of the source jitters; a span shorter than a period
    ///   holds one.
    /// - The run begins at the oldest value whose time lies between these two. It misses no
    ///   retained value of the span; where times descend it may hold some that are older. Values
    ///   after the reference (a source's clock was ahead) never extend it.
    ///
    /// A negative span counts as 0, which selects what has the reference's own time. If the
    /// history is not empty, neither is the result.
    #[must_use]
    pub fn within(&self, span: i64) -> Window<'_, T> {
        let all = self.window(usize::MAX);
        let ascending = self.store.ascends_from(self.first_number());
        all.last(span::length_within(all.times(), span.max(0), ascending))
    }

    /// How many values are kept at most.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many values are retained now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.columns().1.len()
    }

    /// Whether no value is retained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values were ever appended.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// The numbers of the retained values: from the oldest up to, and without, the number that the
    /// next value will get.
    #[must_use]
    pub fn retained(&self) -> Range<KeySeq> {
        KeySeq::from_count(self.first_number())..KeySeq::from_count(self.appended + 1)
    }

    /// How many values fit before memory is allocated or values are moved.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.store.capacity()
    }

    /// Keeps `depth` values from now on, if that is more than now. Loses nothing, and allocates
    /// only when values arrive.
    pub fn grow(&mut self, depth: usize) {
        self.depth = self.depth.max(depth);
    }

    /// Keeps `depth` values from now on, if that is fewer than now, and hands back what no longer
    /// fits, oldest first. Memory beyond the room of the new depth is returned.
    #[must_use = "drop displaced values after unlocking: their destructors may run any code"]
    pub fn shrink(&mut self, depth: usize) -> Vec<T> {
        if depth >= self.depth {
            return Vec::new();
        }
        self.depth = depth;
        self.store.shrink(depth, self.room)
    }

    /// Hands back every retained value, oldest first. Depth and numbering stay, so a cursor counts
    /// what it had not seen as missed.
    #[must_use = "drop displaced values after unlocking: their destructors may run any code"]
    pub fn clear(&mut self) -> Vec<T> {
        self.store.shrink(0, self.room)
    }

    /// The number of the oldest retained value; the next number if there is none.
    fn first_number(&self) -> u64 {
        self.appended + 1 - self.len() as u64
    }
}
