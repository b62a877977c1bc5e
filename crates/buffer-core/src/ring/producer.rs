//! A producer's own handle to a ring.

use super::Ring;
use super::stripe::{Floor, Stripe};
use crate::handover::Slot;
use crate::overflow::{OverflowPolicy, Pushed, PushedMany, Refusal};

/// A producer's own handle: its stripe of the ring. Items of one producer keep their order.
///
/// In a ring with [`Order::PerProducer`](crate::Order::PerProducer) this is the fast path: a push
/// takes no lock and makes no atomic read-modify-write, save for one lock per some hundred items.
/// In a ring with global order it is the same as the shared push. What a handle pushed stays in the
/// ring when the handle is dropped.
///
/// ```
/// use buffer_core::{Order, Ring};
/// let ring = Ring::builder(100).order(Order::PerProducer).build()?;
/// let mut producer = ring.producer();
/// std::thread::spawn(move || assert!(producer.push(1).is_stored())).join().expect("no panic");
/// assert_eq!(ring.len(), 1);
/// # Ok::<(), buffer_core::RingError>(())
/// ```
pub struct Producer<T> {
    ring: Ring<T>,
    slot: Option<Slot<Stripe<T>>>,
}

impl<T> Producer<T> {
    pub(super) fn new(ring: Ring<T>) -> Self {
        let slot = ring.shared.striped.then(|| ring.shared.lock().add_stripe());
        Self { ring, slot }
    }

    /// As [`Ring::push`].
    // Inlined by force: an item that is made here goes straight to its place, which takes half the
    // time of making it on the stack and copying it from there.
    #[inline(always)]
    pub fn push(&mut self, item: T) -> Pushed<T> {
        let Some(slot) = &self.slot else {
            return self.ring.push(item);
        };
        let floor = self.ring.shared.floor();
        match slot.write(|stripe| stripe.push(item, floor)) {
            Ok(None) => Pushed::Stored,
            Ok(Some(first)) => Pushed::Displaced {
                first,
                rest: Vec::new(),
            },
            Err(item) => self.push_slowly(item),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_slowly(&self, item: T) -> Pushed<T> {
        self.ring.shared.push_one(item, None, self.slot.as_ref())
    }

    /// As [`Ring::try_push`].
    ///
    /// # Errors
    /// The item, when there is no room or the ring is closed.
    pub fn try_push(&mut self, item: T) -> Result<(), (Refusal, T)> {
        let Some(slot) = &self.slot else {
            return self.ring.try_push(item);
        };
        match slot.write(|stripe| stripe.push(item, Floor::NOTHING)) {
            Ok(_) => Ok(()),
            Err(item) => self.ring.shared.try_push_one(item, Some(slot)),
        }
    }

    /// As [`Ring::push_many`].
    pub fn push_many(&mut self, items: &mut Vec<T>) -> PushedMany {
        let shared = &self.ring.shared;
        shared.push_vec(items, None, self.slot.as_ref())
    }

    /// As [`Ring::try_push_many`].
    pub fn try_push_many(&mut self, items: &mut Vec<T>) -> PushedMany {
        let shared = &self.ring.shared;
        let policy = Some(OverflowPolicy::Reject);
        shared.push_vec(items, policy, self.slot.as_ref())
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            let mut state = self.ring.shared.lock();
            state.retire(&mut slot);
            self.ring.shared.unlock(state);
        }
    }
}

impl<T> std::fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
