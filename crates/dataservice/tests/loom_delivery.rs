//! Every interleaving of wakes, calls and unsubscribing around a dispatcher's ready list: no wake
//! is lost, none is given twice, and whoever left is not called. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dataservice::{CallbackState, Dispatcher, Pace, Pull};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// A subscriber without a service around it: the model is of the dispatcher alone.
#[derive(Clone)]
struct Source(Arc<Mutex<(u64, Option<Waker>)>>, Pace);

impl Source {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((0, None))), Pace::default())
    }

    fn change(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Pull for Source {
    type Item = u64;

    fn poll(&mut self) -> Option<u64> {
        let changes = std::mem::take(&mut self.0.lock().unwrap().0);
        (changes > 0).then_some(changes)
    }

    fn poll_changed(&self, _: &mut Context<'_>) -> Poll<()> {
        unreachable!("a dispatcher leaves wakers")
    }

    fn set_waker(&self, waker: Waker) {
        let mut state = self.0.lock().unwrap();
        if state.0 > 0 {
            drop(state);
            waker.wake();
        } else {
            let replaced = state.1.replace(waker);
            drop(state);
            drop(replaced);
        }
    }

    fn wait(&self, _: Duration) -> bool {
        unreachable!("a dispatcher leaves wakers")
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.1
    }
}

/// Counts what callbacks were given. Waiting for more than comes is a deadlock, which loom finds.
#[derive(Clone)]
struct Seen(Arc<(Mutex<u64>, Condvar)>);

impl Seen {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    fn add(&self, changes: u64) {
        *self.0.0.lock().unwrap() += changes;
        self.0.1.notify_all();
    }

    fn wait_for(&self, changes: u64) {
        let mut seen = self.0.0.lock().unwrap();
        while *seen < changes {
            seen = self.0.1.wait(seen).unwrap();
        }
        assert_eq!(*seen, changes, "nothing is given twice");
    }
}

/// Explores a model, and says if there was nothing to explore: then it would prove nothing.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    assert!(runs > 10, "only {runs} executions");
}

#[test]
fn a_wake_beside_a_call_is_neither_lost_nor_given_twice() {
    explore(|| {
        let (source, seen) = (Source::new(), Seen::new());
        let dispatcher = Dispatcher::start().unwrap();
        let given = seen.clone();
        let callback = dispatcher
            .on_update(source.clone(), move |changes| given.add(changes))
            .unwrap();
        source.change();
        source.change();
        // A lost wake would be waited for in vain.
        seen.wait_for(2);
        drop(dispatcher);
        assert_eq!(callback.stats().state, CallbackState::Stopped);
    });
}

#[test]
fn changes_of_two_threads_are_neither_lost_nor_given_twice() {
    explore(|| {
        let (source, seen) = (Source::new(), Seen::new());
        let dispatcher = Dispatcher::start().unwrap();
        let given = seen.clone();
        let callback = dispatcher
            .on_update(source.clone(), move |changes| given.add(changes))
            .unwrap();
        let changing = thread::spawn({
            let source = source.clone();
            move || source.change()
        });
        source.change();
        changing.join().unwrap();
        seen.wait_for(2);
        drop(dispatcher);
        assert!(callback.stats().calls <= 2);
    });
}

#[test]
fn unsubscribing_beside_a_call_ends_it_and_leaves_nothing() {
    explore(|| {
        let (source, calls) = (Source::new(), Arc::new(AtomicU64::new(0)));
        let dispatcher = Dispatcher::start().unwrap();
        let counted = Arc::clone(&calls);
        let callback = dispatcher
            .on_update(source.clone(), move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        source.change();
        drop(callback);
        source.change();
        let handle = dispatcher.handle();
        assert_eq!(handle.stats().callbacks, 0);
        drop(dispatcher);
        assert!(calls.load(Ordering::Relaxed) <= 2);
        // Whoever took the subscriber last dropped it.
        assert_eq!(Arc::strong_count(&source.0), 1);
    });
}

#[test]
fn stopping_beside_a_wake_ends_the_thread_and_drops_the_subscriber() {
    explore(|| {
        let source = Source::new();
        let dispatcher = Dispatcher::start().unwrap();
        let callback = dispatcher.on_update(source.clone(), |_| {}).unwrap();
        let changing = thread::spawn({
            let source = source.clone();
            move || source.change()
        });
        drop(dispatcher);
        changing.join().unwrap();
        assert_eq!(callback.stats().state, CallbackState::Stopped);
        assert_eq!(Arc::strong_count(&source.0), 1);
    });
}
