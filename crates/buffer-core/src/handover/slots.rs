//! The taker's side of the hand-over.

use std::fmt;
use std::sync::Arc;

use super::slot::{Pair, Patience};
use super::{Barrier, Slot};
use crate::sync::{Ordering, fence};

/// The slots of all writers, and the right to take from them.
///
/// ```
/// use buffer_core::handover::Slots;
///
/// let mut slots = Slots::new();
/// let slot = slots.add(Vec::new(), Vec::new());
/// let writer = std::thread::spawn(move || {
///     for number in 0..1000 {
///         slot.write(|items: &mut Vec<u32>| items.push(number));
///     }
/// });
/// let mut taken = Vec::new();
/// while taken.len() < 1000 {
///     // The writer goes on with its other container meanwhile.
///     slots.take(|items| taken.append(items));
///     std::thread::yield_now();
/// }
/// writer.join().expect("no panic");
/// assert!(taken.is_sorted(), "nothing lost, nothing twice, in order");
/// ```
pub struct Slots<C> {
    entries: Vec<Entry<C>>,
    barrier: Barrier,
}

struct Entry<C> {
    pair: Arc<Pair<C>>,
    /// Which container is written.
    phase: usize,
    /// The count of writes up to which everything was taken, or is pending.
    taken: usize,
    pending: Pending,
}

/// What the taker still has to fetch from the container that is not written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// It was just flipped away from.
    Flipped,
    /// When last looked at, this write was in flight and perhaps in that container.
    Write(usize),
}

impl<C> Slots<C> {
    /// No slots yet, with the best barrier that this system has.
    #[must_use]
    pub fn new() -> Self {
        Self::with_barrier(Barrier::detect())
    }

    /// No slots yet, with this barrier.
    ///
    /// # Panics
    /// When the barrier is asymmetric and the system has none; [`Barrier::detect`] knows.
    #[must_use]
    pub fn with_barrier(barrier: Barrier) -> Self {
        assert!(
            barrier == Barrier::Symmetric || Barrier::detect() == Barrier::Asymmetric,
            "this system has no asymmetric barrier"
        );
        Self {
            entries: Vec::new(),
            barrier,
        }
    }

    /// A slot for one more writer, with two containers, both empty. If it is dropped without
    /// [`retire`](Self::retire), the next take finds what it held, and then forgets it.
    #[must_use = "a slot that is dropped is forgotten"]
    pub fn add(&mut self, first: C, second: C) -> Slot<C> {
        let pair = Arc::new(Pair::new(first, second));
        self.entries.push(Entry {
            pair: Arc::clone(&pair),
            phase: 0,
            taken: 0,
            pending: Pending::Nothing,
        });
        Slot::new(pair, self.barrier)
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls `each` with everything that was written since the last take, slot by slot in the order
    /// in which they were added: one container of each that was written, and a second, later one
    /// where the last take left something.
    ///
    /// `each` has to leave the container empty: it is written again after the next take, and what
    /// is left in it then is given out after what came later. Costs one barrier if anything was
    /// written, else one load per slot. If `each` panics, what was not taken yet is taken later.
    pub fn take(&mut self, each: impl FnMut(&mut C)) {
        self.take_with(Patience::UntilItEnds, each);
    }

    /// As [`take`](Self::take), but does not wait for a writer that was interrupted in the middle
    /// of a write: what it wrote since the last take is left to the next. Returns how many such
    /// writers there are.
    pub fn take_ready(&mut self, each: impl FnMut(&mut C)) -> usize {
        self.take_with(Patience::AMoment, each)
    }

    fn take_with(&mut self, patience: Patience, mut each: impl FnMut(&mut C)) -> usize {
        if self.has(Pending::Flipped) {
            // A panic of `each` came between a flip and its look.
            self.barrier.heavy();
        }
        // All that is pending first: between a flip and its barrier no code of others may run.
        for entry in &mut self.entries {
            entry.fetch(patience, &mut each);
        }
        for entry in &mut self.entries {
            entry.flip_if_written();
        }
        if self.has(Pending::Flipped) {
            self.barrier.heavy();
            for entry in &mut self.entries {
                entry.fetch(patience, &mut each);
            }
        }
        self.entries.retain(|entry| !entry.is_abandoned());
        let is_pending = |entry: &&Entry<C>| entry.pending != Pending::Nothing;
        self.entries.iter().filter(is_pending).count()
    }

    fn has(&self, pending: Pending) -> bool {
        self.entries.iter().any(|entry| entry.pending == pending)
    }

    /// Takes from one slot whose writer ends, and forgets it. What is written into it later is
    /// never taken.
    pub fn retire(&mut self, slot: &mut Slot<C>, mut each: impl FnMut(&mut C)) {
        let known = |entry: &Entry<C>| Arc::ptr_eq(&entry.pair, &slot.pair);
        if let Some(index) = self.entries.iter().position(known) {
            let entry = &mut self.entries[index];
            // Its writer is here, so no write is in flight and no barrier is needed.
            entry.fetch(Patience::UntilItEnds, &mut each);
            entry.flip_if_written();
            entry.fetch(Patience::UntilItEnds, &mut each);
            self.entries.remove(index);
        }
    }
}

impl<C> Entry<C> {
    /// Makes the other container the written one, unless the last one is still to be fetched or
    /// nothing was written.
    fn flip_if_written(&mut self) {
        // Read before the flip: every write up to here used the phase that ends now. Later ones
        // may have used either, so they count as not taken yet.
        let writes = self.pair.writes();
        if self.pending != Pending::Nothing || writes == self.taken {
            return;
        }
        self.taken = writes;
        self.phase = 1 - self.phase;
        self.pair.write_to(self.phase);
        self.pending = Pending::Flipped;
    }

    /// Whether the slot was dropped, and everything that was written was taken.
    fn is_abandoned(&self) -> bool {
        // Loom does not know that the count orders the writer's last writes before this look.
        if cfg!(loom) || Arc::strong_count(&self.pair) > 1 {
            return false;
        }
        fence(Ordering::Acquire);
        self.pending == Pending::Nothing && self.pair.writes() == self.taken
    }

    /// Calls `each` with the container that was flipped away from, once no write is in it.
    fn fetch(&mut self, patience: Patience, each: &mut impl FnMut(&mut C)) {
        if self.pending == Pending::Flipped {
            // The write in flight, if there is one, may have read the phase before the flip. Any
            // later one read it after: its announcement was made after the barrier.
            let writes = self.pair.writes();
            self.pending = Pending::Write(writes);
        }
        if let Pending::Write(seen) = self.pending
            && (seen & 1 == 0 || self.pair.passes(seen, patience))
        {
            self.pair.take(self.phase, each);
            self.pending = Pending::Nothing;
        }
    }
}

impl<C> Default for Slots<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Slots<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("slots", &self.entries.len())
            .field("barrier", &self.barrier)
            .finish()
    }
}
