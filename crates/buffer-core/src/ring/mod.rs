//! A bounded ring with many producers and batch consumers.
//!
//! One lock, one queue: the order is the global order of acceptance, and drop-oldest is exact.
//! Capacity counts queued and leased items alike, so memory stays bounded while a consumer is
//! slow. Evicted items, wakers and listeners are handled after the lock is released.

mod builder;
mod leased;
mod producer;
mod state;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub use builder::RingBuilder;
pub(crate) use leased::LeasedItems;
pub use producer::Producer;
pub use state::Demand;
use state::{After, Offer, State};

use crate::error::{LeaseError, RingError};
use crate::lease::Lease;
use crate::overflow::{OverflowPolicy, Pushed, PushedMany, Refusal};
use crate::stats::RingStats;
use crate::sync::{Condvar, Guard, Mutex};
use crate::watermark::Crossing;

type Listener = Box<dyn Fn(Crossing) + Send + Sync>;
type Weigher<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;

/// A bounded ring; a clone is another handle to the same one.
///
/// ```
/// use buffer_core::{OverflowPolicy, Pushed, Ring};
/// let ring = Ring::builder(2).policy(OverflowPolicy::DropOldest).build()?;
/// assert_eq!(ring.push("a"), Pushed::Stored);
/// assert_eq!(ring.push("b"), Pushed::Stored);
/// assert_eq!(ring.push("c"), Pushed::Displaced { first: "a", rest: vec![] });
/// assert_eq!(ring.stats().overflow_count(), 1);
/// # Ok::<(), buffer_core::RingError>(())
/// ```
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

/// What all handles and leases of a ring share.
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled when items arrive or the ring closes.
    arrived: Condvar,
    /// Signalled when room appears or the ring closes.
    room: Condvar,
    listener: Option<Listener>,
    weigher: Option<Weigher<T>>,
}

impl<T> Ring<T> {
    /// A ring of so many items that drops the oldest when it is full.
    ///
    /// # Errors
    /// When `capacity` is 0.
    pub fn new(capacity: usize) -> Result<Self, RingError> {
        RingBuilder::new(capacity).build()
    }

    /// A ring with more choices.
    pub fn builder(capacity: usize) -> RingBuilder<T> {
        RingBuilder::new(capacity)
    }

    /// A producer's own handle.
    #[must_use]
    pub fn producer(&self) -> Producer<T> {
        Producer::new(self.clone())
    }

    /// Pushes one item by the ring's policy. O(1), and with [`OverflowPolicy::Block`] it may wait.
    pub fn push(&self, item: T) -> Pushed<T> {
        self.push_one(item, None)
    }

    /// Pushes one item if there is room for it; never displaces, never waits.
    ///
    /// # Errors
    /// The item, when there is no room or the ring is closed.
    pub fn try_push(&self, item: T) -> Result<(), (Refusal, T)> {
        match self.push_one(item, Some(OverflowPolicy::Reject)) {
            Pushed::Refused(refusal, item) => Err((refusal, item)),
            _ => Ok(()),
        }
    }

    /// Pushes items in order by the ring's policy. What is refused stays in `items`.
    pub fn push_many(&self, items: &mut Vec<T>) -> PushedMany<T> {
        self.push_vec(items, None)
    }

    /// Pushes items in order as long as there is room; never displaces, never waits. What is
    /// refused stays in `items`.
    pub fn try_push_many(&self, items: &mut Vec<T>) -> PushedMany<T> {
        self.push_vec(items, Some(OverflowPolicy::Reject))
    }

    /// Pushes all items in order if there is room for all of them, or none.
    ///
    /// # Errors
    /// When one of them would be refused; all stay in `items` and count as refused.
    pub fn try_push_all(&self, items: &mut Vec<T>) -> Result<(), Refusal> {
        let weights = self.weights(items);
        let mut state = self.shared.state.lock();
        if let Some(refusal) = state.refuses_all(items.len(), &weights) {
            state.count_refused(items.len());
            return Err(refusal);
        }
        for (index, item) in items.drain(..).enumerate() {
            state.accept(item, weights.get(index).copied().unwrap_or(0));
        }
        let after = state.after();
        drop(state);
        self.shared.finish(after, Signal::Arrived);
        Ok(())
    }

    fn push_one(&self, item: T, policy: Option<OverflowPolicy>) -> Pushed<T> {
        let weight = self.weigh(&item);
        let mut out = PushedMany::default();
        let mut items = std::iter::once(item);
        if let Some(item) = self.push_weighed(&mut items, |_| weight, policy, &mut out) {
            return Pushed::Refused(out.refusal.unwrap_or(Refusal::Full), item);
        }
        if let Some(item) = out.dropped.pop() {
            return Pushed::Dropped(item);
        }
        let mut displaced = out.displaced.into_iter();
        match displaced.next() {
            Some(first) => Pushed::Displaced {
                first,
                rest: displaced.collect(),
            },
            None => Pushed::Stored,
        }
    }

    fn push_vec(&self, items: &mut Vec<T>, policy: Option<OverflowPolicy>) -> PushedMany<T> {
        let mut out = PushedMany::default();
        if items.is_empty() {
            return out;
        }
        let weights = self.weights(items);
        let mut rest = items.drain(..);
        let weight_at = |index: usize| weights.get(index).copied().unwrap_or(0);
        let refused = self.push_weighed(&mut rest, weight_at, policy, &mut out);
        let refused: Vec<T> = refused.into_iter().chain(rest).collect();
        items.extend(refused);
        out
    }

    /// What the items weigh, or nothing where they are not weighed. Weighing is foreign code, so
    /// it is done before the lock is taken.
    fn weights(&self, items: &[T]) -> Vec<usize> {
        match &self.shared.weigher {
            Some(weigher) => items.iter().map(weigher).collect(),
            None => Vec::new(),
        }
    }

    fn weigh(&self, item: &T) -> usize {
        self.shared
            .weigher
            .as_ref()
            .map_or(0, |weigher| weigher(item))
    }

    /// Pushes until an item is refused, which is returned; all that follow it are refused too.
    /// Items are counted as they are judged, so that the account holds while a push waits for
    /// room: what still waits is with its caller, not in the ring.
    fn push_weighed(
        &self,
        items: &mut impl ExactSizeIterator<Item = T>,
        weight_at: impl Fn(usize) -> usize,
        policy: Option<OverflowPolicy>,
        out: &mut PushedMany<T>,
    ) -> Option<T> {
        let mut deadline = None;
        let mut state = self.shared.state.lock();
        let policy = policy.unwrap_or(state.policy);
        let mut index = 0;
        let mut next = items.next();
        let refused = loop {
            let item = next.take()?;
            match state.offer(item, weight_at(index), policy, out) {
                Offer::Accepted => {
                    index += 1;
                    next = items.next();
                    if next.is_none() {
                        break None;
                    }
                }
                Offer::Refused(refusal, item) => {
                    out.refusal = Some(refusal);
                    break Some(item);
                }
                Offer::MustWait(item) => {
                    let OverflowPolicy::Block(timeout) = policy else {
                        break Some(item);
                    };
                    let until =
                        *deadline.get_or_insert_with(|| Instant::now().checked_add(timeout));
                    let after = state.after();
                    drop(state);
                    self.shared.finish(after, Signal::Arrived);
                    let (again, timed_out) = self.shared.wait_for_room(weight_at(index), until);
                    state = again;
                    if timed_out {
                        out.refusal = Some(Refusal::TimedOut);
                        break Some(item);
                    }
                    next = Some(item);
                }
            }
        };
        if refused.is_some() {
            state.count_refused(1 + items.len());
        }
        let after = state.after();
        drop(state);
        self.shared.finish(after, Signal::Arrived);
        refused
    }

    /// Leases up to `max` items, oldest first, or `None` when nothing is queued. After a dropped
    /// lease a smaller run may come first.
    #[must_use]
    pub fn lease(&self, max: usize) -> Option<Lease<T>> {
        self.lease_up_to(Demand {
            items: max,
            bytes: usize::MAX,
        })
    }

    /// Leases up to `max` items and bytes, at least one item where any is queued.
    #[must_use]
    pub fn lease_up_to(&self, max: Demand) -> Option<Lease<T>> {
        let taken = self.shared.state.lock().take(max);
        taken.map(|taken| Lease::new(LeasedItems::new(Arc::clone(&self.shared), taken)))
    }

    /// Leases up to `max` items and waits for the first to arrive.
    ///
    /// # Errors
    /// When nothing arrives within `timeout`, or the ring is closed and empty.
    pub fn lease_timeout(&self, max: usize, timeout: Duration) -> Result<Lease<T>, LeaseError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        loop {
            if let Some(taken) = state.take(Demand {
                items: max,
                bytes: usize::MAX,
            }) {
                drop(state);
                return Ok(Lease::new(LeasedItems::new(
                    Arc::clone(&self.shared),
                    taken,
                )));
            }
            if state.closed && state.current_size() == 0 {
                return Err(LeaseError::Closed);
            }
            let (again, timed_out) = self.shared.arrived.wait_until(state, deadline);
            state = again;
            if timed_out && (state.queued() == 0 || max == 0) {
                return Err(LeaseError::Empty);
            }
        }
    }

    /// Moves everything that is queued to the end of `out`, as if leased and acknowledged, and
    /// says how many items that were.
    pub fn drain_into(&self, out: &mut Vec<T>) -> usize {
        let mut state = self.shared.state.lock();
        let mut count = 0;
        while let Some(taken) = state.take(Demand {
            items: usize::MAX,
            bytes: usize::MAX,
        }) {
            state.acknowledge(taken.items.len(), taken.weights.iter().sum());
            count += taken.items.len();
            out.extend(taken.items);
        }
        let after = state.after();
        drop(state);
        self.shared.finish(after, Signal::Room);
        count
    }

    /// Copies of the oldest queued items, up to `max`. They are cloned under the lock, so a clone
    /// must not call back into the ring.
    #[must_use]
    pub fn peek(&self, max: usize) -> Vec<T>
    where
        T: Clone,
    {
        self.shared
            .state
            .lock()
            .queued_items()
            .take(max)
            .cloned()
            .collect()
    }

    /// Changes the capacity. Growing loses nothing; shrinking evicts the oldest queued items,
    /// counts them and hands them back. Leased items stay on loan.
    ///
    /// # Errors
    /// When `capacity` is 0.
    pub fn resize(&self, capacity: usize) -> Result<Vec<T>, RingError> {
        builder::check_capacity(capacity)?;
        let mut state = self.shared.state.lock();
        let evicted = state.resize(capacity);
        let after = state.after();
        drop(state);
        self.shared.finish(after, Signal::Room);
        Ok(evicted)
    }

    /// Closes the ring: pushes are refused from now on, what is in it can still be leased.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let after = state.after();
        drop(state);
        self.shared.room.notify_all();
        self.shared.finish(after, Signal::Arrived);
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }

    /// Ready when so much is queued or the ring is closed; wakes the task once when that comes.
    pub fn poll_queued(&self, context: &mut Context<'_>, demand: Demand) -> Poll<()> {
        let mut state = self.shared.state.lock();
        if state.meets(demand) {
            return Poll::Ready(());
        }
        state.wait_for(context.waker(), demand);
        Poll::Pending
    }

    /// Items in the ring, leased ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().current_size()
    }

    /// Whether nothing is in the ring, not even on loan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts, all of one moment.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        self.shared.state.lock().stats()
    }
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Who is to be told after a change.
#[derive(Clone, Copy)]
enum Signal {
    Arrived,
    Room,
}

impl<T> Shared<T> {
    /// Everything that must not happen under the lock.
    fn finish(&self, after: After, signal: Signal) {
        match signal {
            Signal::Arrived => self.arrived.notify_all(),
            Signal::Room => self.room.notify_all(),
        }
        for waker in after.wake {
            waker.wake();
        }
        if let (Some(crossing), Some(listener)) = (after.crossing, &self.listener) {
            listener(crossing);
        }
    }

    /// Waits until an item of this weight fits, the ring closes, or the deadline comes.
    fn wait_for_room(&self, weight: usize, until: Option<Instant>) -> (Guard<'_, State<T>>, bool) {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.has_room_for(weight) {
                return (state, false);
            }
            let (again, timed_out) = self.room.wait_until(state, until);
            state = again;
            if timed_out {
                let late = !state.closed && !state.has_room_for(weight);
                return (state, late);
            }
        }
    }
}
