//! Histories of arrays of numbers: waveforms, frames, spectra.

#![allow(
    unsafe_code,
    reason = "one thread appends to a slice whose front others read"
)]

use std::fmt;
use std::ops::Range;

use super::segment::Segment;
use super::segments::{Segments, Size};
use super::shape::Layout;
use super::{
    Cursor, HistoryBytes, KeySeq, Matrix, MatrixSnapshot, Pool, Reader, Room, Shape, ShapeError,
    Since, span,
};

/// A number that arrays consist of: the integers up to 64 bits and both floats.
pub trait Number: sealed::Number {}

mod sealed {
    pub trait Number: Copy + Send + Sync + 'static {}
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl sealed::Number for $number {}
        impl Number for $number {}
    )*};
}

numbers!(f32 f64 i8 i16 i32 i64 u8 u16 u32 u64);

/// The last arrays of one key, numbered and timed like the values of a
/// [`History`](super::History). Their elements lie in one flat column, so that a window over them
/// is one contiguous [`Matrix`].
///
/// All rows of a matrix have one shape. An array of another shape begins a new [`Generation`]:
/// the numbers go on, [`latest`](Self::latest), [`window`](Self::window) and
/// [`within`](Self::within) show the newest generation, and [`since`](Self::since) shows one
/// generation after the other. The depth counts the arrays of all generations. Of earlier ones up
/// to [`GENERATIONS_MAX`](Self::GENERATIONS_MAX) are kept, each in a segment of its own; arrays
/// that leave with the oldest count as missed.
///
/// [`Generation`]: super::Generation
///
/// ```
/// use buffer_core::{ArrayHistory, Cursor, Shape};
///
/// let mut spectra = ArrayHistory::new(100);
/// let coarse = Shape::new(&[2])?;
/// spectra.append(coarse, &[0.5, 0.25], 10)?;
/// spectra.append(coarse, &[0.75, 0.5], 20)?;
/// let window = spectra.window(2);
/// assert_eq!((window.rows(), window.as_slice()), (2, &[0.5, 0.25, 0.75, 0.5][..]));
///
/// // Another shape clears nothing: who had not looked still sees both.
/// spectra.append(Shape::new(&[3])?, &[1.0, 2.0, 3.0], 30)?;
/// let before = spectra.since(Cursor::START);
/// assert_eq!((before.window.rows(), before.missed), (2, 0));
/// let after = spectra.since(before.next);
/// assert_eq!(after.window.row(0), Some(&[1.0, 2.0, 3.0][..]));
/// assert!(after.window.generation() > before.window.generation());
/// # Ok::<(), buffer_core::ShapeError>(())
/// ```
pub struct ArrayHistory<E> {
    segments: Segments<E>,
    appended: u64,
    size: Size,
}

impl<E: Number> ArrayHistory<E> {
    /// How many generations before the newest are kept at most.
    pub const GENERATIONS_MAX: usize = super::segments::OLDER_MAX;

    /// An empty history that keeps the last `depth` arrays, with the usual [`Room`].
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self::with_room(depth, Room::default())
    }

    /// An empty history that keeps the last `depth` arrays and allocates as `room` says.
    #[must_use]
    pub fn with_room(depth: usize, room: Room) -> Self {
        // Memory is allocated once the shape is known.
        let nothing = Size { depth: 0, room };
        let mut segments = Segments::new(1, &nothing, None);
        segments.grow(depth, 1);
        Self {
            segments,
            appended: 0,
            size: Size { depth, room },
        }
    }

    /// Takes memory from a pool from now on, and gives it back there. A segment that is there
    /// already goes back where it came from.
    #[must_use]
    pub fn with_pool(mut self, pool: &Pool<E>) -> Self {
        self.segments.set_pool(pool);
        self
    }

    /// Appends an array that happened at `time`, its elements in the order of memory, and shows it
    /// to readers.
    ///
    /// # Errors
    /// When the number of elements is not that of the shape; nothing is appended.
    pub fn append(
        &mut self,
        shape: Shape,
        elements: &[E],
        time: i64,
    ) -> Result<KeySeq, ShapeError> {
        let seq = self.append_deferred(shape, elements, time)?;
        self.publish();
        Ok(seq)
    }

    /// As [`append`](Self::append), but readers do not see the array before
    /// [`publish`](Self::publish), or before an array of another shape.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_deferred(
        &mut self,
        shape: Shape,
        elements: &[E],
        time: i64,
    ) -> Result<KeySeq, ShapeError> {
        if elements.len() != shape.elements() {
            return Err(ShapeError::Elements {
                elements: elements.len(),
                expected: shape.elements(),
            });
        }
        if shape != self.layout().shape {
            self.begin(shape);
        }
        let next = self.appended + 1;
        if self.size.depth > 0 {
            self.segments.append_row(elements, time, next, &self.size);
        }
        self.appended = next;
        Ok(KeySeq::from_count(next))
    }

    /// Shows readers everything that was appended.
    pub fn publish(&mut self) {
        self.segments.publish(self.appended + 1);
    }

    /// Begins a new generation of the same shape: what is appended from now on means something
    /// else, for instance another unit or another region of interest.
    pub fn begin_generation(&mut self) {
        self.begin(self.layout().shape);
    }

    /// A reader for another thread.
    #[must_use]
    pub fn reader(&mut self) -> ArrayReader<E> {
        let next = self.appended + 1;
        ArrayReader {
            rows: self.segments.reader(next, self.size.depth),
        }
    }

    /// The newest array, in a matrix of one row; of none if nothing is retained.
    #[must_use]
    pub fn latest(&self) -> Matrix<'_, E> {
        self.window(1)
    }

    /// The last `count` arrays of the newest generation, or as many as there are.
    #[must_use]
    pub fn window(&self, count: usize) -> Matrix<'_, E> {
        let (first, rows) = self.segments.last(count, self.appended + 1);
        self.matrix(self.segments.segment(), first, rows)
    }

    /// The arrays after the cursor that are still retained, of the first generation that has any,
    /// and how many before them were not retained.
    ///
    /// A cursor comes to the newest array by following `next` until the window is empty; each step
    /// is one generation.
    pub fn since(&self, cursor: Cursor) -> Since<Matrix<'_, E>> {
        let next = self.appended + 1;
        let seen = cursor.number().min(self.appended);
        let first = self.segments.first(next).max(seen + 1);
        let segment = self.segments.holding(first);
        let last = if std::ptr::eq(segment, self.segments.segment()) {
            self.appended
        } else {
            segment.published()
        };
        Since {
            window: self.matrix(segment, first, segment.rows_between(first, last)),
            missed: first - 1 - seen,
            next: Cursor::from_number(last),
        }
    }

    /// The arrays of the newest generation in the last `span` of time, by the rules of
    /// [`History::within`](super::History::within).
    #[must_use]
    pub fn within(&self, span: i64) -> Matrix<'_, E> {
        let all = self.window(usize::MAX);
        let first = all.range().start.number();
        let ascending = self.segments.segment().ascends_from(first);
        all.last(span::length_within(all.times(), span.max(0), ascending))
    }

    /// How many arrays are kept at most.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.size.depth
    }

    /// How many arrays are retained now, of all generations.
    #[must_use]
    pub fn len(&self) -> usize {
        let next = self.appended + 1;
        (next - self.segments.first(next)) as usize
    }

    /// Whether no array is retained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many arrays were ever appended.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// How much memory the retained arrays, and all segments, take.
    #[must_use]
    pub fn bytes(&self) -> HistoryBytes {
        let allocated = self.segments.bytes();
        let mut bytes = HistoryBytes {
            retained: 0,
            allocated,
        };
        let mut cursor = Cursor::START;
        loop {
            let since = self.since(cursor);
            if since.window.is_empty() {
                return bytes;
            }
            let width = since.window.shape().elements();
            bytes.retained += HistoryBytes::new::<E>(since.window.rows(), width, 0).retained;
            cursor = since.next;
        }
    }

    /// Keeps `depth` arrays from now on, if that is more than now.
    pub fn grow(&mut self, depth: usize) {
        if depth > self.size.depth {
            self.size.depth = depth;
            self.segments.grow(depth, self.appended + 1);
        }
    }

    /// Keeps `depth` arrays from now on, if that is fewer than now, returns memory, and says how
    /// many arrays left. It publishes.
    pub fn shrink(&mut self, depth: usize) -> usize {
        if depth >= self.size.depth {
            return 0;
        }
        self.size.depth = depth;
        self.segments.shrink(self.appended + 1, &self.size).len()
    }

    /// Keeps nothing of what was appended, and says how many arrays that were. Shape, generation
    /// and numbering stay. It publishes.
    pub fn clear(&mut self) -> usize {
        self.segments.clear(self.appended + 1, &self.size).len()
    }

    fn begin(&mut self, shape: Shape) {
        let before = self.layout();
        let next = self.appended + 1;
        let generation = if self.appended == 0 {
            before.generation
        } else {
            before.generation.next()
        };
        let layout = Layout { shape, generation };
        self.segments.change_layout(layout, next, &self.size);
    }

    fn layout(&self) -> Layout {
        self.segments.segment().plan().layout
    }

    fn matrix<'a>(&self, segment: &'a Segment<E>, first: u64, rows: Range<usize>) -> Matrix<'a, E>
    where
        Self: 'a,
    {
        // SAFETY: the rows are filled, and the writer moves none while it is borrowed.
        let (elements, times) = unsafe { (segment.values(rows.clone()), segment.times(rows)) };
        Matrix::new(&segment.plan().layout, first, elements, times)
    }
}

impl<E: Number> fmt::Debug for ArrayHistory<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ArrayHistory")
            .field("appended", &self.appended)
            .field("depth", &self.size.depth)
            .field("len", &self.len())
            .field("layout", &self.layout())
            .finish_non_exhaustive()
    }
}

/// Reads an [`ArrayHistory`] from any thread, while its owner appends. See [`Reader`].
#[derive(Debug, Clone)]
pub struct ArrayReader<E> {
    rows: Reader<E>,
}

impl<E: Number> ArrayReader<E> {
    /// How many arrays were ever appended and published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.rows.published()
    }

    /// The newest array, in a matrix of one row; of none if nothing is retained.
    #[must_use]
    pub fn latest(&self) -> MatrixSnapshot<E> {
        self.window(1)
    }

    /// The last `count` arrays of the newest generation, or as many as there are.
    #[must_use]
    pub fn window(&self, count: usize) -> MatrixSnapshot<E> {
        MatrixSnapshot::new(self.rows.window(count))
    }

    /// The arrays after the cursor that are still retained, of the first generation that has any.
    /// See [`ArrayHistory::since`].
    pub fn since(&self, cursor: Cursor) -> Since<MatrixSnapshot<E>> {
        let since = self.rows.since(cursor);
        Since {
            window: MatrixSnapshot::new(since.window),
            missed: since.missed,
            next: since.next,
        }
    }

    /// The arrays of the newest generation in the last `span` of time.
    #[must_use]
    pub fn within(&self, span: i64) -> MatrixSnapshot<E> {
        MatrixSnapshot::new(self.rows.within(span))
    }
}
