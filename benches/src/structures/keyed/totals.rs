//! The check of keyed aggregation: the totals of all takes are what was added, for every key.

use std::marker::PhantomData;

use anyhow::{Result, ensure};

use super::keys::Key;

/// Updates and a sum over keys, which changes if updates move from one key to another.
#[derive(Debug)]
pub(crate) struct Totals<K> {
    updates: u64,
    checksum: u64,
    /// Keys seen, counted once per take.
    keys: u64,
    key: PhantomData<K>,
}

impl<K> Default for Totals<K> {
    fn default() -> Self {
        Self {
            updates: 0,
            checksum: 0,
            keys: 0,
            key: PhantomData,
        }
    }
}

impl<K: Key> Totals<K> {
    #[inline(always)]
    pub(crate) fn see(&mut self, key: &K::Query, updates: u64) {
        self.updates += updates;
        self.checksum = (self.checksum).wrapping_add(K::fingerprint(key).wrapping_mul(updates));
        self.keys += 1;
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// What a thread added that went so far through its stream, which begins again at its end.
    pub(super) fn add_stream(&mut self, (stream, length): (&K::Stream, usize), count: u64) {
        let (rounds, rest) = (count / length as u64, count % length as u64);
        for place in 0..length {
            let updates = rounds + u64::from((place as u64) < rest);
            if updates > 0 {
                self.see(K::at(stream, place), updates);
            }
        }
    }

    /// Whether what was taken is what was `added`.
    pub(super) fn check_equal(&self, added: &Self) -> Result<()> {
        ensure!(
            self.updates == added.updates,
            "{} updates were added and {} taken",
            added.updates,
            self.updates
        );
        ensure!(
            self.checksum == added.checksum,
            "as many updates were taken as added, but not of the same keys"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(entries: &[(u64, u64)]) -> Totals<u64> {
        let mut totals = Totals::default();
        for (key, updates) in entries {
            totals.see(key, *updates);
        }
        totals
    }

    #[test]
    fn a_stream_counts_each_round_and_the_rest() {
        let mut added = Totals::<u64>::default();
        added.add_stream((&vec![1, 2, 1], 3), 7);
        totals(&[(1, 3), (2, 2), (1, 2)])
            .check_equal(&added)
            .unwrap();
    }

    #[test]
    fn lost_and_doubled_updates_are_detected() {
        let added = totals(&[(1, 5), (2, 3)]);
        for wrong in [&[(1, 5), (2, 2)][..], &[(1, 6), (2, 3)], &[(1, 5)]] {
            let error = totals(wrong).check_equal(&added).unwrap_err();
            assert!(
                error.to_string().contains("8 updates were added"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_update_under_another_key_is_detected() {
        let added = totals(&[(1, 5), (2, 3)]);
        let error = totals(&[(1, 4), (2, 4)]).check_equal(&added).unwrap_err();
        assert!(
            error.to_string().contains("not of the same keys"),
            "{error}"
        );
        totals(&[(2, 1), (1, 5), (2, 2)])
            .check_equal(&added)
            .unwrap();
    }
}
