//! Every interleaving of commits with each other, with snapshots, and with who leaves: no commit is
//! torn, none is lost, and none waits for ever. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exploring;

use std::time::Duration;

use dataservice::{Backpressure, DataService, KeyId, LatestValue, SinceLast, Spec};
use exploring::explore;
use loom::thread;

type Service = DataService<u8, i64>;

fn service() -> (Service, [KeyId; 2]) {
    let service = DataService::new();
    let keys = [service.register(1).unwrap(), service.register(2).unwrap()];
    (service, keys)
}

/// Puts a value into one key and its opposite into the other, in one commit.
fn commit_pair(service: &Service, keys: [KeyId; 2], value: i64) -> u64 {
    let mut transaction = service.begin();
    transaction.put(keys[0], 1, value).unwrap();
    transaction.put(keys[1], 1, -value).unwrap();
    transaction.commit().unwrap().number()
}

#[test]
fn a_commit_against_a_snapshot_is_seen_whole_or_not_at_all() {
    explore(|| {
        let (service, keys) = service();
        let mut reader = service
            .subscribe(Spec::new().keys(keys, LatestValue))
            .unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || {
                commit_pair(&service, keys, 1);
                commit_pair(&service, keys, 2);
            }
        });
        let seen = reader.snapshot();
        let values: Vec<i64> = seen
            .updates()
            .iter()
            .flat_map(|update| update.values().to_vec())
            .collect();
        assert_eq!(values.iter().sum::<i64>(), 0, "torn: {values:?}");
        let number = seen.commit_seq().number();
        assert_eq!(values.first().map_or(0, |it| it.unsigned_abs()), number);
        writer.join().unwrap();
        assert_eq!(reader.poll().is_some(), number < 2, "what follows is seen");
    });
}

#[test]
fn a_commit_against_a_commit_has_an_order_that_all_keys_share() {
    explore(|| {
        let (service, keys) = service();
        let writer = thread::spawn({
            let service = service.clone();
            move || commit_pair(&service, keys, 1)
        });
        let here = commit_pair(&service, keys, 2);
        let there = writer.join().unwrap();
        assert_eq!(here + there, 3, "each has a number of its own");
        let last = if here > there { 2 } else { 1 };
        assert_eq!(service.get(&1), Some(last));
        assert_eq!(service.get(&2), Some(-last));
        assert_eq!(service.stats().updates, 4);
    });
}

#[test]
fn unsubscribing_against_a_commit_costs_a_neighbour_nothing() {
    explore(|| {
        let (service, keys) = service();
        let spec = || Spec::new().keys(keys, LatestValue);
        let leaver = service.subscribe(spec()).unwrap();
        let mut stayer = service.subscribe(spec()).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || commit_pair(&service, keys, 1)
        });
        drop(leaver);
        writer.join().unwrap();
        assert_eq!(stayer.poll().unwrap().updates().len(), 2);
        assert_eq!(service.stats().subscribers, 1);
    });
}

#[test]
fn subscribing_against_a_commit_has_no_gap_and_no_repetition() {
    explore(|| {
        let (service, keys) = service();
        let writer = thread::spawn({
            let service = service.clone();
            move || commit_pair(&service, keys, 1)
        });
        let spec = Spec::new().keys(keys, SinceLast::new(1));
        let mut reader = service.subscribe(spec).unwrap();
        let mut seen = 0;
        while let Some(snapshot) = reader.poll() {
            seen += snapshot.updates().len();
        }
        assert!(seen == 0 || seen == 2, "torn");
        writer.join().unwrap();
        seen += reader.poll().map_or(0, |it| it.updates().len());
        assert_eq!(seen, 2);
    });
}

/// Timed waits never fire in a model: a commit that is not let go on is a deadlock, which loom
/// finds.
fn blocking(service: &Service, id: KeyId) -> dataservice::Subscription<i64> {
    let wait = Duration::from_secs(1);
    let spec = Spec::new()
        .key(id, SinceLast::new(1))
        .backpressure(Backpressure::Block(wait));
    service.subscribe(spec).unwrap()
}

#[test]
fn a_commit_that_waits_against_a_poll_goes_on_and_nothing_is_missed() {
    explore(|| {
        let (service, [id, _]) = service();
        let mut reader = blocking(&service, id);
        service.put(id, 1, 1).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(id, 2, 2).unwrap()
        });
        let first = reader.poll().unwrap();
        assert_eq!(first.update(id).unwrap().values(), [1]);
        writer.join().unwrap();
        let second = reader.poll().unwrap();
        assert_eq!(second.update(id).unwrap().values(), [2]);
        assert_eq!(reader.stats().missed, 0);
    });
}

#[test]
fn a_commit_that_waits_against_the_subscriber_leaving_goes_on() {
    explore(|| {
        let (service, [id, _]) = service();
        let reader = blocking(&service, id);
        service.put(id, 1, 1).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(id, 2, 2).unwrap().number()
        });
        drop(reader);
        assert_eq!(writer.join().unwrap(), 2);
    });
}

#[test]
fn a_commit_that_waits_against_a_pause_goes_on() {
    explore(|| {
        let (service, [id, _]) = service();
        let mut reader = blocking(&service, id);
        service.put(id, 1, 1).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(id, 2, 2).unwrap().number()
        });
        reader.pause();
        assert_eq!(writer.join().unwrap(), 2);
    });
}
