//! What a ring counts.

use crate::watermark::percent;

/// The counts of a ring, taken together under its lock.
///
/// At every moment `total_offered = total_added + total_refused` and
/// `total_added = total_acked + dropped.total() + queued + leased`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RingStats {
    /// Items in the ring: queued and leased.
    pub current_size: usize,
    /// The capacity in items.
    pub max_size: usize,
    /// Weight of the items in the ring in bytes; 0 where items are not weighed.
    pub current_bytes: usize,
    /// The capacity in bytes; `usize::MAX` where items are not weighed.
    pub max_bytes: usize,
    /// Items that wait to be leased.
    pub queued: usize,
    /// Weight of the items that wait to be leased, in bytes.
    pub queued_bytes: usize,
    /// Items that are leased and not yet acknowledged.
    pub leased: usize,
    /// Pushes that wait for room.
    pub waiting_for_room: usize,
    /// Items ever offered.
    pub total_offered: u64,
    /// Items ever accepted.
    pub total_added: u64,
    /// Items ever refused.
    pub total_refused: u64,
    /// Items ever handed out in leases; one that came back and went out again counts twice.
    pub total_leased: u64,
    /// Items ever acknowledged.
    pub total_acked: u64,
    /// Items accepted and lost, by reason.
    pub dropped: Dropped,
}

impl RingStats {
    /// The fill in percent of the capacity.
    #[must_use]
    pub fn utilization_pct(&self) -> f64 {
        percent(self.current_size, self.max_size)
    }

    /// Items lost because the ring was full.
    #[must_use]
    pub fn overflow_count(&self) -> u64 {
        self.dropped.oldest + self.dropped.newest
    }

    /// Items lost because the ring was full, in percent of those accepted.
    #[must_use]
    pub fn overflow_rate_pct(&self) -> f64 {
        if self.total_added == 0 {
            return 0.0;
        }
        self.overflow_count() as f64 * 100.0 / self.total_added as f64
    }
}

/// Items that were accepted and lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Dropped {
    /// Displaced by newer ones.
    pub oldest: u64,
    /// Dropped on arrival.
    pub newest: u64,
    /// Evicted because the ring was made smaller.
    pub resized: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.oldest + self.newest + self.resized
    }
}
