//! A key's place in a table: its hash, and its updates if there are any.

#![allow(
    unsafe_code,
    reason = "the number of updates says whether there is a partial result, and an `Option` would \
              say so again, in a quarter more memory for small keys"
)]

use std::mem::{ManuallyDrop, MaybeUninit};

use crate::hash::Hash;
use crate::{Aggregate, Stamp};

/// *Live* with updates, or *idle* without.
///
/// Invariant: `partial` is there if, and only if, `updates` is not 0.
pub(crate) struct Slot<K, P> {
    hash: Hash,
    updates: u64,
    key: K,
    partial: MaybeUninit<P>,
}

impl<K, P> Slot<K, P> {
    pub(super) fn new(hash: Hash, key: K) -> Self {
        Self {
            hash,
            updates: 0,
            key,
            partial: MaybeUninit::uninit(),
        }
    }

    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.updates != 0
    }

    #[inline]
    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    #[inline]
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn partial(&self) -> Option<&P> {
        // SAFETY: a live slot has a partial result.
        self.is_live()
            .then(|| unsafe { self.partial.assume_init_ref() })
    }

    /// Adds an update to a live slot; returns what has to be dropped.
    ///
    /// If the aggregate panics, the slot stays live and the update is not counted.
    #[inline]
    pub(crate) fn absorb<A: Aggregate<Partial = P>>(
        &mut self,
        aggregate: &A,
        update: A::Update,
        stamp: Stamp,
    ) -> Option<A::Update> {
        assert!(self.is_live(), "only a live slot absorbs");
        // SAFETY: a live slot has a partial result.
        let partial = unsafe { self.partial.assume_init_mut() };
        let displaced = aggregate.absorb(partial, update, stamp);
        self.updates += 1;
        displaced
    }

    /// Adds a partial result to a live slot; returns what has to be dropped.
    pub(crate) fn merge<A: Aggregate<Partial = P>>(
        &mut self,
        aggregate: &A,
        partial: P,
        updates: u64,
    ) -> Option<P> {
        assert!(self.is_live(), "only a live slot takes more in");
        // SAFETY: a live slot has a partial result.
        let displaced = aggregate.merge(unsafe { self.partial.assume_init_mut() }, partial);
        self.updates += updates;
        displaced
    }

    /// Makes an idle slot live.
    #[inline]
    pub(crate) fn start(&mut self, partial: P, updates: u64) {
        assert!(!self.is_live(), "only an idle slot starts");
        self.partial.write(partial);
        self.updates = updates;
    }

    /// Makes a live slot idle.
    #[inline]
    pub(super) fn empty(&mut self) -> Option<(P, u64)> {
        let updates = std::mem::take(&mut self.updates);
        // SAFETY: the slot was live, and is not any more.
        (updates != 0).then(|| (unsafe { self.partial.assume_init_read() }, updates))
    }
}

impl<K, P> Slot<K, P> {
    /// The key, and its updates; nothing if there are none.
    pub(crate) fn into_parts(mut self) -> Option<(K, P, u64)> {
        let (partial, updates) = self.empty()?;
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more nor dropped, and has no partial result.
        Some((
            unsafe { std::ptr::read(&raw const this.key) },
            partial,
            updates,
        ))
    }
}

impl<K, P> Drop for Slot<K, P> {
    #[inline]
    fn drop(&mut self) {
        drop(self.empty());
    }
}
