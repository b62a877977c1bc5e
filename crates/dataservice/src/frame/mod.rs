//! Frames: arrays of numbers as values, shared and recycled.
//!
//! A [`Frame`] lies behind a count, so that a history, its readers and a plot hold the same
//! elements; they never change while anybody holds them. A [`FramePool`] makes frames from memory
//! that nobody holds any more, and [`FrameAggregate`] keeps the sum or mean over a window of them.
//!
//! Deliberately absent: indexing by coordinates, arithmetic and views of parts. A frame is its
//! shape and one slice; a crate for arrays can borrow that.

mod aggregate;
mod element;
mod pool;
mod total;

use std::fmt;
use std::sync::{Arc, Weak};

use buffer_core::{Shape, ShapeError};

pub use aggregate::{AggregatedFrame, FrameAggregate};
pub use element::Element;
pub use pool::{FramePool, FramePoolStats};

/// An array of a fixed shape. A clone is a count; the elements are shared and never change.
///
/// Whoever drops the last clone gives the memory back to the [`FramePool`] it came from, if that
/// still exists. This takes the pool's own lock for a moment and calls nothing else.
///
/// ```
/// use dataservice::{Frame, Shape};
///
/// let frame = Frame::new(Shape::new(&[2, 3])?, vec![1, 2, 3, 4, 5, 6])?;
/// assert_eq!(frame.shape().extents(), [2, 3]);
/// assert_eq!(frame.as_slice()[3..], [4, 5, 6]);
/// # Ok::<(), dataservice::ShapeError>(())
/// ```
pub struct Frame<E> {
    /// Taken out by dropping alone.
    body: Option<Arc<Body<E>>>,
}

/// What the clones of a frame share. It is recycled together with its count.
struct Body<E> {
    shape: Shape,
    elements: Vec<E>,
    /// Not counted by the pool: a spare must not keep alive the pool that it waits in.
    home: Weak<pool::Shared<E>>,
}

impl<E> Frame<E> {
    /// A frame of these elements, in the order of memory. Its memory belongs to no pool.
    ///
    /// # Errors
    /// When the number of elements is not that of the shape.
    pub fn new(shape: Shape, elements: Vec<E>) -> Result<Self, ShapeError> {
        check(shape, &elements)?;
        Ok(Self::of(Arc::new(Body {
            shape,
            elements,
            home: Weak::new(),
        })))
    }

    /// The extent in each dimension.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.body().shape
    }

    /// The elements, the last dimension side by side.
    #[must_use]
    pub fn as_slice(&self) -> &[E] {
        &self.body().elements
    }

    /// What it takes on the heap, in bytes. Clones share it, and each of them tells all of it.
    ///
    /// This is what a service should weigh a frame by.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.body().heap_bytes()
    }

    /// Whether two are clones of one frame. Constant, whereas `==` compares elements.
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        std::ptr::eq(one.body(), other.body())
    }

    fn of(body: Arc<Body<E>>) -> Self {
        Self { body: Some(body) }
    }

    fn body(&self) -> &Body<E> {
        self.body.as_ref().expect("only dropping takes it out")
    }

    /// The elements, to be changed, if there is no other clone.
    fn as_mut_slice(&mut self) -> Option<&mut [E]> {
        let body = Arc::get_mut(self.body.as_mut()?)?;
        Some(&mut body.elements)
    }
}

impl<E> Body<E> {
    fn heap_bytes(&self) -> usize {
        // The strong and the weak count lie before the body.
        let counts = 2 * size_of::<usize>();
        self.elements.capacity() * size_of::<E>() + size_of::<Self>() + counts
    }
}

fn check<E>(shape: Shape, elements: &[E]) -> Result<(), ShapeError> {
    if elements.len() == shape.elements() {
        Ok(())
    } else {
        Err(ShapeError::Elements {
            elements: elements.len(),
            expected: shape.elements(),
        })
    }
}

impl<E> Drop for Frame<E> {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        if Arc::strong_count(&body) != 1 {
            // Others hold it. If all of them let go at this moment, exactly one gets the body.
            match Arc::into_inner(body) {
                Some(last) => body = Arc::new(last),
                None => return,
            }
        }
        if let Some(home) = body.home.upgrade() {
            home.give(body);
        }
    }
}

impl<E> Clone for Frame<E> {
    fn clone(&self) -> Self {
        Self {
            body: self.body.clone(),
        }
    }
}

impl<E> AsRef<[E]> for Frame<E> {
    fn as_ref(&self) -> &[E] {
        self.as_slice()
    }
}

impl<E: PartialEq> PartialEq for Frame<E> {
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.as_slice() == other.as_slice()
    }
}

impl<E: Eq> Eq for Frame<E> {}

impl<E: fmt::Debug> fmt::Debug for Frame<E> {
    /// The shape and the first elements: a frame in an error message must not fill a screen.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 8;
        let elements = self.as_slice();
        let mut list = out.debug_struct("Frame");
        list.field("extents", &self.shape().extents());
        list.field("elements", &&elements[..elements.len().min(SHOWN_MAX)]);
        if elements.len() > SHOWN_MAX {
            list.finish_non_exhaustive()
        } else {
            list.finish()
        }
    }
}
