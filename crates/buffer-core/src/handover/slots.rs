//! The taker's side of the hand-over.

use std::fmt;
use std::sync::Arc;

use super::slot::Pair;
use super::{Barrier, Slot};

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
    /// The count of writes up to which everything was taken.
    taken: usize,
    /// What `taken` becomes with the take that goes on.
    taking: usize,
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

    /// A slot for one more writer, with two containers, both empty.
    pub fn add(&mut self, first: C, second: C) -> Slot<C> {
        let pair = Arc::new(Pair::new(first, second));
        self.entries.push(Entry {
            pair: Arc::clone(&pair),
            phase: 0,
            taken: 0,
            taking: 0,
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

    /// Calls `each` with everything that was written since the last take, one container per slot
    /// that was written, in the order in which slots were added.
    ///
    /// `each` has to leave the container empty: it is written again after the next take, and what
    /// is left in it then is given out after what came later. Costs one barrier if anything was
    /// written, else one load per slot. If `each` panics, what was not taken yet is taken later.
    pub fn take(&mut self, mut each: impl FnMut(&mut C)) {
        let mut any = false;
        for entry in &mut self.entries {
            // Read before the flip: every write up to here used the phase that ends now. Later
            // ones may have used either, so they count as not taken yet.
            entry.taking = entry.pair.writes();
            if entry.taking != entry.taken {
                entry.flip();
                any = true;
            }
        }
        if !any {
            return;
        }
        self.barrier.heavy();
        for entry in &mut self.entries {
            if entry.taking != entry.taken {
                entry.pair.take(entry.phase, &mut each);
                entry.taken = entry.taking;
            }
        }
    }

    /// Takes from one slot whose writer ends, and forgets it. What is written into it later is
    /// never taken.
    pub fn retire(&mut self, slot: &mut Slot<C>, mut each: impl FnMut(&mut C)) {
        let known = |entry: &Entry<C>| Arc::ptr_eq(&entry.pair, &slot.pair);
        if let Some(index) = self.entries.iter().position(known) {
            let mut entry = self.entries.remove(index);
            entry.flip();
            // Its writer is here, so no write is in flight and no barrier is needed.
            entry.pair.take(entry.phase, &mut each);
        }
    }
}

impl<C> Entry<C> {
    fn flip(&mut self) {
        self.phase = 1 - self.phase;
        self.pair.write_to(self.phase);
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
