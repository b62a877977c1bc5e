//! What a ring's lock protects: the queue, the producers' slots, the credits and the counts.
//!
//! Every place of the ring is free, queued here, leased, or granted to a stripe, where it is an
//! item or a credit. So the account can be settled at any moment: [`State::collect`] takes what the
//! stripes hold, and then everything is here. Nothing is refused, displaced or reported on the
//! strength of credits that lie idle: they are collected first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::Demand;
use super::queue::{Queue, Run, Taken};
use super::signal::Signal;
use super::stripe::Stripe;
use crate::handover::{Slot, Slots};
use crate::overflow::{OverflowPolicy, Refusal};
use crate::stats::{Dropped, RingStats};
use crate::watermark::{Crossing, Gauge};

/// The most credits a stripe is granted at once.
const GRANT_MAX: usize = 512;

/// A fixed amount of room, in items and bytes.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

/// What the ring says to one more item.
pub(super) enum Admission {
    /// There is room for it.
    Room,
    /// It is accepted and dropped.
    Drop,
    Refuse(Refusal),
    /// It has to wait for room.
    Wait,
}

pub(super) struct State<T> {
    pub(super) capacity: Room,
    pub(super) policy: OverflowPolicy,
    pub(super) closed: bool,
    weighed: bool,
    queue: Queue<T>,
    queued: usize,
    queued_bytes: usize,
    leased: usize,
    leased_bytes: usize,
    slots: Slots<Stripe<T>>,
    /// Places that belong to stripes, as items or as credits.
    granted: usize,
    /// How many of them may be credits, at the most: those that were granted and are not known to
    /// be spent.
    idle: usize,
    added: u64,
    refused: u64,
    leases: u64,
    acked: u64,
    dropped: Dropped,
    gauge: Gauge,
    /// Who waits for items, and for how many.
    watchers: Vec<(Waker, Demand)>,
    /// Who waits for room, in order. Only the first may take any.
    blocked: VecDeque<Arc<Signal>>,
    /// The [`displacing_floor`](Self::displacing_floor) that producers see.
    pub(super) floor_published: usize,
}

/// What has to happen after the lock is released.
#[must_use]
pub(super) struct After {
    pub(super) crossing: Option<Crossing>,
    pub(super) wake: Vec<Waker>,
    pub(super) next: Option<Arc<Signal>>,
}

impl<T> State<T> {
    pub(super) fn new(capacity: Room, weighed: bool, policy: OverflowPolicy, gauge: Gauge) -> Self {
        Self {
            capacity,
            policy,
            closed: false,
            weighed,
            queue: Queue::new(2, capacity.items),
            queued: 0,
            queued_bytes: 0,
            leased: 0,
            leased_bytes: 0,
            slots: Slots::new(),
            granted: 0,
            idle: 0,
            added: 0,
            refused: 0,
            leases: 0,
            acked: 0,
            dropped: Dropped::default(),
            gauge,
            watchers: Vec::new(),
            blocked: VecDeque::new(),
            floor_published: usize::MAX,
        }
    }

    pub(super) fn add_stripe(&mut self) -> Slot<Stripe<T>> {
        self.queue.spares_max += 2;
        let stripe = || Stripe::new(self.capacity.items);
        self.slots.add(stripe(), stripe())
    }

    /// Takes over what a producer leaves behind.
    pub(super) fn retire(&mut self, slot: &mut Slot<Stripe<T>>) {
        let mut all = Collected::default();
        let queue = &mut self.queue;
        self.slots.retire(slot, |stripe| all.collect(stripe, queue));
        self.queue.spares_max -= 2;
        self.settle(&all);
    }

    /// Moves everything that stripes hold to the queue, and takes back their credits.
    pub(super) fn collect(&mut self) {
        if self.granted > 0 {
            let mut all = Collected::default();
            let queue = &mut self.queue;
            self.slots.take(|stripe| all.collect(stripe, queue));
            self.settle(&all);
        }
    }

    /// As [`collect`](Self::collect), but leaves alone the stripes of producers that were
    /// interrupted in the middle of a push.
    pub(super) fn collect_ready(&mut self) {
        if self.granted > 0 {
            let mut all = Collected::default();
            let queue = &mut self.queue;
            self.slots.take_ready(|stripe| all.collect(stripe, queue));
            self.settle(&all);
        }
    }

    fn settle(&mut self, all: &Collected) {
        self.granted -= all.items + all.credits;
        self.idle -= all.granted;
        self.queued += all.items;
        self.added += all.items as u64 + all.displaced;
        self.dropped.oldest += all.displaced;
    }

    /// Queued items, of which some may lie in stripes; at the most.
    fn queued_at_most(&self) -> usize {
        self.queued + self.granted
    }

    /// Items in the ring, leased ones included; exact after [`collect`](Self::collect).
    pub(super) fn current_size(&self) -> usize {
        self.queued + self.leased + self.granted
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn has_idle_credits(&self) -> bool {
        self.idle > 0
    }

    fn fits(&self, weight: usize) -> bool {
        self.current_size() < self.capacity.items && self.bytes_with(weight) <= self.capacity.bytes
    }

    fn bytes_with(&self, weight: usize) -> usize {
        (self.queued_bytes + self.leased_bytes).saturating_add(weight)
    }

    /// Whether so many more items can be stored at once, with nothing else to do before or after.
    #[inline]
    pub(super) fn is_plain_for(&self, items: usize) -> bool {
        let size = self.current_size() + items;
        size <= self.capacity.items
            && !self.closed
            && self.watchers.is_empty()
            && self.blocked.is_empty()
            && !self.gauge.crosses_at(size)
    }

    /// Whether one more item displaces the oldest, with nothing else to do before or after.
    #[inline]
    pub(super) fn displaces_plainly(&self) -> bool {
        self.policy == OverflowPolicy::DropOldest
            && self.current_size() == self.capacity.items
            && self.idle == 0
            && !self.weighed
            && !self.closed
            && self.watchers.is_empty()
    }

    /// Exchanges the oldest items for these; fails, and does nothing, unless they lie side by side.
    #[inline]
    pub(super) fn exchange(&mut self, items: &mut [T]) -> bool {
        let exchanged = self.queue.exchange(items);
        if exchanged {
            self.added += items.len() as u64;
            self.dropped.oldest += items.len() as u64;
        }
        exchanged
    }

    /// Makes room for one more item if the policy can; what falls out goes to `displaced`. With a
    /// policy that waits, `turn` is the caller's own signal if it waits already.
    pub(super) fn admit(
        &mut self,
        weight: usize,
        policy: OverflowPolicy,
        turn: Option<&Arc<Signal>>,
        displaced: &mut impl FnMut(T),
    ) -> Admission {
        if self.closed {
            return Admission::Refuse(Refusal::Closed);
        }
        if weight > self.capacity.bytes {
            return Admission::Refuse(Refusal::TooHeavy);
        }
        let others_wait = match (self.blocked.front(), turn) {
            (None, _) => false,
            (Some(first), Some(turn)) => !Arc::ptr_eq(first, turn),
            (Some(_), None) => true,
        };
        if !others_wait {
            if !self.fits(weight) && self.idle > 0 {
                self.collect_ready();
            }
            if self.fits(weight) {
                return Admission::Room;
            }
        }
        match policy {
            OverflowPolicy::DropNewest => Admission::Drop,
            OverflowPolicy::Reject => Admission::Refuse(Refusal::Full),
            OverflowPolicy::Block(_) => Admission::Wait,
            OverflowPolicy::DropOldest => {
                if self.queued == 0 {
                    self.collect_ready();
                }
                if self.queued == 0 {
                    self.collect();
                }
                self.evict_for(weight, displaced);
                if self.fits(weight) {
                    Admission::Room
                } else {
                    Admission::Drop
                }
            }
        }
    }

    fn evict_for(&mut self, weight: usize, displaced: &mut impl FnMut(T)) {
        let leases_leave_room =
            self.leased < self.capacity.items && self.leased_bytes + weight <= self.capacity.bytes;
        while leases_leave_room && !self.fits(weight) {
            let Some(item) = self.evict_oldest() else {
                return;
            };
            self.dropped.oldest += 1;
            displaced(item);
        }
    }

    fn evict_oldest(&mut self) -> Option<T> {
        let (item, weight) = self.queue.pop_oldest()?;
        self.queued -= 1;
        self.queued_bytes -= weight;
        Some(item)
    }

    /// Why so many items of these weights cannot all be stored now, if they cannot.
    pub(super) fn refuses_all(&mut self, items: usize, weights: &[usize]) -> Option<Refusal> {
        let bytes = weights
            .iter()
            .fold(0_usize, |sum, weight| sum.saturating_add(*weight));
        if self.closed {
            return Some(Refusal::Closed);
        }
        if items > self.capacity.items || bytes > self.capacity.bytes {
            return Some(Refusal::TooHeavy);
        }
        if self.current_size() + items > self.capacity.items && self.idle > 0 {
            self.collect_ready();
        }
        let fits = self.blocked.is_empty()
            && self.current_size() + items <= self.capacity.items
            && self.bytes_with(bytes) <= self.capacity.bytes;
        (!fits).then_some(Refusal::Full)
    }

    /// Stores an item that was admitted.
    #[inline]
    pub(super) fn store(&mut self, item: T, weight: usize) {
        self.added += 1;
        self.queue.push(item, self.weighed.then_some(weight));
        self.queued += 1;
        self.queued_bytes += weight;
    }

    /// Grants a stripe the place of an item that was admitted, and up to `wanted` credits more:
    /// few where a credit that lies idle would delay a report. Returns these credits.
    fn grant(&mut self, wanted: usize) -> usize {
        self.granted += 1;
        let size = self.current_size();
        let free = self.capacity.items - size;
        let mut credits = (free / (2 * self.slots.len().max(1))).min(GRANT_MAX.max(wanted));
        credits = credits.min(self.gauge.distance_up(size) / 2);
        for (_, demand) in &self.watchers {
            credits = credits.min(demand.items.saturating_sub(self.queued_at_most()) / 2);
        }
        self.granted += credits;
        self.idle += credits;
        credits
    }

    /// A producer asks, so what its stripe was granted is spent.
    pub(super) fn note_spent(&mut self, slot: &Slot<Stripe<T>>) {
        let spent = slot.write(|stripe| {
            let granted = std::mem::replace(&mut stripe.granted, stripe.credits);
            granted - stripe.credits
        });
        self.idle -= spent;
    }

    /// Stores an item that was admitted in a stripe, and as many of those that follow as are
    /// granted at once. Returns how many of them.
    pub(super) fn store_in(
        &mut self,
        slot: &Slot<Stripe<T>>,
        item: T,
        following: &mut impl ExactSizeIterator<Item = T>,
    ) -> usize {
        let credits = self.grant(following.len());
        slot.write(|stripe| {
            stripe.credits += 1 + credits;
            stripe.granted += credits;
            stripe.fill(&mut std::iter::once(item));
            stripe.fill(following)
        })
    }

    /// From how many own items on a stripe may displace its oldest by itself: never, unless the
    /// ring is full and stripes hold all that is queued. Then the oldest of a stripe is nearly
    /// the oldest of all, unless the stripe holds much less than its share.
    pub(super) fn displacing_floor(&self) -> usize {
        let full = self.current_size() >= self.capacity.items;
        let displaces = self.policy == OverflowPolicy::DropOldest && !self.closed;
        if full && displaces && self.queued == 0 && self.granted > 0 && self.idle == 0 {
            (self.capacity.items / (4 * self.slots.len().max(1))).max(1)
        } else {
            usize::MAX
        }
    }

    /// Counts an item that was accepted and dropped.
    pub(super) fn count_dropped(&mut self) {
        self.added += 1;
        self.dropped.newest += 1;
    }

    /// Counts items that go back to their caller.
    pub(super) fn count_refused(&mut self, items: usize) {
        self.refused += items as u64;
    }

    /// Joins those who wait for room.
    pub(super) fn wait_for_room(&mut self) -> Arc<Signal> {
        let signal = Arc::new(Signal::new());
        self.blocked.push_back(Arc::clone(&signal));
        signal
    }

    /// Leaves them again, so that the next one's turn comes.
    pub(super) fn leave(&mut self, turn: &Arc<Signal>) {
        self.blocked.retain(|signal| !Arc::ptr_eq(signal, turn));
    }

    /// Takes up to `max` items, oldest first.
    pub(super) fn take(&mut self, max: Demand) -> Option<Taken<T>> {
        if self.queued < max.items {
            self.collect_ready();
        }
        let taken = self.queue.take(max)?;
        let (items, bytes) = (taken.len(), taken.bytes());
        self.queued -= items;
        self.queued_bytes -= bytes;
        self.leased += items;
        self.leased_bytes += bytes;
        self.leases += items as u64;
        Some(taken)
    }

    pub(super) fn acknowledge(&mut self, items: usize, bytes: usize) {
        self.leased -= items;
        self.leased_bytes -= bytes;
        self.acked += items as u64;
    }

    /// Puts back what a dropped lease held, where it belongs in the order.
    pub(super) fn put_back(&mut self, first: u64, run: Run<T>) {
        let (items, bytes) = (run.items.len(), run.bytes());
        self.leased -= items;
        self.leased_bytes -= bytes;
        self.queued += items;
        self.queued_bytes += bytes;
        self.queue.put_back(first, run);
    }

    pub(super) fn recycle(&mut self, run: Run<T>) -> Option<Run<T>> {
        self.queue.recycle(run)
    }

    /// Makes the ring this large and evicts the oldest that no longer fit.
    pub(super) fn resize(&mut self, items: usize) -> Vec<T> {
        self.collect();
        self.capacity.items = items;
        self.queue.capacity = items;
        self.gauge.resize(items);
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

    /// Refuses pushes from now on. Stripes have no credits left then, so that the next push of
    /// each producer asks here.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.collect();
    }

    /// The oldest queued items; all of them after [`collect`](Self::collect).
    pub(super) fn queued_items(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }

    pub(super) fn stats(&mut self) -> RingStats {
        self.collect();
        RingStats {
            current_size: self.current_size(),
            max_size: self.capacity.items,
            current_bytes: self.queued_bytes + self.leased_bytes,
            max_bytes: self.capacity.bytes,
            queued: self.queued,
            queued_bytes: self.queued_bytes,
            leased: self.leased,
            waiting_for_room: self.blocked.len(),
            total_offered: self.added + self.refused,
            total_added: self.added,
            total_refused: self.refused,
            total_leased: self.leases,
            total_acked: self.acked,
            dropped: self.dropped,
        }
    }
}

/// Who is told what after a change.
impl<T> State<T> {
    /// Whether so much is queued, or nothing more will come. What an interrupted producer holds
    /// counts as queued: to wait until it goes on would be worse than to look in vain.
    pub(super) fn meets(&mut self, demand: Demand) -> bool {
        self.closed || self.holds(demand)
    }

    fn holds(&mut self, demand: Demand) -> bool {
        let few = demand.items.max(1);
        if self.queued < few && self.queued_at_most() >= few {
            self.collect_ready();
        }
        self.queued_at_most() >= few
            || (self.weighed && self.queued > 0 && self.queued_bytes >= demand.bytes)
    }

    /// Remembers whom to wake once `demand` is met, unless it is met now, and says so. Stripes get
    /// few credits from now on, the fewer the closer they are.
    ///
    /// Between grants `queued_at_most` does not change, and what is queued is never more: a watcher
    /// for whom that is too little misses nothing until the next grant, which looks again.
    pub(super) fn watch(&mut self, waker: &Waker, demand: Demand) -> bool {
        if self.queued_at_most() >= demand.items.max(1) {
            self.collect();
        }
        if self.holds(demand) {
            return true;
        }
        let known = |(known, _): &&mut (Waker, Demand)| known.will_wake(waker);
        match self.watchers.iter_mut().find(known) {
            Some((_, known)) => *known = demand,
            None => self.watchers.push((waker.clone(), demand)),
        }
        false
    }

    pub(super) fn unwatch(&mut self, waker: &Waker) {
        self.watchers.retain(|(known, _)| !known.will_wake(waker));
    }

    /// What the caller must do once it has released the lock.
    pub(super) fn after(&mut self) -> After {
        let mut wake = Vec::new();
        let mut index = 0;
        while index < self.watchers.len() {
            if self.meets(self.watchers[index].1) {
                wake.push(self.watchers.swap_remove(index).0);
            } else {
                index += 1;
            }
        }
        if self.gauge.crosses_at(self.current_size()) && self.idle > 0 {
            self.collect_ready();
        }
        let crossing = self.gauge.observe(self.current_size(), self.capacity.items);
        let has_room = self.closed || self.fits(0);
        After {
            crossing,
            wake,
            next: self.blocked.front().filter(|_| has_room).cloned(),
        }
    }
}

/// What was found in stripes.
#[derive(Default)]
struct Collected {
    items: usize,
    credits: usize,
    granted: usize,
    displaced: u64,
}

impl Collected {
    fn collect<T>(&mut self, stripe: &mut Stripe<T>, queue: &mut Queue<T>) {
        self.items += stripe.items.len();
        self.credits += std::mem::take(&mut stripe.credits);
        self.granted += std::mem::take(&mut stripe.granted);
        self.displaced += std::mem::take(&mut stripe.displaced);
        if !stripe.items.is_empty() {
            queue.append(&mut stripe.items);
        }
    }
}
