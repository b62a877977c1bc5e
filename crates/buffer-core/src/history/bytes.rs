//! How much memory a history takes.

/// The memory of a history, in bytes. What values own on the heap is not in it; for that, ask
/// [`History::heap_bytes`](super::History::heap_bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HistoryBytes {
    /// The retained values and their times.
    pub retained: usize,
    /// All segments that the history holds, with their headers of some hundred bytes each: at most
    /// its room, twice that once readers are attached, and what earlier generations take. Segments
    /// that only snapshots hold are theirs.
    pub allocated: usize,
}

impl HistoryBytes {
    pub(super) fn new<T>(rows: usize, width: usize, allocated: usize) -> Self {
        Self {
            retained: rows * (width * size_of::<T>() + size_of::<i64>()),
            allocated,
        }
    }
}
