//! Those who wait: for room, in order, and for items.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::Demand;
use super::signal::Signal;
use super::state::{Room, State};
use crate::watermark::Crossing;

/// Whether a push waited, and was called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It comes after all who wait.
    Last,
    /// It is its turn.
    Called,
}

/// Pushes that wait for room, in order, and those that were called and are on their way. For these
/// room is reserved, so nobody passes them.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: VecDeque<Waiter>,
    called: Vec<Waiter>,
    reserved: Room,
}

struct Waiter {
    signal: Arc<Signal>,
    weight: usize,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn reserved(&self) -> Room {
        self.reserved
    }

    /// Joins with an item of this weight: at the end, or at the front again after it was called and
    /// found no room, since the ring was made smaller meanwhile.
    pub(super) fn join(&mut self, signal: &Arc<Signal>, weight: usize, turn: Turn) {
        let waiter = Waiter {
            signal: Arc::clone(signal),
            weight,
        };
        match turn {
            Turn::Last => self.waiting.push_back(waiter),
            Turn::Called => self.waiting.push_front(waiter),
        }
    }

    /// The weight of the item of the first who waits.
    fn next_weight(&self) -> Option<usize> {
        self.waiting.front().map(|waiter| waiter.weight)
    }

    /// Reserves room for the first who waits; its signal has to be raised.
    fn call(&mut self) -> Option<Arc<Signal>> {
        let first = self.waiting.pop_front()?;
        let signal = Arc::clone(&first.signal);
        self.reserved.items += 1;
        self.reserved.bytes += first.weight;
        self.called.push(first);
        Some(signal)
    }

    /// Leaves; says whether it was called, in which case its room is free for it now.
    pub(super) fn leave(&mut self, signal: &Arc<Signal>) -> Turn {
        let is_own = |waiter: &Waiter| Arc::ptr_eq(&waiter.signal, signal);
        if let Some(index) = self.called.iter().position(is_own) {
            let waiter = self.called.swap_remove(index);
            self.reserved.items -= 1;
            self.reserved.bytes -= waiter.weight;
            return Turn::Called;
        }
        self.waiting.retain(|waiter| !is_own(waiter));
        Turn::Last
    }
}

/// The most consumers that wait; one more wakes the one that has waited the longest.
const WATCHERS_MAX: usize = 64;

/// Consumers that wait until so much is queued.
pub(super) struct Watchers {
    list: Vec<(Waker, Demand)>,
    /// How many queued items are enough for one of them.
    next_items: usize,
    /// How many queued bytes are.
    next_bytes: usize,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            next_items: usize::MAX,
            next_bytes: usize::MAX,
        }
    }
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many queued items are enough for one of them; the greatest number if there is none.
    #[inline]
    pub(super) fn next_items(&self) -> usize {
        self.next_items
    }

    /// The same in bytes, where items are weighed.
    #[inline]
    pub(super) fn next_bytes(&self) -> usize {
        self.next_bytes
    }

    /// Adds a consumer, or a smaller demand of one that waits; returns a waker that is not needed.
    fn add(&mut self, waker: Waker, demand: Demand) -> Option<Waker> {
        let is_own = |(known, _): &&mut (Waker, Demand)| known.will_wake(&waker);
        let surplus = match self.list.iter_mut().find(is_own) {
            Some((_, known)) => {
                known.items = known.items.min(demand.items);
                known.bytes = known.bytes.min(demand.bytes);
                Some(waker)
            }
            None => {
                self.list.push((waker, demand));
                None
            }
        };
        self.find_next();
        surplus
    }

    /// Forgets a consumer, whose waker is to be dropped after unlocking.
    pub(super) fn remove(&mut self, waker: &Waker) -> Option<Waker> {
        let is_own = |(known, _): &(Waker, Demand)| known.will_wake(waker);
        let index = self.list.iter().position(is_own)?;
        let (own, _) = self.list.remove(index);
        self.find_next();
        Some(own)
    }

    /// Moves the wakers of those whose demand is met, and of those who are too many.
    fn release(&mut self, mut is_met: impl FnMut(Demand) -> bool, wake: &mut Vec<Waker>) {
        let mut index = 0;
        while index < self.list.len() {
            if is_met(self.list[index].1) || self.list.len() > WATCHERS_MAX {
                wake.push(self.list.remove(index).0);
            } else {
                index += 1;
            }
        }
        self.find_next();
    }

    fn find_next(&mut self) {
        let items = self.list.iter().map(|(_, demand)| demand.items.max(1));
        self.next_items = items.min().unwrap_or(usize::MAX);
        let bytes = self.list.iter().map(|(_, demand)| demand.bytes);
        self.next_bytes = bytes.min().unwrap_or(usize::MAX);
    }
}

/// What has to happen after the lock is released.
#[must_use]
pub(super) struct After {
    pub(super) crossing: Option<Crossing>,
    pub(super) wake: Vec<Waker>,
    pub(super) called: Vec<Arc<Signal>>,
    /// Wakers that nobody needs.
    pub(super) surplus: Vec<Waker>,
}

impl<T> State<T> {
    /// Whether so much is queued, or nothing more will come.
    pub(super) fn meets(&mut self, demand: Demand) -> bool {
        self.closed || self.holds(demand)
    }

    /// Whether so much is queued, or as much as there is room for. What an interrupted producer
    /// holds counts: to wait until it goes on would be worse than to look in vain.
    fn holds(&mut self, demand: Demand) -> bool {
        let few = demand.items.max(1);
        if self.queued < few && self.queued_at_most() >= few {
            self.collect_ready();
        }
        self.queued_at_most() >= few
            || (self.queued_at_most() > 0 && self.is_stuffed())
            || (self.weighed && self.queued > 0 && self.queued_bytes >= demand.bytes)
    }

    /// Whether nothing more can be queued before something is taken.
    fn is_stuffed(&self) -> bool {
        self.free() == 0 || !self.waiters.is_empty()
    }

    /// Remembers whom to wake once `demand` is met, unless it is met now, and says so. Stripes get
    /// few credits from now on, the fewer the closer they are.
    ///
    /// Between grants `queued_at_most` does not change, and what is queued is never more: a watcher
    /// for whom that is too little misses nothing until the next grant, which looks again.
    pub(super) fn watch(&mut self, waker: Waker, demand: Demand) -> bool {
        if self.queued_at_most() >= demand.items.max(1) {
            self.collect();
        }
        let is_met = self.holds(demand);
        let surplus = match is_met {
            true => Some(waker),
            false => self.watchers.add(waker, demand),
        };
        // It may run code of others when it is dropped.
        self.surplus.extend(surplus);
        is_met
    }

    /// What the caller must do once it has released the lock.
    pub(super) fn after(&mut self) -> After {
        let mut wake = Vec::new();
        let ended = std::mem::take(&mut self.stirred) && self.closed;
        let may_be_met = ended
            || self.weighed
            || self.queued_at_most() >= self.watchers.next_items()
            || self.watchers.len() > WATCHERS_MAX
            || self.is_stuffed();
        if may_be_met && !self.watchers.is_empty() {
            let mut watchers = std::mem::take(&mut self.watchers);
            watchers.release(|demand| ended || self.holds(demand), &mut wake);
            self.watchers = watchers;
        }
        let size = self.current_size();
        if self.idle > 0 && (self.gauge.crosses_at(size) || self.gauge.crosses_at(size - self.idle))
        {
            self.collect();
        }
        let crossing = self.gauge.observe(self.current_size(), self.capacity.items);
        let mut called = Vec::new();
        while let Some(weight) = self.waiters.next_weight()
            && (self.closed || self.fits(weight))
        {
            called.extend(self.waiters.call());
        }
        After {
            crossing,
            wake,
            called,
            surplus: std::mem::take(&mut self.surplus),
        }
    }
}
