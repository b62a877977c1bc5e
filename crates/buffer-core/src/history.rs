//! `History`: the last N values of one key, numbered and timed.
//!
//! Values and times lie in two columns that are contiguous at every moment, so that a window is
//! borrowed and never copied. They are appended to a *segment* with about 2.5 times the room of the
//! depth; when it is full, what is retained moves on in one go, which costs less than one moved
//! element per append. Readers on other threads get owned [`Snapshot`]s of the same memory.
//!
//! Invariants: numbers are dense and start at 1; what is retained is always the newest part; a
//! history of depth 0 or 1 without readers allocates nothing; what a snapshot shows never changes.
//! Whatever is displaced is handed back, since the caller may hold a lock and a value's destructor
//! must not run under it.
//!
//! Memory: the room of the depth; twice that once there are readers; and what snapshots hold.
//!
//! Deliberately absent: a lock around appending (one owner appends), a clock (times are the
//! caller's), and an order of times: late values stay where they arrived.

mod array;
mod audience;
mod board;
mod buffer;
mod bytes;
mod displaced;
mod matrix;
mod pool;
mod reader;
mod room;
mod segment;
mod segments;
mod sequence;
mod shape;
mod snapshot;
mod span;
mod store;
mod window;

pub use array::{ArrayHistory, ArrayReader, Number};
pub use bytes::HistoryBytes;
pub use displaced::{Appended, Displaced};
pub use matrix::{Matrix, MatrixSnapshot};
pub use pool::Pool;
pub use reader::Reader;
pub use room::{Room, RoomError};
pub use sequence::{Cursor, KeySeq};
pub use shape::{Generation, Shape, ShapeError};
pub use snapshot::Snapshot;
pub use window::{Entry, Since, Window};

use std::fmt;
use std::ops::Range;

use segments::{Show, Size};
use store::Store;

/// The last values of one key, numbered by [`KeySeq`] and with a time each. This is the writing
/// half, with one owner; [`reader`](Self::reader) makes handles for other threads.
///
/// The unit of time is the caller's; it only has to be the same everywhere. Appending is amortised
/// constant; [`latest`](Self::latest), [`window`](Self::window) and [`since`](Self::since) are
/// constant; [`within`](Self::within) is logarithmic while times ascend, and linear in the length
/// while a value that came late is retained. It is `Send` if values are `Send` and `Sync`, since
/// snapshots on other threads show the same ones.
///
/// # Append, and look at the last few
///
/// ```
/// use buffer_core::{Cursor, History};
///
/// let mut history = History::new(1_000);
/// for n in 0..5_000 {
///     history.append(f64::from(n), i64::from(n));
///     let last: &[f64] = history.window(100).values();
///     assert_eq!(last.last(), Some(&f64::from(n)));
/// }
/// // A cursor says exactly what it missed.
/// let since = history.since(Cursor::START);
/// assert_eq!((since.window.len(), since.missed), (1_000, 4_000));
/// assert!(history.since(since.next).window.is_empty());
/// ```
///
/// # One thread appends, others read
///
/// What is published is one number on a cache line that readers load, so that a writer beside busy
/// readers publishes per batch.
///
/// ```
/// use buffer_core::History;
///
/// let mut history = History::new(10_000);
/// let reader = history.reader();
/// let reading = std::thread::spawn(move || {
///     loop {
///         let snapshot = reader.window(100);
///         assert!(snapshot.values().is_sorted());
///         if snapshot.range().end.number() > 50_000 {
///             return snapshot;
///         }
///     }
/// });
/// for n in 1..=50_000 {
///     history.append_deferred(n, n);
///     if n % 50 == 0 {
///         history.publish();
///     }
/// }
/// let snapshot = reading.join().expect("the reader saw everything");
/// // It stays as it was, even though the history is gone.
/// drop(history);
/// assert_eq!(snapshot.values()[99], 50_000);
/// ```
pub struct History<T> {
    store: Store<T>,
    /// How many values were ever appended, which is also the number of the newest.
    appended: u64,
    /// Up to a depth of 1, `store` is a segment only if there are readers.
    size: Size,
    pool: Option<Pool<T>>,
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
            size: Size { depth, room },
            pool: None,
        }
    }

    /// Takes memory from a pool from now on, and gives it back there. A segment that is there
    /// already is not the pool's: it is freed, or goes back to the pool that it came from.
    #[must_use]
    pub fn with_pool(mut self, pool: &Pool<T>) -> Self {
        self.pool = Some(pool.clone());
        if let Store::Segments(segments) = &mut self.store {
            segments.set_pool(pool);
        }
        self
    }

    /// Appends a value that happened at `time`, shows it to readers, and hands back what it
    /// displaced.
    ///
    /// Times need not ascend: a late value is appended where it arrived, and windows by count and
    /// cursors follow the order of arrival. Who holds a lock drops the result after unlocking.
    ///
    /// # Panics
    /// When a clone does that is needed because a snapshot holds a segment that is full: clones run
    /// in this call. The history is as before then, without the value; this one, and the clones
    /// made so far, are dropped in this call, the one place where destructors run in it.
    #[inline(always)]
    pub fn append(&mut self, value: T, time: i64) -> Appended<T> {
        self.append_and(value, time, Show::Now)
    }

    /// As [`append`](Self::append), but readers do not see the value before
    /// [`publish`](Self::publish), and no cache line that they load is written. The owner sees it.
    ///
    /// A batch of up to [`depth`](Self::depth) values becomes visible at once; one that is longer,
    /// in parts of this length. After [`grow`](Self::grow) the length is that of the old depth
    /// until the next append has brought the new one about. A plain [`append`](Self::append), the
    /// first [`reader`](Self::reader), [`shrink`](Self::shrink) and [`clear`](Self::clear) publish
    /// too.
    ///
    /// The values of an open batch count towards the depth: when the segment is full, it is left
    /// with the last `depth` values, and until the batch is published readers who look anew find
    /// so many fewer. [`Reader::since`] counts those as missed.
    ///
    /// # Panics
    /// As [`append`](Self::append).
    #[inline(always)]
    pub fn append_deferred(&mut self, value: T, time: i64) -> Appended<T> {
        self.append_and(value, time, Show::Later)
    }

    /// Shows readers everything that was appended. One store; nothing if there are no readers.
    #[inline]
    pub fn publish(&mut self) {
        if let Store::Segments(segments) = &mut self.store {
            segments.publish(self.appended + 1);
        }
    }

    /// A reader for another thread. The first sees at once everything that is retained; one that
    /// comes while there are others sees what they see, and an open batch stays open.
    ///
    /// With the first reader the history becomes shared: a value that leaves stays in its segment,
    /// even at depth 0 and 1 there is one, and the segment is handed back as a whole by the append
    /// after which it is not needed. Some time after the last reader is gone it is its owner's
    /// alone again.
    #[must_use]
    pub fn reader(&mut self) -> Reader<T>
    where
        T: Clone,
    {
        let next = self.appended + 1;
        let segments = self.store.segments(next, &self.size, self.pool.as_ref());
        segments.reader(next, self.size.depth)
    }

    /// The newest value, or `None` before the first and at depth 0.
    #[must_use]
    pub fn latest(&self) -> Option<Entry<'_, T>> {
        self.window(1).latest()
    }

    /// The last `count` values in the order in which they were appended, or as many as there are.
    #[must_use]
    #[inline]
    pub fn window(&self, count: usize) -> Window<'_, T> {
        match &self.store {
            Store::Segments(segments) => segments.window(count, self.appended + 1),
            Store::Newest { value, time } if count > 0 => Window::new(
                self.appended,
                std::slice::from_ref(value),
                std::slice::from_ref(time),
            ),
            Store::Newest { .. } | Store::Empty => Window::new(self.appended + 1, &[], &[]),
        }
    }

    /// Everything after the cursor that is still retained, and how much was not.
    ///
    /// `missed` is exact through eviction, growth and shrinking. A cursor beyond the newest value
    /// comes from another history; it is answered as if it stood at the newest.
    pub fn since(&self, cursor: Cursor) -> Since<Window<'_, T>> {
        let seen = cursor.number().min(self.appended);
        let unseen = self.appended - seen;
        let window = self.window(usize::try_from(unseen).unwrap_or(usize::MAX));
        Since {
            window,
            missed: unseen - window.len() as u64,
            next: Cursor::from_number(self.appended),
        }
    }

    /// The values of the last `span` of time, as one contiguous run up to the newest.
    ///
    /// - The span ends at the *reference*: the time of the newest value, or the median of the last
    ///   three if that is later. So one late value pulls the window back by about a period at
    ///   most, and one value from the future rules it only until the next arrives.
    /// - It begins half a median period after `reference - span`, and half the span if that is
    ///   shorter. A span of five periods therefore holds five values, though the clock of the
    ///   source jitters; a span shorter than a period holds one. The period is the lower median of
    ///   the positive steps between the latest 33 distinct times.
    /// - The run begins at the oldest value whose time lies between these two. It misses no
    ///   retained value of the span; where times descend it may hold some that are older. Values
    ///   after the reference (a source's clock was ahead) never extend it.
    ///
    /// A negative span counts as 0, which selects what has the reference's own time. If the
    /// history is not empty, neither is the result.
    #[must_use]
    pub fn within(&self, span: i64) -> Window<'_, T> {
        let all = self.window(usize::MAX);
        let ascending = match &self.store {
            Store::Segments(segments) => segments.segment().ascends_from(self.first()),
            Store::Empty | Store::Newest { .. } => true,
        };
        all.last(span::length_within(all.times(), span.max(0), ascending))
    }

    /// How many values are kept at most.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.size.depth
    }

    /// How many values are retained now.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.appended + 1 - self.first()) as usize
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
        KeySeq::from_count(self.first())..KeySeq::from_count(self.appended + 1)
    }

    /// How many values fit into the segment before it is left or compacted.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match &self.store {
            Store::Empty | Store::Newest { .. } => 1,
            Store::Segments(segments) => segments.segment().capacity(),
        }
    }

    /// How much memory the retained values, and all segments, take. Constant time.
    #[must_use]
    pub fn bytes(&self) -> HistoryBytes {
        let allocated = match &self.store {
            Store::Empty | Store::Newest { .. } => 0,
            Store::Segments(segments) => segments.bytes(),
        };
        HistoryBytes::new::<T>(self.len(), 1, allocated)
    }

    /// What the retained values own on the heap, by a function that weighs one of them. Linear.
    ///
    /// ```
    /// use buffer_core::History;
    ///
    /// let mut history = History::new(2);
    /// for text in ["dropped", "four", "seven.."] {
    ///     history.append(text.to_owned(), 0);
    /// }
    /// assert_eq!(history.heap_bytes(String::len), 11);
    /// ```
    #[must_use]
    pub fn heap_bytes(&self, weigh: impl Fn(&T) -> usize) -> usize {
        self.window(usize::MAX).values().iter().map(weigh).sum()
    }

    /// Keeps `depth` values from now on, if that is more than now. Loses nothing, and allocates
    /// only when values arrive.
    pub fn grow(&mut self, depth: usize) {
        if depth <= self.size.depth {
            return;
        }
        self.size.depth = depth;
        if let Store::Segments(segments) = &mut self.store {
            segments.grow(depth, self.appended + 1);
        }
    }

    /// Keeps `depth` values from now on, if that is fewer than now, and hands back what no longer
    /// fits, oldest first. Memory beyond the room of the new depth is returned. It publishes.
    ///
    /// # Panics
    /// As [`append`](Self::append); then the depth is as before.
    pub fn shrink(&mut self, depth: usize) -> Displaced<T> {
        if depth >= self.size.depth {
            return Displaced::nothing();
        }
        let size = Size { depth, ..self.size };
        let displaced = match &mut self.store {
            Store::Segments(segments) if depth > 1 || !segments.is_private() => {
                segments.shrink(self.appended + 1, &size)
            }
            Store::Newest { .. } if depth == 1 => Displaced::nothing(),
            Store::Empty | Store::Newest { .. } | Store::Segments(_) => self.keep_inline(depth),
        };
        // Only now: a clone may have panicked.
        self.size = size;
        displaced
    }

    /// Hands back every retained value, oldest first. Depth and numbering stay, so a cursor counts
    /// what it had not seen as missed. It publishes.
    pub fn clear(&mut self) -> Displaced<T> {
        let (next, size) = (self.appended + 1, &self.size);
        match &mut self.store {
            Store::Segments(segments) if !segments.is_private() => segments.clear(next, size),
            Store::Empty | Store::Newest { .. } | Store::Segments(_) => self.keep_inline(0),
        }
    }

    /// Gives up the segment, if there is one, and keeps at most one value.
    fn keep_inline(&mut self, len: usize) -> Displaced<T> {
        let time = self.latest().map(|newest| newest.time);
        let mut values = match std::mem::replace(&mut self.store, Store::Empty) {
            Store::Empty => Vec::new(),
            Store::Newest { value, .. } => vec![value],
            Store::Segments(mut segments) => segments.take_all(),
        };
        if len > 0
            && let (Some(time), Some(value)) = (time, values.pop())
        {
            self.store = Store::Newest { value, time };
        }
        Displaced::with_values(values.len(), values)
    }

    /// The number of the oldest retained value; the next number if there is none.
    fn first(&self) -> u64 {
        match &self.store {
            Store::Empty => self.appended + 1,
            Store::Newest { .. } => self.appended,
            Store::Segments(segments) => segments.first(self.appended + 1),
        }
    }

    #[inline(always)]
    fn append_and(&mut self, value: T, time: i64, show: Show) -> Appended<T> {
        let next = self.appended + 1;
        let displaced = if let Store::Segments(segments) = &mut self.store
            && self.size.depth > 1
        {
            segments.append(value, time, next, &self.size, show)
        } else if let Store::Newest {
            value: newest,
            time: newest_time,
        } = &mut self.store
            && self.size.depth == 1
        {
            *newest_time = time;
            Displaced::one(std::mem::replace(newest, value))
        } else {
            std::hint::cold_path();
            let (size, pool) = (&self.size, self.pool.as_ref());
            self.store
                .append_seldom(value, time, next, size, show, pool)
        };
        // Only now: a clone may have panicked.
        self.appended = next;
        Appended {
            seq: KeySeq::from_count(next),
            displaced,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for History<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("History")
            .field("appended", &self.appended)
            .field("depth", &self.size.depth)
            .field("retained", &self.window(usize::MAX).values())
            .finish_non_exhaustive()
    }
}
