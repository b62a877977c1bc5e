//! Spare memory that several histories share.

use std::fmt;

use super::buffer::Buffer;
use crate::sync::{Arc, Mutex};

/// Spare segments for histories of one type, bounded in bytes. A clone is a handle to the same
/// pool.
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
        let fits = rows..=rows.saturating_mul(EXCESS_MAX);
        let at = spares
            .buffers
            .iter()
            .position(|buffer| fits.contains(&buffer.rows(width)))?;
        let buffer = spares.buffers.swap_remove(at);
        spares.bytes -= buffer.bytes();
        Some(buffer)
    }

    /// Keeps a buffer without values, or frees it.
    pub(super) fn put(&self, buffer: Buffer<T>) {
        let mut spares = self.inner.spares.lock();
        if buffer.bytes() <= self.inner.bytes_max - spares.bytes {
            spares.bytes += buffer.bytes();
            spares.buffers.push(buffer);
        } else {
            drop(spares);
            drop(buffer);
        }
    }
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
