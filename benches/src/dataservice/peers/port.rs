//! The algorithm that the data service comes from, ported plainly from Python.
//!
//! A put appends to the buffer of its key under the lock and notes the key. At the end of the
//! transaction each subscriber is called back, with what it wants of the keys that changed. That is
//! extracted from the shared buffers, which are as deep as the greediest subscriber needs. Who
//! pulls windows copies each into one vector that is used again: a copy to keep would cost more.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use super::{Buffer, append, copy_window};
use crate::dataservice::store::{PullWindows, Snapshots, Store, TakeSnapshot, Windows, Write};

/// What a subscriber is shown of a key that changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wants {
    Latest,
    Window(usize),
    /// Everything since it was last called.
    SinceLast,
}

type Callback = Box<dyn FnMut(u32, &[(i64, f64)]) + Send>;

pub(crate) struct Port {
    map: Mutex<Map>,
    depth: usize,
}

struct Map {
    buffers: HashMap<u32, Buffer>,
    /// How many values each key ever had, for subscribers that want everything.
    appended: HashMap<u32, u64>,
    changed: HashSet<u32>,
}

pub(crate) struct Writer<'a> {
    port: &'a Port,
    subscribers: Vec<Subscriber>,
    shown: Vec<(i64, f64)>,
    counts: bool,
}

struct Subscriber {
    wants: Wants,
    seen: HashMap<u32, u64>,
    callback: Callback,
}

impl Port {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().expect("nothing panics under the lock")
    }
}

impl Store for Port {
    type Writer<'a> = Writer<'a>;

    fn new(keys: u32, depth: usize) -> Self {
        let buffers = (0..keys).map(|key| (key, Buffer::with_capacity(depth)));
        let map = Map {
            buffers: buffers.collect(),
            appended: HashMap::new(),
            changed: HashSet::new(),
        };
        Self {
            map: Mutex::new(map),
            depth,
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            port: self,
            subscribers: Vec::new(),
            shown: Vec::new(),
            counts: false,
        }
    }

    fn newest(&self, key: u32) -> Option<f64> {
        let map = self.lock();
        map.buffers.get(&key)?.back().map(|(_, value)| *value)
    }
}

impl Writer<'_> {
    /// Calls back with what is wanted of every key that changed, at the end of a transaction.
    pub(crate) fn subscribe(&mut self, wants: Wants, callback: Callback) {
        self.counts |= matches!(wants, Wants::SinceLast);
        self.subscribers.push(Subscriber {
            wants,
            seen: HashMap::new(),
            callback,
        });
    }
}

impl Write for Writer<'_> {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        let mut map = self.port.lock();
        let Map {
            buffers,
            appended,
            changed,
        } = &mut *map;
        let buffer = buffers.entry(key).or_default();
        append(buffer, self.port.depth, time_us, value);
        changed.insert(key);
        if self.counts {
            *appended.entry(key).or_default() += 1;
        }
    }

    #[inline(always)]
    fn commit(&mut self) {
        let mut map = self.port.lock();
        let changed = std::mem::take(&mut map.changed);
        for subscriber in &mut self.subscribers {
            for key in &changed {
                let Some(buffer) = map.buffers.get(key) else {
                    continue;
                };
                let depth = match subscriber.wants {
                    Wants::Latest => 1,
                    Wants::Window(depth) => depth,
                    Wants::SinceLast => {
                        let appended = map.appended.get(key).copied().unwrap_or(0);
                        let seen = subscriber.seen.insert(*key, appended).unwrap_or(0);
                        (appended - seen) as usize
                    }
                };
                copy_window(buffer, depth, &mut self.shown);
                (subscriber.callback)(*key, &self.shown);
            }
        }
        // The set keeps its room for the next transaction.
        map.changed = changed;
        map.changed.clear();
    }
}

pub(crate) struct Reader<'a> {
    port: &'a Port,
    keys: Vec<u32>,
    newest: Vec<f64>,
}

impl Snapshots for Port {
    type Reader<'a> = Reader<'a>;

    fn reader(&self, keys: &[u32]) -> Reader<'_> {
        Reader {
            port: self,
            keys: keys.to_vec(),
            newest: Vec::new(),
        }
    }
}

impl TakeSnapshot for Reader<'_> {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        self.newest.clear();
        let map = self.port.lock();
        let newest = |key| {
            map.buffers[key]
                .back()
                .map_or(f64::NAN, |(_, value)| *value)
        };
        self.newest.extend(self.keys.iter().map(newest));
        drop(map);
        for (key, newest) in self.keys.iter().zip(&self.newest) {
            look(*key, *newest);
        }
    }
}

pub(crate) struct Puller<'a> {
    port: &'a Port,
    keys: Range<u32>,
    depth: usize,
    window: Vec<(i64, f64)>,
}

impl Windows for Port {
    type Subscriber<'a> = Puller<'a>;

    fn subscribe(&self, keys: Range<u32>, depth: usize) -> Puller<'_> {
        Puller {
            port: self,
            keys,
            depth,
            window: Vec::new(),
        }
    }
}

impl PullWindows for Puller<'_> {
    fn pull(&mut self, mut look: impl FnMut(u32, usize, f64)) {
        let map = self.port.lock();
        for key in self.keys.clone() {
            copy_window(&map.buffers[&key], self.depth, &mut self.window);
            if let Some((_, newest)) = self.window.last() {
                look(key, self.window.len(), *newest);
            }
        }
    }
}
