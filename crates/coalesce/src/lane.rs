//! A handle's side of the hand-over, whether a thread owns it or several share it under a lock.

use std::cell::Cell;
use std::sync::Arc;

use buffer_core::handover::Slot;

use crate::Aggregate;
use crate::container::{Container, Fast};
use crate::hash::Hash;
use crate::hub::{Gauge, Hub};
use crate::named::Named;
use crate::sync::{AtomicU64, Guard, Mutex, Ordering};

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

    #[inline(always)]
    pub(crate) fn count(&self, updates: u64) {
        self.accepted.set(self.accepted.get() + updates);
        self.gauge.0.store(self.accepted.get(), Ordering::Relaxed);
    }
}

/// Where an add finds its lane.
pub(crate) trait OnLane<K, P> {
    /// Whether several threads may add here, so that what one lacks another may have just got.
    const IS_SHARED: bool;

    /// Which lane it is.
    fn number(&self) -> usize;

    /// Calls `with` with the container that is written now; what `with` runs may run under a lock.
    fn write<R>(&self, with: impl FnOnce(&Lane<K, P>, &mut Container<K, P>) -> R) -> R;

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
    const IS_SHARED: bool = false;

    #[inline(always)]
    fn number(&self) -> usize {
        self.number
    }

    #[inline(always)]
    fn write<R>(&self, with: impl FnOnce(&Lane<K, P>, &mut Container<K, P>) -> R) -> R {
        self.slot.write(|container| with(self, container))
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
pub(crate) struct SharedLane<K, P> {
    lane: Mutex<Option<Lane<K, P>>>,
    /// One more than the number of the lane, or 0 before it is made.
    number: AtomicU64,
}

impl<K, P> SharedLane<K, P> {
    pub(crate) fn new() -> Self {
        Self {
            lane: Mutex::new(None),
            number: AtomicU64::new(0),
        }
    }

    /// The lane, which is made at its first use. `clock` is that of all shared lanes.
    pub(crate) fn open<'a>(
        &'a self,
        hub: &Mutex<Hub<K, P>>,
        clock: &'a AtomicU64,
    ) -> OpenLane<'a, K, P> {
        // Whoever reads the number finds the lane under its lock.
        let mut number = self.number.load(Ordering::Acquire);
        if number == 0 {
            number = self.make(hub);
        }
        OpenLane {
            lane: &self.lane,
            number: number as usize - 1,
            clock,
        }
    }

    #[cold]
    fn make(&self, hub: &Mutex<Hub<K, P>>) -> u64 {
        let mut fresh = Some(Lane::new(hub));
        let mut lane = self.lane.lock();
        if lane.is_none() {
            *lane = fresh.take();
        }
        let number = lane.as_ref().map_or(0, |lane| lane.number as u64) + 1;
        self.number.store(number, Ordering::Release);
        drop(lane);
        // Somebody else was faster.
        if let Some(Lane {
            mut slot, number, ..
        }) = fresh
        {
            drop(hub.lock().end_lane(number, &mut slot));
        }
        number
    }
}

/// A shared lane that has been made.
pub(crate) struct OpenLane<'a, K, P> {
    lane: &'a Mutex<Option<Lane<K, P>>>,
    number: usize,
    clock: &'a AtomicU64,
}

impl<K, P> OnLane<K, P> for OpenLane<'_, K, P> {
    const IS_SHARED: bool = true;

    fn number(&self) -> usize {
        self.number
    }

    #[inline]
    fn write<R>(&self, with: impl FnOnce(&Lane<K, P>, &mut Container<K, P>) -> R) -> R {
        let guard: Guard<'_, Option<Lane<K, P>>> = self.lane.lock();
        let lane = guard.as_ref().expect("an open lane stays");
        lane.slot.write(|container| {
            let on_time = OnTime::new(container, self.clock);
            with(lane, &mut *on_time.container)
        })
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
        self.write(|lane, container| {
            let writer = lane.number as u32;
            let fast = container.add_known(aggregate, writer, hash, named, update);
            if let Fast::Done { .. } = fast {
                lane.count(1);
            }
            fast
        })
    }
}

/// A container that is written by the clock of all shared lanes: what a thread adds is newer than
/// what others, whose end it knows of, added on other lanes.
struct OnTime<'a, K, P> {
    container: &'a mut Container<K, P>,
    clock: &'a AtomicU64,
}

impl<'a, K, P> OnTime<'a, K, P> {
    #[inline]
    fn new(container: &'a mut Container<K, P>, clock: &'a AtomicU64) -> Self {
        // Relaxed: who knows of an earlier add, by whatever means, sees what that one wrote here.
        let now = clock.load(Ordering::Relaxed);
        container.account.clock = container.account.clock.max(now);
        Self { container, clock }
    }
}

impl<K, P> Drop for OnTime<'_, K, P> {
    /// In a panic too: some updates may have been added before.
    #[inline]
    fn drop(&mut self) {
        self.clock
            .fetch_max(self.container.account.clock, Ordering::Relaxed);
    }
}
