//! Which key the update with a number is for, and what readers check by it.
//!
//! Updates are numbered from 0. The number is the value and the time of the update, and the stream
//! says its key, so that a reader knows of every update what it has to be.

use anyhow::{Result, ensure};

use super::store::{Store, Write};
use crate::measure::pace::Pace;

/// Draws before a stream begins again; a power of two. Tests draw fewer.
const DRAWS: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// Keys in a random order that is the same in every run, drawn in advance.
pub(super) struct Stream {
    keys: Vec<u32>,
    count: u32,
}

impl Stream {
    /// Draws from the keys below `count`, each as likely as any other.
    pub(super) fn over(count: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(u64::from(count));
        // Few keys need no long stream to be random, and a short one stays in the cache.
        let draws = DRAWS.min((count as usize * 64).next_power_of_two());
        Self {
            keys: (0..draws).map(|_| random.u32(..count)).collect(),
            count,
        }
    }

    /// How many keys there are.
    pub(super) fn key_count(&self) -> u32 {
        self.count
    }

    /// The key of an update.
    #[inline(always)]
    pub(super) fn key(&self, number: u64) -> u32 {
        self.keys[number as usize & (self.keys.len() - 1)]
    }

    /// Writes one transaction, and returns the number of the next update.
    #[inline(always)]
    pub(super) fn write(&self, writer: &mut impl Write, first: u64, updates: u64) -> u64 {
        for number in first..first + updates {
            writer.put(self.key(number), number.cast_signed(), number as f64);
        }
        writer.commit();
        first + updates
    }

    /// Writes transactions until told to stop; returns the number of the next update.
    pub(super) fn write_until_stopped(
        &self,
        writer: &mut impl Write,
        (first, updates): (u64, u64),
        pace: &Pace,
    ) -> u64 {
        let mut next = first;
        while pace.goes_on() {
            next = self.write(writer, next, updates);
            pace.publish(0, next - first);
        }
        next
    }

    /// Whether the newest value of each key that the last updates before `next` touched is theirs.
    pub(super) fn check_newest(&self, store: &impl Store, next: u64) -> Result<()> {
        let mut is_seen = vec![false; self.count as usize];
        let first = next.saturating_sub(self.keys.len() as u64);
        for number in (first..next).rev() {
            let key = self.key(number);
            if std::mem::replace(&mut is_seen[key as usize], true) {
                continue;
            }
            let newest = store.newest(key);
            ensure!(
                newest == Some(number as f64),
                "the newest value of key {key} is {newest:?}, not {number}"
            );
        }
        Ok(())
    }
}

/// The value below which a share of them lies; sorts them. 0 if there are none.
pub(super) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share) as usize;
    let last = values.len().saturating_sub(1);
    values.get(place.min(last)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::peers::DashMap;
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_every_run_and_stays_below_its_count() {
        let (one, other) = (Stream::over(100), Stream::over(100));
        assert!((0..5_000).all(|number| one.key(number) == other.key(number)));
        assert!((0..5_000).all(|number| one.key(number) < 100));
    }

    #[test]
    fn a_lost_update_is_detected() {
        let stream = Stream::over(50);
        let store = DashMap::new(50, 1);
        let next = stream.write(&mut store.writer(), 0, 999);
        stream.check_newest(&store, next).unwrap();
        let error = stream.check_newest(&store, next + 1).unwrap_err();
        assert!(error.to_string().contains("not 999"), "{error}");
    }

    #[test]
    fn percentiles_of_a_hundred_values_are_their_places() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 51.0);
        assert_eq!(percentile(&mut values, 0.99), 100.0);
        assert_eq!(percentile(&mut values, 1.0), 100.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
