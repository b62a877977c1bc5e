//! What the tests of delivery share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dataservice::{
    Closed, DataService, KeyId, LatestValue, Pace, Pull, SinceLast, Snapshot, Spec, Subscription,
};

/// Longer than any test takes: only a failing one waits that long.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) type Service = DataService<&'static str, i64>;

pub(crate) fn service() -> (Service, KeyId, KeyId) {
    let service = DataService::new();
    let a = service.register("a").unwrap();
    let b = service.register("b").unwrap();
    (service, a, b)
}

pub(crate) fn latest(service: &Service, id: KeyId) -> Subscription<i64> {
    service.subscribe(Spec::new().key(id, LatestValue)).unwrap()
}

pub(crate) fn every(service: &Service, id: KeyId) -> Subscription<i64> {
    service
        .subscribe(Spec::new().key(id, SinceLast::new(1_000_000)))
        .unwrap()
}

/// The values of one key; none if it is not in the snapshot.
pub(crate) fn values(snapshot: &Snapshot<dataservice::Extract<i64>>, id: KeyId) -> Vec<i64> {
    snapshot
        .update(id)
        .map_or_else(Vec::new, |update| update.values().to_vec())
}

/// The next message, which has to come.
pub(crate) fn soon<T>(messages: &Receiver<T>) -> T {
    messages.recv_timeout(LONG).unwrap()
}

/// A subscriber that a test drives: its items say how many changes they contain.
#[derive(Clone, Default)]
pub(crate) struct Driven {
    state: Arc<(Mutex<State>, Condvar)>,
    pub(crate) interval: Duration,
    pace: Pace,
}

#[derive(Default)]
struct State {
    changes: u64,
    closed: Option<Closed>,
    waker: Option<Waker>,
}

impl State {
    fn is_ready(&self) -> bool {
        self.changes > 0 || self.closed.is_some()
    }
}

impl Driven {
    pub(crate) fn with_interval(interval: Duration) -> Self {
        Self {
            interval,
            ..Self::default()
        }
    }

    pub(crate) fn change(&self) {
        self.edit(|state| state.changes += 1);
    }

    pub(crate) fn close(&self) {
        self.edit(|state| state.closed = Some(Closed::Overrun));
    }

    /// How many there are: one less after another was dropped.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.state)
    }

    fn edit(&self, edit: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state.0.lock().unwrap();
            edit(&mut state);
            state.waker.take()
        };
        self.state.1.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Pull for Driven {
    type Item = u64;

    fn poll(&mut self) -> Option<u64> {
        let changes = std::mem::take(&mut self.state.0.lock().unwrap().changes);
        (changes > 0).then_some(changes)
    }

    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.0.lock().unwrap();
        if state.is_ready() {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn set_waker(&self, waker: Waker) {
        let mut state = self.state.0.lock().unwrap();
        if state.is_ready() {
            drop(state);
            waker.wake();
        } else {
            state.waker = Some(waker);
        }
    }

    fn wait(&self, timeout: Duration) -> bool {
        let (lock, changed) = &*self.state;
        let state = lock.lock().unwrap();
        let (state, _) = changed
            .wait_timeout_while(state, timeout, |state| !state.is_ready())
            .unwrap();
        state.is_ready()
    }

    fn min_interval(&self) -> Duration {
        self.interval
    }

    fn closed(&self) -> Option<Closed> {
        self.state.0.lock().unwrap().closed
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }
}
