//! The consumer's end: leasing, draining, looking, waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::queue::{Run, Taken};
use super::signal::Signal;
use super::state::State;
use super::{LeasedItems, Ring};
use crate::error::LeaseError;
use crate::lease::Lease;

/// What a consumer waits for, or takes at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Queued items.
    pub items: usize,
    /// Or queued bytes, where items are weighed.
    pub bytes: usize,
}

impl Demand {
    /// So many items, whatever they weigh.
    #[must_use]
    pub fn items(items: usize) -> Self {
        Self {
            items,
            bytes: usize::MAX,
        }
    }
}

/// How a wait for items ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "time may have run out"]
pub enum Waited {
    /// So much is queued, or the ring is full. What the system interrupted a producer in pushing
    /// counts, and so do the places that it may fill without asking.
    Met,
    /// Less is queued, and time is up.
    TimedOut,
    /// The ring is closed. What is left in it can be taken; nothing more comes.
    Closed,
}

const EVERYTHING: Demand = Demand {
    items: usize::MAX,
    bytes: usize::MAX,
};

impl<T> Ring<T> {
    /// Leases up to `max` items, oldest first, or `None` when nothing is queued. After a dropped
    /// lease a smaller run may come first. What a producer pushed that was interrupted by the
    /// system in the middle of another push may be left to the next lease.
    #[must_use]
    pub fn lease(&self, max: usize) -> Option<Lease<T>> {
        self.lease_up_to(Demand::items(max))
    }

    /// Leases up to `max` items and bytes, at least one item where any is queued.
    #[must_use]
    pub fn lease_up_to(&self, max: Demand) -> Option<Lease<T>> {
        let mut state = self.shared.lock();
        let taken = state.take(max);
        self.shared.unlock(state);
        taken.map(|taken| self.lend(taken))
    }

    /// Leases up to `max` items, or one if that is 0, and waits for the first to arrive.
    ///
    /// # Errors
    /// When nothing arrives within `timeout`, or the ring is closed and empty.
    pub fn lease_timeout(&self, max: usize, timeout: Duration) -> Result<Lease<T>, LeaseError> {
        // Nothing else would be worth waiting for.
        let max = Demand::items(max.max(1));
        let found = self.wait_for(timeout, Demand::items(1), |state| {
            if let Some(taken) = state.take(max) {
                Some(Ok(taken))
            } else if state.closed && state.current_size() == 0 {
                Some(Err(LeaseError::Closed))
            } else {
                None
            }
        });
        match found {
            Some(Ok(taken)) => Ok(self.lend(taken)),
            Some(Err(error)) => Err(error),
            None => Err(LeaseError::Empty),
        }
    }

    /// Waits until so much is queued, the ring is full or closed, or time is up.
    ///
    /// A consumer that takes much at once costs its producers the least: wait for a batch, or for
    /// as long as the oldest item may wait, and then [`drain_into`](Self::drain_into) or
    /// [`lease`](Self::lease).
    ///
    /// ```
    /// use std::time::Duration;
    /// use buffer_core::{Demand, Ring, Waited};
    ///
    /// let ring = Ring::new(1000)?;
    /// let mut producer = ring.producer();
    /// let thread = std::thread::spawn(move || {
    ///     for number in 0..100 {
    ///         assert!(producer.push(number).is_stored());
    ///     }
    /// });
    /// let waited = ring.wait(Demand::items(100), Duration::from_secs(30));
    /// assert_eq!(waited, Waited::Met);
    /// thread.join().expect("no panic");
    /// # Ok::<(), buffer_core::RingError>(())
    /// ```
    pub fn wait(&self, demand: Demand, timeout: Duration) -> Waited {
        let found = self.wait_for(timeout, demand, |state| {
            if state.closed {
                Some(Waited::Closed)
            } else {
                state.meets(demand).then_some(Waited::Met)
            }
        });
        found.unwrap_or(Waited::TimedOut)
    }

    /// Ready when so much is queued, when the ring is full, and always once it is closed; wakes the
    /// task once when that comes, with the smallest of its demands.
    ///
    /// A task that is dropped leaves its waker until its demand is met. At most 64 tasks wait: one
    /// more wakes the one that has waited the longest, which then asks again.
    pub fn poll_queued(&self, context: &mut Context<'_>, demand: Demand) -> Poll<()> {
        let mut state = self.shared.lock();
        let is_met = state.meets(demand);
        self.shared.unlock(state);
        if is_met {
            return Poll::Ready(());
        }
        // Cloning a waker is foreign code.
        let waker = context.waker().clone();
        let mut state = self.shared.lock();
        let is_met = state.closed || state.watch(waker, demand);
        self.shared.unlock(state);
        if is_met {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Moves everything that is queued to the end of `out`, as if leased and acknowledged, and
    /// says how many items that were.
    ///
    /// What a producer pushed that was interrupted in the middle of another push may be left to the
    /// next call. With an empty `out`, buffers are exchanged where a run of items lies in one: use
    /// the same vector again and again.
    ///
    /// ```
    /// # use buffer_core::Ring;
    /// let ring = Ring::new(100)?;
    /// let mut items = vec![1, 2, 3];
    /// let pushed = ring.push_many(&mut items);
    /// assert_eq!((pushed.accepted, items.len()), (3, 0));
    /// assert_eq!(ring.drain_into(&mut items), 3);
    /// assert_eq!(items, [1, 2, 3]);
    /// # Ok::<(), buffer_core::RingError>(())
    /// ```
    pub fn drain_into(&self, out: &mut Vec<T>) -> usize {
        let mut state = self.shared.lock();
        let mut all = Vec::new();
        let mut count = 0;
        while let Some(taken) = state.take(EVERYTHING) {
            count += taken.len();
            state.acknowledge(taken.len(), taken.bytes());
            all.push(taken);
        }
        self.shared.unlock(state);
        if count == 0 {
            return 0;
        }
        let mut emptied = Vec::new();
        for mut taken in all {
            taken.merge();
            if out.is_empty() {
                let spare = VecDeque::from(std::mem::take(out));
                *out = std::mem::replace(&mut taken.head.items, spare).into();
            } else {
                out.extend(taken.head.items.drain(..));
            }
            emptied.push(taken.head);
            emptied.append(&mut taken.tail);
        }
        self.shared.recycle(emptied);
        count
    }

    /// Copies of the oldest queued items, up to `max`. They are cloned under the lock, so a clone
    /// must not call back into the ring.
    #[must_use]
    pub fn peek(&self, max: usize) -> Vec<T>
    where
        T: Clone,
    {
        let mut state = self.shared.lock();
        if state.is_in_stripes(max) {
            state.collect();
        }
        let copies = state.queued_items().take(max).cloned().collect();
        self.shared.unlock(state);
        copies
    }

    fn lend(&self, taken: Taken<T>) -> Lease<T> {
        Lease::new(LeasedItems::new(Arc::clone(&self.shared), taken))
    }

    /// Looks under the lock until there is something to see, or time is up; looks again whenever
    /// so much is queued, something came back, or the ring closed.
    fn wait_for<R>(
        &self,
        timeout: Duration,
        demand: Demand,
        mut look: impl FnMut(&mut State<T>) -> Option<R>,
    ) -> Option<R> {
        let mut state = self.shared.lock();
        let found = look(&mut state);
        self.shared.unlock(state);
        if found.is_some() {
            return found;
        }
        let deadline = Instant::now().checked_add(timeout);
        let signal = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&signal));
        loop {
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let mut state = self.shared.lock();
            let found = look(&mut state);
            if found.is_some() || is_late {
                let own = state.watchers.remove(&waker);
                self.shared.unlock(state);
                drop(own);
                return found;
            }
            let is_met = state.watch(waker.clone(), demand);
            self.shared.unlock(state);
            if !is_met {
                signal.wait(deadline);
            }
        }
    }
}

impl<T> super::shared::Shared<T> {
    /// Gives buffers back that were emptied outside the lock.
    pub(super) fn recycle(&self, mut emptied: Vec<Run<T>>) {
        emptied.retain(|run| run.items.capacity() > 0);
        if emptied.is_empty() {
            return;
        }
        let mut state = self.lock();
        let mut surplus = Vec::new();
        for run in emptied {
            surplus.extend(state.recycle(run));
        }
        drop(state);
        drop(surplus);
    }
}
