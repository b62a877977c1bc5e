//! What a ring's lock protects: the queue, what came back from leases, and the counts.
//!
//! Items carry an implicit number, their place in the order of acceptance. `queue` holds a dense
//! run that ends at the newest; `returned` holds runs that came back from dropped leases, each
//! older than everything after it. Leases and evictions take from the oldest run.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use crate::overflow::{OverflowPolicy, PushedMany, Refusal};
use crate::stats::{Dropped, RingStats};
use crate::watermark::{Crossing, Gauge};

/// A dense run of items with their weights; the weights are empty when items are not weighed.
pub(super) struct Run<T> {
    pub(super) items: VecDeque<T>,
    pub(super) weights: VecDeque<usize>,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            weights: VecDeque::new(),
        }
    }
}

/// What a consumer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Queued items.
    pub items: usize,
    /// Or queued bytes, where items are weighed.
    pub bytes: usize,
}

/// What became of an offered item.
pub(super) enum Offer<T> {
    /// It is in the ring, or dropped by the policy.
    Accepted,
    /// It goes back; the caller counts it.
    Refused(Refusal, T),
    /// There is no room yet.
    MustWait(T),
}

/// What a lease took.
pub(super) struct Taken<T> {
    pub(super) first: u64,
    pub(super) items: Vec<T>,
    pub(super) weights: VecDeque<usize>,
}

/// A fixed amount of room, in items and bytes.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

pub(super) struct State<T> {
    pub(super) capacity: Room,
    pub(super) policy: OverflowPolicy,
    pub(super) closed: bool,
    weighed: bool,
    /// Runs that came back, by the number of their first item.
    returned: BTreeMap<u64, Run<T>>,
    queue: Run<T>,
    /// The number of the first item in `queue`.
    queue_first: u64,
    queued: usize,
    queued_bytes: usize,
    leased: usize,
    leased_bytes: usize,
    offered: u64,
    added: u64,
    refused: u64,
    leases: u64,
    acked: u64,
    dropped: Dropped,
    gauge: Gauge,
    waiting: Vec<(Waker, Demand)>,
}

/// What has to happen after the lock is released.
#[must_use]
pub(super) struct After {
    pub(super) crossing: Option<Crossing>,
    pub(super) wake: Vec<Waker>,
}

impl<T> State<T> {
    pub(super) fn new(capacity: Room, weighed: bool, policy: OverflowPolicy, gauge: Gauge) -> Self {
        Self {
            capacity,
            policy,
            closed: false,
            weighed,
            returned: BTreeMap::new(),
            queue: Run::default(),
            queue_first: 0,
            queued: 0,
            queued_bytes: 0,
            leased: 0,
            leased_bytes: 0,
            offered: 0,
            added: 0,
            refused: 0,
            leases: 0,
            acked: 0,
            dropped: Dropped::default(),
            gauge,
            waiting: Vec::new(),
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn current_size(&self) -> usize {
        self.queued + self.leased
    }

    fn fits(&self, weight: usize) -> bool {
        self.current_size() < self.capacity.items && self.bytes_with(weight) <= self.capacity.bytes
    }

    fn bytes_with(&self, weight: usize) -> usize {
        (self.queued_bytes + self.leased_bytes).saturating_add(weight)
    }

    pub(super) fn has_room_for(&self, weight: usize) -> bool {
        self.fits(weight)
    }

    /// Judges one item and counts the judgement, unless that is to wait.
    pub(super) fn offer(
        &mut self,
        item: T,
        weight: usize,
        policy: OverflowPolicy,
        out: &mut PushedMany<T>,
    ) -> Offer<T> {
        let refusal = if self.closed {
            Some(Refusal::Closed)
        } else if weight > self.capacity.bytes {
            Some(Refusal::TooHeavy)
        } else if policy == OverflowPolicy::Reject && !self.fits(weight) {
            Some(Refusal::Full)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Offer::Refused(refusal, item);
        }
        if !self.fits(weight) {
            match policy {
                OverflowPolicy::Block(_) => return Offer::MustWait(item),
                OverflowPolicy::DropOldest => self.evict_for(weight, &mut out.displaced),
                OverflowPolicy::DropNewest | OverflowPolicy::Reject => {}
            }
        }
        out.accepted += 1;
        if self.fits(weight) {
            self.accept(item, weight);
        } else {
            self.offered += 1;
            self.added += 1;
            self.dropped.newest += 1;
            out.dropped.push(item);
        }
        Offer::Accepted
    }

    /// Why so many items of these weights cannot all be stored now, if they cannot.
    pub(super) fn refuses_all(&self, items: usize, weights: &[usize]) -> Option<Refusal> {
        let bytes = weights
            .iter()
            .fold(0_usize, |sum, weight| sum.saturating_add(*weight));
        if self.closed {
            Some(Refusal::Closed)
        } else if items > self.capacity.items || bytes > self.capacity.bytes {
            Some(Refusal::TooHeavy)
        } else if self.current_size() + items > self.capacity.items
            || self.bytes_with(bytes) > self.capacity.bytes
        {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// Stores an item that is known to fit.
    pub(super) fn accept(&mut self, item: T, weight: usize) {
        self.offered += 1;
        self.added += 1;
        self.store(item, weight);
    }

    /// Counts items that go back to their caller.
    pub(super) fn count_refused(&mut self, items: usize) {
        self.offered += items as u64;
        self.refused += items as u64;
    }

    fn store(&mut self, item: T, weight: usize) {
        self.queue.items.push_back(item);
        if self.weighs() {
            self.queue.weights.push_back(weight);
        }
        self.queued += 1;
        self.queued_bytes += weight;
    }

    /// Without a weigher every weight is 0 and none is kept.
    fn weighs(&self) -> bool {
        self.weighed
    }

    fn evict_for(&mut self, weight: usize, displaced: &mut Vec<T>) {
        let leases_leave_room =
            self.leased < self.capacity.items && self.leased_bytes + weight <= self.capacity.bytes;
        while leases_leave_room && !self.fits(weight) {
            let Some(item) = self.evict_oldest() else {
                return;
            };
            self.dropped.oldest += 1;
            displaced.push(item);
        }
    }

    fn evict_oldest(&mut self) -> Option<T> {
        let (item, weight) = match self.returned.pop_first() {
            Some((first, mut run)) => {
                let item = run.items.pop_front();
                let weight = run.weights.pop_front();
                if !run.items.is_empty() {
                    self.returned.insert(first + 1, run);
                }
                (item?, weight)
            }
            None => {
                let item = self.queue.items.pop_front()?;
                self.queue_first += 1;
                (item, self.queue.weights.pop_front())
            }
        };
        self.queued -= 1;
        self.queued_bytes -= weight.unwrap_or(0);
        Some(item)
    }

    /// Takes up to `max` items, oldest first, from one run.
    pub(super) fn take(&mut self, max: Demand) -> Option<Taken<T>> {
        let taken = match self.returned.pop_first() {
            Some((first, mut run)) => {
                let (items, weights) = split(&mut run, max);
                if !run.items.is_empty() {
                    self.returned.insert(first + items.len() as u64, run);
                }
                Taken {
                    first,
                    items,
                    weights,
                }
            }
            None => {
                let first = self.queue_first;
                let (items, weights) = split(&mut self.queue, max);
                self.queue_first += items.len() as u64;
                Taken {
                    first,
                    items,
                    weights,
                }
            }
        };
        if taken.items.is_empty() {
            return None;
        }
        let bytes = taken.weights.iter().sum::<usize>();
        self.queued -= taken.items.len();
        self.queued_bytes -= bytes;
        self.leased += taken.items.len();
        self.leased_bytes += bytes;
        self.leases += taken.items.len() as u64;
        Some(taken)
    }

    pub(super) fn acknowledge(&mut self, items: usize, bytes: usize) {
        self.leased -= items;
        self.leased_bytes -= bytes;
        self.acked += items as u64;
    }

    /// Puts back what a dropped lease held, where it belongs in the order.
    pub(super) fn put_back(&mut self, taken: Taken<T>) {
        let (count, bytes) = (taken.items.len(), taken.weights.iter().sum::<usize>());
        self.leased -= count;
        self.leased_bytes -= bytes;
        self.queued += count;
        self.queued_bytes += bytes;
        let run = Run {
            items: taken.items.into(),
            weights: taken.weights,
        };
        self.returned.insert(taken.first, run);
        self.join_runs();
    }

    /// A returned run that ends where the queue begins becomes part of the queue again.
    fn join_runs(&mut self) {
        while let Some((first, run)) = self.returned.pop_last() {
            if first + run.items.len() as u64 != self.queue_first {
                self.returned.insert(first, run);
                return;
            }
            let newer = std::mem::replace(&mut self.queue, run);
            self.queue.items.extend(newer.items);
            self.queue.weights.extend(newer.weights);
            self.queue_first = first;
        }
    }

    /// Makes the ring this large and evicts the oldest that no longer fit.
    pub(super) fn resize(&mut self, items: usize) -> Vec<T> {
        self.capacity.items = items;
        let mut evicted = Vec::new();
        while self.current_size() > items {
            let Some(item) = self.evict_oldest() else {
                break;
            };
            self.dropped.resized += 1;
            evicted.push(item);
        }
        evicted
    }

    pub(super) fn queued_items(&self) -> impl Iterator<Item = &T> {
        self.returned
            .values()
            .flat_map(|run| &run.items)
            .chain(&self.queue.items)
    }

    pub(super) fn meets(&self, demand: Demand) -> bool {
        self.closed
            || self.queued >= demand.items.max(1)
            || (self.weighs() && self.queued > 0 && self.queued_bytes >= demand.bytes)
    }

    /// Remembers whom to wake once `demand` is met.
    pub(super) fn wait_for(&mut self, waker: &Waker, demand: Demand) {
        match self
            .waiting
            .iter_mut()
            .find(|(known, _)| known.will_wake(waker))
        {
            Some((_, known)) => *known = demand,
            None => self.waiting.push((waker.clone(), demand)),
        }
    }

    /// What the caller must do once it has released the lock.
    pub(super) fn after(&mut self) -> After {
        let crossing = self.gauge.observe(self.current_size(), self.capacity.items);
        let mut wake = Vec::new();
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            for (waker, demand) in waiting {
                if self.meets(demand) {
                    wake.push(waker);
                } else {
                    self.waiting.push((waker, demand));
                }
            }
        }
        After { crossing, wake }
    }

    pub(super) fn stats(&self) -> RingStats {
        RingStats {
            current_size: self.current_size(),
            max_size: self.capacity.items,
            current_bytes: self.queued_bytes + self.leased_bytes,
            max_bytes: self.capacity.bytes,
            queued: self.queued,
            queued_bytes: self.queued_bytes,
            leased: self.leased,
            total_offered: self.offered,
            total_added: self.added,
            total_refused: self.refused,
            total_leased: self.leases,
            total_acked: self.acked,
            dropped: self.dropped,
        }
    }
}

/// Takes the oldest items off a run: at least one, then up to `max`.
fn split<T>(run: &mut Run<T>, max: Demand) -> (Vec<T>, VecDeque<usize>) {
    let mut count = run.items.len().min(max.items);
    let mut bytes = 0_usize;
    for (index, weight) in run.weights.iter().take(count).enumerate() {
        bytes = bytes.saturating_add(*weight);
        if bytes > max.bytes && index > 0 {
            count = index;
            break;
        }
    }
    if count == run.items.len() {
        let fresh = Run {
            items: VecDeque::with_capacity(run.items.len()),
            weights: VecDeque::with_capacity(run.weights.len()),
        };
        let whole = std::mem::replace(run, fresh);
        return (whole.items.into(), whole.weights);
    }
    (
        run.items.drain(..count).collect(),
        run.weights.drain(..count.min(run.weights.len())).collect(),
    )
}
