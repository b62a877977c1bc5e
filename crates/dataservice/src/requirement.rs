//! How deep a history has to be: what is asked for, and what is granted.

use std::time::Duration;

use crate::builder::Limits;

/// Which part of a key's history an extractor reads, and with that how deep it has to be.
///
/// The time of a span is event time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// The newest value.
    Latest,
    /// The last so many values. With 0 only the fact that a key changed is read.
    Count(usize),
    /// The values of the last `span` of event time, the last `count_max` of them at most; without
    /// a count, what the service's builder allows for a span.
    Span {
        /// How far back.
        span: Duration,
        /// How many values at most.
        count_max: Option<usize>,
    },
    /// Everything kept, under two caps. Bytes are counted as the size of a value and its time,
    /// without what the value owns on the heap.
    All {
        /// How many values at most.
        count_max: usize,
        /// How many bytes at most.
        bytes_max: usize,
    },
    /// What was committed after the subscriber's last poll. Up to `count_max` values may wait;
    /// what is displaced before the poll is counted as missed.
    Since {
        /// How many values may wait between two polls.
        count_max: usize,
    },
}

/// How many values of a key a subscriber can count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// How many were asked for.
    pub asked: usize,
    /// How many are kept.
    pub depth: usize,
}

impl Grant {
    /// Whether less is kept than was asked for.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self.depth < self.asked
    }
}

impl Requirement {
    pub(crate) fn grant(self, limits: &Limits, value_bytes: usize) -> Grant {
        let (asked, cap) = match self {
            Self::Latest => (1, usize::MAX),
            Self::Count(count) => (count, usize::MAX),
            Self::Span { count_max, .. } => {
                (count_max.unwrap_or(limits.span_count_max), usize::MAX)
            }
            Self::All {
                count_max,
                bytes_max,
            } => (count_max, bytes_max / (value_bytes + size_of::<i64>())),
            Self::Since { count_max } => (count_max, usize::MAX),
        };
        // The newest value is always kept, so that nobody is granted less than one.
        let asked = asked.max(1);
        Grant {
            asked,
            depth: asked.min(cap).min(limits.depth_max).max(1),
        }
    }
}
