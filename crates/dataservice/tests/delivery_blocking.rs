//! Waiting for the next item: at once when due, never before its interval, and told of an end.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivering;

use std::time::{Duration, Instant};

use dataservice::{Backpressure, Closed, FeedSpec, LatestValue, NextError, Pull, SinceLast, Spec};
use delivering::{Driven, LONG, every, service, values};

#[test]
fn what_is_there_is_returned_at_once_even_without_time() {
    let (service, a, _) = service();
    let mut updates = every(&service, a);
    assert_eq!(updates.next(Duration::ZERO), Err(NextError::Timeout));
    service.put_many(a, [(1, 20), (2, 30), (3, 40)]).unwrap();
    assert_eq!(
        values(&updates.next(Duration::ZERO).unwrap(), a),
        [20, 30, 40]
    );
    assert_eq!(updates.next(Duration::ZERO), Err(NextError::Timeout));
}

#[test]
fn a_waiting_thread_is_woken_by_a_commit() {
    let (service, a, _) = service();
    let mut updates = every(&service, a);
    let waiting = std::thread::spawn(move || values(&updates.next(LONG).unwrap(), a));
    service.put(a, 1, 7).unwrap();
    assert_eq!(waiting.join().unwrap(), [7]);
}

#[test]
fn an_interval_holds_the_next_item_back_and_what_changed_comes_as_one() {
    let interval = Duration::from_millis(20);
    let source = Driven::with_interval(interval);
    let mut updates = source.clone();
    let start = Instant::now();
    source.change();
    assert_eq!(updates.next(LONG), Ok(1));
    source.change();
    source.change();
    assert_eq!(updates.next(LONG), Ok(2));
    assert!(start.elapsed() >= interval);
}

#[test]
fn a_timeout_shorter_than_the_interval_shows_nothing() {
    let source = Driven::with_interval(Duration::from_secs(3_600));
    let mut updates = source.clone();
    source.change();
    assert_eq!(updates.next(Duration::ZERO), Ok(1));
    source.change();
    assert_eq!(
        updates.next(Duration::from_millis(1)),
        Err(NextError::Timeout)
    );
    assert_eq!(updates.poll(), Some(1));
}

#[test]
fn a_closed_subscriber_shows_what_is_left_and_then_says_why() {
    let source = Driven::with_interval(Duration::from_secs(3_600));
    let mut updates = source.clone();
    source.change();
    assert_eq!(updates.next(LONG), Ok(1));
    source.change();
    source.close();
    assert_eq!(updates.next(LONG), Ok(1));
    assert_eq!(updates.next(LONG), Err(NextError::Closed(Closed::Overrun)));
    let error = updates.next(LONG).unwrap_err().to_string();
    assert_eq!(
        error,
        "the subscription is closed: overrun: more updates waited than were granted"
    );
}

#[test]
fn subscriptions_and_feeds_keep_the_interval_of_their_specs() {
    let interval = Duration::from_millis(10);
    let (service, a, _) = service();
    let spec = Spec::new().key(a, LatestValue).min_interval(interval);
    let mut dial = service.subscribe(spec).unwrap();
    let mut feed = service
        .feed(FeedSpec::all().min_interval(interval))
        .unwrap();
    let start = Instant::now();
    for round in 1..=3 {
        service.put_many(a, [(round, 1), (round, 2)]).unwrap();
        assert_eq!(values(&dial.next(LONG).unwrap(), a), [2]);
        assert_eq!(feed.next(LONG).unwrap().len(), 2);
    }
    assert!(start.elapsed() >= interval * 2);
}

#[test]
fn a_disconnected_subscription_says_so() {
    let (service, a, _) = service();
    let spec = Spec::new()
        .key(a, SinceLast::new(2))
        .backpressure(Backpressure::Disconnect);
    let mut log = service.subscribe(spec).unwrap();
    for time in 1..=100 {
        service.put(a, time, time).unwrap();
    }
    assert_eq!(log.next(LONG), Err(NextError::Closed(Closed::Overrun)));
}
