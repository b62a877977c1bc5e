//! What a dispatcher does with one subscriber when it is its turn.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::Pull;
use crate::{Closed, KeyId, Snapshot, cascade};

/// Where items go.
pub(super) trait Sink<T>: Send {
    /// Whether an item can be taken now. If not, whoever makes room wakes the slot.
    fn has_room(&mut self) -> bool {
        true
    }

    fn take(&mut self, item: T);
}

/// A subscriber with its sink.
pub(super) trait Work: Send {
    /// Pulls, leaves a waker for the next time, and hands on what was pulled. May panic.
    fn run(&mut self, waker: &Waker) -> Ran;

    /// Leaves a waker, after a run that panicked and may not have done so.
    fn rearm(&self, waker: &Waker);
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// There was nothing to pull, or no room for it.
    Nothing,
    /// An item was handed on.
    Called {
        /// How long that took.
        took: Duration,
        /// Not before then comes the next one.
        due: Option<Instant>,
    },
    /// Nothing more will come.
    Closed(Closed),
}

pub(super) struct Pair<P, S> {
    pub(super) pull: P,
    pub(super) sink: S,
}

impl<P, S> Work for Pair<P, S>
where
    P: Pull + Send,
    S: Sink<P::Item>,
{
    fn run(&mut self, waker: &Waker) -> Ran {
        // Without room it stays unpolled: changes meet in the subscription, and queue nowhere.
        if !self.sink.has_room() {
            return Ran::Nothing;
        }
        let Some(item) = self.pull.poll() else {
            if let Some(reason) = self.pull.closed() {
                return Ran::Closed(reason);
            }
            self.rearm(waker);
            return Ran::Nothing;
        };
        let interval = self.pull.min_interval();
        let start = Instant::now();
        // Before the callback, so that it is woken by what it writes itself, one level deeper.
        self.rearm(waker);
        self.sink.take(item);
        Ran::Called {
            took: start.elapsed(),
            due: due_after(start, interval),
        }
    }

    fn rearm(&self, waker: &Waker) {
        cascade::rearm(|| self.pull.set_waker(waker.clone()));
    }
}

/// Calls a function with each item.
pub(super) struct Call<F>(pub(super) F);

impl<T, F: FnMut(T) + Send> Sink<T> for Call<F> {
    fn take(&mut self, item: T) {
        (self.0)(item);
    }
}

/// Calls a function with the keys of each snapshot.
pub(super) struct CallWithNames<F> {
    pub(super) callback: F,
    /// Kept for its room.
    pub(super) ids: Vec<KeyId>,
}

impl<O, F: FnMut(&[KeyId]) + Send> Sink<Snapshot<O>> for CallWithNames<F> {
    fn take(&mut self, snapshot: Snapshot<O>) {
        self.ids.clear();
        let updates = snapshot.updates();
        self.ids.extend(updates.iter().map(crate::KeyUpdate::id));
        (self.callback)(&self.ids);
    }
}

/// When the next item may come; `None` if at once.
pub(super) fn due_after(start: Instant, interval: Duration) -> Option<Instant> {
    /// Far beyond any run of a program, and within any clock's range.
    const INTERVAL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

    (!interval.is_zero()).then(|| start + interval.min(INTERVAL_MAX))
}
