//! What a coalescer counts.

use std::fmt;

/// Why everything was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TakeReason {
    /// As many updates were there as a batch should have.
    Size,
    /// The oldest update had waited as long as it may.
    Age,
    /// The last flush was long enough ago.
    Interval,
    /// Somebody asked for it.
    Manual,
    /// A cap was reached, and its policy is to flush.
    Capacity,
    /// The buffer is being closed.
    Shutdown,
}

impl TakeReason {
    /// Every reason, in the order in which they are counted and shown.
    pub const ALL: &'static [Self] = &[
        Self::Size,
        Self::Age,
        Self::Interval,
        Self::Manual,
        Self::Capacity,
        Self::Shutdown,
    ];

    /// The name used in statistics and metrics, in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Age => "age",
            Self::Interval => "interval",
            Self::Manual => "manual",
            Self::Capacity => "capacity",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for TakeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Flushes that took something, by their reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushesByReason {
    counts: [u64; TakeReason::ALL.len()],
}

impl FlushesByReason {
    pub(crate) fn record(&mut self, reason: TakeReason) {
        self.counts[reason as usize] += 1;
    }

    /// The flushes for one reason.
    #[must_use]
    pub const fn of(&self, reason: TakeReason) -> u64 {
        self.counts[reason as usize]
    }

    /// The flushes for all reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Every reason with its count, those that never happened included.
    pub fn iter(&self) -> impl Iterator<Item = (TakeReason, u64)> + '_ {
        TakeReason::ALL.iter().copied().zip(self.counts)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for FlushesByReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, count)| (reason.as_str(), count)))
    }
}

/// What went through a coalescer and what is in it, at one moment.
///
/// Always: `updates_offered = updates_buffered + updates_refused`, and
/// `updates_buffered + updates_restored = updates_flushed + updates_lost + current_buffer_size`.
/// Both sides are measured, neither is derived from the other. Flushes are counted when they end,
/// so while a take is under way its updates can be counted before its flush is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CoalescerStats {
    /// Updates that somebody tried to add.
    pub updates_offered: u64,
    /// Updates that were accepted.
    pub updates_buffered: u64,
    /// Updates that were refused, for one of the three reasons that follow.
    pub updates_refused: u64,
    /// Updates that the aggregate refused.
    pub refused_invalid: u64,
    /// Updates refused because of the cap on keys.
    pub refused_keys_full: u64,
    /// Updates refused because of the cap on updates.
    pub refused_updates_full: u64,
    /// Updates that were accepted under the overflow key instead of their own.
    pub updates_overflowed: u64,
    /// Updates that were taken out; those that came back and were taken again count again.
    pub updates_flushed: u64,
    /// Updates that were brought back after they had been taken out.
    pub updates_restored: u64,
    /// Updates that were lost because the aggregate or a key panicked while they were merged.
    pub updates_lost: u64,
    /// Takes that took something.
    pub flush_operations: u64,
    /// Those of them that nobody asked for by hand.
    pub auto_flushes: u64,
    /// Those of them that somebody asked for by hand.
    pub manual_flushes: u64,
    /// All of them by reason.
    pub flushes_by_reason: FlushesByReason,
    /// Updates that are there now.
    pub current_buffer_size: u64,
    /// Keys that are there now, the overflow key included.
    pub unique_keys: u64,
    /// `updates_flushed / flush_operations`, or 0.
    pub avg_updates_per_flush: f64,
    /// `current_buffer_size` in per cent of the cap on updates, or 0 if there is none.
    pub buffer_utilization_pct: f64,
}

/// What the hub counts, under its lock, so that its sums always agree.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) invalid: u64,
    pub(crate) keys_full: u64,
    pub(crate) updates_full: u64,
    pub(crate) overflowed: u64,
    pub(crate) flushed: u64,
    pub(crate) restored: u64,
    pub(crate) lost: u64,
}

impl CoalescerStats {
    pub(crate) fn new(
        counts: &Counts,
        flushes: FlushesByReason,
        (updates, updates_max): (u64, Option<u64>),
        keys: usize,
    ) -> Self {
        let updates_refused = counts.invalid + counts.keys_full + counts.updates_full;
        let flush_operations = flushes.total();
        let manual_flushes = flushes.of(TakeReason::Manual);
        Self {
            updates_offered: counts.accepted + updates_refused,
            updates_buffered: counts.accepted,
            updates_refused,
            refused_invalid: counts.invalid,
            refused_keys_full: counts.keys_full,
            refused_updates_full: counts.updates_full,
            updates_overflowed: counts.overflowed,
            updates_flushed: counts.flushed,
            updates_restored: counts.restored,
            updates_lost: counts.lost,
            flush_operations,
            auto_flushes: flush_operations - manual_flushes,
            manual_flushes,
            flushes_by_reason: flushes,
            current_buffer_size: updates,
            unique_keys: keys as u64,
            avg_updates_per_flush: match flush_operations {
                0 => 0.0,
                _ => counts.flushed as f64 / flush_operations as f64,
            },
            buffer_utilization_pct: updates_max
                .map_or(0.0, |max| updates as f64 / max as f64 * 100.0),
        }
    }
}
