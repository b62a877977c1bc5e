//! A writer's side of the hand-over.

#![allow(
    unsafe_code,
    reason = "two threads use the two containers in turn, which the protocol proves and the \
              compiler cannot"
)]

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Barrier;
use crate::sync::{AtomicUsize, MutPtr, Ordering, UnsafeCell, pause};

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
        write(&mut self.enter())
    }

    /// Begins a write; it ends when the result is dropped, and a taker waits until then.
    ///
    /// # Panics
    /// When a write of this slot has not ended.
    #[inline(always)]
    pub fn enter(&self) -> Write<'_, C> {
        let entered = Entered::new(self);
        self.barrier.light();
        // Acquire: what the taker did to this container happened before it flipped back to it.
        let phase = self.pair.phase.load(Ordering::Acquire);
        Write {
            container: self.pair.containers[phase].get_mut(),
            _entered: entered,
        }
    }
}

impl<C> fmt::Debug for Slot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// A write in flight: the container that is written. If it is forgotten and not dropped, a taker
/// waits for ever.
pub struct Write<'a, C> {
    // Dropped before the end is announced.
    container: MutPtr<C>,
    _entered: Entered<'a, C>,
}

impl<C> Deref for Write<'_, C> {
    type Target = C;

    #[inline(always)]
    fn deref(&self) -> &C {
        // SAFETY: as for `deref_mut`.
        self.container.with(|container| unsafe { &*container })
    }
}

impl<C> DerefMut for Write<'_, C> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut C {
        // SAFETY: the slot is not shared and was not entered before, so no other writer is here.
        // The taker touches a container only after it flipped the phase away from it and saw every
        // write that may have read the older phase end.
        self.container.with(|container| unsafe { &mut *container })
    }
}

impl<C: fmt::Debug> fmt::Debug for Write<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Write").field(&**self).finish()
    }
}

/// Announces a write until it is dropped.
struct Entered<'a, C>(&'a Slot<C>);

impl<'a, C> Entered<'a, C> {
    #[inline(always)]
    fn new(slot: &'a Slot<C>) -> Self {
        let before = slot.writes.get();
        if before & 1 == 1 {
            entered_twice();
        }
        slot.writes.set(before.wrapping_add(1));
        // Release, so that a taker that sees this announcement sees the writes before it.
        let writes = &slot.pair.writes;
        writes.store(before.wrapping_add(1), Ordering::Release);
        Self(slot)
    }
}

impl<C> Drop for Entered<'_, C> {
    #[inline(always)]
    fn drop(&mut self) {
        let after = self.0.writes.get().wrapping_add(1);
        self.0.writes.set(after);
        // Release: the taker acquires it before it touches the container.
        self.0.pair.writes.store(after, Ordering::Release);
    }
}

#[cold]
#[inline(never)]
fn entered_twice() -> ! {
    panic!("a slot was entered inside of its own write");
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

// SAFETY: the containers are used by one thread at a time, as `Write` and `Entry::fetch`
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
