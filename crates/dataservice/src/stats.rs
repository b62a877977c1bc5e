//! Counters of a service, of a key, and of those who read.

use std::time::Duration;

use crate::KeyId;

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
    /// Values that left their history because it was full, shrank, or was cleared.
    pub displaced: u64,
    /// Subscriptions and feeds that exist now.
    pub subscribers: usize,
    /// Of those, how many are feeds.
    pub feeds: usize,
    /// Updates that the log holds for feeds and for those who resume.
    pub log_updates: u64,
    /// Wakes so far: at most one per subscriber between two of its polls.
    pub wakes: u64,
    /// Wakes whose waker panicked.
    pub wakes_panicked: u64,
    /// How often a history became deeper or less deep.
    pub resizes: u64,
    /// Keys whose values went because nothing was put for too long.
    pub expired: u64,
    /// The memory of keys, histories and log, in bytes.
    pub bytes: usize,
    /// Of that, memory that histories left and that is kept to be used again.
    pub bytes_spare: usize,
    /// How much it may be in all.
    pub bytes_max: usize,
    /// Commits and registrations that were refused for lack of memory.
    pub refused_memory: u64,
    /// How long commits held the service's lock: the mean over one in 64 of them.
    pub commit_time_mean: Duration,
    /// The longest of those.
    pub commit_time_max: Duration,
}

/// One key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KeyStats {
    /// The key.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub id: KeyId,
    /// How many values it holds.
    pub values: usize,
    /// How many it may hold.
    pub depth: usize,
    /// To what its depth was cut for lack of memory.
    pub depth_cut: Option<usize>,
    /// What its values take, in bytes, without what they own on the heap.
    pub bytes: usize,
    /// Updates so far.
    pub updates: u64,
    /// Who watches it.
    pub subscribers: usize,
    /// How many updates the slowest of them has not seen.
    pub lag_max: u64,
    /// How often its depth changed, since somebody watches it.
    pub resizes: u64,
    /// Values that went because its depth shrank, since somebody watches it.
    pub evicted: u64,
}

impl Default for KeyStats {
    fn default() -> Self {
        Self {
            id: KeyId::FIRST,
            values: 0,
            depth: 0,
            depth_cut: None,
            bytes: 0,
            updates: 0,
            subscribers: 0,
            lag_max: 0,
            resizes: 0,
            evicted: 0,
        }
    }
}

/// What became of the updates that were committed to the keys of a subscription, while they were
/// its keys. Always, `committed = delivered + missed + filtered + pending`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// How many were committed, by the numbers of its keys.
    pub committed: u64,
    /// How many went into what was shown.
    pub delivered: u64,
    /// How many were displaced, skipped, or lost with an extractor's panic.
    pub missed: u64,
    /// How many the extractors held back on purpose.
    pub filtered: u64,
    /// How many wait for the next poll.
    pub pending: u64,
    /// How often it polled and got something.
    pub polls: u64,
}

/// What became of the updates that were committed to the keys of a feed. Always,
/// `committed = delivered + missed + pending`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FeedStats {
    /// How many were committed since it began.
    pub committed: u64,
    /// How many were handed out.
    pub delivered: u64,
    /// How many the log dropped before they were read.
    pub missed: u64,
    /// How many wait for the next poll.
    pub pending: u64,
    /// How often it polled and got something.
    pub polls: u64,
}
