//! The same map in its best form: a transaction is staged and takes the lock once, keys are hashed
//! quickly, and nobody is called back.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{Buffer, Foldhash, append, copy_window};
use crate::dataservice::every_update::{EveryUpdate, See, Update};
use crate::dataservice::store::{PullWindows, Snapshots, Store, TakeSnapshot, Windows, Write};

type Map = HashMap<u32, Buffer, Foldhash>;

pub(crate) struct MutexMap {
    map: Mutex<Map>,
    depth: usize,
}

pub(crate) struct Writer<'a> {
    store: &'a MutexMap,
    staged: Vec<Update>,
}

impl Store for MutexMap {
    type Writer<'a> = Writer<'a>;

    fn new(keys: u32, depth: usize) -> Self {
        let buffers = (0..keys).map(|key| (key, Buffer::with_capacity(depth)));
        Self {
            map: Mutex::new(buffers.collect()),
            depth,
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            store: self,
            staged: Vec::new(),
        }
    }

    fn newest(&self, key: u32) -> Option<f64> {
        let map = self.map.lock();
        map.get(&key)?.back().map(|(_, value)| *value)
    }
}

impl Write for Writer<'_> {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.staged.push((key, time_us, value));
    }

    #[inline(always)]
    fn commit(&mut self) {
        let mut map = self.store.map.lock();
        for (key, time_us, value) in self.staged.drain(..) {
            let buffer = map.entry(key).or_default();
            append(buffer, self.store.depth, time_us, value);
        }
    }
}

pub(crate) struct Reader<'a> {
    store: &'a MutexMap,
    keys: Vec<u32>,
    newest: Vec<f64>,
}

impl Snapshots for MutexMap {
    type Reader<'a> = Reader<'a>;

    fn reader(&self, keys: &[u32]) -> Reader<'_> {
        Reader {
            store: self,
            keys: keys.to_vec(),
            newest: Vec::new(),
        }
    }
}

impl TakeSnapshot for Reader<'_> {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        self.newest.clear();
        let map = self.store.map.lock();
        let newest = |key| map[key].back().map_or(f64::NAN, |(_, value)| *value);
        self.newest.extend(self.keys.iter().map(newest));
        drop(map);
        for (key, newest) in self.keys.iter().zip(&self.newest) {
            look(*key, *newest);
        }
    }
}

pub(crate) struct Puller<'a> {
    store: &'a MutexMap,
    keys: Range<u32>,
    depth: usize,
    window: Vec<(i64, f64)>,
}

impl Windows for MutexMap {
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
        let map = self.store.map.lock();
        for key in self.keys.clone() {
            copy_window(&map[&key], self.depth, &mut self.window);
            if let Some((_, newest)) = self.window.last() {
                look(key, self.window.len(), *newest);
            }
        }
    }
}

/// Updates that may wait for a subscriber before a writer waits for it.
const WAITING_MAX: usize = 65_536;

/// The map, and a bounded queue per subscriber that takes every transaction.
pub(crate) struct Queues {
    map: MutexMap,
    queues: Vec<Arc<Queue>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct QueueState {
    updates: Vec<Update>,
    is_ended: bool,
}

pub(crate) struct QueuesWriter<'a> {
    writer: Writer<'a>,
    queues: &'a [Arc<Queue>],
}

pub(crate) struct QueueReader {
    queue: Arc<Queue>,
    spare: Vec<Update>,
}

impl EveryUpdate for Queues {
    type Writer<'a> = QueuesWriter<'a>;
    type Reader = QueueReader;

    fn new(keys: u32, readers: usize) -> (Self, Vec<QueueReader>) {
        let queues: Vec<Arc<Queue>> = (0..readers).map(|_| Arc::default()).collect();
        let reader = |queue: &Arc<Queue>| QueueReader {
            queue: Arc::clone(queue),
            spare: Vec::new(),
        };
        let readers = queues.iter().map(reader).collect();
        let map = MutexMap::new(keys, 1);
        (Self { map, queues }, readers)
    }

    fn writer(&self) -> QueuesWriter<'_> {
        QueuesWriter {
            writer: self.map.writer(),
            queues: &self.queues,
        }
    }
}

impl Write for QueuesWriter<'_> {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.writer.put(key, time_us, value);
    }

    fn commit(&mut self) {
        for queue in self.queues {
            let mut state = queue.state.lock();
            while state.updates.len() >= WAITING_MAX {
                queue.room.wait(&mut state);
            }
            let was_empty = state.updates.is_empty();
            state.updates.extend_from_slice(&self.writer.staged);
            drop(state);
            if was_empty {
                queue.arrived.notify_one();
            }
        }
        self.writer.commit();
    }
}

impl Drop for QueuesWriter<'_> {
    fn drop(&mut self) {
        for queue in self.queues {
            queue.state.lock().is_ended = true;
            queue.arrived.notify_one();
        }
    }
}

impl See for QueueReader {
    fn see(&mut self, mut each: impl FnMut(Update)) -> bool {
        let mut state = self.queue.state.lock();
        while state.updates.is_empty() {
            if state.is_ended {
                return false;
            }
            self.queue.arrived.wait(&mut state);
        }
        std::mem::swap(&mut state.updates, &mut self.spare);
        drop(state);
        self.queue.room.notify_one();
        self.spare.drain(..).for_each(&mut each);
        true
    }
}
