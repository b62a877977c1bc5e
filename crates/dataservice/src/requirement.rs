//! How deep a history has to be: what is asked for, and what is granted.

use std::time::Duration;

use crate::builder::Limits;
use crate::watch::Need;

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
    /// a count, what the service's builder allows for a span. The history grows as far as values
    /// are dense, so that a slow key stays small.
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

/// What of a key a subscriber can count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Grant {
    /// How many values were asked for.
    pub asked: usize,
    /// How many are kept, at most.
    pub depth: usize,
    /// The span that they cover, if one was asked for and `depth` values are enough for it.
    pub span: Option<Duration>,
    /// The bytes of so many values with their times, without what the values own on the heap.
    pub bytes: usize,
}

impl Grant {
    /// Whether less is kept than was asked for.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self.depth < self.asked
    }
}

/// A history that grows with its span begins with so many values.
const SPAN_DEPTH_FIRST: usize = 64;

impl Requirement {
    /// What a watcher that reads this counts on; `bytes_free` is what the service's memory still
    /// has room for.
    pub(crate) fn need(self, limits: &Limits, value_bytes: usize, bytes_free: usize) -> Need {
        let row = value_bytes + size_of::<i64>();
        let cap = match self {
            Self::All { bytes_max, .. } => bytes_max / row,
            _ => usize::MAX,
        };
        let room = f64::from(limits.room.over_allocation());
        let free = (bytes_free as f64 / room) as usize / row;
        let allowed = limits.depth_max.min(limits.key_bytes_max / row).min(free);
        let depth_max = self.asked(limits).min(cap).min(allowed).max(1);
        let (depth, span_us) = match self {
            Self::Span { span, count_max } => {
                let first = count_max.unwrap_or(SPAN_DEPTH_FIRST);
                let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                (first.min(depth_max), span_us)
            }
            _ => (depth_max, 0),
        };
        Need {
            depth,
            depth_max,
            span_us,
        }
    }

    /// What of that is granted when so many values can be kept.
    pub(crate) fn grant(self, limits: &Limits, value_bytes: usize, depth: usize) -> Grant {
        let asked = self.asked(limits);
        let depth = depth.min(asked);
        Grant {
            asked,
            depth,
            span: match self {
                Self::Span { span, .. } if depth >= asked => Some(span),
                _ => None,
            },
            bytes: depth * (value_bytes + size_of::<i64>()),
        }
    }

    fn asked(self, limits: &Limits) -> usize {
        let asked = match self {
            Self::Latest => 1,
            Self::Count(count) => count,
            Self::Span { count_max, .. } => count_max.unwrap_or(limits.span_count_max),
            Self::All { count_max, .. } | Self::Since { count_max } => count_max,
        };
        // The newest value is always kept, so that nobody is granted less than one.
        asked.max(1)
    }
}
