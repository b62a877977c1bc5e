//! What all handles and leases of a ring share.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::state::State;
use super::stripe::Floor;
use super::waiting::After;
use crate::sync::{AtomicUsize, Guard, Mutex, Ordering};
use crate::watermark::Crossing;

pub(super) type Listener = Box<dyn Fn(Crossing) + Send + Sync>;
pub(super) type Weigher<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;

pub(crate) struct Shared<T> {
    state: Aligned<Mutex<State<T>>>,
    /// What stripes may displace; read by every push into a full ring, and seldom written.
    floor: Aligned<AtomicUsize>,
    pub(super) striped: bool,
    listener: Option<Listener>,
    pub(super) weigher: Option<Weigher<T>>,
}

/// Keeps what is written often off the cache lines of what is read often.
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> Shared<T> {
    pub(super) fn new(
        state: State<T>,
        striped: bool,
        listener: Option<Listener>,
        weigher: Option<Weigher<T>>,
    ) -> Self {
        Self {
            state: Aligned(Mutex::new(state)),
            floor: Aligned(AtomicUsize::new(Floor::NOTHING.0)),
            striped,
            listener,
            weigher,
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, State<T>> {
        self.state.0.lock()
    }

    /// Releases the lock after a change, and does what must not happen under it.
    pub(super) fn unlock(&self, mut state: Guard<'_, State<T>>) {
        let After {
            crossing,
            wake,
            called,
            surplus,
        } = state.after();
        self.publish_floor(&mut state);
        drop(state);
        for signal in called {
            signal.raise();
        }
        if wake.is_empty() && surplus.is_empty() && crossing.is_none() {
            return;
        }
        // Code of others from here on; none may keep the next from running.
        let mut panics = Vec::new();
        for waker in wake {
            panics.extend(catch_unwind(AssertUnwindSafe(|| waker.wake())).err());
        }
        for waker in surplus {
            panics.extend(catch_unwind(AssertUnwindSafe(|| drop(waker))).err());
        }
        if let (Some(crossing), Some(listener)) = (crossing, &self.listener) {
            panics.extend(catch_unwind(AssertUnwindSafe(|| listener(crossing))).err());
        }
        // A second panic while the first unwinds would end the process.
        if let Some(panic) = panics.into_iter().next()
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    #[inline]
    pub(super) fn floor(&self) -> Floor {
        // A value that is out of date permits what was right a moment ago: what it is about is in
        // the producer's own stripe, which is empty once it was collected.
        Floor(self.floor.0.load(Ordering::Relaxed))
    }

    fn publish_floor(&self, state: &mut State<T>) {
        let floor = state.floor();
        if floor != state.floor_published {
            state.floor_published = floor;
            self.floor.0.store(floor.0, Ordering::Relaxed);
        }
    }
}
