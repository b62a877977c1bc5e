//! A writer's side of the hand-over.

#![allow(
    unsafe_code,
    reason = "two threads use the two containers in turn, which the protocol proves and the \
              compiler cannot"
)]

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use super::Barrier;
use crate::sync::{AtomicUsize, Ordering, UnsafeCell, pause};

/// A writer's own pair of containers; made by [`Slots::add`](super::Slots::add).
///
/// It can be sent to a thread and cannot be shared by several.
pub struct Slot<C> {
    pub(super) pair: Arc<Pair<C>>,
    barrier: Barrier,
    /// The writer's own copy of [`Pair::writes`]. It makes the slot not `Sync`, as it has to be,
    /// and spares a load before the store: loom remembers only the last access of an atomic, so
    /// that load would hide the taker's, and with it the race to be explored.
    writes: Cell<usize>,
}

impl<C> Slot<C> {
    pub(super) fn new(pair: Arc<Pair<C>>, barrier: Barrier) -> Self {
        Self {
            pair,
            barrier,
            writes: Cell::new(0),
        }
    }

    /// Calls `write` with the container that is written now.
    ///
    /// A taker waits until it returns, so it should be short; a panic in it leaves the container as
    /// it is then, and the slot usable.
    ///
    /// # Panics
    /// When `write` enters the same slot again.
    #[inline(always)]
    pub fn write<R>(&self, write: impl FnOnce(&mut C) -> R) -> R {
        let entered = self.enter();
        self.barrier.light();
        // Acquire: what the taker did to this container happened before it flipped back to it.
        let phase = self.pair.phase.load(Ordering::Acquire);
        let result = self.pair.containers[phase].with_mut(|container| {
            // SAFETY: the slot is not shared and was not entered before, so no other writer is
            // here. The taker touches a container only after it flipped the phase away from it
            // and saw every write that may have read the older phase end.
            write(unsafe { &mut *container })
        });
        drop(entered);
        result
    }

    /// Announces a write, which ends when the result is dropped.
    #[inline(always)]
    fn enter(&self) -> Entered<'_, C> {
        let before = self.writes.get();
        if before & 1 == 1 {
            entered_twice();
        }
        self.writes.set(before.wrapping_add(1));
        // Release, so that a taker that sees this announcement sees the writes before it.
        self.pair
            .writes
            .store(before.wrapping_add(1), Ordering::Release);
        Entered(self)
    }
}

#[cold]
#[inline(never)]
fn entered_twice() -> ! {
    panic!("a slot was entered inside of its own write");
}

/// A write in flight.
struct Entered<'a, C>(&'a Slot<C>);

impl<C> Drop for Entered<'_, C> {
    #[inline]
    fn drop(&mut self) {
        let after = self.0.writes.get().wrapping_add(1);
        self.0.writes.set(after);
        // Release: the taker acquires it before it touches the container.
        self.0.pair.writes.store(after, Ordering::Release);
    }
}

impl<C> fmt::Debug for Slot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// How many turns a taker looks on before it concludes that a writer was interrupted: about as
/// long as a write takes. None under loom, where a turn would let the writer end its write.
const MOMENT_TURNS: u32 = if cfg!(loom) { 0 } else { 32 };

/// How long a taker waits for a write in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    UntilItEnds,
    AMoment,
}

/// What a slot and its taker share. The writer's lines are its own: nobody else writes them but a
/// taker, once per take.
#[repr(align(128))]
pub(super) struct Pair<C> {
    /// Odd while a write is in flight; every write adds two.
    writes: AtomicUsize,
    /// Which container is written.
    phase: AtomicUsize,
    containers: [UnsafeCell<C>; 2],
}

// SAFETY: the containers are used by one thread at a time, as `Slot::write` and `Entry::fetch`
// argue, and travel between threads like sent values.
unsafe impl<C: Send> Sync for Pair<C> {}

impl<C> Pair<C> {
    pub(super) fn new(first: C, second: C) -> Self {
        Self {
            writes: AtomicUsize::new(0),
            phase: AtomicUsize::new(0),
            containers: [UnsafeCell::new(first), UnsafeCell::new(second)],
        }
    }

    /// How many writes began and ended, as a number that changes with each.
    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::Acquire)
    }

    /// Makes this container the written one; for the taker alone, followed by its barrier.
    pub(super) fn write_to(&self, phase: usize) {
        self.phase.store(phase, Ordering::Release);
    }

    /// Waits for the end of this write, as long as patience lasts; says whether it ended.
    pub(super) fn passes(&self, write: usize, patience: Patience) -> bool {
        let mut turns = 0;
        while self.writes() == write {
            if patience == Patience::AMoment && turns >= MOMENT_TURNS {
                return false;
            }
            pause(&mut turns);
        }
        true
    }

    /// Calls `each` with the container that is not written; for the taker alone, once it knows that
    /// every write that may have read the older phase ended.
    pub(super) fn take<R>(&self, phase: usize, each: impl FnOnce(&mut C) -> R) -> R {
        self.containers[1 - phase].with_mut(|container| {
            // SAFETY: only the taker flips, so the other container stays unwritten until it flips
            // again. Writes that read the older phase have ended, and their ends were acquired.
            each(unsafe { &mut *container })
        })
    }
}
