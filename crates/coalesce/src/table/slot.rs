//! One place of a table, and the segment of places that it lies in.

#![allow(
    unsafe_code,
    reason = "a place is vacant, idle or live by its two numbers, and a key of 8 bytes should not \
              pay for an enum that says so again"
)]

use std::mem::MaybeUninit;

use crate::hash::Hash;
use crate::named::Named;
use crate::{Aggregate, Stamp};

/// A place: *vacant* (hash 0), *idle* (a key without updates), or *live* (a key with updates).
///
/// Invariant: `key` is there if `hash` is not 0, `partial` is there if `updates` is not 0, and
/// `updates` is 0 if `hash` is.
pub(crate) struct Slot<K, P> {
    hash: u64,
    updates: u64,
    key: MaybeUninit<K>,
    partial: MaybeUninit<P>,
}

impl<K, P> Slot<K, P> {
    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.hash == 0
    }

    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.updates != 0
    }

    pub(crate) fn hash(&self) -> Hash {
        Hash::from_raw(self.hash)
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&K> {
        // SAFETY: a place that is not vacant has a key.
        (!self.is_vacant()).then(|| unsafe { self.key.assume_init_ref() })
    }

    #[inline]
    pub(crate) fn partial(&self) -> Option<&P> {
        // SAFETY: a live place has a partial result.
        self.is_live()
            .then(|| unsafe { self.partial.assume_init_ref() })
    }

    /// Adds an update to a live place; returns what has to be dropped.
    ///
    /// If the aggregate panics, the place stays live and the update is not counted.
    #[inline]
    pub(crate) fn absorb<A: Aggregate<Partial = P>>(
        &mut self,
        aggregate: &A,
        update: A::Update,
        stamp: Stamp,
    ) -> Option<A::Update> {
        assert!(self.is_live(), "only a live place absorbs");
        // SAFETY: a live place has a partial result.
        let partial = unsafe { self.partial.assume_init_mut() };
        let displaced = aggregate.absorb(partial, update, stamp);
        self.updates += 1;
        displaced
    }

    /// Adds a partial result to a live place; returns what has to be dropped.
    pub(crate) fn merge<A: Aggregate<Partial = P>>(
        &mut self,
        aggregate: &A,
        partial: P,
        updates: u64,
    ) -> Option<P> {
        assert!(self.is_live(), "only a live place takes more in");
        // SAFETY: a live place has a partial result.
        let displaced = aggregate.merge(unsafe { self.partial.assume_init_mut() }, partial);
        self.updates += updates;
        displaced
    }

    /// Makes an idle place live.
    #[inline]
    pub(crate) fn start(&mut self, partial: P, updates: u64) {
        assert!(!self.is_vacant() && !self.is_live(), "an idle place starts");
        self.partial.write(partial);
        self.updates = updates;
    }

    /// Makes a live place idle.
    pub(crate) fn empty(&mut self) -> Option<(P, u64)> {
        let updates = std::mem::take(&mut self.updates);
        // SAFETY: the place was live, and is not any more.
        (updates != 0).then(|| (unsafe { self.partial.assume_init_read() }, updates))
    }

    /// Makes a place that is idle vacant. Keys behind it may not be found any more.
    pub(crate) fn vacate(&mut self) -> Option<K> {
        if self.is_live() || self.is_vacant() {
            return None;
        }
        self.hash = 0;
        // SAFETY: the place had a key, and has none any more.
        Some(unsafe { self.key.assume_init_read() })
    }

    #[inline]
    fn fill(&mut self, hash: Hash, key: K) {
        debug_assert!(self.is_vacant());
        self.key.write(key);
        self.hash = hash.raw();
    }

    /// Moves all that is in it to a vacant place.
    fn move_to(&mut self, other: &mut Self) {
        debug_assert!(other.is_vacant());
        other.key = std::mem::replace(&mut self.key, MaybeUninit::uninit());
        other.partial = std::mem::replace(&mut self.partial, MaybeUninit::uninit());
        other.hash = std::mem::take(&mut self.hash);
        other.updates = std::mem::take(&mut self.updates);
    }
}

/// A power of two of places, of which a quarter at least is vacant, probed one after the other.
pub(crate) struct Segment<K, P> {
    slots: Box<[Slot<K, P>]>,
    /// Places that are not vacant.
    keys: usize,
    /// How many upper bits the hashes of its keys have in common, at least.
    pub(super) depth: u32,
}

impl<K, P> Segment<K, P> {
    pub(super) fn new(places: usize, depth: u32) -> Self {
        debug_assert!(places.is_power_of_two());
        let slots = Box::<[Slot<K, P>]>::new_zeroed_slice(places);
        Self {
            // SAFETY: a place is two numbers and two values that need not be there, so that all
            // zeros are a place, a vacant one.
            slots: unsafe { slots.assume_init() },
            keys: 0,
            depth,
        }
    }

    #[inline]
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_full(&self) -> bool {
        (self.keys + 1) * 4 > self.slots.len() * 3
    }

    /// Asks the processor to load the place of a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        #[cfg(target_arch = "x86_64")]
        if let Some(slot) = self.slots.get(hash.place() & (self.slots.len() - 1)) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: prefetching has no effect but on time, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = hash;
    }

    /// The place of a key, if it is there.
    #[inline]
    pub(super) fn find<N: Named<K>>(&mut self, hash: Hash, named: &N) -> Option<&mut Slot<K, P>> {
        let mask = self.slots.len() - 1;
        let mut at = hash.place() & mask;
        // Ends, since there is always a vacant place.
        loop {
            let slot = self.slots.get(at)?;
            if slot.hash == hash.raw() && slot.key().is_some_and(|key| named.is(key)) {
                return self.slots.get_mut(at);
            }
            if slot.is_vacant() {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts in a key that is not there, without updates; there has to be room.
    pub(super) fn insert(&mut self, hash: Hash, key: K) -> &mut Slot<K, P> {
        assert!(!self.is_full(), "a segment grows before it is full");
        let at = self.vacant(hash);
        self.keys += 1;
        let slot = &mut self.slots[at];
        slot.fill(hash, key);
        slot
    }

    fn vacant(&self, hash: Hash) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash.place() & mask;
        while !self.slots[at].is_vacant() {
            at = (at + 1) & mask;
        }
        at
    }

    /// How many of its hashes have a 1 in the bit after the first `depth`.
    pub(super) fn upper_half(&self) -> usize {
        let upper = |slot: &&Slot<K, P>| slot.hash().prefix(self.depth + 1) & 1 == 1;
        let known = self.slots.iter().filter(|slot| !slot.is_vacant());
        known.filter(upper).count()
    }

    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// Moves a place of another segment here; there has to be room.
    pub(super) fn adopt(&mut self, slot: &mut Slot<K, P>) {
        assert!(!self.is_full(), "a segment grows before it is full");
        let at = self.vacant(slot.hash());
        slot.move_to(&mut self.slots[at]);
        self.keys += 1;
    }

    #[inline]
    pub(super) fn slots_mut(&mut self) -> &mut [Slot<K, P>] {
        &mut self.slots
    }
}

impl<K, P> Drop for Segment<K, P> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<K>() && !std::mem::needs_drop::<P>() {
            return;
        }
        for slot in &mut self.slots {
            // Each is out of its place before it is dropped, so that a panic drops nothing twice.
            drop(slot.empty());
            drop(slot.vacate());
        }
    }
}
