//! Callbacks on a dispatcher's thread: who is called, with what, and until when.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivering;

use std::sync::mpsc::{self, sync_channel};
use std::sync::{Arc, Barrier, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use dataservice::{
    Backpressure, CallbackState, Closed, DispatchRefusal, Dispatcher, LatestValue, NamesOnly, Pace,
    Pull, SinceLast, Spec, StartError,
};
use delivering::{Driven, every, latest, service, soon, values};

#[test]
fn case_20_30_40_both_callbacks_are_called_and_see_what_they_asked_for() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (to_dial, dial) = mpsc::channel();
    let (to_log, log) = mpsc::channel();
    let _dial = dispatcher
        .on_update(latest(&service, a), move |seen| to_dial.send(seen).unwrap())
        .unwrap();
    let _log = dispatcher
        .on_update(every(&service, a), move |seen| to_log.send(seen).unwrap())
        .unwrap();
    service.put_many(a, [(1, 20), (2, 30), (3, 40)]).unwrap();
    assert_eq!(values(&soon(&dial), a), [40]);
    assert_eq!(values(&soon(&log), a), [20, 30, 40]);
}

#[test]
fn the_first_call_shows_what_is_there_already() {
    let (service, a, _) = service();
    service.put(a, 1, 7).unwrap();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let _callback = dispatcher
        .on_update(latest(&service, a), move |shown| {
            let name = thread::current().name().map(str::to_owned);
            sender.send((values(&shown, a), name)).unwrap();
        })
        .unwrap();
    assert_eq!(soon(&seen), (vec![7], Some("forebay-dispatch".into())));
}

#[test]
fn with_several_views_every_ones_callback_runs_not_only_the_last_ones() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let callbacks: Vec<_> = (0..10)
        .map(|view| {
            let sender = sender.clone();
            let call = move |shown: dataservice::Snapshot<_>| {
                sender.send((view, values(&shown, a))).unwrap();
            };
            dispatcher.on_update(latest(&service, a), call).unwrap()
        })
        .collect();
    service.put(a, 1, 5).unwrap();
    let mut shown: Vec<_> = (0..10).map(|_| soon(&seen)).collect();
    shown.sort();
    assert_eq!(
        shown,
        (0..10).map(|view| (view, vec![5])).collect::<Vec<_>>()
    );
    drop(callbacks);
}

#[test]
fn a_change_tells_names_only_and_reads_no_value() {
    let (service, a, b) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let names = service
        .subscribe(Spec::<_, ()>::of().keys([a, b], NamesOnly))
        .unwrap();
    let call = move |ids: &[_]| sender.send(ids.to_vec()).unwrap();
    let _callback = dispatcher.on_change(names, call).unwrap();
    let mut transaction = service.begin();
    transaction.put(b, 1, 1).unwrap();
    transaction.put(a, 1, 1).unwrap();
    transaction.put(b, 2, 2).unwrap();
    transaction.commit().unwrap();
    assert_eq!(soon(&seen), [b, a]);
    service.put(a, 3, 3).unwrap();
    assert_eq!(soon(&seen), [a]);
}

#[test]
fn names_alone_do_not_take_a_key_for_cleared() {
    let (service, a, _) = service();
    let spec = Spec::<_, ()>::of().key(a, NamesOnly);
    let mut names = service.subscribe(spec).unwrap();
    service.put(a, 1, 1).unwrap();
    assert!(!names.poll().unwrap().updates()[0].is_cleared());
    service.remove("a");
    assert!(names.poll().unwrap().updates()[0].is_cleared());
}

#[test]
fn a_slow_callback_has_no_queue_it_is_called_once_for_all_it_missed() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let gate = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&gate);
    let callback = dispatcher
        .on_update(latest(&service, a), move |shown| {
            sender.send(values(&shown, a)).unwrap();
            inside.wait();
        })
        .unwrap();
    service.put(a, 0, 0).unwrap();
    assert_eq!(soon(&seen), [0]);
    for time in 1..=10_000 {
        service.put(a, time, time).unwrap();
    }
    gate.wait();
    assert_eq!(soon(&seen), [10_000]);
    gate.wait();
    let wakes = service.stats().wakes;
    assert_eq!(wakes, 2, "at most one wake is pending");
    drop(callback);
    assert_eq!(dispatcher.stop().calls, 2);
}

#[test]
fn data_is_pulled_where_it_is_used_not_pushed_across_threads() {
    let (service, a, b) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let both = Spec::new().keys([a, b], LatestValue);
    let mut last = 0;
    let _callback = dispatcher
        .on_update(service.subscribe(both).unwrap(), move |shown| {
            let commit = shown.commit_seq().number();
            assert!(commit > last, "a callback sees commits in their order");
            last = commit;
            let pair = (values(&shown, a), values(&shown, b));
            assert_eq!(pair.0, pair.1, "a snapshot is one commit prefix");
            sender.send(commit).unwrap();
        })
        .unwrap();
    thread::scope(|scope| {
        for writer in 0..2 {
            let service = service.clone();
            scope.spawn(move || {
                for time in 0..2_000 {
                    let mut transaction = service.begin();
                    transaction.put(a, time, time * 2 + writer).unwrap();
                    transaction.put(b, time, time * 2 + writer).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
    while soon(&seen) < 4_000 {}
}

#[test]
fn an_interval_lies_between_any_two_calls_and_no_change_is_lost_to_it() {
    let interval = Duration::from_millis(10);
    let source = Driven::with_interval(interval);
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let call = move |changes| sender.send(changes).unwrap();
    let _callback = dispatcher.on_update(source.clone(), call).unwrap();
    let start = Instant::now();
    let (mut calls, mut changes) = (0, 0);
    for _ in 0..4 {
        source.change();
        source.change();
        changes += soon(&seen);
        calls += 1;
    }
    while changes < 8 {
        changes += soon(&seen);
        calls += 1;
    }
    assert_eq!(changes, 8);
    assert!(start.elapsed() >= interval * (calls - 1));
}

#[test]
fn an_interval_of_one_delays_nobody_else_and_ends_with_its_callback() {
    let slow = Driven::with_interval(Duration::MAX);
    let quick = Driven::default();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let to_quick = sender.clone();
    let callback = dispatcher
        .on_update(slow.clone(), move |_| sender.send("slow").unwrap())
        .unwrap();
    let _quick = dispatcher
        .on_update(quick.clone(), move |_| to_quick.send("quick").unwrap())
        .unwrap();
    slow.change();
    assert_eq!(soon(&seen), "slow");
    slow.change();
    quick.change();
    assert_eq!(soon(&seen), "quick");
    drop(callback);
    assert_eq!(slow.holders(), 1);
    assert_eq!(dispatcher.stats().callbacks, 1);
}

#[test]
fn law_2_callbacks_have_a_cap_and_the_subscriber_is_handed_back() {
    let dispatcher = Dispatcher::builder().callbacks_max(1).start().unwrap();
    let first = dispatcher.on_update(Driven::default(), |_| {}).unwrap();
    let source = Driven::default();
    let error = dispatcher.on_update(source.clone(), |_| {}).unwrap_err();
    assert_eq!(error.refusal, DispatchRefusal::CallbackLimit { limit: 1 });
    assert_eq!(
        error.to_string(),
        "cannot add a callback: 1 of at most 1 exist"
    );
    drop(first);
    source.change();
    assert_eq!({ error.pull }.poll(), Some(1));
    let _second = dispatcher.on_update(source, |_| {}).unwrap();
}

#[test]
fn a_limit_of_0_is_refused() {
    let build = Dispatcher::builder;
    for (error, setting) in [
        (build().callbacks_max(0).start(), "callbacks_max"),
        (build().cascade_max(0).start(), "cascade_max"),
        (build().panics_max(0).start(), "panics_max"),
    ] {
        let Err(StartError::Setting(error)) = error else {
            panic!("{setting} was taken");
        };
        assert_eq!((error.setting, error.value), (setting, 0));
    }
}

#[test]
fn a_closed_subscriber_is_dropped_and_its_handle_says_why() {
    let source = Driven::default();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let callback = dispatcher
        .on_update(source.clone(), move |changes| {
            sender.send(changes).unwrap();
        })
        .unwrap();
    source.change();
    assert_eq!(soon(&seen), 1);
    source.close();
    // The callback, and with it the sender, goes when the subscriber is.
    assert!(seen.recv().is_err());
    assert_eq!(callback.state(), CallbackState::Closed(Closed::Overrun));
    let stats = dispatcher.stop();
    assert_eq!((stats.calls, stats.closed, stats.stopped), (1, 1, 0));
}

#[test]
fn who_asked_to_be_disconnected_is_and_its_handle_says_why() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let gate = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&gate);
    let spec = Spec::new()
        .key(a, SinceLast::new(2))
        .backpressure(Backpressure::Disconnect);
    let subscription = service.subscribe(spec).unwrap();
    let callback = dispatcher
        .on_update(subscription, move |shown| {
            sender.send(values(&shown, a)).unwrap();
            inside.wait();
        })
        .unwrap();
    service.put(a, 0, 0).unwrap();
    assert_eq!(soon(&seen), [0]);
    for time in 1..=100 {
        service.put(a, time, time).unwrap();
    }
    gate.wait();
    assert!(seen.recv().is_err(), "nothing comes after it was closed");
    assert_eq!(callback.state(), CallbackState::Closed(Closed::Overrun));
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn dropping_the_dispatcher_leaks_no_subscriber_on_a_restart() {
    let (service, a, _) = service();
    for round in 1..=3 {
        let dispatcher = Dispatcher::start().unwrap();
        let callback = dispatcher.on_update(latest(&service, a), |_| {}).unwrap();
        assert_eq!(service.stats().subscribers, 1);
        let handle = dispatcher.handle();
        let stats = dispatcher.stop();
        assert_eq!((stats.stopped, stats.callbacks), (1, 0), "round {round}");
        assert_eq!(service.stats().subscribers, 0, "though the handle is alive");
        assert_eq!(callback.state(), CallbackState::Stopped);
        let error = handle.on_update(latest(&service, a), |_| {}).unwrap_err();
        assert_eq!(error.refusal, DispatchRefusal::Stopped);
    }
}

#[test]
fn dropping_the_dispatcher_waits_for_the_running_callback() {
    let source = Driven::default();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = sync_channel(0);
    let callback = dispatcher
        .on_update(source.clone(), move |_| sender.send(()).unwrap())
        .unwrap();
    source.change();
    soon(&seen);
    source.change();
    let receiving = thread::spawn(move || seen.recv().is_ok());
    let calls = dispatcher.stop().calls;
    drop(callback);
    assert_eq!(calls, 1 + u64::from(receiving.join().unwrap()));
    assert_eq!(source.holders(), 1);
}

#[test]
fn a_waker_that_outlives_the_dispatcher_is_harmless() {
    struct KeepsWaker(Arc<Mutex<Option<Waker>>>, Driven);

    impl Pull for KeepsWaker {
        type Item = u64;

        fn poll(&mut self) -> Option<u64> {
            self.1.poll()
        }

        fn poll_changed(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            self.1.poll_changed(context)
        }

        fn set_waker(&self, waker: Waker) {
            *self.0.lock().unwrap() = Some(waker.clone());
            self.1.set_waker(waker);
        }

        fn wait(&self, timeout: Duration) -> bool {
            self.1.wait(timeout)
        }

        fn pace(&mut self) -> &mut Pace {
            self.1.pace()
        }
    }

    let (kept, source) = (Arc::default(), Driven::default());
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let pull = KeepsWaker(Arc::clone(&kept), source.clone());
    let callback = dispatcher
        .on_update(pull, move |_| sender.send(()).unwrap())
        .unwrap();
    source.change();
    soon(&seen);
    let waker = kept.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    drop(dispatcher);
    waker.wake_by_ref();
    drop(callback);
    waker.wake();
    assert_eq!(seen.try_iter().count(), 0);
}

#[test]
fn stats_tell_how_long_calls_took() {
    let source = Driven::default();
    let dispatcher = Dispatcher::start().unwrap();
    let (sender, seen) = mpsc::channel();
    let call = move |_| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(2) {}
        sender.send(()).unwrap();
    };
    let callback = dispatcher.on_update(source.clone(), call).unwrap();
    for _ in 0..3 {
        source.change();
        soon(&seen);
    }
    dispatcher.stop();
    let stats = callback.stats();
    assert_eq!((stats.calls, stats.panics), (3, 0));
    assert!(stats.mean >= Duration::from_millis(2));
    assert!(stats.max >= stats.mean && stats.max >= stats.last);
}
