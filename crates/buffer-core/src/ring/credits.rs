//! Stripes and their credits, as the ring's lock sees them.

use super::Demand;
use super::queue::{Queue, Run};
use super::state::State;
use super::stripe::{Floor, Stripe};
use crate::handover::Slot;
use crate::overflow::OverflowPolicy;

/// The most credits a stripe is granted at once, unless it has more items at hand.
const GRANT_MAX: usize = 512;

/// The most victims a stripe is handed at once.
const VICTIMS_MAX: usize = 64;

impl<T> State<T> {
    pub(super) fn add_stripe(&mut self) -> Slot<Stripe<T>> {
        let stripe = || Stripe::new(self.capacity.items);
        self.slots.add(stripe(), stripe())
    }

    /// Takes over what a producer leaves behind.
    pub(super) fn retire(&mut self, slot: &mut Slot<Stripe<T>>) {
        let mut all = Collected::default();
        let queue = &mut self.queue;
        self.slots.retire(slot, |stripe| all.collect(stripe, queue));
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
    /// interrupted in the middle of a push. Victims are not left: those of other producers are
    /// older than what would be taken of these.
    pub(super) fn collect_ready(&mut self) {
        if self.with_victims > 0 {
            self.collect();
        } else if self.granted > 0 {
            let mut all = Collected::default();
            let queue = &mut self.queue;
            self.slots.take_ready(|stripe| all.collect(stripe, queue));
            self.settle(&all);
        }
    }

    fn settle(&mut self, all: &Collected) {
        self.granted -= all.items + all.victims + all.credits;
        self.idle -= all.granted;
        self.with_victims -= all.with_victims;
        self.queued += all.items + all.victims;
        // A victim was counted as added when it was, and not as what displaced it.
        self.added += all.items as u64 + all.displaced;
        self.dropped.oldest += all.displaced + all.displaced_victims;
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

    /// A producer asks: what its stripe was granted is spent, and victims that it may not displace
    /// any more go back.
    pub(super) fn note_spent(&mut self, slot: &Slot<Stripe<T>>) {
        let (spent, had_victims, first, victims) = slot.write(|stripe| {
            let granted = std::mem::replace(&mut stripe.granted, stripe.credits);
            let had_victims = std::mem::take(&mut stripe.had_victims);
            let victims = match stripe.victims.is_empty() {
                true => None,
                false => Some(std::mem::take(&mut stripe.victims)),
            };
            let first = stripe.first_victim;
            (granted - stripe.credits, had_victims, first, victims)
        });
        self.idle -= spent;
        self.with_victims -= usize::from(had_victims);
        if let Some(victims) = victims {
            self.granted -= victims.len();
            self.queued += victims.len();
            self.queue.put_back(first, Run::of(victims));
        }
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
        let capacity = self.capacity.items;
        slot.write(|stripe| {
            stripe.capacity = capacity;
            if stripe.items.capacity() == 0 {
                // Collecting took its buffer, so that a producer that ends or idles keeps none.
                stripe.items = self.queue.buffer();
            }
            stripe.credits += 1 + credits;
            stripe.granted += credits;
            stripe.fill(&mut std::iter::once(item));
            stripe.fill(following)
        })
    }

    /// Hands a stripe the next victims in a full ring whose oldest items are not in stripes, so
    /// that the producer need not ask for each.
    pub(super) fn hand_victims(&mut self, slot: &Slot<Stripe<T>>, policy: OverflowPolicy) {
        if policy != OverflowPolicy::DropOldest || self.floor() != Floor::VICTIMS {
            return;
        }
        let Some(mut taken) = self.queue.take(Demand::items(VICTIMS_MAX)) else {
            return;
        };
        taken.merge();
        let count = taken.head.items.len();
        self.queued -= count;
        self.granted += count;
        // It has none: they went back when its producer asked.
        let emptied = slot.write(|stripe| {
            stripe.had_victims = true;
            stripe.first_victim = taken.first;
            std::mem::replace(&mut stripe.victims, taken.head.items)
        });
        self.with_victims += 1;
        for items in taken.tail.into_iter().map(|run| run.items).chain([emptied]) {
            // All are empty; what the queue has no use for is freed.
            drop(self.queue.recycle(Run::of(items)));
        }
    }

    /// What a producer may displace without asking: nothing unless the ring is full; then the
    /// victims it was handed; and where stripes hold all that is queued, also its own oldest,
    /// which is nearly the oldest of all if it holds not much less than its share.
    pub(super) fn floor(&self) -> Floor {
        let displaces = self.policy == OverflowPolicy::DropOldest && !self.closed;
        // A ring that was made smaller while items were on loan can hold too many; then one push
        // displaces several, under the lock.
        let is_full = self.current_size() == self.capacity.items;
        if !displaces || !is_full || self.idle > 0 {
            Floor::NOTHING
        } else if self.queued > 0 {
            Floor::VICTIMS
        } else {
            Floor((self.capacity.items / (4 * self.slots.len().max(1))).max(1))
        }
    }
}

/// What was found in stripes.
#[derive(Default)]
struct Collected {
    items: usize,
    credits: usize,
    granted: usize,
    victims: usize,
    with_victims: usize,
    displaced_victims: u64,
    displaced: u64,
}

impl Collected {
    fn collect<T>(&mut self, stripe: &mut Stripe<T>, queue: &mut Queue<T>) {
        self.items += stripe.items.len();
        self.credits += std::mem::take(&mut stripe.credits);
        self.granted += std::mem::take(&mut stripe.granted);
        self.displaced += std::mem::take(&mut stripe.displaced);
        self.displaced_victims += std::mem::take(&mut stripe.displaced_victims);
        self.victims += stripe.victims.len();
        self.with_victims += usize::from(std::mem::take(&mut stripe.had_victims));
        if !stripe.victims.is_empty() {
            let victims = std::mem::take(&mut stripe.victims);
            queue.put_back(stripe.first_victim, Run::of(victims));
        }
        if !stripe.items.is_empty() {
            // An empty buffer has nothing to drop, so it may be freed here.
            drop(queue.append(std::mem::take(&mut stripe.items)));
        }
    }
}
