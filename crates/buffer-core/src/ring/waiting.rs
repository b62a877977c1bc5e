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

    /// Joins at the end, with an item of this weight.
    pub(super) fn join(&mut self, signal: &Arc<Signal>, weight: usize) {
        self.waiting.push_back(Waiter {
            signal: Arc::clone(signal),
            weight,
        });
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

/// Consumers that wait until so much is queued.
#[derive(Default)]
pub(super) struct Watchers {
    list: Vec<(Waker, Demand)>,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many queued items are enough for one of them; the greatest number if there is none.
    #[inline]
    pub(super) fn next_items(&self) -> usize {
        let items = self.list.iter().map(|(_, demand)| demand.items.max(1));
        items.min().unwrap_or(usize::MAX)
    }

    fn add(&mut self, waker: &Waker, demand: Demand) {
        let is_own = |(known, _): &&mut (Waker, Demand)| known.will_wake(waker);
        match self.list.iter_mut().find(is_own) {
            Some((_, known)) => *known = demand,
            None => self.list.push((waker.clone(), demand)),
        }
    }

    pub(super) fn remove(&mut self, waker: &Waker) {
        self.list.retain(|(known, _)| !known.will_wake(waker));
    }

    /// Moves the wakers of those whose demand is met.
    fn release(&mut self, mut is_met: impl FnMut(Demand) -> bool, wake: &mut Vec<Waker>) {
        let mut index = 0;
        while index < self.list.len() {
            if is_met(self.list[index].1) {
                wake.push(self.list.swap_remove(index).0);
            } else {
                index += 1;
            }
        }
    }
}

/// What has to happen after the lock is released.
#[must_use]
pub(super) struct After {
    pub(super) crossing: Option<Crossing>,
    pub(super) wake: Vec<Waker>,
    pub(super) called: Vec<Arc<Signal>>,
}

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
        self.watchers.add(waker, demand);
        false
    }

    /// What the caller must do once it has released the lock.
    pub(super) fn after(&mut self) -> After {
        let mut wake = Vec::new();
        if self.closed || self.queued_at_most() >= self.watchers.next_items() || self.weighed {
            let mut watchers = std::mem::take(&mut self.watchers);
            watchers.release(|demand| self.meets(demand), &mut wake);
            self.watchers = watchers;
        }
        if self.gauge.crosses_at(self.current_size()) && self.idle > 0 {
            self.collect_ready();
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
        }
    }
}
