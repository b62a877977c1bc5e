//! What has to happen after the service's lock is released: wakes, and destructors.

use std::sync::Arc;

use buffer_core::Displaced;

use crate::buffer::Left;
use crate::log::{Chunk, Update};
use crate::signal::Signal;

/// Collected under the lock, and carried out of it. Wakers and destructors are foreign code.
pub(crate) struct After<V> {
    pub(crate) wakes: Vec<Arc<Signal>>,
    pub(crate) values: Vec<V>,
    left: Vec<Left<V>>,
    chunks: Vec<Arc<Chunk<V>>>,
    pub(crate) updates: Vec<Update<V>>,
}

impl<V> After<V> {
    pub(crate) const fn new() -> Self {
        Self {
            wakes: Vec::new(),
            values: Vec::new(),
            left: Vec::new(),
            chunks: Vec::new(),
            updates: Vec::new(),
        }
    }

    /// A value that was displaced. Plain values need no destructor and are forgotten at once.
    #[inline(always)]
    pub(crate) fn value(&mut self, value: V) {
        if std::mem::needs_drop::<V>() {
            self.values.push(value);
        }
    }

    /// What an append displaced: a value, or a segment that was left.
    #[inline]
    pub(crate) fn displaced(&mut self, displaced: Displaced<V>) {
        if displaced.is_one() {
            if let Some(value) = displaced.into_newest() {
                self.value(value);
            }
        } else {
            self.left.push(Left::Values(displaced));
        }
    }

    pub(crate) fn left(&mut self, left: Left<V>) {
        // A segment of plain values is large, and freeing it takes time.
        if !left.is_nothing() {
            self.left.push(left);
        }
    }

    /// The wakes, to be given now.
    pub(crate) fn take_wakes(&mut self) -> Vec<Arc<Signal>> {
        std::mem::take(&mut self.wakes)
    }

    pub(crate) fn chunk(&mut self, chunk: Arc<Chunk<V>>) {
        self.chunks.push(chunk);
    }
}

/// If a clone panics under the lock, those who were marked before are woken all the same.
impl<V> Drop for After<V> {
    fn drop(&mut self) {
        for signal in self.wakes.drain(..) {
            signal.raise();
        }
    }
}
