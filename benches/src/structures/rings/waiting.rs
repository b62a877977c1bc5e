//! Lossless peers as one writes them by hand: a lock around a `VecDeque`, and two condition
//! variables. The receiver swaps the whole queue out; signals are sent only on the edges, from
//! empty and from full.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lossless::{Lossless, Offer, Receive};
use crate::structures::item::{InOrder, Item};

struct State {
    queue: VecDeque<Item>,
    senders: usize,
}

macro_rules! waiting {
    ($name:ident, $shared:ident, $mutex:ident, $condvar:ty, $lock:expr, $wait:expr) => {
        pub(super) struct $name;

        pub(super) struct $shared {
            state: $mutex<State>,
            arrived: $condvar,
            room: $condvar,
            capacity: usize,
        }

        impl Lossless for $name {
            type Sender = Sender<$shared>;
            type Receiver = Receiver<$shared>;

            fn open(capacity: usize, senders: usize) -> (Vec<Self::Sender>, Self::Receiver) {
                let queue = VecDeque::with_capacity(capacity);
                let shared = Arc::new($shared {
                    state: $mutex::new(State { queue, senders }),
                    arrived: Default::default(),
                    room: Default::default(),
                    capacity,
                });
                let sender = |_| Sender(Arc::clone(&shared));
                let spare = VecDeque::with_capacity(capacity);
                ((0..senders).map(sender).collect(), Receiver(shared, spare))
            }
        }

        impl Shared for $shared {
            #[inline(always)]
            fn send(&self, item: Item) {
                let mut state = $lock(&self.state);
                while state.queue.len() == self.capacity {
                    state = $wait(&self.room, state);
                }
                let was_empty = state.queue.is_empty();
                state.queue.push_back(item);
                drop(state);
                if was_empty {
                    self.arrived.notify_one();
                }
            }

            fn sender_ends(&self) {
                $lock(&self.state).senders -= 1;
                self.arrived.notify_one();
            }

            fn receive(&self, spare: &mut VecDeque<Item>) -> bool {
                let mut state = $lock(&self.state);
                while state.queue.is_empty() {
                    if state.senders == 0 {
                        return false;
                    }
                    state = $wait(&self.arrived, state);
                }
                let was_full = state.queue.len() == self.capacity;
                std::mem::swap(&mut state.queue, spare);
                drop(state);
                if was_full {
                    self.room.notify_all();
                }
                true
            }
        }
    };
}

/// What the two kinds of locks share.
pub(super) trait Shared: Send + Sync {
    fn send(&self, item: Item);
    fn sender_ends(&self);
    /// Swaps what is there with the empty `spare`; false when all has ended.
    fn receive(&self, spare: &mut VecDeque<Item>) -> bool;
}

pub(super) struct Sender<S: Shared>(Arc<S>);
pub(super) struct Receiver<S: Shared>(Arc<S>, VecDeque<Item>);

impl<S: Shared> Offer for Sender<S> {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        self.0.send(item);
    }
}

impl<S: Shared> Drop for Sender<S> {
    fn drop(&mut self) {
        self.0.sender_ends();
    }
}

impl<S: Shared> Receive for Receiver<S> {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        let Self(shared, spare) = self;
        let goes_on = shared.receive(spare);
        for item in spare.drain(..) {
            seen.see(&item);
        }
        goes_on
    }
}

mod with_std {
    pub(super) use std::sync::Mutex;

    use std::sync::{Condvar, MutexGuard};

    const UNPOISONED: &str = "nothing panics under the lock";

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect(UNPOISONED)
    }

    pub(super) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(guard).expect(UNPOISONED)
    }
}

mod with_parking_lot {
    pub(super) use parking_lot::Mutex;

    use parking_lot::{Condvar, MutexGuard};

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    pub(super) fn wait<'a, T>(
        condvar: &Condvar,
        mut guard: MutexGuard<'a, T>,
    ) -> MutexGuard<'a, T> {
        condvar.wait(&mut guard);
        guard
    }
}

use with_parking_lot::Mutex as ParkingLotMutex;
use with_std::Mutex as StdMutexLock;

waiting!(
    StdMutex,
    StdShared,
    StdMutexLock,
    std::sync::Condvar,
    with_std::lock,
    with_std::wait
);
waiting!(
    ParkingLot,
    ParkingLotShared,
    ParkingLotMutex,
    parking_lot::Condvar,
    with_parking_lot::lock,
    with_parking_lot::wait
);
