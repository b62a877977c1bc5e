//! A subscriber that fails, calls back or goes away costs its neighbours nothing.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

use common::{WakeCount, values};
use dataservice::{
    DataService, Extract, Extracted, Extractor, LatestValue, Requirement, SinceLast, Spec,
    SubscribeError, Subscription, View, WindowByCount,
};

fn filled(depth: usize, count: i64) -> (DataService<&'static str, i64>, dataservice::KeyId) {
    let service = DataService::builder().depth_default(depth).build().unwrap();
    let key = service.register("k").unwrap();
    for value in 1..=count {
        service.put(key, value * 1_000, value).unwrap();
    }
    (service, key)
}

#[test]
fn law_2_subscribers_have_a_cap_and_leave_no_trace_when_dropped() {
    let service: DataService<&str, i64> =
        DataService::builder().subscribers_max(2).build().unwrap();
    let key = service.register("k").unwrap();
    for _ in 0..100 {
        let spec = || Spec::new().key(key, LatestValue);
        let _two = (
            service.subscribe(spec()).unwrap(),
            service.subscribe(spec()).unwrap(),
        );
        let error = service.subscribe(spec()).unwrap_err();
        assert_eq!(error, SubscribeError::SubscriberLimit { limit: 2 });
    }
    assert_eq!(service.stats().subscribers, 0);
}

/// Puts into the service from within an extractor.
struct Echo {
    service: DataService<&'static str, i64>,
}

impl Extractor<i64> for Echo {
    type Output = Extract<i64>;

    fn requirement(&self) -> Requirement {
        let _ = self.service.stats();
        Requirement::Latest
    }

    fn extract(&mut self, view: View<i64>) -> Extracted<Extract<i64>> {
        self.service.insert("echo", 1, view.values()[0]).unwrap();
        LatestValue.extract(view)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.service.stats();
    }
}

#[test]
fn law_3_extractors_run_outside_the_lock_and_may_write() {
    let (service, key) = filled(1, 0);
    let echo = || Echo {
        service: service.clone(),
    };
    let mut subscription = service.subscribe(Spec::new().key(key, echo())).unwrap();
    service.put(key, 1, 5).unwrap();
    let seen = subscription.poll().unwrap();
    assert_eq!(
        (seen.commit_seq().number(), service.commit_seq().number()),
        (1, 2)
    );
    assert_eq!(service.get("echo"), Some(5));
    subscription.add(key, echo()).unwrap();
    subscription.remove(key);
}

#[derive(Clone)]
struct CallsOnDrop {
    service: Option<DataService<&'static str, CallsOnDrop>>,
    drops: Arc<Mutex<u64>>,
}

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            assert!(
                service.stats().commits > 0,
                "this takes the lock of the service"
            );
            *self.drops.lock().unwrap() += 1;
        }
    }
}

#[test]
fn law_3_displaced_values_are_dropped_outside_the_lock() {
    let service: DataService<&str, CallsOnDrop> = DataService::new();
    let key = service.register("k").unwrap();
    let drops = Arc::default();
    let value = || CallsOnDrop {
        service: Some(service.clone()),
        drops: Arc::clone(&drops),
    };
    let deep = service
        .subscribe(Spec::new().key(key, WindowByCount::new(20)))
        .unwrap();
    for time in 0..30 {
        service.put(key, time, value()).unwrap();
    }
    assert_eq!(*drops.lock().unwrap(), 10);
    drop(deep);
    let start = std::time::Instant::now();
    service.maintain(start);
    let maintained = service.maintain(start + Duration::from_secs(30));
    assert_eq!((maintained.displaced, *drops.lock().unwrap()), (19, 29));
    drop(service.remove("k"));
    assert_eq!(*drops.lock().unwrap(), 30);
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("a subscriber fails when it is woken");
    }
}

struct PanickingExtractor;

impl Extractor<i64> for PanickingExtractor {
    type Output = Extract<i64>;

    fn requirement(&self) -> Requirement {
        Requirement::Latest
    }

    fn extract(&mut self, _: View<i64>) -> Extracted<Extract<i64>> {
        panic!("an extractor fails");
    }
}

#[test]
fn law_10_a_panicking_subscriber_costs_its_neighbours_nothing() {
    let (service, key) = filled(1, 0);
    let subscribe = || {
        service
            .subscribe(Spec::new().key(key, LatestValue))
            .unwrap()
    };
    let (mut before, broken, mut after) = (subscribe(), subscribe(), subscribe());
    let mut failing = service
        .subscribe(Spec::new().key(key, PanickingExtractor))
        .unwrap();
    let (wakes_before, wakes_after) = (WakeCount::watch(&before), WakeCount::watch(&after));
    broken.set_waker(Waker::from(Arc::new(PanickingWaker)));

    service.put(key, 1, 7).unwrap();
    assert_eq!((wakes_before.count(), wakes_after.count()), (1, 1));
    let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| failing.poll()));
    assert!(poll.is_err());
    drop(failing);
    assert_eq!(values(&before.poll().unwrap(), key), [7]);
    assert_eq!(values(&after.poll().unwrap(), key), [7]);
    assert_eq!(
        (service.stats().wakes_panicked, service.stats().subscribers),
        (1, 3)
    );
}

#[derive(Debug)]
struct PanicsOnClone(Arc<AtomicBool>);

impl Clone for PanicsOnClone {
    fn clone(&self) -> Self {
        assert!(!self.0.load(Ordering::SeqCst), "a value fails to be cloned");
        Self(Arc::clone(&self.0))
    }
}

#[test]
fn law_10_a_poll_that_panics_while_copying_has_seen_nothing() {
    let service: DataService<&str, PanicsOnClone> = DataService::new();
    let key = service.register("k").unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    let broken = Arc::new(AtomicBool::new(true));
    service
        .put(key, 1, PanicsOnClone(Arc::clone(&broken)))
        .unwrap();
    let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| every.poll().is_some()));
    assert!(poll.is_err());
    broken.store(false, Ordering::SeqCst);
    assert_eq!(values(&every.poll().unwrap(), key).len(), 1);
}

type Shelf = Arc<Mutex<Option<Subscription<i64>>>>;

struct Unsubscribe(Shelf);

impl Wake for Unsubscribe {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn unsubscribing_during_a_wake_skips_no_neighbour() {
    let (service, key) = filled(1, 0);
    let subscribe = || {
        service
            .subscribe(Spec::new().key(key, LatestValue))
            .unwrap()
    };
    let shelf = Shelf::default();
    let (before, leaver, after) = (subscribe(), subscribe(), subscribe());
    let (wakes_before, wakes_after) = (WakeCount::watch(&before), WakeCount::watch(&after));
    leaver.set_waker(Waker::from(Arc::new(Unsubscribe(Arc::clone(&shelf)))));
    *shelf.lock().unwrap() = Some(leaver);
    service.put(key, 1, 1).unwrap();
    assert_eq!((wakes_before.count(), wakes_after.count()), (1, 1));
    assert_eq!(service.stats().subscribers, 2);
}
