//! Peers with one owner: how one keeps the last N values by hand, and mirrored pages.

#![allow(
    unsafe_code,
    reason = "the mirrored buffer leaves to its caller that a slice is not written meanwhile"
)]

use std::collections::VecDeque;

use vmcircbuffer::double_mapped_buffer::DoubleMappedBuffer;

use super::Store;

pub(super) struct MakeContiguous {
    values: VecDeque<f64>,
    depth: usize,
}

impl Store for MakeContiguous {
    fn new(depth: usize) -> Self {
        let values = VecDeque::with_capacity(depth);
        Self { values, depth }
    }

    #[inline(always)]
    fn append(&mut self, value: f64, _time: i64) {
        push(&mut self.values, self.depth, value);
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        let values = self.values.make_contiguous();
        &values[values.len() - count..]
    }
}

pub(super) struct CopyWhenSplit {
    values: VecDeque<f64>,
    depth: usize,
    copy: Vec<f64>,
}

impl Store for CopyWhenSplit {
    fn new(depth: usize) -> Self {
        Self {
            values: VecDeque::with_capacity(depth),
            depth,
            copy: Vec::new(),
        }
    }

    #[inline(always)]
    fn append(&mut self, value: f64, _time: i64) {
        push(&mut self.values, self.depth, value);
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        let (older, newer) = self.values.as_slices();
        if newer.is_empty() {
            return &older[older.len() - count..];
        }
        if newer.len() >= count {
            return &newer[newer.len() - count..];
        }
        self.copy.clear();
        self.copy
            .extend_from_slice(&older[older.len() + newer.len() - count..]);
        self.copy.extend_from_slice(newer);
        &self.copy
    }
}

fn push(values: &mut VecDeque<f64>, depth: usize, value: f64) {
    if values.len() == depth {
        values.pop_front();
    }
    values.push_back(value);
}

/// Appends into 2.5 times the room, and moves the newest values to its front when it ends.
pub(super) struct Roomy {
    values: Vec<f64>,
    depth: usize,
}

impl Store for Roomy {
    fn new(depth: usize) -> Self {
        let values = Vec::with_capacity(depth * 5 / 2);
        Self { values, depth }
    }

    #[inline(always)]
    fn append(&mut self, value: f64, _time: i64) {
        if self.values.len() == self.values.capacity() {
            let kept = self.values.len() + 1 - self.depth;
            self.values.drain(..kept);
        }
        self.values.push(value);
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        self.newest(count)
    }
}

impl Roomy {
    #[inline(always)]
    pub(super) fn newest(&self, count: usize) -> &[f64] {
        &self.values[self.values.len() - count..]
    }
}

/// The pages of a ring mapped twice, one copy behind the other.
pub(super) struct Mirrored {
    buffer: DoubleMappedBuffer<f64>,
    capacity: usize,
    /// Where the next value goes.
    end: usize,
}

impl Store for Mirrored {
    fn new(depth: usize) -> Self {
        let buffer = DoubleMappedBuffer::new(depth).expect("two mappings can be had");
        Self {
            capacity: buffer.capacity(),
            buffer,
            end: 0,
        }
    }

    #[inline(always)]
    fn append(&mut self, value: f64, _time: i64) {
        // SAFETY: the store has one owner, and `&mut self` says that no slice of it lives.
        unsafe { self.buffer.slice_mut()[self.end] = value };
        self.end += 1;
        if self.end == self.capacity {
            self.end = 0;
        }
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        let start = if self.end >= count {
            self.end - count
        } else {
            self.end + self.capacity - count
        };
        // SAFETY: the slice borrows the store, so nothing is written while it lives; every slot
        // was initialised when the buffer was made.
        unsafe { &self.buffer.slice_with_offset(start)[..count] }
    }
}
