//! Errors of construction and of calls that wait.

/// A ring cannot be built or resized like this.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The capacity is none.
    #[error("capacity is {capacity}, expected 1 to {limit}")]
    Capacity {
        /// The capacity asked for.
        capacity: usize,
        /// The greatest possible.
        limit: usize,
    },
    /// The byte limit is none.
    #[error("max_bytes is {max_bytes}, expected 1 to {limit}")]
    Bytes {
        /// The limit asked for.
        max_bytes: usize,
        /// The greatest possible.
        limit: usize,
    },
    /// The watermark's marks are not in order.
    #[error("watermark is {high_pct} % up and {low_pct} % down, expected 0 <= down < up <= 100")]
    Watermark {
        /// The mark on the way up.
        high_pct: f64,
        /// The mark on the way down.
        low_pct: f64,
    },
}

/// A waiting lease came back empty-handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Nothing arrived in time.
    #[error("the ring stayed empty")]
    Empty,
    /// The ring is closed and empty: nothing will ever arrive.
    #[error("the ring is closed and empty")]
    Closed,
}
