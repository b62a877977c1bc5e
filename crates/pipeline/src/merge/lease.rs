//! A merged batch on loan: acknowledged, or back where it was.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(test)]
use std::time::Instant;

use record::Position;
use sinks::{Entry, ScopeIndex};

use super::row::row;
use super::store::{Inner, Part, Parts};
use crate::opening::order_of;

/// A merged batch on loan. [`ack`](Self::ack) removes its updates for good; a lease that is dropped
/// without it, by an error, a panic or a cancelled future, brings them back, once nobody reads
/// [`rows`](Self::rows) any more.
#[must_use = "a lease that is dropped brings its updates back"]
pub(crate) struct MergedLease {
    cell: Arc<Leased>,
}

/// A reader of the rows of a lease; cheap to clone, and readable after the lease was acknowledged.
#[derive(Clone)]
pub(crate) struct MergedRows {
    cell: Arc<Leased>,
}

struct Leased {
    inner: Arc<Inner>,
    /// One row per part, in the same order.
    rows: Vec<Entry>,
    parts: Parts,
    updates: u64,
    is_acked: AtomicBool,
    is_sent: AtomicBool,
}

impl MergedLease {
    /// Of parts with their expanded keys; what cannot be merged has none.
    pub(super) fn new(
        inner: Arc<Inner>,
        mut keyed: Vec<(Option<Arc<str>>, Part)>,
        updates: u64,
        is_sent: bool,
    ) -> Self {
        keyed.sort_unstable_by_key(|(_, part)| {
            let meta = &part.partial.meta;
            (order_of(meta.position), meta.scope, part.key)
        });
        let (keys, parts): (Vec<_>, Parts) = keyed.into_iter().unzip();
        // From here on the parts come back, whatever happens.
        let mut leased = Leased {
            inner,
            rows: Vec::with_capacity(parts.len()),
            parts,
            updates,
            is_acked: AtomicBool::new(false),
            is_sent: AtomicBool::new(is_sent),
        };
        let aggregate = leased.inner.aggregate();
        for (key, part) in keys.iter().zip(&leased.parts) {
            let row = row(aggregate, key.as_deref(), part.key.side, &part.partial);
            leased.rows.push(row);
        }
        Self {
            cell: Arc::new(leased),
        }
    }

    /// The merged rows, sorted by position, though early ones first.
    pub(crate) fn rows(&self) -> MergedRows {
        MergedRows {
            cell: Arc::clone(&self.cell),
        }
    }

    /// How many updates this row was; 0 if there is no such row.
    pub(crate) fn updates_of(&self, row: usize) -> u64 {
        self.cell.parts.get(row).map_or(0, |part| part.updates)
    }

    /// How many updates all rows were.
    pub(crate) fn updates(&self) -> u64 {
        self.cell.updates
    }

    /// The positions of those updates of this row whose outcome somebody waits for, in no order.
    #[cfg(test)]
    pub(crate) fn tracked(&self, row: usize) -> &[Position] {
        let part = self.cell.parts.get(row);
        part.map_or(&[], |part| &part.partial.tracked)
    }

    /// The same of all rows: the row that each became a part of, and where it stood itself.
    pub(crate) fn tracked_in(&self) -> Vec<(usize, ScopeIndex, Position)> {
        let of_row = |(row, part): (usize, &Part)| {
            let scope = part.partial.meta.scope;
            let tracked = part.partial.tracked.iter();
            tracked
                .map(|position| (row, scope, *position))
                .collect::<Vec<_>>()
        };
        let mut tracked: Vec<_> = self
            .cell
            .parts
            .iter()
            .enumerate()
            .flat_map(of_row)
            .collect();
        tracked.sort_unstable();
        tracked
    }

    /// When the oldest update was accepted.
    #[cfg(test)]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.cell.rows.iter().map(|row| row.arrival).min()
    }

    /// Says that a sink may have written the rows from now on, even if nobody hears of it.
    ///
    /// If the lease comes back, it is not merged with newer updates but leased again as it is, with
    /// the same rows at the same positions: so a sink that has them knows them again. Merged with
    /// newer updates they would be at a higher position, and would count twice.
    pub(crate) fn mark_sent(&self) {
        self.cell.is_sent.store(true, Ordering::Relaxed);
    }

    /// Whether a sink may have written the rows, in this lease or in one before.
    #[cfg(test)]
    pub(crate) fn is_sent(&self) -> bool {
        self.cell.is_sent.load(Ordering::Relaxed)
    }

    /// The updates are delivered, and gone for good.
    pub(crate) fn ack(self) {
        let Leased {
            inner,
            parts,
            updates,
            is_acked,
            ..
        } = &*self.cell;
        if !is_acked.swap(true, Ordering::Relaxed) {
            inner.ack(parts, *updates);
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if !*self.is_acked.get_mut() {
            let parts = std::mem::take(&mut self.parts);
            let is_sent = *self.is_sent.get_mut();
            self.inner.restore(parts, self.updates, is_sent);
        }
    }
}

impl Deref for MergedLease {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.cell.rows
    }
}

impl Deref for MergedRows {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.cell.rows
    }
}

impl AsRef<[Entry]> for MergedRows {
    fn as_ref(&self) -> &[Entry] {
        &self.cell.rows
    }
}
