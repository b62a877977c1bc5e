//! One contiguous column of a history.

use std::collections::VecDeque;

use super::Room;

/// A queue whose items lie in one piece after every call.
///
/// It is a ring that is never left wrapped: when an append goes past the end of the allocation,
/// everything moves to its front. With spare room that is one block move, and rare.
#[derive(Debug, Clone)]
pub(super) struct Column<T> {
    items: VecDeque<T>,
}

impl<T> Column<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            items: VecDeque::with_capacity(capacity),
        }
    }

    pub(super) fn as_slice(&self) -> &[T] {
        let (front, wrapped) = self.items.as_slices();
        debug_assert!(wrapped.is_empty(), "a column is contiguous between calls");
        front
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    pub(super) fn push(&mut self, item: T, depth: usize, room: Room) {
        if self.items.len() == self.items.capacity() {
            self.widen(depth, room);
        }
        self.items.push_back(item);
        if !self.items.as_slices().1.is_empty() {
            self.straighten(depth, room);
        }
    }

    pub(super) fn pop_oldest(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    pub(super) fn pop_newest(&mut self) -> Option<T> {
        self.items.pop_back()
    }

    /// Takes the oldest items until `len` are left.
    pub(super) fn take_excess(&mut self, len: usize) -> Vec<T> {
        let excess = self.items.len().saturating_sub(len);
        self.items.drain(..excess).collect()
    }

    /// Returns memory beyond the room of this depth.
    pub(super) fn release(&mut self, depth: usize, room: Room) {
        self.items.shrink_to(room.capacity_max(depth));
        self.items.make_contiguous();
    }

    /// Doubles the room, up to what the depth deserves.
    fn widen(&mut self, depth: usize, room: Room) {
        let capacity = self.items.capacity();
        let wanted = capacity.saturating_mul(2).min(room.capacity_max(depth));
        self.items
            .reserve_exact(wanted.saturating_sub(self.items.len()));
    }

    #[cold]
    fn straighten(&mut self, depth: usize, room: Room) {
        // Moving pays only if the free room is a good part of the length.
        let enough = room.capacity_max(self.items.len());
        if self.items.capacity() < enough {
            self.widen(depth, room);
        }
        self.items.make_contiguous();
    }
}
