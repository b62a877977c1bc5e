//! A map that is too simple to be wrong.

use std::collections::BTreeMap;

use coalesce::{CoalescerStats, WhenFull, WhenKeysFull};

/// The overflow key of those that have one.
pub(crate) const OVERFLOW: &str = "other";

/// The same buffer as a map from key to sum and count.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) buffer: BTreeMap<String, (f64, u64)>,
    pub(crate) updates_max: u64,
    pub(crate) keys_max: u64,
    pub(crate) when_full: WhenFull,
    pub(crate) when_keys_full: WhenKeysFull<String>,
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) flushed: u64,
    pub(crate) restored: u64,
    pub(crate) overflowed: u64,
    pub(crate) flushes: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Buffered,
    Invalid,
    UpdatesFull,
    KeysFull,
    Flushed(BTreeMap<String, (f64, u64)>),
}

impl Model {
    /// Whether an update of this key would be accepted.
    pub(crate) fn accepts(&self, key: &str) -> bool {
        let mut trial = Self {
            buffer: self.buffer.clone(),
            when_keys_full: self.when_keys_full.clone(),
            ..*self
        };
        let added = trial.add(key, Some(0));
        matches!(added, Expected::Buffered | Expected::Flushed(_))
    }

    pub(crate) fn updates(&self) -> u64 {
        self.buffer.values().map(|(_, updates)| updates).sum()
    }

    pub(crate) fn add(&mut self, key: &str, value: Option<i16>) -> Expected {
        self.offered += 1;
        let Some(value) = value else {
            self.refused += 1;
            return Expected::Invalid;
        };
        let mut key = key.to_owned();
        if self.updates() >= self.updates_max {
            return match self.when_full {
                WhenFull::FlushNow => self.flush_with(key, value),
                _ => self.refuse(Expected::UpdatesFull),
            };
        }
        // The overflow key has a place of its own, whether it is there or not.
        let overflow = match &self.when_keys_full {
            WhenKeysFull::OverflowKey(overflow) => Some(overflow.clone()),
            _ => None,
        };
        let others = self
            .buffer
            .keys()
            .filter(|&key| Some(key) != overflow.as_ref());
        let keys = others.count() as u64 + u64::from(overflow.is_some());
        let is_new = !self.buffer.contains_key(&key) && Some(&key) != overflow.as_ref();
        if is_new && keys >= self.keys_max {
            match &self.when_keys_full {
                WhenKeysFull::FlushNow => return self.flush_with(key, value),
                WhenKeysFull::OverflowKey(overflow) => {
                    key.clone_from(overflow);
                    self.overflowed += 1;
                }
                _ => return self.refuse(Expected::KeysFull),
            }
        }
        self.put(key, value);
        Expected::Buffered
    }

    fn refuse(&mut self, why: Expected) -> Expected {
        self.refused += 1;
        why
    }

    fn put(&mut self, key: String, value: i16) {
        let (sum, updates) = self.buffer.entry(key).or_default();
        *sum += f64::from(value);
        *updates += 1;
        self.accepted += 1;
    }

    fn flush_with(&mut self, key: String, value: i16) -> Expected {
        self.put(key, value);
        Expected::Flushed(self.take())
    }

    pub(crate) fn take(&mut self) -> BTreeMap<String, (f64, u64)> {
        self.flushed += self.updates();
        self.flushes += u64::from(!self.buffer.is_empty());
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn check(&self, stats: &CoalescerStats) {
        assert_eq!(stats.updates_offered, self.offered);
        assert_eq!(stats.updates_buffered, self.accepted);
        assert_eq!(stats.updates_refused, self.refused);
        assert_eq!(stats.updates_overflowed, self.overflowed);
        assert_eq!(stats.updates_flushed, self.flushed);
        assert_eq!(stats.updates_restored, self.restored);
        assert_eq!(stats.flush_operations, self.flushes);
        assert_eq!(stats.auto_flushes + stats.manual_flushes, self.flushes);
        assert_eq!(stats.flushes_by_reason.total(), self.flushes);
        assert_eq!(stats.current_buffer_size, self.updates());
        assert_eq!(stats.unique_keys, self.buffer.len() as u64);
        assert_eq!(stats.updates_lost, 0);
        // Law 1, without the model.
        assert_eq!(
            stats.updates_offered,
            stats.updates_buffered + stats.updates_refused
        );
        assert_eq!(
            stats.updates_buffered + stats.updates_restored,
            stats.updates_flushed + stats.current_buffer_size
        );
        let refusals = [
            stats.refused_invalid,
            stats.refused_keys_full,
            stats.refused_updates_full,
        ];
        assert_eq!(refusals.iter().sum::<u64>(), stats.updates_refused);
    }
}
