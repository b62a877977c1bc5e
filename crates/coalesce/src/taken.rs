//! What is taken out of a coalescer.

use crate::Aggregate;

/// The updates of one key, merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<K, P> {
    /// The key.
    pub key: K,
    /// What its updates have become.
    pub partial: P,
    /// How many updates that were, at least 1: [`restore`](crate::Coalescer::restore) drops an
    /// entry that has none.
    pub updates: u64,
}

/// Everything that was in a coalescer: one entry per key, in no particular order.
///
/// Delivered entries are simply dropped. What could not be delivered goes back by
/// [`restore`](crate::Coalescer::restore), whole or as a batch collected from some of the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what is taken is in no buffer any more: deliver it or restore it"]
pub struct Taken<K, P> {
    entries: Vec<Entry<K, P>>,
    updates: u64,
}

impl<K, P> Taken<K, P> {
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self {
            entries: Vec::with_capacity(keys),
            updates: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: Entry<K, P>) {
        self.updates = self.updates.saturating_add(entry.updates);
        self.entries.push(entry);
    }

    pub(crate) fn last(&self) -> Option<&Entry<K, P>> {
        self.entries.last()
    }

    pub(crate) fn pop(&mut self) -> Option<Entry<K, P>> {
        let entry = self.entries.pop()?;
        self.updates -= entry.updates;
        Some(entry)
    }

    /// Takes entries without updates out, which only somebody else can have made.
    pub(crate) fn remove_empty(&mut self) -> Vec<Entry<K, P>> {
        if self.entries.iter().all(|entry| entry.updates > 0) {
            return Vec::new();
        }
        let entries = std::mem::take(&mut self.entries);
        let (full, empty) = entries.into_iter().partition(|entry| entry.updates > 0);
        self.entries = full;
        empty
    }

    /// Lowers the updates of entries, though not below 1, where together they are more than `max`.
    pub(crate) fn limit_updates(&mut self, max: u64) {
        if self.updates <= max {
            return;
        }
        let mut left = max;
        self.updates = 0;
        for entry in &mut self.entries {
            entry.updates = entry.updates.min(left).max(1);
            left = left.saturating_sub(entry.updates);
            self.updates += entry.updates;
        }
    }

    /// Adds to the entry at `place`; returns what has to be dropped.
    pub(crate) fn merge<A: Aggregate<Partial = P>>(
        &mut self,
        aggregate: &A,
        place: usize,
        partial: P,
        updates: u64,
    ) -> Option<P> {
        let Some(entry) = self.entries.get_mut(place) else {
            return Some(partial);
        };
        let displaced = aggregate.merge(&mut entry.partial, partial);
        entry.updates = entry.updates.saturating_add(updates);
        self.updates = self.updates.saturating_add(updates);
        displaced
    }

    /// Number of single updates in it.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// Number of keys in it, which is that of its entries.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was there to take.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry<K, P>] {
        &self.entries
    }

    /// The entries by themselves.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry<K, P>> {
        self.entries
    }
}

impl<K, P> Default for Taken<K, P> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            updates: 0,
        }
    }
}

impl<K, P> Extend<Entry<K, P>> for Taken<K, P> {
    fn extend<I: IntoIterator<Item = Entry<K, P>>>(&mut self, entries: I) {
        let updates = &mut self.updates;
        let counted = entries
            .into_iter()
            .inspect(|entry| *updates = updates.saturating_add(entry.updates));
        self.entries.extend(counted);
    }
}

impl<K, P> FromIterator<Entry<K, P>> for Taken<K, P> {
    fn from_iter<I: IntoIterator<Item = Entry<K, P>>>(entries: I) -> Self {
        let mut taken = Self::default();
        taken.extend(entries);
        taken
    }
}

impl<K, P> IntoIterator for Taken<K, P> {
    type Item = Entry<K, P>;
    type IntoIter = std::vec::IntoIter<Entry<K, P>>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, K, P> IntoIterator for &'a Taken<K, P> {
    type Item = &'a Entry<K, P>;
    type IntoIter = std::slice::Iter<'a, Entry<K, P>>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
