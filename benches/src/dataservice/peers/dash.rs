//! A map of sharded locks. A transaction means nothing to it: each update can be read at once.

use super::{Buffer, Foldhash, append, copy_window};
use crate::dataservice::store::{PullWindows, Snapshots, Store, TakeSnapshot, Windows, Write};
use std::ops::Range;

pub(crate) struct DashMap {
    map: dashmap::DashMap<u32, Buffer, Foldhash>,
    depth: usize,
}

pub(crate) struct Reader<'a> {
    store: &'a DashMap,
    keys: Vec<u32>,
}

pub(crate) struct Puller<'a> {
    store: &'a DashMap,
    keys: Range<u32>,
    depth: usize,
    window: Vec<(i64, f64)>,
}

impl Store for DashMap {
    type Writer<'a> = &'a Self;

    fn new(keys: u32, depth: usize) -> Self {
        let buffers = (0..keys).map(|key| (key, Buffer::with_capacity(depth)));
        Self {
            map: buffers.collect(),
            depth,
        }
    }

    fn writer(&self) -> &Self {
        self
    }

    fn newest(&self, key: u32) -> Option<f64> {
        let buffer = self.map.get(&key)?;
        buffer.back().map(|(_, value)| *value)
    }
}

impl Write for &DashMap {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        if let Some(mut buffer) = self.map.get_mut(&key) {
            append(&mut buffer, self.depth, time_us, value);
        } else {
            append(
                &mut self.map.entry(key).or_default(),
                self.depth,
                time_us,
                value,
            );
        }
    }

    fn commit(&mut self) {}
}

impl Snapshots for DashMap {
    type Reader<'a> = Reader<'a>;

    fn reader(&self, keys: &[u32]) -> Reader<'_> {
        Reader {
            store: self,
            keys: keys.to_vec(),
        }
    }
}

impl TakeSnapshot for Reader<'_> {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        for key in &self.keys {
            if let Some(newest) = self.store.newest(*key) {
                look(*key, newest);
            }
        }
    }
}

impl Windows for DashMap {
    type Subscriber<'a> = Puller<'a>;

    fn subscribe(&self, keys: Range<u32>, depth: usize) -> Puller<'_> {
        Puller {
            store: self,
            keys,
            depth,
            window: Vec::new(),
        }
    }
}

impl PullWindows for Puller<'_> {
    fn pull(&mut self, mut look: impl FnMut(u32, usize, f64)) {
        for key in self.keys.clone() {
            let Some(buffer) = self.store.map.get(&key) else {
                continue;
            };
            copy_window(&buffer, self.depth, &mut self.window);
            drop(buffer);
            if let Some((_, newest)) = self.window.last() {
                look(key, self.window.len(), *newest);
            }
        }
    }
}
