//! Where the values of a history lie.

use super::segments::{Segments, Show, Size};
use super::{Displaced, Pool};

/// Nothing, one value inline, or segments on the heap.
pub(super) enum Store<T> {
    Empty,
    Newest { value: T, time: i64 },
    Segments(Box<Segments<T>>),
}

impl<T> Store<T> {
    /// Appends the value `next` where there is neither a segment nor a value to replace, or where
    /// a history of depth 0 or 1 has a segment for its readers.
    #[inline(never)]
    pub(super) fn append_seldom(
        &mut self,
        value: T,
        time: i64,
        next: u64,
        size: &Size,
        show: Show,
        pool: Option<&Pool<T>>,
    ) -> Displaced<T> {
        if let Self::Segments(segments) = self
            && size.depth <= 1
        {
            // Alone with a segment that no snapshot has: one is private, or never had a value.
            let is_free = segments.is_private() || size.depth == 0 && segments.is_forsaken();
            if !is_free {
                return segments.append(value, time, next, size, show);
            }
            return self.append_leaving_segments(value, time, next, size);
        }
        if size.depth == 0 {
            return Displaced::one(value);
        }
        if matches!(self, Self::Empty) {
            // A key that had one value so far needs no segment, however deep it may become.
            *self = Self::Newest { value, time };
            return Displaced::nothing();
        }
        self.segments(next, size, pool)
            .append(value, time, next, size, Show::Later)
    }

    /// Appends the value `next` to a history of depth 0 or 1 whose readers are gone, and gives up
    /// the segment that was made for them.
    #[cold]
    fn append_leaving_segments(
        &mut self,
        value: T,
        time: i64,
        next: u64,
        size: &Size,
    ) -> Displaced<T> {
        let Self::Segments(mut segments) = std::mem::replace(self, Self::Empty) else {
            return Displaced::one(value);
        };
        if size.depth == 0 {
            return Displaced::one(value);
        }
        let is_empty = segments.first(next) == next;
        *self = Self::Newest { value, time };
        let mut left = segments.take_all();
        match left.pop() {
            Some(newest) if !is_empty => Displaced::with_values(1, left).and(newest),
            newest => {
                left.extend(newest);
                Displaced::with_values(0, left)
            }
        }
    }

    /// The segments, made if there are none yet; `next` is the number of the next value.
    pub(super) fn segments(
        &mut self,
        next: u64,
        size: &Size,
        pool: Option<&Pool<T>>,
    ) -> &mut Segments<T> {
        *self = match std::mem::replace(self, Self::Empty) {
            Self::Segments(segments) => Self::Segments(segments),
            Self::Empty => Self::Segments(Box::new(Segments::new(next, size, pool.cloned()))),
            Self::Newest { value, time } => {
                let roomy = Size {
                    depth: size.depth.max(1),
                    ..*size
                };
                let mut segments = Box::new(Segments::new(next - 1, &roomy, pool.cloned()));
                // It is the first there, and displaces nothing.
                drop(segments.append(value, time, next - 1, &roomy, Show::Later));
                Self::Segments(segments)
            }
        };
        match self {
            Self::Segments(segments) => segments,
            Self::Empty | Self::Newest { .. } => unreachable!("segments were just made"),
        }
    }
}
