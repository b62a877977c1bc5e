//! What a ring's lock protects: the queue, the producers' slots, the credits and the counts.
//!
//! Every place of the ring is free, queued here, leased, reserved for one whose turn it is, or
//! granted to a stripe, where it is an item or a credit. So the account can be settled at any
//! moment: [`State::collect`] takes what the stripes hold, and then everything is here. Nothing is
//! refused, displaced or reported on the strength of credits that lie idle: they are collected
//! first.

use std::task::Waker;

use super::Demand;
use super::queue::{Queue, Run, Taken};
use super::stripe::{Floor, Stripe};
use super::waiting::{Turn, Waiters, Watchers};
use crate::handover::Slots;
use crate::overflow::{OverflowPolicy, Refusal};
use crate::stats::{Dropped, RingStats};
use crate::watermark::Gauge;

/// A fixed amount of room, in items and bytes.
#[derive(Clone, Copy, Default)]
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
    pub(super) weighed: bool,
    pub(super) queue: Queue<T>,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    leased: usize,
    leased_bytes: usize,
    pub(super) slots: Slots<Stripe<T>>,
    /// Places that belong to stripes, as items or as credits.
    pub(super) granted: usize,
    /// How many of them may be credits, at the most: those that were granted and are not known to
    /// be spent.
    pub(super) idle: usize,
    /// How many stripes may hold victims.
    pub(super) with_victims: usize,
    pub(super) added: u64,
    refused: u64,
    leases: u64,
    acked: u64,
    pub(super) dropped: Dropped,
    pub(super) gauge: Gauge,
    /// Who waits for items.
    pub(super) watchers: Watchers,
    /// Who waits for room.
    pub(super) waiters: Waiters,
    /// The [`floor`](Self::floor) that producers see.
    pub(super) floor_published: Floor,
    /// Whether something left or came back, or the ring was closed, since watchers were last told.
    pub(super) stirred: bool,
    /// Wakers that nobody needs, to be dropped after unlocking.
    pub(super) surplus: Vec<Waker>,
}

impl<T> State<T> {
    pub(super) fn new(capacity: Room, weighed: bool, policy: OverflowPolicy, gauge: Gauge) -> Self {
        Self {
            capacity,
            policy,
            closed: false,
            weighed,
            queue: Queue::new(capacity.items),
            queued: 0,
            queued_bytes: 0,
            leased: 0,
            leased_bytes: 0,
            slots: Slots::new(),
            granted: 0,
            idle: 0,
            with_victims: 0,
            added: 0,
            refused: 0,
            leases: 0,
            acked: 0,
            dropped: Dropped::default(),
            gauge,
            watchers: Watchers::default(),
            waiters: Waiters::default(),
            floor_published: Floor::NOTHING,
            stirred: false,
            surplus: Vec::new(),
        }
    }

    /// Queued items, of which some may lie in stripes; at the most.
    pub(super) fn queued_at_most(&self) -> usize {
        self.queued + self.granted
    }

    /// Items in the ring, leased ones included; exact after [`collect`](Self::collect).
    pub(super) fn current_size(&self) -> usize {
        self.queued + self.leased + self.granted
    }

    /// Whether some of the oldest items, up to so many, may lie in stripes: as victims, or because
    /// the queue has fewer.
    pub(super) fn is_in_stripes(&self, items: usize) -> bool {
        self.with_victims > 0 || self.queued < items
    }

    pub(super) fn has_idle_credits(&self) -> bool {
        self.idle > 0
    }

    /// Whether there is room for an item of this weight beside those whose turn it is.
    pub(super) fn fits(&self, weight: usize) -> bool {
        self.free() > 0 && self.bytes_with(weight) <= self.capacity.bytes
    }

    /// How many places nobody has.
    pub(super) fn free(&self) -> usize {
        let taken = self.current_size() + self.waiters.reserved().items;
        self.capacity.items.saturating_sub(taken)
    }

    fn bytes_with(&self, weight: usize) -> usize {
        let reserved = self.waiters.reserved().bytes;
        (self.queued_bytes + self.leased_bytes + reserved).saturating_add(weight)
    }

    /// Whether so many more items, of this weight together, can be stored at once, with nothing
    /// else to do before or after.
    #[inline]
    pub(super) fn is_plain_for(&self, items: usize, bytes: usize) -> bool {
        let size = self.current_size() + items;
        let free = self.free();
        items <= free
            && !self.closed
            && self.queued_at_most() + items < self.watchers.next_items()
            && (items < free || self.watchers.is_empty())
            && self.waiters.is_empty()
            && (!self.weighed || self.is_plain_for_bytes(bytes))
            && !self.gauge.crosses_at(size)
    }

    #[inline]
    fn is_plain_for_bytes(&self, bytes: usize) -> bool {
        self.bytes_with(bytes) <= self.capacity.bytes
            && self.queued_bytes.saturating_add(bytes) < self.watchers.next_bytes()
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

    /// Makes room for one more item if the policy can; what falls out goes to `displaced`. Nobody
    /// passes those who wait for room, but whose turn it is.
    pub(super) fn admit(
        &mut self,
        weight: usize,
        policy: OverflowPolicy,
        turn: Turn,
        displaced: &mut impl FnMut(T),
    ) -> Admission {
        if self.closed {
            return Admission::Refuse(Refusal::Closed);
        }
        if weight > self.capacity.bytes {
            return Admission::Refuse(Refusal::TooHeavy);
        }
        let turn_came = turn == Turn::Called || self.waiters.is_empty();
        if turn_came {
            if !self.fits(weight) && self.idle > 0 {
                self.collect_ready();
            }
            if self.fits(weight) {
                return Admission::Room;
            }
        }
        match policy {
            OverflowPolicy::Block(_) => Admission::Wait,
            // What an interrupted producer may fill without asking is room, too.
            _ if self.idle > 0 && turn_came => {
                self.collect();
                self.admit(weight, policy, turn, displaced)
            }
            OverflowPolicy::DropNewest => Admission::Drop,
            OverflowPolicy::Reject => Admission::Refuse(Refusal::Full),
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
        if items == 0 {
            return None;
        }
        if items > self.capacity.items || bytes > self.capacity.bytes {
            return Some(Refusal::TooHeavy);
        }
        if items > self.free() && self.idle > 0 {
            self.collect();
        }
        let fits = self.waiters.is_empty()
            && items <= self.free()
            && self.bytes_with(bytes) <= self.capacity.bytes;
        (!fits).then_some(Refusal::Full)
    }

    /// Stores an item that was admitted.
    #[inline(always)]
    pub(super) fn store(&mut self, item: T, weight: usize) {
        self.added += 1;
        self.queue.push(item, self.weighed.then_some(weight));
        self.queued += 1;
        self.queued_bytes += weight;
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

    /// Takes up to `max` items, oldest first.
    pub(super) fn take(&mut self, max: Demand) -> Option<Taken<T>> {
        if self.is_in_stripes(max.items) {
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
        self.stirred = true;
    }

    /// Puts back what a dropped lease held, where it belongs in the order.
    pub(super) fn put_back(&mut self, first: u64, run: Run<T>) {
        let (items, bytes) = (run.items.len(), run.bytes());
        self.leased -= items;
        self.leased_bytes -= bytes;
        self.queued += items;
        self.queued_bytes += bytes;
        self.queue.put_back(first, run);
        self.stirred = true;
    }

    pub(super) fn recycle(&mut self, run: Run<T>) -> Option<Run<T>> {
        self.queue.recycle(run)
    }

    /// Makes the ring this large and evicts the oldest that no longer fit.
    pub(super) fn resize(&mut self, items: usize) -> Vec<T> {
        self.collect();
        self.capacity.items = items;
        // Empty buffers have nothing to drop, so they may be freed here.
        drop(self.queue.resize(items));
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
        self.stirred = true;
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
            waiting_for_room: self.waiters.len(),
            total_offered: self.added + self.refused,
            total_added: self.added,
            total_refused: self.refused,
            total_leased: self.leases,
            total_acked: self.acked,
            dropped: self.dropped,
        }
    }
}
