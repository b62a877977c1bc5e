//! A producer's stripe: what it pushed since the stripe was last collected, and its credits.

use std::collections::VecDeque;

use super::queue::{reserve, rotate_in};

/// The container that a producer's slot hands over.
///
/// A credit is the right to one place in the ring. Places of queued items are part of what was
/// granted, so collecting a stripe returns `items.len() + credits` of them.
pub(super) struct Stripe<T> {
    pub(super) items: VecDeque<T>,
    /// The capacity of the ring when the stripe was made, beyond which `items` need not grow.
    capacity: usize,
    /// Places that may be filled without asking.
    pub(super) credits: usize,
    /// How many of those were ever granted since the stripe was last collected or ran out.
    pub(super) granted: usize,
    /// Items of this stripe that newer ones displaced.
    pub(super) displaced: u64,
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
            displaced: 0,
        }
    }

    /// Stores an item on a credit, or in the place of the oldest if the stripe holds at least
    /// `floor` items, which is handed back.
    ///
    /// # Errors
    /// The item, when neither is possible.
    #[inline]
    pub(super) fn push(&mut self, mut item: T, floor: usize) -> Result<Option<T>, T> {
        if self.credits > 0 {
            self.credits -= 1;
            reserve(&mut self.items, 1, self.capacity);
            self.items.push_back(item);
            Ok(None)
        } else if self.items.len() >= floor {
            rotate_in(&mut self.items, std::slice::from_mut(&mut item));
            self.displaced += 1;
            Ok(Some(item))
        } else {
            Err(item)
        }
    }

    /// As [`push`](Self::push) for as many as possible. What is not in the stripe then is in
    /// `items`: those displaced, then those that could not be stored.
    #[inline]
    pub(super) fn push_many(&mut self, items: &mut Vec<T>, floor: usize) -> Filled {
        let on_credit = self.fill(&mut items.drain(..self.credits.min(items.len())));
        let mut displaced = 0;
        if !items.is_empty() && self.items.len() >= floor {
            displaced = items.len().min(self.items.len());
            rotate_in(&mut self.items, &mut items[..displaced]);
            self.displaced += displaced as u64;
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
