//! Memory of frames that nobody holds any more.
//!
//! A spare is a whole body with its count, so that taking one allocates nothing, and copying into
//! it is one pass: nothing is filled with zeros first. The lock is held for a push or a pop alone;
//! memory is freed after unlocking.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use buffer_core::{Shape, ShapeError};

use super::{Body, Element, Frame, check};
use crate::sync::Mutex;

/// Makes frames from the memory of those that nobody holds any more. A clone is a handle to the
/// same pool.
///
/// What waits to be used again is bounded in bytes; frames that are held are not, since the pool
/// has no say in who holds them. Give it room for what is let go at once, and for one more: a few
/// frames behind a history that is full.
///
/// Frames may outlive the pool. Their memory is freed then.
///
/// ```
/// use dataservice::{FramePool, Shape};
///
/// let pool: FramePool<f32> = FramePool::new(1 << 20);
/// let shape = Shape::new(&[2])?;
/// drop(pool.copy(shape, &[0.5, 1.0])?);
/// // This one lies where the first one did.
/// let frame = pool.copy(shape, &[1.5, 2.0])?;
/// assert_eq!(frame.as_slice(), [1.5, 2.0]);
/// assert_eq!((pool.stats().allocated, pool.stats().recycled), (1, 1));
/// # Ok::<(), dataservice::ShapeError>(())
/// ```
pub struct FramePool<E> {
    shared: Arc<Shared<E>>,
}

/// What a pool did, and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FramePoolStats {
    /// How many frames wait to be used again.
    pub spares: usize,
    /// What these take, in bytes.
    pub bytes: usize,
    /// How much they may take, in bytes.
    pub bytes_max: usize,
    /// How many frames were made from a spare.
    pub recycled: u64,
    /// How many frames had to be allocated.
    pub allocated: u64,
    /// How many frames came back, or waited, and were freed for want of room.
    pub freed: u64,
}

pub(super) struct Shared<E> {
    spares: Mutex<Spares<E>>,
}

struct Spares<E> {
    /// The one that came back last, and may still be in a cache, is at the back. Nobody else holds
    /// any of them.
    bodies: VecDeque<Arc<Body<E>>>,
    stats: FramePoolStats,
}

/// How many spares are looked at to find one that fits.
const LOOKS_MAX: usize = 64;
/// A spare is taken if it has no more room than this many times what is needed.
const EXCESS_MAX: usize = 2;
/// How many spares of another size are freed at most to make room for one that comes back.
const FREED_MAX: usize = 8;

impl<E> FramePool<E> {
    /// An empty pool that never holds more than `bytes_max` bytes of spare frames.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let stats = FramePoolStats {
            bytes_max,
            ..FramePoolStats::default()
        };
        Self {
            shared: Arc::new(Shared {
                spares: Mutex::new(Spares {
                    bodies: VecDeque::new(),
                    stats,
                }),
            }),
        }
    }

    /// What it did, and holds.
    #[must_use]
    pub fn stats(&self) -> FramePoolStats {
        self.shared.spares.lock().stats
    }
}

impl<E: Element> FramePool<E> {
    /// A frame with a copy of these elements. Costs one copy; once enough frames came back, it
    /// allocates nothing.
    ///
    /// # Errors
    /// When the number of elements is not that of the shape.
    pub fn copy(&self, shape: Shape, elements: &[E]) -> Result<Frame<E>, ShapeError> {
        check(shape, elements)?;
        let mut frame = self.take(shape);
        let room = room(&mut frame);
        room.clear();
        room.extend_from_slice(elements);
        Ok(frame)
    }

    /// A frame that `write` writes the elements of.
    ///
    /// What it finds there are zeros or elements of an earlier frame: it must write them all. If
    /// it panics, the memory goes back to the pool.
    pub fn fill(&self, shape: Shape, write: impl FnOnce(&mut [E])) -> Frame<E> {
        let mut frame = self.take(shape);
        let room = room(&mut frame);
        room.resize(shape.elements(), E::default());
        write(room);
        frame
    }

    /// A frame with room for the shape, but with any number of elements in it.
    fn take(&self, shape: Shape) -> Frame<E> {
        let mut frame = match self.shared.spares.lock().take(shape.elements()) {
            Some(body) => Frame::of(body),
            None => Frame::of(Arc::new(Body {
                shape,
                elements: Vec::with_capacity(shape.elements()),
                home: Arc::downgrade(&self.shared),
            })),
        };
        body(&mut frame).shape = shape;
        frame
    }
}

fn body<E>(frame: &mut Frame<E>) -> &mut Body<E> {
    let body = frame.body.as_mut().and_then(Arc::get_mut);
    body.expect("a frame that is being made has no clones")
}

fn room<E>(frame: &mut Frame<E>) -> &mut Vec<E> {
    &mut body(frame).elements
}

impl<E> Shared<E> {
    /// Keeps a body that nobody else holds, or frees it.
    pub(super) fn give(&self, body: Arc<Body<E>>) {
        let mut incoming = Some(body);
        for _ in 0..=FREED_MAX {
            let unwanted = self.spares.lock().give(&mut incoming);
            // Freeing a large block is a system call: the lock is not held during it.
            drop(unwanted);
            if incoming.is_none() {
                return;
            }
        }
        self.spares.lock().stats.freed += 1;
    }
}

impl<E> Spares<E> {
    fn take(&mut self, elements: usize) -> Option<Arc<Body<E>>> {
        let fits = |body: &Arc<Body<E>>| {
            let room = body.elements.capacity();
            room >= elements && room / EXCESS_MAX <= elements
        };
        let newest_first = self.bodies.iter().enumerate().rev();
        let found = newest_first.take(LOOKS_MAX).find(|(_, body)| fits(body));
        let Some(at) = found.map(|(at, _)| at) else {
            self.stats.allocated += 1;
            return None;
        };
        self.stats.recycled += 1;
        let body = self.bodies.swap_remove_back(at)?;
        self.took_out(&body);
        Some(body)
    }

    /// Takes the body in if there is room. Otherwise hands out what to free: the body itself, or a
    /// spare of another size, so that a change of shape does not leave useless spares for ever.
    fn give(&mut self, incoming: &mut Option<Arc<Body<E>>>) -> Option<Arc<Body<E>>> {
        let body = incoming.take()?;
        let bytes = cost(&body);
        if bytes <= self.stats.bytes_max - self.stats.bytes {
            self.stats.bytes += bytes;
            self.bodies.push_back(body);
            self.stats.spares = self.bodies.len();
            return None;
        }
        self.stats.freed += 1;
        let oldest = self.bodies.front();
        let foreign = oldest.is_some_and(|oldest| cost(oldest) != bytes);
        if !foreign || bytes > self.stats.bytes_max {
            return Some(body);
        }
        let oldest = self.bodies.pop_front()?;
        self.took_out(&oldest);
        *incoming = Some(body);
        Some(oldest)
    }

    fn took_out(&mut self, body: &Body<E>) {
        self.stats.bytes -= cost(body);
        self.stats.spares = self.bodies.len();
    }
}

/// What a spare takes: its memory, and its place in the pool.
fn cost<E>(body: &Body<E>) -> usize {
    body.heap_bytes() + size_of::<Arc<Body<E>>>()
}

impl<E> Clone for FramePool<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<E> fmt::Debug for FramePool<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("FramePool").field(&self.stats()).finish()
    }
}
