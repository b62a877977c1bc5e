//! A producer's stripe: what it pushed since the stripe was last collected, and its credits.

use std::collections::VecDeque;

use super::queue::{reserve, rotate_in};

/// The container that a producer's slot hands over.
///
/// A credit is the right to one place in the ring. Places of items are part of what was granted, so
/// collecting a stripe returns `items.len() + victims.len() + credits` of them.
pub(super) struct Stripe<T> {
    pub(super) items: VecDeque<T>,
    /// The capacity of the ring when it last granted a place, beyond which `items` need not grow.
    pub(super) capacity: usize,
    /// Places that may be filled without asking.
    pub(super) credits: usize,
    /// How many of those were ever granted since the stripe was last collected or ran out.
    pub(super) granted: usize,
    /// The oldest items of a full ring, which the next pushes displace. They are still queued: a
    /// collected stripe gives them back.
    pub(super) victims: VecDeque<T>,
    /// The number of the first victim in the queue's order.
    pub(super) first_victim: u64,
    /// Whether there were victims when the stripe was last seen under the ring's lock.
    pub(super) had_victims: bool,
    /// Victims that were displaced.
    pub(super) displaced_victims: u64,
    /// Items of this stripe that newer ones displaced.
    pub(super) displaced: u64,
}

/// From how many own items on a stripe may displace its oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor(pub(super) usize);

impl Floor {
    /// Nothing may be displaced.
    pub(super) const NOTHING: Self = Self(usize::MAX);
    /// No own item, but victims.
    pub(super) const VICTIMS: Self = Self(usize::MAX - 1);
}

/// What became of items that were pushed into a stripe.
pub(super) struct Filled {
    pub(super) stored: usize,
    pub(super) displaced: usize,
}

impl<T> Stripe<T> {
    /// An empty stripe of a ring with so many places.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            capacity,
            credits: 0,
            granted: 0,
            victims: VecDeque::new(),
            first_victim: 0,
            had_victims: false,
            displaced_victims: 0,
            displaced: 0,
        }
    }

    /// Stores an item on a credit; or, as far as `floor` permits, in the place of a victim or of
    /// the stripe's oldest, which is handed back.
    ///
    /// # Errors
    /// The item, when nothing of that is possible.
    #[inline(always)]
    pub(super) fn push(&mut self, item: T, floor: Floor) -> Result<Option<T>, T> {
        if self.credits > 0 {
            self.credits -= 1;
            reserve(&mut self.items, 1, self.capacity);
            self.items.push_back(item);
            Ok(None)
        } else if self.victims.is_empty() && self.items.len() >= floor.0 {
            // In a buffer that is full, the newest takes the place of the oldest.
            let oldest = self.items.pop_front();
            self.items.push_back(item);
            self.displaced += 1;
            Ok(oldest)
        } else {
            self.displace_victim(item, floor)
        }
    }

    #[inline(never)]
    fn displace_victim(&mut self, mut item: T, floor: Floor) -> Result<Option<T>, T> {
        if self.victims.is_empty() || floor == Floor::NOTHING {
            return Err(item);
        }
        rotate_in(&mut self.victims, std::slice::from_mut(&mut item));
        self.take_in_victims_places(1);
        // The victim is in the item's place.
        Ok(Some(item))
    }

    /// The last of the victims are new items that were exchanged for so many of the first.
    fn take_in_victims_places(&mut self, count: usize) {
        let left = self.victims.len() - count;
        reserve(&mut self.items, count, self.capacity);
        self.items.extend(self.victims.drain(left..));
        self.first_victim += count as u64;
        self.displaced_victims += count as u64;
    }

    /// As [`push`](Self::push) for as many as possible. What is not in the stripe then is in
    /// `items`: those displaced, then those that could not be stored.
    #[inline]
    pub(super) fn push_many(&mut self, items: &mut Vec<T>, floor: Floor) -> Filled {
        let on_credit = self.fill(&mut items.drain(..self.credits.min(items.len())));
        let mut displaced = 0;
        if !items.is_empty() && floor != Floor::NOTHING {
            displaced = items.len().min(self.victims.len());
            if displaced > 0 {
                rotate_in(&mut self.victims, &mut items[..displaced]);
                self.take_in_victims_places(displaced);
            } else if self.items.len() >= floor.0 {
                displaced = items.len().min(self.items.len());
                rotate_in(&mut self.items, &mut items[..displaced]);
                self.displaced += displaced as u64;
            }
        }
        Filled {
            stored: on_credit + displaced,
            displaced,
        }
    }

    /// Stores as many items as there are credits for, and returns how many.
    #[inline]
    pub(super) fn fill(&mut self, items: &mut impl ExactSizeIterator<Item = T>) -> usize {
        let count = self.credits.min(items.len());
        self.credits -= count;
        reserve(&mut self.items, count, self.capacity);
        self.items.extend(items.by_ref().take(count));
        count
    }
}
