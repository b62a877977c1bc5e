//! Flushes, counted by reason and by outcome.

use crate::{Outcome, Reason};

const REASONS: usize = Reason::ALL.len();

/// How many flushes were delivered and how many failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OutcomeCounts {
    /// Flushes that delivered what they took.
    pub delivered: u64,
    /// Flushes that failed; their items stayed in the buffer.
    pub failed: u64,
}

impl OutcomeCounts {
    /// Flushes that were attempted.
    #[must_use]
    pub const fn attempted(self) -> u64 {
        self.delivered.saturating_add(self.failed)
    }
}

/// Flushes by [`Reason`] and [`Outcome`].
///
/// A failed flush is never counted as a delivered one, so a timer that only fails cannot look
/// healthy. With the feature `serde` it is written as a map from every reason to its counts.
///
/// ```
/// use flush_policy::{FlushCounts, Outcome, Reason};
///
/// let mut counts = FlushCounts::default();
/// counts.record(Reason::Age, Outcome::Failed);
/// counts.record(Reason::Age, Outcome::Delivered);
/// assert_eq!(counts.of(Reason::Age).delivered, 1);
/// assert_eq!(counts.total().attempted(), 2);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushCounts {
    by_reason: [OutcomeCounts; REASONS],
}

impl FlushCounts {
    /// Counts one flush.
    pub fn record(&mut self, reason: Reason, outcome: Outcome) {
        let counts = &mut self.by_reason[reason.index()];
        let count = match outcome {
            Outcome::Delivered => &mut counts.delivered,
            Outcome::Failed => &mut counts.failed,
        };
        *count = count.saturating_add(1);
    }

    /// The counts of one reason.
    #[must_use]
    pub const fn of(&self, reason: Reason) -> OutcomeCounts {
        self.by_reason[reason.index()]
    }

    /// The counts of all reasons together.
    #[must_use]
    pub fn total(&self) -> OutcomeCounts {
        self.iter()
            .fold(OutcomeCounts::default(), |sum, (_, counts)| OutcomeCounts {
                delivered: sum.delivered.saturating_add(counts.delivered),
                failed: sum.failed.saturating_add(counts.failed),
            })
    }

    /// Adds the counts of another buffer.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.by_reason.iter_mut().zip(other.by_reason) {
            ours.delivered = ours.delivered.saturating_add(theirs.delivered);
            ours.failed = ours.failed.saturating_add(theirs.failed);
        }
    }

    /// Every reason with its counts, those that never happened included.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, OutcomeCounts)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.of(reason)))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for FlushCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let mut map = serializer.serialize_map(Some(REASONS))?;
        for (reason, counts) in self.iter() {
            map.serialize_entry(reason.as_str(), &counts)?;
        }
        map.end()
    }
}
