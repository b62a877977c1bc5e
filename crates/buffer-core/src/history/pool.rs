//! Spare memory that several histories share.

use std::fmt;

use super::buffer::Buffer;
use crate::sync::{Arc, Mutex};

/// Spare segments for histories of one type, bounded in bytes, which count each spare's header. A
/// clone is a handle to the same pool.
///
/// A history takes from it when it outgrows a segment or has to leave one to its readers, and
/// gives back what it, or the last snapshot of a segment, no longer needs. What does not fit under
/// the bound is freed. Values never wait in a pool: they are dropped before.
///
/// ```
/// use buffer_core::{History, Pool};
///
/// let pool = Pool::new(1 << 20);
/// let mut history = History::new(100).with_pool(&pool);
/// for n in 0..1_000 {
///     history.append(n, n);
/// }
/// drop(history);
/// assert!(pool.spares() > 0 && pool.bytes() <= pool.bytes_max());
/// ```
pub struct Pool<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    bytes_max: usize,
    spares: Mutex<Spares<T>>,
}

struct Spares<T> {
    buffers: Vec<Buffer<T>>,
    bytes: usize,
}

/// A spare is taken if it is not larger than this many times what is needed.
const EXCESS_MAX: usize = 2;

impl<T> Pool<T> {
    /// An empty pool that never holds more than `bytes_max` bytes of spare memory.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                bytes_max,
                spares: Mutex::new(Spares {
                    buffers: Vec::new(),
                    bytes: 0,
                }),
            }),
        }
    }

    /// How many bytes of spare memory it holds at most.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.inner.bytes_max
    }

    /// How many bytes of spare memory it holds now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.spares.lock().bytes
    }

    /// How many segments it holds now.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.inner.spares.lock().buffers.len()
    }

    /// A spare that fits, but not much more than that. Linear in the number of spares.
    pub(super) fn take(&self, rows: usize, width: usize) -> Option<Buffer<T>> {
        let mut spares = self.inner.spares.lock();
        let row_bytes = width.saturating_mul(size_of::<T>()) + size_of::<i64>();
        let bytes_max = rows.saturating_mul(row_bytes).saturating_mul(EXCESS_MAX);
        // In bytes, since one column may be far longer than the other if it had another width.
        let at = spares
            .buffers
            .iter()
            .position(|buffer| buffer.rows(width) >= rows && buffer.bytes() <= bytes_max)?;
        let buffer = spares.buffers.swap_remove(at);
        spares.bytes -= cost(&buffer);
        Some(buffer)
    }

    /// Keeps a buffer without values, or frees it.
    pub(super) fn put(&self, buffer: Buffer<T>) {
        // The sanitizer knows no fences, and so not that the last owner of an `Arc` comes after
        // the others. That what is freed is free it knows.
        if buffer.bytes() == 0 || cfg!(thread_sanitizer) {
            return;
        }
        let cost = cost(&buffer);
        let mut spares = self.inner.spares.lock();
        if cost <= self.inner.bytes_max - spares.bytes {
            spares.bytes += cost;
            spares.buffers.push(buffer);
        } else {
            drop(spares);
            drop(buffer);
        }
    }
}

/// What a spare takes: its memory, and its place in the pool, which bounds their number.
fn cost<T>(buffer: &Buffer<T>) -> usize {
    buffer.bytes() + size_of::<Buffer<T>>()
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pool")
            .field("bytes", &self.bytes())
            .field("bytes_max", &self.bytes_max())
            .field("spares", &self.spares())
            .finish()
    }
}
