//! Items on loan: acknowledged, or back where they were.

use std::ops::Deref;
use std::sync::Arc;

use crate::ring::LeasedItems;

/// Items on loan from a ring, oldest first.
///
/// [`ack`](Self::ack) removes them for good. A lease that is dropped without it, by an error, a
/// panic or a cancelled future, puts them back in order. [`share`](Self::share) lends them to
/// others without copying; they go back only when nobody reads them any more.
///
/// ```
/// use buffer_core::Ring;
/// let ring = Ring::new(10)?;
/// for number in 1..=3 {
///     assert!(ring.push(number).is_stored());
/// }
/// drop(ring.lease(2)); // Not acknowledged: nothing is lost.
/// let lease = ring.lease(2).expect("three are queued");
/// assert_eq!(&lease[..], &[1, 2]);
/// lease.ack();
/// assert_eq!(ring.len(), 1);
/// # Ok::<(), buffer_core::RingError>(())
/// ```
#[must_use = "a lease that is dropped puts its items back"]
pub struct Lease<T> {
    cell: Arc<LeasedItems<T>>,
}

impl<T> Lease<T> {
    pub(crate) fn new(cell: LeasedItems<T>) -> Self {
        Self {
            cell: Arc::new(cell),
        }
    }

    /// Removes the items from the ring for good. Their memory is freed when the last reader of
    /// [`share`](Self::share) is gone.
    pub fn ack(self) {
        self.cell.acknowledge();
    }

    /// Another reader of the same items.
    #[must_use]
    pub fn share(&self) -> LeaseItems<T> {
        LeaseItems {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<T> Deref for Lease<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.cell.items()
    }
}

/// A reader of leased items; cheap to clone, and readable after the lease was acknowledged.
pub struct LeaseItems<T> {
    cell: Arc<LeasedItems<T>>,
}

impl<T> Clone for LeaseItems<T> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<T> Deref for LeaseItems<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.cell.items()
    }
}

impl<T> AsRef<[T]> for LeaseItems<T> {
    fn as_ref(&self) -> &[T] {
        self.cell.items()
    }
}

impl<T> std::fmt::Debug for Lease<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Lease")
            .field("items", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for LeaseItems<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LeaseItems")
            .field("items", &self.len())
            .finish_non_exhaustive()
    }
}
