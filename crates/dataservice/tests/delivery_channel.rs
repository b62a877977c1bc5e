//! A bounded channel fed by a dispatcher: what is full is not pulled, and so does not grow.

#![cfg(all(not(loom), feature = "crossbeam-channel"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivering;

use std::thread;

use crossbeam_channel::{RecvTimeoutError, TryRecvError, select};
use dataservice::{DispatchRefusal, Dispatcher, channel};
use delivering::{Driven, LONG, every, latest, service, values};

#[test]
fn items_arrive_in_order_and_every_update_is_in_one_of_them() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let updates = channel(&dispatcher.handle(), every(&service, a), 2).unwrap();
    let writing = thread::spawn(move || {
        for value in 0..5_000 {
            service.put(a, value, value).unwrap();
        }
    });
    let mut next = 0;
    while next < 5_000 {
        for value in values(&updates.recv_timeout(LONG).unwrap(), a) {
            assert_eq!(value, next);
            next += 1;
        }
        assert!(updates.len() <= 2);
    }
    writing.join().unwrap();
    assert_eq!(updates.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn while_it_is_full_nothing_is_pulled_and_what_changes_comes_as_one() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let updates = channel(&dispatcher.handle(), latest(&service, a), 1).unwrap();
    service.put(a, 0, 0).unwrap();
    // What the dispatcher takes first is in the channel; all the rest waits in the key.
    while updates.is_empty() {
        thread::yield_now();
    }
    for value in 1..=1_000 {
        service.put(a, value, value).unwrap();
    }
    assert_eq!(values(&updates.recv_timeout(LONG).unwrap(), a), [0]);
    assert_eq!(values(&updates.recv_timeout(LONG).unwrap(), a), [1_000]);
    assert!(updates.is_empty());
    assert_eq!(service.stats().wakes, 2);
}

#[test]
fn room_made_through_the_inner_receiver_is_told_by_hand() {
    let source = Driven::default();
    let dispatcher = Dispatcher::start().unwrap();
    let updates = channel(&dispatcher.handle(), source.clone(), 1).unwrap();
    for _ in 0..100 {
        source.change();
        select! {
            recv(updates.inner()) -> changes => assert_eq!(changes, Ok(1)),
            default(LONG) => panic!("nothing came"),
        }
        updates.made_room();
    }
}

#[test]
fn dropping_the_receiver_unsubscribes() {
    let (service, a, _) = service();
    let dispatcher = Dispatcher::start().unwrap();
    let updates = channel(&dispatcher.handle(), latest(&service, a), 1).unwrap();
    service.put(a, 0, 0).unwrap();
    updates.recv_timeout(LONG).unwrap();
    drop(updates);
    assert_eq!(dispatcher.stop().stopped, 0);
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn a_closed_subscriber_or_a_stopped_dispatcher_ends_the_channel() {
    let (closing, staying) = (Driven::default(), Driven::default());
    let dispatcher = Dispatcher::start().unwrap();
    let first = channel(&dispatcher.handle(), closing.clone(), 1).unwrap();
    let second = channel(&dispatcher.handle(), staying.clone(), 1).unwrap();
    closing.change();
    closing.close();
    let mut changes = 0;
    while let Ok(more) = first.recv() {
        changes += more;
    }
    assert_eq!(changes, 1);
    staying.change();
    assert_eq!(second.recv(), Ok(1));
    drop(dispatcher);
    assert_eq!(
        second.recv_timeout(LONG),
        Err(RecvTimeoutError::Disconnected)
    );
}

#[test]
fn law_2_a_capacity_of_0_is_refused() {
    let dispatcher = Dispatcher::start().unwrap();
    let error = channel(&dispatcher.handle(), Driven::default(), 0).unwrap_err();
    let DispatchRefusal::Setting(refusal) = error.refusal else {
        panic!("{error} names no setting");
    };
    assert_eq!((refusal.setting, refusal.value), ("capacity", 0));
}
