//! Where the values of a history lie.

use super::column::Column;
use super::{KeySeq, Room};

/// Nothing, one value inline, or two columns on the heap.
#[derive(Debug, Clone)]
pub(super) enum Store<T> {
    Empty,
    Newest { value: T, time: i64 },
    Segment(Box<Segment<T>>),
}

#[derive(Debug, Clone)]
pub(super) struct Segment<T> {
    values: Column<T>,
    times: Column<i64>,
    /// The number of the newest value that is earlier than its predecessor, or 0. From it on,
    /// times ascend.
    descent: u64,
}

impl<T> Store<T> {
    /// Appends under a depth of at least 1 and returns what no longer fits.
    pub(super) fn append(
        &mut self,
        value: T,
        time: i64,
        seq: KeySeq,
        depth: usize,
        room: Room,
    ) -> Option<T> {
        match self {
            Self::Segment(segment) => return segment.append(value, time, seq, depth, room),
            Self::Newest {
                value: newest,
                time: newest_time,
            } if depth == 1 => {
                *newest_time = time;
                return Some(std::mem::replace(newest, value));
            }
            Self::Empty | Self::Newest { .. } => {}
        }
        // A key that had one value so far needs no segment, however deep it may become.
        *self = match std::mem::replace(self, Self::Empty) {
            Self::Newest {
                value: first,
                time: first_time,
            } => {
                let mut segment = Segment::new(depth, room);
                segment.append(first, first_time, seq, depth, room);
                segment.append(value, time, seq, depth, room);
                Self::Segment(Box::new(segment))
            }
            _ => Self::Newest { value, time },
        };
        None
    }

    pub(super) fn columns(&self) -> (&[T], &[i64]) {
        match self {
            Self::Empty => (&[], &[]),
            Self::Newest { value, time } => {
                (std::slice::from_ref(value), std::slice::from_ref(time))
            }
            Self::Segment(segment) => (segment.values.as_slice(), segment.times.as_slice()),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Empty | Self::Newest { .. } => 1,
            Self::Segment(segment) => segment.times.capacity(),
        }
    }

    /// Whether no retained value is earlier than its retained predecessor; `first` is the number
    /// of the oldest retained value.
    pub(super) fn ascends_from(&self, first: u64) -> bool {
        match self {
            Self::Empty | Self::Newest { .. } => true,
            Self::Segment(segment) => segment.descent <= first,
        }
    }

    /// Keeps the newest `depth` values, gives up unneeded memory and returns the rest.
    pub(super) fn shrink(&mut self, depth: usize, room: Room) -> Vec<T> {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => Vec::new(),
            Self::Newest { value, .. } if depth == 0 => vec![value],
            newest @ Self::Newest { .. } => {
                *self = newest;
                Vec::new()
            }
            Self::Segment(mut segment) => {
                let displaced = segment.values.take_excess(depth);
                segment.times.take_excess(depth);
                if depth > 1 {
                    segment.values.release(depth, room);
                    segment.times.release(depth, room);
                    *self = Self::Segment(segment);
                } else if let (Some(value), Some(time)) =
                    (segment.values.pop_newest(), segment.times.pop_newest())
                {
                    *self = Self::Newest { value, time };
                }
                displaced
            }
        }
    }
}

impl<T> Segment<T> {
    fn new(depth: usize, room: Room) -> Self {
        let capacity = room.initial_capacity().min(room.capacity_max(depth));
        Self {
            values: Column::with_capacity(capacity),
            times: Column::with_capacity(capacity),
            descent: 0,
        }
    }

    fn append(&mut self, value: T, time: i64, seq: KeySeq, depth: usize, room: Room) -> Option<T> {
        if self
            .times
            .as_slice()
            .last()
            .is_some_and(|newest| time < *newest)
        {
            self.descent = seq.number();
        }
        let displaced = if self.values.len() >= depth {
            self.times.pop_oldest();
            self.values.pop_oldest()
        } else {
            None
        };
        self.times.push(time, depth, room);
        self.values.push(value, depth, room);
        displaced
    }
}
