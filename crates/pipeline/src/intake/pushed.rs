//! What became of records that were pushed, part by part.

use buffer_core::Refusal;

use super::Accepted;

/// What became of the records, part by part.
#[derive(Default)]
pub(super) struct Pushed {
    pub(super) dropped: usize,
    pub(super) refusal: Option<Refusal>,
    /// Records that one of their routes refused, once for each that did.
    pub(super) refused: Vec<usize>,
    /// Records that belong to a sink that is lost, once for each lane of one.
    pub(super) unreachable: Vec<usize>,
    /// Records that one of their buffers does not hold: refused, or dropped on arrival.
    pub(super) missing: Vec<usize>,
    /// Records that are in several parts, once for each part but the first, if there are any.
    pub(super) again: Vec<usize>,
}

impl Pushed {
    /// Together, for whoever handed them over. That a sink is lost concerns only the records that
    /// have no other.
    pub(super) fn accepted(mut self, count: usize, skipped: usize) -> Accepted {
        let mut all = self.refused.clone();
        all.extend_from_slice(&self.unreachable);
        all.sort_unstable();
        let unreachable = self.unreachable.len();
        self.unreachable.sort_unstable();
        self.unreachable.dedup();
        // Those that belong nowhere else.
        let is_alone = |index: &usize| times(&all, *index) > times(&self.again, *index);
        self.unreachable.retain(is_alone);
        if !self.unreachable.is_empty() {
            self.refusal.get_or_insert(Refusal::Closed);
            self.refused.append(&mut self.unreachable);
        }
        self.refused.sort_unstable();
        self.refused.dedup();
        let is_partly = |index: &&usize| times(&all, **index) <= times(&self.again, **index);
        Accepted {
            accepted: count - self.refused.len(),
            dropped: self.dropped,
            skipped,
            refusal: self.refusal,
            refused_partly: self.refused.iter().filter(is_partly).count(),
            refused: self.refused,
            unreachable,
        }
    }

    /// Whether no buffer holds this record; `missing` is ascending.
    pub(super) fn is_gone(&self, missing: &[usize], index: usize) -> bool {
        let missing = times(missing, index);
        missing > 0 && missing > times(&self.again, index)
    }
}

/// How often a number stands in an ascending list.
fn times(list: &[usize], number: usize) -> usize {
    let first = list.partition_point(|other| *other < number);
    list[first..].partition_point(|other| *other == number)
}
