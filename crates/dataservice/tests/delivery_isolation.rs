//! Callbacks that write, unsubscribe, panic or keep causing one another: nobody else notices.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivering;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use dataservice::{
    Callback, CallbackState, DataService, Dispatcher, DispatcherHandle, Extract, Extracted,
    Extractor, FeedSpec, LatestValue, Refusal, Requirement, Spec, View, cascade_depth,
};
use delivering::{Driven, Service, every, latest, service, soon, values};

/// Where a test leaves a handle, for a callback to drop it.
type Shelf = Arc<Mutex<Option<Callback>>>;

fn drop_from(shelf: &Shelf) {
    let callback = shelf.lock().unwrap().take();
    drop(callback);
}

#[test]
fn law_3_a_write_from_a_callback_is_a_later_commit() {
    let (service, a, b) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let writer = service.clone();
    let both = Spec::new().keys([a, b], LatestValue);
    let _callback = dispatcher
        .on_update(service.subscribe(both).unwrap(), move |shown| {
            if let [value] = values(&shown, a)[..] {
                let later = writer.put(b, 1, value * 10).unwrap();
                assert!(later > shown.commit_seq());
            }
            sender.send((values(&shown, a), values(&shown, b))).unwrap();
        })
        .unwrap();
    service.put(a, 1, 4).unwrap();
    assert_eq!(soon(&seen), (vec![4], vec![]));
    assert_eq!(soon(&seen), (vec![], vec![40]));
}

#[test]
fn subscribing_inside_a_callback_is_legal() {
    let (service, a, b) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let handle: DispatcherHandle = dispatcher.handle();
    let (sender, seen) = mpsc::channel();
    let inner = Shelf::default();
    let (kept, within) = (Arc::clone(&inner), service.clone());
    let _callback = dispatcher
        .on_update(latest(&service, a), move |_| {
            let sender = sender.clone();
            let call = move |shown| sender.send(values(&shown, b)).unwrap();
            *kept.lock().unwrap() = Some(handle.on_update(latest(&within, b), call).unwrap());
        })
        .unwrap();
    service.put(b, 1, 6).unwrap();
    service.put(a, 1, 1).unwrap();
    assert_eq!(soon(&seen), [6]);
    assert_eq!(service.stats().subscribers, 2);
}

#[test]
fn unsubscribing_inside_ones_own_callback_is_legal() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let shelf = Shelf::default();
    let own = Arc::clone(&shelf);
    let callback = dispatcher
        .on_update(latest(&service, a), move |_| {
            drop_from(&own);
            sender.send(()).unwrap();
        })
        .unwrap();
    *shelf.lock().unwrap() = Some(callback);
    service.put(a, 1, 1).unwrap();
    soon(&seen);
    // Its end drops the sender, and the subscriber before that.
    assert!(seen.recv().is_err());
    assert_eq!(dispatcher.stats().callbacks, 0);
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn unsubscribing_during_a_notification_skips_no_neighbour() {
    let (service, a, _) = service();
    service.put(a, 0, 0).unwrap();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let shelf = Shelf::default();
    let mut callbacks = Vec::new();
    for place in 0..5 {
        let (sender, shelf) = (sender.clone(), Arc::clone(&shelf));
        let call = move |_| {
            if place == 1 {
                drop_from(&shelf);
            }
            sender.send(place).unwrap();
        };
        callbacks.push(dispatcher.on_update(latest(&service, a), call).unwrap());
        // From now on it is woken by commits, and no longer by its beginning.
        assert_eq!(soon(&seen), place);
    }
    // The second drops the third, which was woken by the same commit.
    *shelf.lock().unwrap() = Some(callbacks.remove(2));
    service.put(a, 1, 1).unwrap();
    let mut called: Vec<_> = (0..4).map(|_| soon(&seen)).collect();
    called.sort_unstable();
    assert_eq!(called, [0, 1, 3, 4]);
    assert!(seen.try_recv().is_err());
    assert_eq!(service.stats().subscribers, 4);
}

#[test]
fn one_failing_subscriber_does_not_freeze_the_rest() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::builder().panics_max(2).start().unwrap();
    let (sender, seen) = mpsc::channel();
    let before = sender.clone();
    let _before = dispatcher
        .on_update(every(&service, a), move |shown| {
            before.send(("before", values(&shown, a))).unwrap();
        })
        .unwrap();
    let failing = dispatcher
        .on_update(latest(&service, a), |_| panic!("a callback fails"))
        .unwrap();
    let _after = dispatcher
        .on_update(every(&service, a), move |shown| {
            sender.send(("after", values(&shown, a))).unwrap();
        })
        .unwrap();
    for value in 1..=4 {
        service.put(a, value, value).unwrap();
        let mut called = [soon(&seen), soon(&seen)];
        called.sort();
        assert_eq!(called, [("after", vec![value]), ("before", vec![value])]);
    }
    let stats = failing.stats();
    assert_eq!((stats.state, stats.calls), (CallbackState::Quarantined, 0));
    assert_eq!(stats.panics, 2);
    assert_eq!(
        service.stats().subscribers,
        2,
        "what it required is released"
    );
    let stats = dispatcher.stop();
    assert_eq!((stats.panics, stats.quarantined), (2, 1));
    assert_eq!(failing.state(), CallbackState::Quarantined);
}

#[test]
fn panics_that_are_not_in_a_row_quarantine_nobody() {
    let source = Driven::default();
    let dispatcher = Dispatcher::builder().panics_max(2).start().unwrap();
    let (sender, seen) = mpsc::channel();
    let mut calls = 0;
    let callback = dispatcher
        .on_update(source.clone(), move |_| {
            calls += 1;
            sender.send(calls).unwrap();
            assert!(calls % 2 == 0, "every other call fails");
        })
        .unwrap();
    for call in 1..=6 {
        source.change();
        assert_eq!(soon(&seen), call);
    }
    dispatcher.stop();
    let stats = callback.stats();
    assert_eq!((stats.calls, stats.panics), (3, 3));
}

#[test]
fn law_10_a_destructor_that_panics_stops_nothing() {
    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("a destructor fails");
        }
    }

    let (failing, healthy) = (Driven::default(), Driven::default());
    let dispatcher = Dispatcher::builder().panics_max(1).start().unwrap();
    let (sender, seen) = mpsc::channel();
    let captured = PanicsOnDrop;
    let _failing = dispatcher
        .on_update(failing.clone(), move |_| {
            let _captured = &captured;
            std::panic::panic_any(PanicsOnDrop);
        })
        .unwrap();
    let _healthy = dispatcher
        .on_update(healthy.clone(), move |_| sender.send(()).unwrap())
        .unwrap();
    failing.change();
    healthy.change();
    soon(&seen);
    healthy.change();
    soon(&seen);
    assert_eq!(dispatcher.stop().quarantined, 1);
}

#[test]
fn dropping_the_dispatcher_inside_its_own_callback_is_legal() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let handle = dispatcher.handle();
    let (sender, seen) = mpsc::channel();
    let (give, take) = mpsc::channel::<Dispatcher>();
    let callback = handle
        .on_update(latest(&service, a), move |_| {
            drop(take.recv().unwrap());
            sender.send(()).unwrap();
        })
        .unwrap();
    give.send(dispatcher).unwrap();
    service.put(a, 1, 1).unwrap();
    soon(&seen);
    // The thread ends after this callback, and drops it with its sender.
    assert!(seen.recv().is_err());
    assert_eq!(callback.state(), CallbackState::Stopped);
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn a_wake_from_outside_has_depth_1_and_one_from_a_callback_is_one_deeper() {
    let (service, a, b) = service();
    service.put(b, 0, 0).unwrap();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let (first, within) = (sender.clone(), service.clone());
    let _second = dispatcher
        .on_update(latest(&service, b), move |_| {
            sender.send(("b", cascade_depth())).unwrap();
        })
        .unwrap();
    // From now on it is woken by commits, and no longer by its beginning.
    assert_eq!(soon(&seen), ("b", 1));
    let _first = dispatcher
        .on_update(latest(&service, a), move |_| {
            first.send(("a", cascade_depth())).unwrap();
            within.put(b, 1, 1).unwrap();
        })
        .unwrap();
    for time in 0..3 {
        service.put(a, time, 1).unwrap();
        assert_eq!(soon(&seen), ("a", 1));
        assert_eq!(soon(&seen), ("b", 2));
    }
    assert_eq!(cascade_depth(), 0);
}

#[test]
fn callbacks_that_write_to_each_other_get_deeper_by_one_each_time() {
    let (service, a, b) = service();
    service.put_many(a, [(0, 0)]).unwrap();
    service.put_many(b, [(0, 0)]).unwrap();
    // Whichever thread a callback runs in.
    let dispatchers = [Dispatcher::start().unwrap(), Dispatcher::start().unwrap()];
    let (sender, seen) = mpsc::channel();
    let mut callbacks = Vec::new();
    for (dispatcher, (from, to)) in dispatchers.iter().zip([(a, b), (b, a)]) {
        let (sender, within) = (sender.clone(), service.clone());
        let call = move |shown| {
            let value = values(&shown, from)[0];
            sender.send(cascade_depth()).unwrap();
            if value > 0 && value < 20 {
                within.put(to, 1, value + 1).unwrap();
            }
        };
        callbacks.push(dispatcher.on_update(latest(&service, from), call).unwrap());
        assert_eq!(soon(&seen), 1);
    }
    service.put(a, 1, 1).unwrap();
    let depths: Vec<u32> = (0..20).map(|_| soon(&seen)).collect();
    assert_eq!(depths, (1..=20).collect::<Vec<_>>());
}

/// Two callbacks that write to each other's keys for ever, until a write is refused.
fn ping_pong(cascade_max: u32, dispatchers_max: u32) -> (Refusal, u32) {
    let service: Service = DataService::builder()
        .cascade_max(cascade_max)
        .build()
        .unwrap();
    let keys = [
        service.register("a").unwrap(),
        service.register("b").unwrap(),
    ];
    let builder = Dispatcher::builder().cascade_max(dispatchers_max);
    let dispatcher = builder.start().unwrap();
    let (sender, seen) = mpsc::channel();
    let mut callbacks = Vec::new();
    for (from, to) in [(keys[0], keys[1]), (keys[1], keys[0])] {
        let (sender, within) = (sender.clone(), service.clone());
        let mut calls = 0;
        let call = move |_| {
            calls += 1;
            if let Err(error) = within.put(to, calls, calls) {
                sender.send((error.refusal, cascade_depth())).unwrap();
            }
        };
        callbacks.push(dispatcher.on_update(latest(&service, from), call).unwrap());
    }
    service.put(keys[0], 0, 0).unwrap();
    let refused = soon(&seen);
    // It is over: whoever writes from outside begins anew.
    service.put(keys[1], 0, 0).unwrap();
    assert_eq!(soon(&seen), refused);
    refused
}

#[test]
fn callbacks_that_write_to_each_other_end_in_an_error_and_not_in_a_livelock() {
    for (service_max, dispatcher_max, limit) in [(64, 64, 64), (10, 64, 10), (64, 10, 10)] {
        let (refusal, depth) = ping_pong(service_max, dispatcher_max);
        let expected = Refusal::Cascade {
            depth: limit + 1,
            limit,
        };
        assert_eq!((refusal, depth), (expected, limit + 1));
    }
}

#[test]
fn what_a_fast_writer_commits_beside_a_callback_does_not_make_it_look_deeper() {
    let service: Service = DataService::builder().cascade_max(3).build().unwrap();
    let (a, b) = (
        service.register("a").unwrap(),
        service.register("b").unwrap(),
    );
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let within = service.clone();
    let _callback = dispatcher
        .on_update(latest(&service, a), move |shown| {
            assert_eq!(cascade_depth(), 1);
            within.put(b, 1, 1).unwrap();
            sender.send(values(&shown, a)[0]).unwrap();
        })
        .unwrap();
    for value in 0..=20_000 {
        service.put(a, value, value).unwrap();
    }
    while soon(&seen) < 20_000 {}
}

/// Writes to a key whenever it is read.
struct WritesItself(Service);

impl Extractor<i64> for WritesItself {
    type Output = Extract<i64>;

    fn requirement(&self) -> Requirement {
        Requirement::Latest
    }

    fn extract(&mut self, view: View<i64>) -> Extracted<Extract<i64>> {
        let written = self.0.put(view.id(), 1, 1);
        assert!(written.is_ok(), "this write goes too deep");
        LatestValue.extract(view)
    }
}

#[test]
fn an_extractor_that_writes_to_its_own_key_is_part_of_the_cascade() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::builder().panics_max(1).start().unwrap();
    let spec = Spec::new().key(a, WritesItself(service.clone()));
    let callback = dispatcher
        .on_update(service.subscribe(spec).unwrap(), |_| {})
        .unwrap();
    service.put(a, 1, 1).unwrap();
    while callback.state() == CallbackState::Active {
        std::thread::yield_now();
    }
    assert_eq!(callback.state(), CallbackState::Quarantined);
}

#[test]
fn a_feed_loses_nothing_to_a_callback_that_panics_after_it_pulled() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let mut calls = 0;
    let _callback = dispatcher
        .on_update(service.feed(FeedSpec::all()).unwrap(), move |batch| {
            let values: Vec<i64> = batch.iter().map(|update| update.value).collect();
            sender.send(values).unwrap();
            calls += 1;
            assert!(calls != 1, "the first call fails");
        })
        .unwrap();
    for value in 1..=3 {
        service.put(a, value, value).unwrap();
        assert_eq!(soon(&seen), [value]);
    }
}
