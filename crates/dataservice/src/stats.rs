//! Counters of a service.

/// The state of a [`DataService`](crate::DataService) at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Keys that were ever registered.
    pub keys: usize,
    /// How many may be.
    pub keys_max: usize,
    /// Keys that hold a value.
    pub values: usize,
    /// Commits so far: the newest [`CommitSeq`](crate::CommitSeq).
    pub commits: u64,
    /// Updates committed so far.
    pub updates: u64,
    /// Values that left their history because it was full, shrank, or was removed.
    pub displaced: u64,
    /// Subscribers that exist now.
    pub subscribers: usize,
    /// Wakes so far: at most one per subscriber between two of its polls.
    pub wakes: u64,
    /// Wakes whose waker panicked.
    pub wakes_panicked: u64,
}
