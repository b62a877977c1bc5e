//! What a merger says of itself.

use std::time::Instant;

use record::Position;
use sinks::ScopeIndex;

/// What waits in a merger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergerLoad {
    /// Updates that wait.
    pub(crate) updates: usize,
    /// Keys that they belong to: about as many rows they would be.
    pub(crate) keys: usize,
    /// When the oldest of them was accepted.
    pub(crate) oldest: Option<Instant>,
}

/// The counts of a merger, of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergerStats {
    /// Updates ever offered.
    pub(crate) offered: u64,
    /// Updates ever accepted.
    pub(crate) accepted: u64,
    /// Updates ever refused.
    pub(crate) refused: u64,
    /// Updates that were delivered.
    pub(crate) acked: u64,
    /// Updates that were thrown away by [`Merger::drain`](super::store::Merger::drain).
    pub(crate) purged: u64,
    /// Updates that wait.
    pub(crate) buffered_updates: usize,
    /// Updates on their way to the sink.
    pub(crate) leased_updates: usize,
    /// Keys of both.
    pub(crate) keys: usize,
    /// The most keys that there may be.
    pub(crate) keys_max: usize,
    /// The most updates that there may be.
    pub(crate) updates_max: usize,
}

/// What was thrown away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// How many updates.
    pub(crate) updates: u64,
    /// Those of them whose outcome somebody waits for.
    pub(crate) tracked: Vec<(ScopeIndex, Position)>,
}
