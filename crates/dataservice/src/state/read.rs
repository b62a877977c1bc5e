//! Reading without a subscription, and what commits wait for.

use std::collections::HashMap;
use std::time::Duration;

use super::{Staged, State};
use crate::after::After;
use crate::{Backpressure, CommitSeq, KeyId, KeyStats, Requirement, Sample, View};

/// Who a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slow {
    Subscriber(u32),
    Feed(u32),
}

impl<V: Clone> State<V> {
    /// Takes out what a requirement names, without a cursor.
    pub(crate) fn read(&self, id: KeyId, requirement: Requirement, depth: usize) -> View<V> {
        let slot = self.slots.at(id.index());
        let appended = slot.appended();
        let series = slot.select(requirement, appended, depth);
        let (generation, generation_start) = self.generation(id);
        View {
            id,
            commit_seq: self.commit_seq,
            appended,
            fresh: series.len(),
            missed: 0,
            generation,
            generation_start,
            is_cleared: slot.len() == 0,
            cleared_up_to: 0,
            series,
        }
    }

    /// The newest value of every key that holds one.
    pub(crate) fn newest(&self) -> Vec<(KeyId, Sample<V>)> {
        let mut newest = Vec::with_capacity(self.counts.values);
        let mut id = KeyId::FIRST;
        for slot in self.slots.iter() {
            newest.extend(slot.latest().map(|sample| (id, sample)));
            id = id.next();
        }
        newest
    }

    pub(crate) fn key_stats(&self, id: KeyId) -> Option<KeyStats> {
        let slot = self.slots.get(id.index())?;
        let watch = slot.watch().and_then(|at| self.watches.get(at.place()));
        let mut stats = KeyStats {
            id,
            values: slot.len(),
            depth: slot.depth(),
            bytes: size_of_val(slot) + slot.bytes(),
            updates: slot.appended(),
            ..KeyStats::default()
        };
        if let Some(watch) = watch {
            stats.subscribers = watch.watchers.len();
            stats.depth_cut = watch.cut_to;
            stats.resizes = watch.resizes;
            stats.evicted = watch.evicted;
            for watcher in &watch.watchers {
                let subscriber = self.subscribers.get(watcher.subscriber);
                let entry = subscriber.and_then(|it| it.entries.get(watcher.entry as usize));
                if let Some(Some(entry)) = entry {
                    stats.lag_max = stats.lag_max.max(slot.appended() - entry.cursor);
                }
            }
        }
        Some(stats)
    }

    /// Readers that would lose something by this commit, and how long each may be waited for.
    pub(crate) fn slow_readers(&self, staged: &[Staged<V>]) -> HashMap<Slow, Duration> {
        let mut slow = HashMap::new();
        if !self.is_waited_for() {
            return slow;
        }
        let mut per_entry: HashMap<(u32, u32), u64> = HashMap::new();
        // Only subscribers make it necessary to look at every key.
        let by_key = if self.blocking_subscribers > 0 {
            staged
        } else {
            &[]
        };
        for update in by_key {
            let watch = self.slots.at(update.id.index()).watch();
            let watch = watch.and_then(|index| self.watches.get(index.place()));
            for watcher in watch
                .filter(|it| it.blocking > 0)
                .iter()
                .flat_map(|it| &it.watchers)
            {
                *per_entry
                    .entry((watcher.subscriber, watcher.entry))
                    .or_default() += 1;
            }
        }
        for ((number, at), coming) in per_entry {
            let Some(subscriber) = self.subscribers.get(number) else {
                continue;
            };
            let Backpressure::Block(timeout) = subscriber.backpressure else {
                continue;
            };
            let Some(Some(entry)) = subscriber.entries.get(at as usize) else {
                continue;
            };
            let pending = self.slots.at(entry.id.index()).appended() - entry.cursor;
            let granted = self.granted(entry.id, entry.need) as u64;
            let waits = entry.wants_all() && !subscriber.is_paused && !subscriber.is_stalled;
            if waits && pending > 0 && pending + coming > granted {
                slow.insert(Slow::Subscriber(number), timeout);
            }
        }
        for (number, feed) in self.feeds.iter() {
            if let Backpressure::Block(timeout) = feed.backpressure {
                let pending = self.log.end() - feed.position;
                let waits = !feed.is_paused && !feed.is_stalled && feed.closed.is_none();
                let coming = staged.len() as u64;
                if waits && pending > 0 && pending + coming > feed.updates_max as u64 {
                    slow.insert(Slow::Feed(number), timeout);
                }
            }
        }
        slow
    }

    /// Nobody waits for these again before they have polled.
    pub(crate) fn stalled(&mut self, slow: &HashMap<Slow, Duration>) {
        for reader in slow.keys() {
            match reader {
                Slow::Subscriber(number) => {
                    if let Some(subscriber) = self.subscribers.get_mut(*number) {
                        subscriber.is_stalled = true;
                    }
                }
                Slow::Feed(number) => {
                    if let Some(feed) = self.feeds.get_mut(*number) {
                        feed.is_stalled = true;
                    }
                }
            }
        }
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        self.blocking_subscribers + self.blocking_feeds > 0
    }

    /// How many updates of each key came after a commit, as far as the log was sealed, and the
    /// position up to which that counts; `None` if the log does not reach back so far.
    pub(crate) fn log_after(
        &mut self,
        commit_seq: CommitSeq,
        after: &mut After<V>,
    ) -> Option<(u64, Vec<std::sync::Arc<crate::log::Chunk<V>>>)> {
        if commit_seq > self.commit_seq || !self.is_logging() {
            return None;
        }
        self.seal_log(after);
        let position = self.log.position_after(commit_seq)?;
        Some((position, self.log.after(position, commit_seq)))
    }

    pub(crate) fn log_end(&self) -> u64 {
        self.log.end()
    }
}
