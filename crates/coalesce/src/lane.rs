//! A handle's side of the hand-over, whether a thread owns it or several share it under a lock.

use std::cell::Cell;
use std::sync::Arc;

use buffer_core::handover::Slot;

use crate::Aggregate;
use crate::container::{Container, Fast, Step, Ticket};
use crate::hash::Hash;
use crate::hub::{Gauge, Hub};
use crate::named::Named;
use crate::sync::{Guard, Mutex, Ordering};

pub(crate) struct Lane<K, P> {
    pub(crate) slot: Slot<Container<K, P>>,
    pub(crate) number: usize,
    gauge: Arc<Gauge>,
    /// The handle's own copy of the gauge.
    accepted: Cell<u64>,
}

impl<K, P> Lane<K, P> {
    pub(crate) fn new(hub: &Mutex<Hub<K, P>>) -> Self {
        let (number, slot, gauge) = hub.lock().add_lane();
        Self {
            slot,
            number,
            gauge,
            accepted: Cell::new(0),
        }
    }

    /// See [`Container::add_known`].
    #[inline(always)]
    pub(crate) fn add_known<A, N>(
        &self,
        aggregate: &A,
        hash: Hash,
        named: &N,
        update: A::Update,
    ) -> Fast<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        let writer = self.number as u32;
        let mut container = self.slot.enter();
        let fast = container.add_known(aggregate, writer, hash, named, update);
        drop(container);
        if let Fast::Done { .. } = fast {
            self.count(1);
        }
        fast
    }

    /// See [`Container::add`].
    pub(crate) fn add<A, N>(
        &self,
        aggregate: &A,
        hash: Hash,
        named: N,
        update: A::Update,
        ticket: &mut Ticket,
    ) -> Step<N, A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        let writer = self.number as u32;
        let step = self
            .slot
            .write(|container| container.add(aggregate, writer, hash, named, update, ticket));
        if let Step::Done { .. } = step {
            self.count(1);
        }
        step
    }

    #[inline(always)]
    pub(crate) fn count(&self, updates: u64) {
        self.accepted.set(self.accepted.get() + updates);
        self.gauge.0.store(self.accepted.get(), Ordering::Relaxed);
    }
}

/// Where an add finds its lane.
pub(crate) trait OnLane<K, P> {
    /// Calls `with` with the lane; what `with` runs may run under a lock.
    fn on<R>(&self, with: impl FnOnce(&Lane<K, P>) -> R) -> R;

    /// As [`Lane::add_known`].
    // A closure cannot be inlined by force, and this is the hottest of them.
    fn add_known<A, N>(
        &self,
        aggregate: &A,
        hash: Hash,
        named: &N,
        update: A::Update,
    ) -> Fast<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>;
}

impl<K, P> OnLane<K, P> for Lane<K, P> {
    #[inline(always)]
    fn on<R>(&self, with: impl FnOnce(&Lane<K, P>) -> R) -> R {
        with(self)
    }

    #[inline(always)]
    fn add_known<A, N>(
        &self,
        aggregate: &A,
        hash: Hash,
        named: &N,
        update: A::Update,
    ) -> Fast<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        Self::add_known(self, aggregate, hash, named, update)
    }
}

/// A lane that threads without a handle share.
#[repr(align(128))]
pub(crate) struct SharedLane<K, P>(Mutex<Option<Lane<K, P>>>);

impl<K, P> SharedLane<K, P> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The lane, which is made at its first use. Only while a lane is made is its lock held
    /// together with another.
    pub(crate) fn open(&self, hub: &Mutex<Hub<K, P>>) -> OpenLane<'_, K, P> {
        if self.0.lock().is_none() {
            let mut fresh = Some(Lane::new(hub));
            let mut lane = self.0.lock();
            if lane.is_none() {
                *lane = fresh.take();
            }
            drop(lane);
            if let Some(Lane {
                mut slot, number, ..
            }) = fresh
            {
                drop(hub.lock().end_lane(number, &mut slot));
            }
        }
        OpenLane(self)
    }
}

/// A shared lane that has been made.
pub(crate) struct OpenLane<'a, K, P>(&'a SharedLane<K, P>);

impl<K, P> OnLane<K, P> for OpenLane<'_, K, P> {
    #[inline]
    fn on<R>(&self, with: impl FnOnce(&Lane<K, P>) -> R) -> R {
        let guard: Guard<'_, Option<Lane<K, P>>> = self.0.0.lock();
        with(guard.as_ref().expect("an open lane stays"))
    }

    fn add_known<A, N>(
        &self,
        aggregate: &A,
        hash: Hash,
        named: &N,
        update: A::Update,
    ) -> Fast<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        self.on(|lane| lane.add_known(aggregate, hash, named, update))
    }
}
