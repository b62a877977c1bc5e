//! What a lane keeps records in until their turn comes, and what it lends to the sink.
//!
//! Whatever is lent and not acknowledged comes back, in order. The counts are in updates.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use buffer_core::{Demand, Lease, LeaseItems, PushedMany, Refusal, Ring};
use record::Position;
use sinks::{Entry, ScopeIndex};

/// The buffer of one queue.
pub(crate) enum Buffer {
    /// Each record by itself.
    Ring(Ring<Entry>),
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
    pub(crate) fn push_many(&self, rows: &mut Vec<Entry>) -> PushedMany {
        match self {
            Self::Ring(ring) => ring.push_many(rows),
        }
    }

    pub(crate) fn try_push_many(&self, rows: &mut Vec<Entry>) -> PushedMany {
        match self {
            Self::Ring(ring) => ring.try_push_many(rows),
        }
    }

    pub(crate) fn try_push_all(&self, rows: &mut Vec<Entry>) -> Result<(), Refusal> {
        match self {
            Self::Ring(ring) => ring.try_push_all(rows),
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
        }
    }

    /// When the oldest of what waits arrived.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        match self {
            Self::Ring(ring) => ring.peek(1).first().map(|row| row.arrival),
        }
    }

    pub(crate) fn poll_queued(&self, context: &mut Context<'_>, demand: Demand) -> Poll<()> {
        match self {
            Self::Ring(ring) => ring.poll_queued(context, demand),
        }
    }

    pub(crate) fn lend(&self, max: Demand) -> Option<Loan> {
        match self {
            Self::Ring(ring) => ring.lease_up_to(max).map(Loan::Lease),
        }
    }

    /// Copies of what waits, oldest first.
    pub(crate) fn waiting(&self) -> Vec<Entry> {
        match self {
            Self::Ring(ring) => ring.peek(usize::MAX),
        }
    }

    pub(crate) fn close(&self) {
        match self {
            Self::Ring(ring) => ring.close(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_closed(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_empty(),
        }
    }

    /// The ring, where there is one.
    pub(crate) fn ring(&self) -> Option<&Ring<Entry>> {
        match self {
            Self::Ring(ring) => Some(ring),
        }
    }
}

/// Records on loan. Dropped without [`ack`](Self::ack), they go back.
pub(crate) enum Loan {
    Lease(Lease<Entry>),
}

/// A reader of what is on loan: as long as one lives, nothing goes back.
#[derive(Clone)]
pub(crate) enum Lent {
    Items(LeaseItems<Entry>),
}

impl Loan {
    pub(crate) fn rows(&self) -> &[Entry] {
        match self {
            Self::Lease(lease) => lease,
        }
    }

    pub(crate) fn share(&self) -> Lent {
        match self {
            Self::Lease(lease) => Lent::Items(lease.share()),
        }
    }

    /// How many updates this row stands for.
    pub(crate) fn updates_of(&self, _row: usize) -> u64 {
        match self {
            Self::Lease(_) => 1,
        }
    }

    /// How many updates that is together.
    pub(crate) fn updates(&self) -> u64 {
        match self {
            Self::Lease(lease) => lease.len() as u64,
        }
    }

    /// The rows that somebody waits for, of those that were merged: the row of the batch that each
    /// became a part of, and where it stood itself.
    pub(crate) fn tracked(&self) -> Vec<(usize, ScopeIndex, Position)> {
        match self {
            Self::Lease(_) => Vec::new(),
        }
    }

    pub(crate) fn ack(self) {
        match self {
            Self::Lease(lease) => lease.ack(),
        }
    }
}

impl AsRef<[Entry]> for Lent {
    fn as_ref(&self) -> &[Entry] {
        match self {
            Self::Items(items) => items,
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
