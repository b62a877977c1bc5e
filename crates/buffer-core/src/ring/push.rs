//! Pushing: what every producer can do, with a stripe of its own or without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Ring;
use super::shared::Shared;
use super::signal::Signal;
use super::state::{Admission, State};
use super::stripe::{Floor, Stripe};
use super::waiting::Turn;
use crate::handover::Slot;
use crate::overflow::{OverflowPolicy, Pushed, PushedMany, Refusal};
use crate::sync::Guard;

impl<T> Ring<T> {
    /// Pushes one item by the ring's policy. O(1), and with [`OverflowPolicy::Block`] it may wait.
    pub fn push(&self, mut item: T) -> Pushed<T> {
        if self.shared.weigher.is_none() {
            let mut state = self.shared.lock();
            if state.is_plain_for(1, 0) {
                state.store(item, 0);
                return Pushed::Stored;
            }
            if state.displaces_plainly() && state.exchange(std::slice::from_mut(&mut item)) {
                let (first, rest) = (item, Vec::new());
                return Pushed::Displaced { first, rest };
            }
        }
        self.shared.push_one(item, None, None)
    }

    /// Pushes one item if that is all there is to do: there is room, nobody waits for it or for
    /// room, and no mark is crossed. The quickest push of all, for what is then pushed by the
    /// ring's policy if it comes back. O(1); never waits, wakes, displaces, refuses or counts
    /// anything but the item that it stores.
    ///
    /// ```
    /// # use buffer_core::{Pushed, Ring};
    /// let ring = Ring::new(2)?;
    /// let stored = ring.push_plainly("a").or_else(|item| match ring.push(item) {
    ///     Pushed::Stored => Ok(()),
    ///     other => Err(other),
    /// });
    /// assert_eq!((stored, ring.len()), (Ok(()), 1));
    /// # Ok::<(), buffer_core::RingError>(())
    /// ```
    ///
    /// # Errors
    /// The item, when there is more to do.
    // Inlined by force: an item that is made here goes straight to its place.
    #[inline(always)]
    pub fn push_plainly(&self, item: T) -> Result<(), T> {
        let weight = self.shared.weigher.as_ref();
        let weight = weight.map_or(0, |weigher| weigher(&item));
        let mut state = self.shared.lock();
        if !state.is_plain_for(1, weight) {
            return Err(item);
        }
        state.store(item, weight);
        Ok(())
    }

    /// Pushes one item if there is room for it; never displaces, never waits.
    ///
    /// # Errors
    /// The item, when there is no room or the ring is closed.
    pub fn try_push(&self, item: T) -> Result<(), (Refusal, T)> {
        self.shared.try_push_one(item, None)
    }

    /// Pushes items in order by the ring's policy. What is not in the ring then is in `items`:
    /// see [`PushedMany`].
    pub fn push_many(&self, items: &mut Vec<T>) -> PushedMany {
        self.shared.push_vec(items, None, None)
    }

    /// Pushes items in order as long as there is room; never displaces, never waits. What is
    /// refused stays in `items`.
    pub fn try_push_many(&self, items: &mut Vec<T>) -> PushedMany {
        let policy = Some(OverflowPolicy::Reject);
        self.shared.push_vec(items, policy, None)
    }

    /// Pushes all items in order if there is room for all of them, or none.
    ///
    /// # Errors
    /// When one of them would be refused; all stay in `items` and count as refused.
    pub fn try_push_all(&self, items: &mut Vec<T>) -> Result<(), Refusal> {
        let weights = self.shared.weights(items);
        let mut state = self.shared.lock();
        let refusal = state.refuses_all(items.len(), &weights);
        if refusal.is_some() {
            state.count_refused(items.len());
        } else {
            for (index, item) in items.drain(..).enumerate() {
                state.store(item, weights.get(index).copied().unwrap_or(0));
            }
        }
        self.shared.unlock(state);
        refusal.map_or(Ok(()), Err)
    }
}

/// A push that asks at the lock. Without a slot, items go to the queue; with one, to its stripe.
impl<T> Shared<T> {
    pub(super) fn push_one(
        &self,
        item: T,
        policy: Option<OverflowPolicy>,
        slot: Option<&Slot<Stripe<T>>>,
    ) -> Pushed<T> {
        let weight = self.weigher.as_ref().map_or(0, |weigher| weigher(&item));
        let mut first = None;
        let mut rest = Vec::new();
        let mut displaced = |item| match &first {
            None => first = Some(item),
            Some(_) => rest.push(item),
        };
        let mut dropped = None;
        let mut out = PushedMany::default();
        let refused = self.push_weighed(
            &mut std::iter::once(item),
            |_| weight,
            policy,
            slot,
            &mut displaced,
            &mut |item| dropped = Some(item),
            &mut out,
        );
        match (refused, dropped, first) {
            (Some(item), ..) => Pushed::Refused(out.refusal.unwrap_or(Refusal::Full), item),
            (_, Some(item), _) => Pushed::Dropped(item),
            (.., Some(first)) => Pushed::Displaced { first, rest },
            _ => Pushed::Stored,
        }
    }

    pub(super) fn try_push_one(
        &self,
        item: T,
        slot: Option<&Slot<Stripe<T>>>,
    ) -> Result<(), (Refusal, T)> {
        match self.push_one(item, Some(OverflowPolicy::Reject), slot) {
            Pushed::Refused(refusal, item) => Err((refusal, item)),
            _ => Ok(()),
        }
    }

    /// Pushes what is in `items` and leaves there what is not in the ring.
    pub(super) fn push_vec(
        &self,
        items: &mut Vec<T>,
        policy: Option<OverflowPolicy>,
        slot: Option<&Slot<Stripe<T>>>,
    ) -> PushedMany {
        let mut out = match slot {
            Some(slot) => {
                let floor = policy.map_or_else(|| self.floor(), |_| Floor::NOTHING);
                let filled = slot.write(|stripe| stripe.push_many(items, floor));
                PushedMany::displacing(filled.stored, filled.displaced)
            }
            None if policy.is_none() => self.push_plainly(items),
            None => PushedMany::default(),
        };
        if items.len() > out.displaced {
            self.push_slowly(items, policy, slot, &mut out);
        }
        out
    }

    /// Pushes into a queue that has room or displaces its oldest, in bulk; does nothing if anything
    /// else is to be seen to.
    fn push_plainly(&self, items: &mut Vec<T>) -> PushedMany {
        let stored = items.len();
        if self.weigher.is_some() {
            let weights = self.weights(items);
            let mut state = self.lock();
            if !state.is_plain_for(stored, sum(&weights)) {
                return PushedMany::default();
            }
            for (item, weight) in items.drain(..).zip(weights) {
                state.store(item, weight);
            }
            return PushedMany::displacing(stored, 0);
        }
        let mut state = self.lock();
        if state.displaces_plainly() && state.exchange(items) {
            return PushedMany::displacing(stored, stored);
        }
        if state.is_plain_for(stored, 0) {
            for item in items.drain(..) {
                state.store(item, 0);
            }
            return PushedMany::displacing(stored, 0);
        }
        PushedMany::default()
    }

    /// Pushes what is behind the displaced, one by one.
    fn push_slowly(
        &self,
        items: &mut Vec<T>,
        policy: Option<OverflowPolicy>,
        slot: Option<&Slot<Stripe<T>>>,
        out: &mut PushedMany,
    ) {
        let weights = self.weights(items);
        let weight_at = |index: usize| weights.get(index).copied().unwrap_or(0);
        let mut displaced = Vec::new();
        let mut dropped = Vec::new();
        let mut rest = items.drain(out.displaced..);
        let refused = self.push_weighed(
            &mut rest,
            weight_at,
            policy,
            slot,
            &mut |item| displaced.push(item),
            &mut |item| dropped.push(item),
            out,
        );
        let refused: Vec<T> = refused.into_iter().chain(rest).collect();
        items.append(&mut displaced);
        items.append(&mut dropped);
        items.extend(refused);
    }

    /// What the items weigh, or nothing where they are not weighed. Weighing is foreign code, so
    /// it is done before the lock is taken.
    fn weights(&self, items: &[T]) -> Vec<usize> {
        match &self.weigher {
            Some(weigher) => items.iter().map(weigher).collect(),
            None => Vec::new(),
        }
    }

    /// Pushes until an item is refused, which is returned; all that follow it are refused too.
    /// Items are counted as they are judged, so that the account holds while a push waits for
    /// room: what still waits is with its caller, not in the ring.
    #[allow(clippy::too_many_arguments, reason = "one push is all of this")]
    fn push_weighed(
        &self,
        items: &mut impl ExactSizeIterator<Item = T>,
        weight_at: impl Fn(usize) -> usize,
        policy: Option<OverflowPolicy>,
        slot: Option<&Slot<Stripe<T>>>,
        displaced: &mut impl FnMut(T),
        dropped: &mut impl FnMut(T),
        out: &mut PushedMany,
    ) -> Option<T> {
        let mut state = self.lock();
        if let Some(slot) = slot {
            state.note_spent(slot);
        }
        let policy = policy.unwrap_or(state.policy);
        let mut wait = RoomWait::default();
        let mut next = items.next();
        let mut refused = None;
        while let Some(item) = next.take() {
            let weight = weight_at(out.accepted);
            let mut displaced = |item| {
                out.displaced += 1;
                displaced(item);
            };
            match state.admit(weight, policy, wait.turn, &mut displaced) {
                Admission::Room => {
                    out.accepted += 1;
                    wait.turn = Turn::Last;
                    match slot {
                        Some(slot) => out.accepted += state.store_in(slot, item, items),
                        None => state.store(item, weight),
                    }
                    next = items.next();
                }
                Admission::Drop => {
                    state.count_dropped();
                    out.accepted += 1;
                    out.dropped += 1;
                    dropped(item);
                    next = items.next();
                }
                Admission::Wait if !wait.is_late => {
                    state = wait.pass(self, state, policy, weight);
                    next = Some(item);
                }
                Admission::Wait => {
                    out.refusal = Some(Refusal::TimedOut);
                    refused = Some(item);
                }
                Admission::Refuse(refusal) => {
                    out.refusal = Some(refusal);
                    refused = Some(item);
                }
            }
        }
        if let Some(slot) = slot {
            state.hand_victims(slot, policy);
        }
        if refused.is_some() {
            state.count_refused(1 + items.len());
        }
        self.unlock(state);
        refused
    }
}

/// What items weigh together.
fn sum(weights: &[usize]) -> usize {
    let add = |sum: usize, weight: &usize| sum.saturating_add(*weight);
    weights.iter().fold(0, add)
}

/// A push that waits for room, perhaps once per item.
struct RoomWait {
    turn: Turn,
    signal: Option<Arc<Signal>>,
    /// When the policy's patience ends, counted from the first wait.
    deadline: Option<Option<Instant>>,
    is_late: bool,
}

impl Default for RoomWait {
    fn default() -> Self {
        Self {
            turn: Turn::Last,
            signal: None,
            deadline: None,
            is_late: false,
        }
    }
}

impl RoomWait {
    /// Waits behind those who came before until it is called, or time is up.
    fn pass<'a, T>(
        &mut self,
        shared: &'a Shared<T>,
        mut state: Guard<'a, State<T>>,
        policy: OverflowPolicy,
        weight: usize,
    ) -> Guard<'a, State<T>> {
        if policy == OverflowPolicy::Block(Duration::ZERO) {
            self.is_late = true;
            return state;
        }
        let signal = self.signal.get_or_insert_with(|| Arc::new(Signal::new()));
        state.waiters.join(signal, weight, self.turn);
        let place = Place { shared, signal };
        shared.unlock(state);
        let deadline = *self.deadline.get_or_insert_with(|| match policy {
            OverflowPolicy::Block(timeout) => Instant::now().checked_add(timeout),
            _ => None,
        });
        let was_raised = signal.wait(deadline);
        std::mem::forget(place);
        let mut state = shared.lock();
        self.turn = state.waiters.leave(signal);
        self.is_late = !was_raised && self.turn == Turn::Last;
        state
    }
}

/// A place among those who wait, which is given up if a listener or a waker panics meanwhile.
struct Place<'a, T> {
    shared: &'a Shared<T>,
    signal: &'a Arc<Signal>,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.waiters.leave(self.signal);
        self.shared.unlock(state);
    }
}
