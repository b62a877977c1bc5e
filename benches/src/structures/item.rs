//! What goes through the rings, and the check that nothing is lost and nothing comes twice.
//!
//! Each producer numbers its items from 0. Whoever takes an item out, by draining or by displacing,
//! tallies its number under its producer; in the end the tallies of all must add up to what was
//! pushed, in count and in the sum of the numbers. A consumer also sees each producer's numbers
//! ascend, so an item that comes twice is noticed at once.

use anyhow::{Result, ensure};

/// The most producers of a run.
pub(crate) const PRODUCERS_MAX: usize = 4;

/// A record of 64 bytes, one cache line.
#[derive(Debug)]
pub(crate) struct Item {
    producer: u32,
    seq: u64,
    rest: [u64; 6],
}

impl Item {
    #[inline(always)]
    pub(crate) fn new(producer: usize, seq: u64) -> Self {
        // The last word is checked on the way out: a torn or stale item does not match.
        Self {
            producer: producer as u32,
            seq,
            rest: [seq, 0, 0, 0, 0, !seq],
        }
    }
}

/// Items seen, by producer: how many, and the sum of their numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    count: [u64; PRODUCERS_MAX],
    sum: [u64; PRODUCERS_MAX],
    torn: u64,
}

impl Tally {
    #[inline(always)]
    pub(crate) fn see(&mut self, item: &Item) {
        let producer = item.producer as usize % PRODUCERS_MAX;
        self.count[producer] += 1;
        self.sum[producer] = self.sum[producer].wrapping_add(item.seq);
        self.torn += u64::from(item.rest[5] != !item.seq);
    }

    /// As `see`, for many: sums stay in registers while items are of one producer, so that the
    /// check costs little beside a batch.
    #[inline(always)]
    pub(crate) fn see_all<'a>(&mut self, items: impl IntoIterator<Item = &'a Item>) {
        let (mut producer, mut count, mut sum, mut torn) = (0, 0, 0_u64, 0);
        for item in items {
            if item.producer != producer {
                self.note(producer, count, sum);
                (producer, count, sum) = (item.producer, 0, 0);
            }
            count += 1;
            sum = sum.wrapping_add(item.seq);
            torn += u64::from(item.rest[5] != !item.seq);
        }
        self.note(producer, count, sum);
        self.torn += torn;
    }

    #[inline(always)]
    fn note(&mut self, producer: u32, count: u64, sum: u64) {
        let producer = producer as usize % PRODUCERS_MAX;
        self.count[producer] += count;
        self.sum[producer] = self.sum[producer].wrapping_add(sum);
    }

    fn merge(&mut self, other: &Self) {
        for producer in 0..PRODUCERS_MAX {
            self.count[producer] += other.count[producer];
            self.sum[producer] = self.sum[producer].wrapping_add(other.sum[producer]);
        }
        self.torn += other.torn;
    }
}

/// What a consumer saw: a tally, and whether each producer's numbers ascended.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    tally: Tally,
    next: [u64; PRODUCERS_MAX],
    disordered: u64,
}

impl InOrder {
    #[inline(always)]
    pub(crate) fn see(&mut self, item: &Item) {
        self.tally.see(item);
        let producer = item.producer as usize % PRODUCERS_MAX;
        self.disordered += u64::from(item.seq < self.next[producer]);
        self.next[producer] = item.seq + 1;
    }

    /// How many items there were.
    pub(crate) fn seen(&self) -> u64 {
        self.tally.count.iter().sum()
    }
}

/// Whether `drained` and what was `displaced` are exactly what was `pushed`, by producer.
pub(crate) fn check_conserved(
    pushed: &[u64],
    drained: &InOrder,
    displaced: &[Tally],
) -> Result<()> {
    let mut total = drained.tally.clone();
    for tally in displaced {
        total.merge(tally);
    }
    ensure!(total.torn == 0, "{} items were torn", total.torn);
    ensure!(
        drained.disordered == 0,
        "{} items came out of order or twice",
        drained.disordered
    );
    for producer in 0..PRODUCERS_MAX {
        let count = pushed.get(producer).copied().unwrap_or(0);
        ensure!(
            total.count[producer] == count,
            "producer {producer} pushed {count} items and {} came out",
            total.count[producer]
        );
        let sum = (u128::from(count) * u128::from(count.saturating_sub(1)) / 2) as u64;
        ensure!(
            total.sum[producer] == sum,
            "as many items of producer {producer} came out as went in, but not the same"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check of one producer that pushed 4 items, given what was drained and displaced.
    fn check(drained: &[u64], displaced: &[u64]) -> Result<()> {
        let (mut seen, mut tally) = (InOrder::default(), Tally::default());
        for seq in drained {
            seen.see(&Item::new(1, *seq));
        }
        for seq in displaced {
            tally.see(&Item::new(1, *seq));
        }
        check_conserved(&[0, 4], &seen, &[tally])
    }

    #[track_caller]
    fn expect(drained: &[u64], displaced: &[u64], part_of_error: &str) {
        let error = check(drained, displaced).unwrap_err().to_string();
        assert!(error.contains(part_of_error), "{error}");
    }

    #[test]
    fn what_is_drained_and_displaced_makes_up_what_was_pushed() {
        check(&[0, 1, 2, 3], &[]).unwrap();
        check(&[2, 3], &[1, 0]).unwrap();
    }

    #[test]
    fn many_are_tallied_as_one_by_one() {
        let items = [(0, 4), (0, 5), (2, 1), (0, 9)].map(|(p, seq)| Item::new(p, seq));
        let (mut singly, mut together) = (Tally::default(), Tally::default());
        for item in &items {
            singly.see(item);
        }
        together.see_all(&items);
        assert_eq!(singly, together);
    }

    #[test]
    fn a_lost_item_is_detected() {
        expect(&[0, 1, 3], &[], "pushed 4 items and 3 came out");
        expect(&[1, 2, 3], &[1], "not the same");
    }

    #[test]
    fn a_doubled_item_is_detected() {
        expect(&[0, 1, 1, 3], &[], "out of order or twice");
        expect(&[0, 1, 2, 3], &[0], "pushed 4 items and 5 came out");
    }

    #[test]
    fn a_swapped_pair_and_a_torn_item_are_detected() {
        expect(&[0, 2, 1, 3], &[], "out of order or twice");
        let mut seen = InOrder::default();
        let mut torn = Item::new(0, 0);
        torn.rest[5] = 7;
        seen.see(&torn);
        assert!(check_conserved(&[1], &seen, &[]).is_err());
    }
}
