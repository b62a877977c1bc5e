//! A producer's own handle to a ring.

use super::Ring;
use crate::overflow::{Pushed, PushedMany, Refusal};

/// A producer's own handle: its stripe of the ring. Items of one producer keep their order.
///
/// In a ring of a single stripe the handle costs and gives the same as the shared push; it is what
/// a thread that pushes much should hold, since in a striped ring it is the fast path.
///
/// ```
/// use buffer_core::Ring;
/// let ring = Ring::new(100)?;
/// let mut producer = ring.producer();
/// std::thread::spawn(move || assert!(producer.push(1).is_stored())).join().expect("no panic");
/// assert_eq!(ring.len(), 1);
/// # Ok::<(), buffer_core::RingError>(())
/// ```
#[derive(Debug)]
pub struct Producer<T> {
    ring: Ring<T>,
}

impl<T> Producer<T> {
    pub(super) fn new(ring: Ring<T>) -> Self {
        Self { ring }
    }

    /// As [`Ring::push`].
    pub fn push(&mut self, item: T) -> Pushed<T> {
        self.ring.push(item)
    }

    /// As [`Ring::try_push`].
    ///
    /// # Errors
    /// The item, when there is no room or the ring is closed.
    pub fn try_push(&mut self, item: T) -> Result<(), (Refusal, T)> {
        self.ring.try_push(item)
    }

    /// As [`Ring::push_many`].
    pub fn push_many(&mut self, items: &mut Vec<T>) -> PushedMany<T> {
        self.ring.push_many(items)
    }

    /// As [`Ring::try_push_many`].
    pub fn try_push_many(&mut self, items: &mut Vec<T>) -> PushedMany<T> {
        self.ring.try_push_many(items)
    }
}
