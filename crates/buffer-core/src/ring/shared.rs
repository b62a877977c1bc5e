//! What all handles and leases of a ring share.

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
        } = state.after();
        self.publish_floor(&mut state);
        drop(state);
        for signal in called {
            signal.raise();
        }
        for waker in wake {
            waker.wake();
        }
        if let (Some(crossing), Some(listener)) = (crossing, &self.listener) {
            listener(crossing);
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
