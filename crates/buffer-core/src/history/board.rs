//! Where readers on other threads find the segment to read.

use super::segment::Segment;
use crate::sync::{Arc, Guard, Mutex};

/// One lock around a pointer. Readers hold it while they take another handle to the segment, the
/// writer while it puts the next one up, which is once per turnover; appending and publishing touch
/// the segment alone. No value is cloned or dropped under it, and none moves but in memory.
pub(super) struct Board<T> {
    shown: Mutex<Shown<T>>,
}

pub(super) struct Shown<T> {
    pub(super) segment: Arc<Segment<T>>,
    /// Segments of earlier generations, oldest first.
    pub(super) older: Vec<Arc<Segment<T>>>,
}

impl<T> Board<T> {
    pub(super) fn new(segment: Arc<Segment<T>>, older: Vec<Arc<Segment<T>>>) -> Self {
        Self {
            shown: Mutex::new(Shown { segment, older }),
        }
    }

    pub(super) fn lock(&self) -> Guard<'_, Shown<T>> {
        self.shown.lock()
    }

    pub(super) fn segment(&self) -> Arc<Segment<T>> {
        Arc::clone(&self.lock().segment)
    }
}

/// The segment that has the row of this number, or is to have it.
pub(super) fn holding<'a, T>(
    older: &'a [Arc<Segment<T>>],
    current: &'a Arc<Segment<T>>,
    number: u64,
) -> &'a Arc<Segment<T>> {
    older
        .iter()
        .find(|segment| number <= segment.published())
        .unwrap_or(current)
}
