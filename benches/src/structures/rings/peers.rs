//! Peers that overwrite, or can be made to by taking one item out of what is full.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;

use super::CAPACITY;
use super::overwriting::{Drain, Overwriting, Push};
use crate::structures::item::{InOrder, Item, Tally};

/// The trait's plumbing for peers whose producers and consumer share a reference.
macro_rules! shared {
    ($ring:ty, $new:expr) => {
        impl Overwriting for $ring {
            type Producer<'a> = &'a Self;
            type Consumer<'a> = &'a Self;

            fn new(capacity: usize) -> Self {
                let new: fn(usize) -> Self = $new;
                new(capacity)
            }

            fn producer(&self) -> &Self {
                self
            }

            fn consumer(&self) -> &Self {
                self
            }
        }
    };
}

pub(super) struct ArrayQueue(crossbeam_queue::ArrayQueue<Item>);

shared!(ArrayQueue, |capacity| Self(
    crossbeam_queue::ArrayQueue::new(capacity)
));

impl Push for &ArrayQueue {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        if let Some(oldest) = self.0.force_push(item) {
            displaced.see(&oldest);
        }
    }
}

impl Drain for &ArrayQueue {
    fn drain(&mut self, seen: &mut InOrder) {
        // Bounded, since producers can be quicker than the consumer.
        for _ in 0..CAPACITY {
            let Some(item) = self.0.pop() else { return };
            seen.see(&item);
        }
    }
}

pub(super) struct ConcurrentQueue(concurrent_queue::ConcurrentQueue<Item>);

shared!(ConcurrentQueue, |capacity| Self(
    concurrent_queue::ConcurrentQueue::bounded(capacity)
));

impl Push for &ConcurrentQueue {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        if let Ok(Some(oldest)) = self.0.force_push(item) {
            displaced.see(&oldest);
        }
    }
}

impl Drain for &ConcurrentQueue {
    fn drain(&mut self, seen: &mut InOrder) {
        for _ in 0..CAPACITY {
            let Ok(item) = self.0.pop() else { return };
            seen.see(&item);
        }
    }
}

/// A channel whose producers hold a receiver too, and take one item out when it is full.
macro_rules! channel {
    ($ring:ident, $sender:ty, $receiver:ty, $open:expr, $try_send:expr, $try_recv:expr) => {
        pub(super) struct $ring {
            sender: $sender,
            receiver: $receiver,
        }

        shared!($ring, |capacity| {
            let (sender, receiver) = $open(capacity);
            Self { sender, receiver }
        });

        impl Push for &$ring {
            #[inline(always)]
            fn push(&mut self, item: Item, displaced: &mut Tally) {
                let try_send: fn(&$sender, Item) -> Option<Item> = $try_send;
                let try_recv: fn(&$receiver) -> Option<Item> = $try_recv;
                let mut item = item;
                while let Some(refused) = try_send(&self.sender, item) {
                    if let Some(oldest) = try_recv(&self.receiver) {
                        displaced.see(&oldest);
                    }
                    item = refused;
                }
            }
        }

        impl Drain for &$ring {
            fn drain(&mut self, seen: &mut InOrder) {
                let try_recv: fn(&$receiver) -> Option<Item> = $try_recv;
                for _ in 0..CAPACITY {
                    let Some(item) = try_recv(&self.receiver) else {
                        return;
                    };
                    seen.see(&item);
                }
            }
        }
    };
}

channel!(
    Crossbeam,
    crossbeam_channel::Sender<Item>,
    crossbeam_channel::Receiver<Item>,
    crossbeam_channel::bounded,
    |sender, item| sender
        .try_send(item)
        .err()
        .map(crossbeam_channel::TrySendError::into_inner),
    |receiver| receiver.try_recv().ok()
);

channel!(
    Crossfire,
    crossfire::MTx<crossfire::mpmc::Array<Item>>,
    crossfire::MRx<crossfire::mpmc::Array<Item>>,
    crossfire::mpmc::bounded_blocking,
    |sender, item| match sender.try_send(item) {
        Ok(()) => None,
        Err(crossfire::TrySendError::Full(item) | crossfire::TrySendError::Disconnected(item)) => {
            Some(item)
        }
    },
    |receiver| receiver.try_recv().ok()
);

channel!(
    Kanal,
    kanal::Sender<Item>,
    kanal::Receiver<Item>,
    kanal::bounded,
    |sender, item| {
        let mut item = Some(item);
        match sender.try_send_option(&mut item) {
            Ok(true) => None,
            _ => item,
        }
    },
    |receiver| receiver.try_recv().ok().flatten()
);

channel!(
    Flume,
    flume::Sender<Item>,
    flume::Receiver<Item>,
    flume::bounded,
    |sender, item| sender
        .try_send(item)
        .err()
        .map(flume::TrySendError::into_inner),
    |receiver| receiver.try_recv().ok()
);

/// A lock around a `VecDeque`: one lock per push or per batch, and a drain that swaps.
macro_rules! locked {
    ($ring:ident, $mutex:ty, $new:expr, $lock:expr) => {
        pub(super) struct $ring {
            queue: $mutex,
            capacity: usize,
        }

        impl Overwriting for $ring {
            type Producer<'a> = &'a Self;
            type Consumer<'a> = (&'a Self, VecDeque<Item>);

            fn new(capacity: usize) -> Self {
                let queue = $new(VecDeque::with_capacity(capacity));
                Self { queue, capacity }
            }

            fn producer(&self) -> &Self {
                self
            }

            fn consumer(&self) -> (&Self, VecDeque<Item>) {
                (self, VecDeque::with_capacity(self.capacity))
            }
        }

        impl Push for &$ring {
            #[inline(always)]
            fn push(&mut self, item: Item, displaced: &mut Tally) {
                let oldest = {
                    let mut queue = $lock(&self.queue);
                    let oldest = (queue.len() == self.capacity).then(|| queue.pop_front());
                    queue.push_back(item);
                    oldest.flatten()
                };
                if let Some(oldest) = oldest {
                    displaced.see(&oldest);
                }
            }

            fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
                let mut queue = $lock(&self.queue);
                let excess = (queue.len() + items.len()).saturating_sub(self.capacity);
                displaced.see_all(queue.range(..excess));
                drop(queue.drain(..excess));
                queue.extend(items.drain(..));
            }
        }

        impl Drain for (&$ring, VecDeque<Item>) {
            fn drain(&mut self, seen: &mut InOrder) {
                let (ring, spare) = self;
                std::mem::swap(&mut *$lock(&ring.queue), spare);
                for item in spare.drain(..) {
                    seen.see(&item);
                }
            }
        }
    };
}

locked!(
    StdMutex,
    std::sync::Mutex<VecDeque<Item>>,
    std::sync::Mutex::new,
    lock
);
locked!(
    ParkingLot,
    parking_lot::Mutex<VecDeque<Item>>,
    parking_lot::Mutex::new,
    parking_lot::Mutex::lock
);

/// The guard of a lock under which nothing panics.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under the lock")
}

/// A slice whose slots are overwritten in turn, with no lock at all: what the work itself costs,
/// the checks included. One thread can use it, which borrows it for as long as it pushes.
pub(super) struct Unlocked(RefCell<Slots>);

pub(super) struct Slots {
    items: Vec<Item>,
    capacity: usize,
    /// The oldest, once there are so many as fit.
    oldest: usize,
}

impl Overwriting for Unlocked {
    type Producer<'a> = RefMut<'a, Slots>;
    type Consumer<'a> = &'a RefCell<Slots>;

    fn new(capacity: usize) -> Self {
        Self(RefCell::new(Slots {
            items: Vec::with_capacity(capacity),
            capacity,
            oldest: 0,
        }))
    }

    fn producer(&self) -> RefMut<'_, Slots> {
        self.0.borrow_mut()
    }

    fn consumer(&self) -> &RefCell<Slots> {
        &self.0
    }
}

impl Push for RefMut<'_, Slots> {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        if self.items.len() < self.capacity {
            self.items.push(item);
            return;
        }
        let oldest = self.oldest;
        displaced.see(&std::mem::replace(&mut self.items[oldest], item));
        self.oldest = if oldest + 1 == self.capacity {
            0
        } else {
            oldest + 1
        };
    }

    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        let end = self.oldest + items.len();
        if self.items.len() == self.capacity && end <= self.capacity {
            let begin = self.oldest;
            self.items[begin..end].swap_with_slice(items);
            displaced.see_all(&*items);
            items.clear();
            self.oldest = if end == self.capacity { 0 } else { end };
            return;
        }
        for item in items.drain(..) {
            self.push(item, displaced);
        }
    }
}

impl Drain for &RefCell<Slots> {
    fn drain(&mut self, seen: &mut InOrder) {
        let mut slots = self.borrow_mut();
        let oldest = slots.oldest;
        slots.items.rotate_left(oldest);
        slots.oldest = 0;
        for item in slots.items.drain(..) {
            seen.see(&item);
        }
    }
}
