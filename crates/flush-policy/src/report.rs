//! What a driver reports to a policy: what came in, and how a flush went.

use std::time::{Duration, Instant};

/// Items that the buffer accepted since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    items: usize,
    bytes: usize,
    first_arrival: Option<Instant>,
}

impl Load {
    /// `items` that weigh `bytes` together (0 where nobody weighs them) and have just arrived.
    #[must_use]
    pub const fn new(items: usize, bytes: usize) -> Self {
        Self {
            items,
            bytes,
            first_arrival: None,
        }
    }

    /// The same items, the first of which arrived at `first_arrival`, before they are reported.
    ///
    /// Ages count from here. A time after the `now` of the report is taken to be that `now`.
    #[must_use]
    pub const fn arrived_at(mut self, first_arrival: Instant) -> Self {
        self.first_arrival = Some(first_arrival);
        self
    }

    /// Number of items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Weight of the items in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first of them arrived, seen from `now`.
    #[must_use]
    pub fn first_arrival(&self, now: Instant) -> Instant {
        self.first_arrival.map_or(now, |arrival| arrival.min(now))
    }
}

/// Whether a flush delivered what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Outcome {
    /// What it took has left the buffer.
    Delivered,
    /// What it took is in the buffer again.
    Failed,
}

/// How a flush went, and what is in the buffer after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    outcome: Outcome,
    remainder: Remainder,
    written: Option<Written>,
}

impl Flushed {
    /// The flush delivered what it took, and `remainder` is still there.
    #[must_use]
    pub const fn delivered(remainder: Remainder) -> Self {
        Self {
            outcome: Outcome::Delivered,
            remainder,
            written: None,
        }
    }

    /// The flush failed, and `remainder` is still there, with what the flush had taken.
    #[must_use]
    pub const fn failed(remainder: Remainder) -> Self {
        Self {
            outcome: Outcome::Failed,
            remainder,
            written: None,
        }
    }

    /// The flush wrote a batch of `items`, and the write took so long, in monotonic time.
    ///
    /// That is the time of the last attempt alone, without the pauses between attempts. Only
    /// [`Adaptive`](crate::Adaptive) looks at it. A flush that wrote nothing has nothing to say
    /// here.
    #[must_use]
    pub const fn wrote(mut self, items: usize, took: Duration) -> Self {
        self.written = Some(Written { items, took });
        self
    }

    /// Whether it delivered.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What is in the buffer now.
    #[must_use]
    pub const fn remainder(&self) -> Remainder {
        self.remainder
    }

    /// What was written and how long that took, if the driver said so.
    #[must_use]
    pub const fn written(&self) -> Option<Written> {
        self.written
    }
}

/// A batch that was written, with or without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    items: usize,
    took: Duration,
}

impl Written {
    /// Number of items in the batch.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// How long the write took.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }
}

/// What is in a buffer after a flush: everything that was reported and has not left it.
///
/// Items that are accepted but not yet reported do not belong to it, or they would count twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remainder {
    items: usize,
    bytes: usize,
    oldest: Option<Instant>,
}

impl Remainder {
    /// Nothing is left.
    pub const EMPTY: Self = Self {
        items: 0,
        bytes: 0,
        oldest: None,
    };

    /// `items` that weigh `bytes` are left, the oldest of which *arrived* at `oldest`.
    ///
    /// The age counts from that arrival, not from the flush. No items are the same as
    /// [`Remainder::EMPTY`].
    #[must_use]
    pub const fn new(items: usize, bytes: usize, oldest: Instant) -> Self {
        if items == 0 {
            return Self::EMPTY;
        }
        Self {
            items,
            bytes,
            oldest: Some(oldest),
        }
    }

    /// Number of items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Weight of the items in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest of them arrived, or `None` if nothing is left.
    #[must_use]
    pub const fn oldest(&self) -> Option<Instant> {
        self.oldest
    }
}
