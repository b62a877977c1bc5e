//! How much memory the service may take, and what goes when it is too much.
//!
//! Counted are the slots and names of keys, the histories with all their room, the log, and what
//! values weigh where the service was told how. In this order go: spare buffers, histories deeper
//! than anyone needs, the part of the log that only serves to resume, the oldest half of the
//! largest histories (again and again, down to the newest value; whoever was granted more is told),
//! and what feeds have not read. If that is not enough, updates are refused.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Staged, State};
use crate::after::After;
use crate::buffer::Left;
use crate::slot::Slot;
use crate::{KeyId, Refusal};

/// When there is too much, this part of all is made free, so that not every commit has to.
const SPARE_PART: usize = 16;

#[derive(Debug)]
pub(crate) struct Memory {
    /// Everything but the log and spare segments.
    charged: isize,
    pub(crate) limit: usize,
    /// What spare segments may take at most, which is set aside for them.
    spare_max: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize, spare_max: usize) -> Self {
        Self {
            charged: 0,
            limit,
            spare_max,
        }
    }

    #[inline(always)]
    pub(crate) fn charge(&mut self, bytes: isize) {
        self.charged += bytes;
    }

    /// With the log's bytes, and with what is set aside.
    #[inline(always)]
    pub(crate) fn total(&self, log: usize) -> usize {
        let charged = usize::try_from(self.charged).unwrap_or(0);
        charged.saturating_add(log).saturating_add(self.spare_max)
    }

    #[inline(always)]
    pub(crate) fn is_over(&self, log: usize) -> bool {
        self.total(log) > self.limit
    }
}

impl<V: Clone> State<V> {
    /// All the memory that is counted, in bytes, with what is set aside for spare segments.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.total(self.log.bytes())
    }

    /// The memory that is taken, in bytes.
    pub(crate) fn bytes_taken(&self) -> usize {
        self.bytes() - self.pool.bytes_max() + self.pool.bytes()
    }

    /// Makes room for so many more bytes; `Err` has how many there would be.
    pub(crate) fn make_room(&mut self, bytes: usize, after: &mut After<V>) -> Result<(), usize> {
        let wanted = |state: &Self| state.bytes().saturating_add(bytes);
        if wanted(self) > self.memory.limit {
            self.relieve(bytes, after);
        }
        if wanted(self) > self.memory.limit {
            Err(wanted(self))
        } else {
            Ok(())
        }
    }

    /// Why there is no room for updates of this weight. What they take the place of counts for
    /// them, where only the newest value is kept.
    pub(crate) fn refusal_for(
        &mut self,
        weight: usize,
        staged: &[Staged<V>],
        weigh: fn(&V) -> usize,
        after: &mut After<V>,
    ) -> Option<Refusal> {
        if self.bytes().saturating_add(weight) <= self.memory.limit {
            return None;
        }
        let keys: HashSet<KeyId> = staged.iter().map(|update| update.id).collect();
        let replaced = |id: &KeyId| match self.slots.at(id.index()) {
            Slot::Newest { value, .. } => weigh(value),
            _ => 0,
        };
        let replaced: usize = keys.iter().map(replaced).sum();
        let bytes = self
            .make_room(weight.saturating_sub(replaced), after)
            .err()?;
        Some(Refusal::OutOfMemory {
            bytes,
            limit: self.memory.limit,
        })
    }

    /// How many bytes a history may still take, beside what it takes now.
    pub(crate) fn bytes_free(&self) -> usize {
        self.memory.limit.saturating_sub(self.bytes())
    }

    /// Gives memory back if more is taken than may be: for whatever made something grow.
    #[inline(always)]
    pub(crate) fn keep_to_limit(&mut self, after: &mut After<V>) {
        if self.memory.is_over(self.log.bytes()) {
            self.relieve(self.memory.limit / SPARE_PART, after);
        }
    }

    /// Gives memory back until there are `bytes` to spare, or nothing is left to give.
    pub(crate) fn relieve(&mut self, bytes: usize, after: &mut After<V>) {
        std::hint::cold_path();
        let target = self.memory.limit.saturating_sub(bytes);
        self.log.spares().release();
        self.shrink_idle(target, after);
        if self.bytes() > target {
            self.retain(0, after);
        }
        while self.bytes() > target && self.halve_largest(target, after) {}
        while self.bytes() > target && self.log.oldest().is_some() {
            self.drop_chunk(after);
        }
    }

    /// Shrinks histories that are deeper than anyone needs, without a grace period.
    fn shrink_idle(&mut self, target: usize, after: &mut After<V>) {
        while self.bytes() > target {
            let Some((id, mark)) = self.too_deep.pop() else {
                return;
            };
            if !self.is_listed(id, mark) {
                continue;
            }
            let depth = self.needed(id).max(self.depth_default);
            self.shrink(id, depth, after);
            self.unlist(id);
        }
    }

    /// Cuts the largest histories to half their depth, largest first, each once; whether there was
    /// one to cut.
    fn halve_largest(&mut self, target: usize, after: &mut After<V>) -> bool {
        let mut deep = std::mem::take(&mut self.deep);
        deep.sort_unstable();
        deep.dedup();
        deep.retain(|id| matches!(self.slots.at(id.index()), Slot::Deep { .. }));
        deep.sort_by_key(|id| self.slots.at(id.index()).bytes());
        let mut is_any = false;
        for id in deep.iter().rev() {
            if self.bytes() <= target {
                break;
            }
            // A buffer of somebody else's need not do as it is told.
            let (bytes, depth) = (self.bytes(), self.slots.at(id.index()).depth());
            self.cut(*id, (depth / 2).max(1), after);
            is_any |= self.bytes() < bytes || self.slots.at(id.index()).depth() < depth;
        }
        self.deep = deep;
        is_any
    }

    fn cut(&mut self, id: KeyId, depth: usize, after: &mut After<V>) {
        let index = self.ensure_watch(id);
        let Self {
            watches,
            subscribers,
            ..
        } = self;
        let Some(watch) = watches.get_mut(index.place()) else {
            return;
        };
        if watch.cut_to.is_none() {
            self.cut.push(id);
        }
        watch.cut_to = Some(depth);
        for watcher in &watch.watchers {
            let Some(subscriber) = subscribers.get_mut(watcher.subscriber) else {
                continue;
            };
            let entry = subscriber.entries.get(watcher.entry as usize);
            let is_cut = entry
                .and_then(Option::as_ref)
                .is_some_and(|entry| entry.need.depth_max > depth);
            if is_cut && !subscriber.revised.contains(&id) {
                subscriber.revised.push(id);
                if !subscriber.is_paused && subscriber.signal.mark() {
                    after.wakes.push(Arc::clone(&subscriber.signal));
                }
            }
        }
        self.shrink(id, depth, after);
        if let Slot::Deep { deep, .. } = self.slots.at_mut(id.index()) {
            deep.span_depth_max = deep.span_depth_max.min(depth);
        }
    }

    /// Makes a history less deep.
    pub(super) fn shrink(&mut self, id: KeyId, depth: usize, after: &mut After<V>) -> usize {
        let slot = self.slots.at_mut(id.index());
        let (left, len, bytes) = slot.shrink(depth);
        let watch = slot.watch().and_then(|at| self.watches.get_mut(at.place()));
        if let Some(watch) = watch
            && bytes != 0
        {
            watch.resizes += 1;
            watch.evicted += len as u64;
        }
        self.memory.charge(bytes);
        self.counts.displaced += len as u64;
        self.counts.resizes += u64::from(bytes != 0);
        if let Some(left) = left {
            self.lose(left, after);
        }
        len
    }

    /// Values left a history: what they weigh is free.
    pub(super) fn lose(&mut self, left: Left<V>, after: &mut After<V>) {
        let left = match self.weigh {
            Some(weigh) => {
                let (left, weight) = left.weighed(weigh);
                self.memory.charge(-(weight as isize));
                left
            }
            None => left,
        };
        after.left(left);
    }
}
