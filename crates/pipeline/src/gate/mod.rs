//! Who writes next into a sink: as many writes at once as it takes, shared by classes of urgency.
//!
//! [`Gate::acquire`] waits for a permit, and dropping the [`Permit`] gives it back. [`Turns`]
//! decides whose turn it is; within a class it is first come, first served. A dropped future
//! leaves the queue, and a permit that had just been granted to it goes to the next.
//!
//! Bounded by its callers: a lane asks for one permit per write that it may have in flight, so that
//! the queues are never longer than the lanes have writes; the gate itself refuses nobody. It knows
//! no time: what bounds a write is the writer's own timeout, and while one hangs, its permit is
//! missing to all classes but those with reserved ones.

#[cfg(test)]
mod tests;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use record::Priority;
use tokio::sync::oneshot;

use crate::setting::SettingError;
use turns::Turns;
pub(crate) use turns::{PerClass, Share};

/// The entrance to a sink; a clone is the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped goes to the next"]
pub(crate) struct Permit {
    gate: Gate,
    class: Priority,
}

/// What a gate does at one moment; each array is indexed by `priority as usize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateSnapshot {
    /// Permits that are held.
    pub(crate) in_flight: PerClass<usize>,
    /// Writes that wait for a permit.
    pub(crate) waiting: PerClass<usize>,
    /// Permits that were granted since the start, the held ones included.
    pub(crate) granted: PerClass<u64>,
    /// The most that can be held at once.
    pub(crate) concurrency: usize,
}

#[derive(Debug)]
struct State {
    turns: Turns,
    queues: PerClass<VecDeque<Waiter>>,
    in_flight: PerClass<usize>,
    granted: PerClass<u64>,
    /// The number of the next waiter, by which it is found again.
    ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    grant: oneshot::Sender<Permit>,
}

/// A place in the queue. Dropping it leaves the queue, and then drops a permit that came before.
struct Place<'a> {
    gate: &'a Gate,
    class: Priority,
    ticket: u64,
    permit: oneshot::Receiver<Permit>,
}

impl Gate {
    /// A gate for so many writes at once, with a share for each class that has a lane;
    /// `shares[priority as usize]`.
    ///
    /// # Errors
    /// As [`Turns::new`].
    pub(crate) fn new(
        concurrency: usize,
        shares: PerClass<Option<Share>>,
    ) -> Result<Self, SettingError> {
        let state = State {
            turns: Turns::new(concurrency, shares)?,
            queues: Default::default(),
            in_flight: [0; 4],
            granted: [0; 4],
            ticket: 0,
        };
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Waits for this class's turn. The place in the queue is taken at the first poll.
    ///
    /// # Cancellation
    /// A future that is dropped leaves the queue, and takes no permit with it.
    ///
    /// # Panics
    /// When the class has no share, and so would wait for ever: the lanes of a sink are known when
    /// its gate is made.
    pub(crate) async fn acquire(&self, class: Priority) -> Permit {
        let mut place = match self.enter(class) {
            Ok(permit) => return permit,
            Err(place) => place,
        };
        let permit = (&mut place.permit).await;
        permit.expect("a waiter is kept until it has its permit")
    }

    /// Gives a permit back and waits for the next one of its class as one step: whoever has more to
    /// write stands in line with those who wait already, so that weights decide between them.
    ///
    /// # Cancellation
    /// As [`acquire`](Self::acquire); the permit is given back in any case.
    pub(crate) async fn renew(&self, permit: Permit) -> Permit {
        let class = permit.class;
        let (grant, next) = oneshot::channel();
        let ticket = self.state.lock().enqueue(class, grant);
        let mut place = Place {
            gate: self,
            class,
            ticket,
            permit: next,
        };
        drop(permit);
        let permit = (&mut place.permit).await;
        permit.expect("a waiter is kept until it has its permit")
    }

    /// Takes a permit if one is free, and else a place in the queue.
    fn enter(&self, class: Priority) -> Result<Permit, Place<'_>> {
        let mut state = self.state.lock();
        assert!(state.turns.has(class), "a lane's class has a share");
        if state.enters(class) {
            return Ok(self.permit(class));
        }
        let (grant, permit) = oneshot::channel();
        let ticket = state.enqueue(class, grant);
        Err(Place {
            gate: self,
            class,
            ticket,
            permit,
        })
    }

    /// What the gate does at this moment: all of one moment.
    #[must_use]
    pub(crate) fn snapshot(&self) -> GateSnapshot {
        let state = self.state.lock();
        GateSnapshot {
            in_flight: state.in_flight,
            waiting: state.waiting(),
            granted: state.granted,
            concurrency: state.turns.concurrency(),
        }
    }

    fn permit(&self, class: Priority) -> Permit {
        Permit {
            gate: self.clone(),
            class,
        }
    }

    /// Takes a permit back and hands out what is free now.
    fn release(&self, class: Priority) {
        let mut state = self.state.lock();
        state.in_flight[class as usize] -= 1;
        let grants = state.grants();
        drop(state);
        // Wakes foreign tasks, and so happens without the lock. Who has gone in the meantime hands
        // the permit back, and its drop releases it for the next one.
        for (class, waiter) in grants {
            drop(waiter.grant.send(self.permit(class)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.release(self.class);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        let queue = &mut state.queues[self.class as usize];
        let at = queue.iter().position(|waiter| waiter.ticket == self.ticket);
        let left = at.and_then(|at| queue.remove(at));
        drop(state);
        drop(left);
    }
}

impl State {
    fn waiting(&self) -> PerClass<usize> {
        std::array::from_fn(|index| self.queues[index].len())
    }

    /// Whether one more of this class may write at once. Whoever waits already could not, so that
    /// nobody is passed: a permit that is free for a class that waits has been handed out.
    fn enters(&mut self, class: Priority) -> bool {
        let mut waiting = self.waiting();
        waiting[class as usize] += 1;
        let Some(next) = self.turns.next(waiting, self.in_flight) else {
            return false;
        };
        debug_assert_eq!(next, class, "a permit was free while others waited");
        self.count(class);
        true
    }

    fn enqueue(&mut self, class: Priority, grant: oneshot::Sender<Permit>) -> u64 {
        let ticket = self.ticket;
        self.ticket += 1;
        self.queues[class as usize].push_back(Waiter { ticket, grant });
        ticket
    }

    /// Whoever may write now, already counted as writing. At most as many as there are permits.
    fn grants(&mut self) -> Vec<(Priority, Waiter)> {
        let mut grants = Vec::new();
        while let Some(class) = self.turns.next(self.waiting(), self.in_flight) {
            let Some(waiter) = self.queues[class as usize].pop_front() else {
                break;
            };
            self.count(class);
            grants.push((class, waiter));
        }
        grants
    }

    fn count(&mut self, class: Priority) {
        self.in_flight[class as usize] += 1;
        self.granted[class as usize] += 1;
    }
}
