//! What a lane keeps records in until their turn comes, and what it lends to the sink.
//!
//! Whatever is lent and not acknowledged comes back, in order. The counts are in updates.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use buffer_core::{Demand, Lease, LeaseItems, PushedMany, Refusal, Ring};
use record::Position;
use sinks::{Entry, ScopeIndex};

use crate::merge::{MergePolicy, MergedLease, MergedRows, Merger};

/// Whether somebody wants to know what becomes of a row.
pub(crate) type Tracks<'a> = &'a dyn Fn(&Entry) -> bool;

/// The buffer of one queue.
pub(crate) enum Buffer {
    /// Each record by itself.
    Ring(Ring<Entry>),
    /// The records of a key as one.
    Merged(Merger, MergePolicy),
}

/// What a buffer counts, all of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fill {
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) acked: u64,
    /// Queued and lent.
    pub(crate) size: usize,
    pub(crate) size_max: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
    pub(crate) queued: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) lent: usize,
    pub(crate) displaced: u64,
    pub(crate) dropped: u64,
    pub(crate) resized: u64,
}

impl Buffer {
    /// By the policy of the buffer; `tracks` says of which rows somebody wants to know what
    /// becomes of them.
    pub(crate) fn push_many(&self, rows: &mut Vec<Entry>, tracks: Tracks<'_>) -> PushedMany {
        match self {
            Self::Ring(ring) => ring.push_many(rows),
            Self::Merged(merger, policy) => merger.push_many(rows, *policy, tracks),
        }
    }

    pub(crate) fn try_push_many(&self, rows: &mut Vec<Entry>, tracks: Tracks<'_>) -> PushedMany {
        match self {
            Self::Ring(ring) => ring.try_push_many(rows),
            Self::Merged(merger, _) => merger.push_many(rows, MergePolicy::Reject, tracks),
        }
    }

    pub(crate) fn try_push_all(
        &self,
        rows: &mut Vec<Entry>,
        tracks: Tracks<'_>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Ring(ring) => ring.try_push_all(rows),
            Self::Merged(merger, _) => merger.try_push_all(rows, tracks),
        }
    }

    pub(crate) fn fill(&self) -> Fill {
        match self {
            Self::Ring(ring) => {
                let stats = ring.stats();
                Fill {
                    offered: stats.total_offered,
                    accepted: stats.total_added,
                    refused: stats.total_refused,
                    acked: stats.total_acked,
                    size: stats.current_size,
                    size_max: stats.max_size,
                    bytes: stats.current_bytes,
                    bytes_max: stats.max_bytes,
                    queued: stats.queued,
                    queued_bytes: stats.queued_bytes,
                    lent: stats.leased,
                    displaced: stats.dropped.oldest,
                    dropped: stats.dropped.newest,
                    resized: stats.dropped.resized,
                }
            }
            Self::Merged(merger, _) => {
                let stats = merger.stats();
                Fill {
                    offered: stats.offered,
                    accepted: stats.accepted,
                    refused: stats.refused,
                    acked: stats.acked,
                    size: stats.buffered_updates + stats.leased_updates,
                    size_max: stats.updates_max,
                    bytes_max: usize::MAX,
                    queued: stats.buffered_updates,
                    lent: stats.leased_updates,
                    ..Fill::default()
                }
            }
        }
    }

    /// When the oldest of what waits arrived.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        match self {
            Self::Ring(ring) => ring.peek(1).first().map(|row| row.arrival),
            Self::Merged(merger, _) => merger.load().oldest,
        }
    }

    pub(crate) fn poll_queued(&self, context: &mut Context<'_>, demand: Demand) -> Poll<()> {
        match self {
            Self::Ring(ring) => ring.poll_queued(context, demand),
            Self::Merged(merger, _) => merger.poll_queued(context, demand.items),
        }
    }

    /// Up to so much; all there is, where it is merged: a batch of merged rows is whole.
    pub(crate) fn lend(&self, max: Demand) -> Option<Loan> {
        match self {
            Self::Ring(ring) => ring.lease_up_to(max).map(Loan::Lease),
            Self::Merged(merger, _) => merger.lease().map(Loan::Merged),
        }
    }

    /// Copies of what waits, oldest first.
    pub(crate) fn waiting(&self) -> Vec<Entry> {
        match self {
            Self::Ring(ring) => ring.peek(usize::MAX),
            Self::Merged(merger, _) => merger.waiting(),
        }
    }

    pub(crate) fn close(&self) {
        match self {
            Self::Ring(ring) => ring.close(),
            Self::Merged(merger, _) => merger.close(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_closed(),
            Self::Merged(merger, _) => merger.is_closed(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_empty(),
            Self::Merged(merger, _) => merger.is_empty(),
        }
    }

    /// The ring, where there is one.
    pub(crate) fn ring(&self) -> Option<&Ring<Entry>> {
        match self {
            Self::Ring(ring) => Some(ring),
            Self::Merged(..) => None,
        }
    }

    /// How full it is, in percent, where no watermark says it.
    pub(crate) fn merged_pct(&self) -> Option<f64> {
        let Self::Merged(merger, _) = self else {
            return None;
        };
        let stats = merger.stats();
        let updates = stats.buffered_updates + stats.leased_updates;
        let by_updates = updates as f64 / stats.updates_max.max(1) as f64;
        let by_keys = stats.keys as f64 / stats.keys_max.max(1) as f64;
        Some(by_updates.max(by_keys) * 100.0)
    }

    /// Throws away what was merged and is not on loan; the rows that somebody waits for.
    pub(crate) fn drain_merged(&self) -> Option<(u64, Vec<(ScopeIndex, Position)>)> {
        let Self::Merged(merger, _) = self else {
            return None;
        };
        let drained = merger.drain();
        Some((drained.updates, drained.tracked))
    }
}

/// Records on loan. Dropped without [`ack`](Self::ack), they go back.
pub(crate) enum Loan {
    Lease(Lease<Entry>),
    Merged(MergedLease),
}

/// A reader of what is on loan: as long as one lives, nothing goes back.
#[derive(Clone)]
pub(crate) enum Lent {
    Items(LeaseItems<Entry>),
    Merged(MergedRows),
}

impl Loan {
    pub(crate) fn rows(&self) -> &[Entry] {
        match self {
            Self::Lease(lease) => lease,
            Self::Merged(lease) => lease,
        }
    }

    pub(crate) fn share(&self) -> Lent {
        match self {
            Self::Lease(lease) => Lent::Items(lease.share()),
            Self::Merged(lease) => Lent::Merged(lease.rows()),
        }
    }

    /// How many updates this row stands for.
    pub(crate) fn updates_of(&self, row: usize) -> u64 {
        match self {
            Self::Lease(_) => 1,
            Self::Merged(lease) => lease.updates_of(row),
        }
    }

    /// How many updates that is together.
    pub(crate) fn updates(&self) -> u64 {
        match self {
            Self::Lease(lease) => lease.len() as u64,
            Self::Merged(lease) => lease.updates(),
        }
    }

    /// The rows that somebody waits for, of those that were merged: the row of the batch that each
    /// became a part of, and where it stood itself.
    pub(crate) fn tracked(&self) -> Vec<(usize, ScopeIndex, Position)> {
        match self {
            Self::Lease(_) => Vec::new(),
            Self::Merged(lease) => lease.tracked_in(),
        }
    }

    /// The sink may have the rows from now on: whatever comes of it, they stay the same.
    pub(crate) fn mark_sent(&self) {
        if let Self::Merged(lease) = self {
            lease.mark_sent();
        }
    }

    pub(crate) fn ack(self) {
        match self {
            Self::Lease(lease) => lease.ack(),
            Self::Merged(lease) => lease.ack(),
        }
    }
}

impl AsRef<[Entry]> for Lent {
    fn as_ref(&self) -> &[Entry] {
        match self {
            Self::Items(items) => items,
            Self::Merged(rows) => rows.as_ref(),
        }
    }
}

/// What is kept of a buffer by whoever closes it when its task is gone.
pub(crate) struct CloseOnDrop(pub(crate) Arc<Buffer>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
