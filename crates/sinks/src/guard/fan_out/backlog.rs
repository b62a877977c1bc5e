//! What waits for one target, and what is remembered of what it settled.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher};

use record::Position;

use super::TargetStats;
use crate::{Batch, Receipt, Row, ScopeIndex, WriteError};

/// Outcomes of batches that are remembered for whoever waits for them, or offers them again.
const OUTCOMES_MAX: usize = 1024;
/// Rows that these name at most, all together, beyond those of the newest.
const OUTCOME_ROWS_MAX: usize = 65_536;

/// Where the rows of a batch stand. Rows that are offered again are known by it, whatever the id
/// of their batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    rows: usize,
    first: Option<(ScopeIndex, Position)>,
    hash: u64,
}

/// A batch on its way into the backlogs.
#[derive(Debug)]
pub(super) struct Offer<R> {
    pub(super) key: Key,
    pub(super) batch: Batch<R>,
    bytes: usize,
}

impl<R: Row> Offer<R> {
    /// `opening` counts how often a scope was opened: positions of an earlier one say nothing.
    pub(super) fn of(batch: &Batch<R>, opening: impl Fn(ScopeIndex) -> u64) -> Self {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        let mut last = None;
        for row in batch.rows() {
            if last != Some(row.scope) {
                last = Some(row.scope);
                (row.scope.0, opening(row.scope)).hash(&mut hasher);
            }
            row.position.number().hash(&mut hasher);
        }
        let key = Key {
            rows: batch.len(),
            first: batch.rows().first().map(|row| (row.scope, row.position)),
            hash: hasher.finish(),
        };
        Self {
            key,
            batch: batch.clone(),
            bytes: batch.rows().iter().map(crate::Entry::size_bytes).sum(),
        }
    }
}

impl<R> Clone for Offer<R> {
    fn clone(&self) -> Self {
        Self {
            batch: self.batch.clone(),
            ..*self
        }
    }
}

#[derive(Debug)]
pub(super) struct Backlog<R> {
    waiting: VecDeque<Offer<R>>,
    bytes: usize,
    /// The first of `waiting`, while it is being written.
    under_way: Option<Key>,
    /// Nobody wants that one any more, should its attempt fail.
    is_withdrawn: bool,
    outcomes: VecDeque<(Key, Result<Receipt, WriteError>)>,
    outcome_rows: usize,
    /// Somebody else writes to the target: nothing more is offered to it.
    pub(super) fenced: Option<WriteError>,
    /// Why the last attempt at the first of `waiting` failed.
    pub(super) failing: Option<WriteError>,
    pub(super) stats: TargetStats,
}

impl<R: Row> Backlog<R> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            under_way: None,
            is_withdrawn: false,
            outcomes: VecDeque::new(),
            outcome_rows: 0,
            fenced: None,
            failing: None,
            stats: TargetStats {
                name: name.to_owned(),
                ..TargetStats::default()
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn stats(&self) -> TargetStats {
        let rows = self.waiting.iter().map(|offer| offer.batch.len() as u64);
        TargetStats {
            rows_pending: rows.sum(),
            batches_pending: self.waiting.len(),
            bytes_pending: self.bytes,
            ..self.stats.clone()
        }
    }

    /// Where in the backlog it stands.
    pub(super) fn place_of(&self, key: Key) -> Option<usize> {
        self.waiting.iter().position(|offer| offer.key == key)
    }

    pub(super) fn outcome_of(&self, key: Key) -> Option<&Result<Receipt, WriteError>> {
        let outcome = self.outcomes.iter().find(|(known, _)| *known == key);
        outcome.map(|(_, outcome)| outcome)
    }

    /// Whether the target has the batch now, or had it before. A batch that is larger than the
    /// backlog may be is taken into an empty one.
    pub(super) fn accept(
        &mut self,
        offer: &Offer<R>,
        batches_max: usize,
        bytes_max: usize,
    ) -> bool {
        if self.under_way == Some(offer.key) {
            self.is_withdrawn = false;
        }
        if self.place_of(offer.key).is_some() || matches!(self.outcome_of(offer.key), Some(Ok(_))) {
            return true;
        }
        let bytes = self.bytes.saturating_add(offer.bytes);
        let is_full = self.waiting.len() >= batches_max || bytes > bytes_max;
        if is_full && !self.waiting.is_empty() {
            return false;
        }
        self.forget_drop(offer);
        self.bytes = bytes;
        self.waiting.push_back(offer.clone());
        true
    }

    /// The next to write, which is under way then.
    pub(super) fn begin(&mut self) -> Option<Offer<R>> {
        let next = self.waiting.front().cloned();
        if next.is_none() {
            // Whoever comes next waits for a new attempt.
            self.failing = None;
        }
        self.under_way = next.as_ref().map(|offer| offer.key);
        self.is_withdrawn = false;
        next
    }

    /// Its attempt failed, and it is no longer under way. Gives it back if nobody wants it.
    #[must_use]
    pub(super) fn fail(&mut self, error: WriteError) -> Option<Offer<R>> {
        self.stats.last_error = Some(error.to_string());
        self.failing = Some(error);
        let key = self.under_way.take()?;
        match self.is_withdrawn {
            true => self.remove(key),
            false => None,
        }
    }

    /// Takes a batch out whose write has failed: it is its producer's. One that is under way goes
    /// once its attempt fails.
    #[must_use]
    pub(super) fn withdraw(&mut self, key: Key) -> Option<Offer<R>> {
        if self.under_way == Some(key) {
            self.is_withdrawn = true;
            return None;
        }
        self.remove(key)
    }

    /// The batch is no longer this target's business, or never was.
    #[must_use]
    pub(super) fn settle(
        &mut self,
        offer: &Offer<R>,
        outcome: Result<Receipt, WriteError>,
    ) -> Option<Offer<R>> {
        self.forget_drop(offer);
        match &outcome {
            Ok(receipt) => {
                self.stats.rows_delivered += receipt.delivered() as u64;
                self.stats.rows_quarantined += receipt.quarantined().len() as u64;
                self.stats.rows_rejected += receipt.rejected().len() as u64;
                self.stats.rows_diverted += receipt.diverted() as u64;
            }
            Err(error) => {
                self.stats.rows_dropped += offer.batch.len() as u64;
                self.stats.last_error = Some(error.to_string());
            }
        }
        if self.under_way == Some(offer.key) {
            self.under_way = None;
        }
        let removed = self.remove(offer.key);
        if removed.is_some() {
            self.failing = None;
            if outcome.is_ok() {
                self.stats.last_error = None;
            }
        }
        self.outcome_rows += rows_named(&outcome);
        self.outcomes.push_back((offer.key, outcome));
        while self.outcomes.len() > OUTCOMES_MAX
            || (self.outcome_rows > OUTCOME_ROWS_MAX && self.outcomes.len() > 1)
        {
            let Some((_, forgotten)) = self.outcomes.pop_front() else {
                break;
            };
            self.outcome_rows -= rows_named(&forgotten);
        }
        removed
    }

    fn remove(&mut self, key: Key) -> Option<Offer<R>> {
        let removed = self.waiting.remove(self.place_of(key)?)?;
        self.bytes -= removed.bytes;
        Some(removed)
    }

    /// The batch is offered anew, so an earlier drop of it does not count.
    fn forget_drop(&mut self, offer: &Offer<R>) {
        let is_drop = |(known, outcome): &(Key, Result<Receipt, WriteError>)| {
            *known == offer.key && outcome.is_err()
        };
        if let Some(at) = self.outcomes.iter().position(is_drop) {
            self.outcomes.remove(at);
            self.stats.rows_dropped -= offer.batch.len() as u64;
        }
    }
}

/// Rows that an outcome names one by one.
fn rows_named(outcome: &Result<Receipt, WriteError>) -> usize {
    let named = |receipt: &Receipt| {
        receipt.quarantined().len() + receipt.rejected().len() + receipt.diverted()
    };
    outcome.as_ref().map_or(0, named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchId, Refused};

    #[test]
    fn what_is_remembered_of_refused_rows_is_bounded_by_their_number() {
        let mut backlog: Backlog<record::Record> = Backlog::new("test");
        for _ in 0..20 {
            let offer = Offer::of(&Batch::new(BatchId(1), Vec::new()), |_| 0);
            let refused = (0..10_000).map(|row| Refused {
                row,
                reason: String::new(),
            });
            let receipt = Receipt::new(10_000, 0, Vec::new()).with_rejected(refused.collect());
            assert!(backlog.settle(&offer, Ok(receipt)).is_none());
        }
        assert_eq!((backlog.outcomes.len(), backlog.outcome_rows), (6, 60_000));
    }
}
