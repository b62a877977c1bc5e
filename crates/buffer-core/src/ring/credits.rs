//! Stripes and their credits, as the ring's lock sees them.

use super::queue::Queue;
use super::state::State;
use super::stripe::Stripe;
use crate::handover::Slot;
use crate::overflow::OverflowPolicy;

/// The most credits a stripe is granted at once, unless it has more items at hand.
const GRANT_MAX: usize = 512;

impl<T> State<T> {
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

    /// Grants a stripe the place of an item that was admitted, and up to `wanted` credits more:
    /// few where a credit that lies idle would delay a report. Returns these credits.
    fn grant(&mut self, wanted: usize) -> usize {
        self.granted += 1;
        let to_a_report = self.gauge.distance_up(self.current_size()).min(
            self.watchers
                .next_items()
                .saturating_sub(self.queued_at_most()),
        );
        let credits = (self.free() / (2 * self.slots.len().max(1)))
            .min(GRANT_MAX.max(wanted))
            .min(to_a_report / 2);
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
