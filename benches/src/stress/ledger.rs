//! The accounts of a round: what went in, what came out, and what is alive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Result, ensure};

/// How many items of a round exist.
#[derive(Debug, Default, Clone)]
pub(crate) struct Alive(Arc<AtomicI64>);

impl Alive {
    pub(crate) fn count(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An item with an owner and a number. It owns memory, so dropping it twice, or reading it after it
/// was dropped, does not go unnoticed; and it is counted while it exists.
#[derive(Debug)]
pub(crate) struct Tracked {
    number: Box<u64>,
    owner: u32,
    alive: Alive,
}

impl Tracked {
    pub(crate) fn new(owner: u32, number: u64, alive: &Alive) -> Self {
        alive.0.fetch_add(1, Ordering::Relaxed);
        Self {
            number: Box::new(number),
            owner,
            alive: alive.clone(),
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name {
            owner: self.owner,
            number: *self.number,
        }
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        Self::new(self.owner, *self.number, &self.alive)
    }
}

/// Which item it is; what remains of one that was given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) owner: u32,
    pub(crate) number: u64,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Numbers seen: how many, their sum, and the sum of their squares. Two sets of numbers that agree
/// in all three and differ are possible, and do not come about by losing and doubling.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) count: u64,
    sum: u64,
    squares: u64,
}

impl Sums {
    pub(crate) fn see(&mut self, number: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
        self.squares = self.squares.wrapping_add(number.wrapping_mul(number));
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
    }
}

/// Sums by owner.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger(BTreeMap<u32, Sums>);

impl Ledger {
    pub(crate) fn see(&mut self, name: Name) {
        self.0.entry(name.owner).or_default().see(name.number);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (owner, sums) in &other.0 {
            self.0.entry(*owner).or_default().add(sums);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.values().map(|sums| sums.count).sum()
    }

    /// Whether both hold the same items.
    pub(crate) fn check_equal(&self, other: &Self) -> Result<()> {
        let nothing = Sums::default();
        for owner in self.0.keys().chain(other.0.keys()) {
            let ours = self.0.get(owner).unwrap_or(&nothing);
            let theirs = other.0.get(owner).unwrap_or(&nothing);
            ensure!(
                ours.count == theirs.count,
                "of owner {owner}, {} items went in and {} came out",
                ours.count,
                theirs.count
            );
            ensure!(
                ours == theirs,
                "of owner {owner}, as many items came out as went in, but not the same"
            );
        }
        Ok(())
    }
}

/// Whether each owner's numbers ascend, as one consumer sees them.
#[derive(Debug, Default)]
pub(crate) struct Ascending(BTreeMap<u32, u64>);

impl Ascending {
    pub(crate) fn see(&mut self, Name { owner, number }: Name) -> Result<()> {
        if let Some(before) = self.0.insert(owner, number) {
            ensure!(
                before < number,
                "item {number} of owner {owner} came after {before}"
            );
        }
        Ok(())
    }
}

/// What was counted, for the final report.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report(BTreeMap<&'static str, u64>);

impl Report {
    pub(crate) fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    /// Whether anything happened at all.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> bool {
        self.0.values().any(|times| *times > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(out, "  {times:>14} {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(numbers: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        for number in numbers {
            ledger.see(Tracked::new(7, *number, &Alive::default()).name());
        }
        ledger
    }

    #[test]
    fn lost_doubled_and_exchanged_items_are_detected() {
        let went_in = ledger(&[1, 2, 3, 4]);
        went_in.check_equal(&ledger(&[4, 3, 2, 1])).unwrap();
        for wrong in [
            &[1, 2, 3][..],
            &[1, 2, 3, 4, 4],
            &[1, 2, 3, 3],
            &[1, 1, 4, 4],
            &[],
        ] {
            assert!(went_in.check_equal(&ledger(wrong)).is_err(), "{wrong:?}");
            assert!(ledger(wrong).check_equal(&went_in).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn items_are_alive_until_they_are_dropped() {
        let alive = Alive::default();
        let items = [Tracked::new(0, 1, &alive), Tracked::new(0, 2, &alive)];
        assert_eq!(alive.count(), 2);
        drop(items);
        assert_eq!(alive.count(), 0);
    }

    #[test]
    fn numbers_of_one_owner_must_ascend_and_those_of_others_are_their_own() {
        let mut order = Ascending::default();
        let mut see = |owner, number| order.see(Name { owner, number });
        see(1, 5).unwrap();
        see(2, 1).unwrap();
        see(1, 6).unwrap();
        assert!(see(1, 6).is_err());
    }
}
