//! Writers and readers on several threads.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::values;
use dataservice::{DataService, LatestValue, SinceLast, Snapshot, Spec};

const COMMITS: i64 = 20_000;
/// Far longer than any of this takes: a wake that was lost fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_snapshot_is_one_commit_prefix_across_its_keys() {
    let service: DataService<&str, i64> = DataService::new();
    let (a, b) = (
        service.register("a").unwrap(),
        service.register("b").unwrap(),
    );
    let mut reader = service
        .subscribe(Spec::new().keys([a, b], LatestValue))
        .unwrap();
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for value in 1..=COMMITS {
                let mut transaction = service.begin();
                transaction.put(a, value, value).unwrap();
                transaction.put(b, value, -value).unwrap();
                transaction.commit().unwrap();
            }
        });
        start.wait();
        loop {
            assert!(reader.wait(PATIENCE), "a wake was lost");
            let Some(seen) = reader.poll() else { continue };
            let (a, b) = (values(&seen, a), values(&seen, b));
            assert_eq!(a[0] + b[0], 0);
            assert_eq!(a[0] as u64, seen.commit_seq().number());
            if a[0] == COMMITS {
                break;
            }
            let all = reader.snapshot();
            assert_eq!(
                all.updates()
                    .iter()
                    .map(|update| update.values()[0])
                    .sum::<i64>(),
                0
            );
            if all.commit_seq().number() == COMMITS as u64 {
                break;
            }
        }
    });
}

#[test]
fn since_last_sees_every_update_of_two_writers_exactly_once_and_in_their_order() {
    let service: DataService<&str, (u8, i64)> = DataService::new();
    let key = service.register("k").unwrap();
    let spec = Spec::new().key(key, SinceLast::new(4 * COMMITS as usize));
    let mut reader = service.subscribe(spec).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let service = service.clone();
            scope.spawn(move || {
                for value in 0..COMMITS {
                    service.put(key, value, (writer, value)).unwrap();
                }
            });
        }
        let mut next = [0; 2];
        while next != [COMMITS; 2] {
            assert!(reader.wait(PATIENCE), "a wake was lost");
            let Some(seen) = reader.poll() else { continue };
            assert_eq!(seen.update(key).unwrap().missed(), 0);
            for (writer, value) in values(&seen, key) {
                assert_eq!(value, next[usize::from(writer)]);
                next[usize::from(writer)] += 1;
            }
        }
    });
    assert!(reader.poll().is_none());
}

#[test]
fn subscribers_come_and_go_while_keys_are_registered_and_written() {
    let service: DataService<i64, i64> = DataService::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..2_000 {
                service.insert(key, 0, key).unwrap();
                service
                    .put(service.id(&(key / 2)).unwrap(), 1, key / 2)
                    .unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut known = dataservice::KeyId::FIRST;
                let mut subscription = service.subscribe(Spec::new()).unwrap();
                while subscription.ids().len() < 2_000 {
                    for (id, _) in service.keys_from(known) {
                        subscription.add(id, SinceLast::new(8)).unwrap();
                        known = id.next();
                    }
                    for update in subscription
                        .poll()
                        .into_iter()
                        .flat_map(Snapshot::into_updates)
                    {
                        let key = service.key(update.id()).unwrap();
                        assert!(update.values().iter().all(|value| *value == key));
                    }
                }
            });
        }
    });
    assert_eq!(
        (service.stats().subscribers, service.stats().updates),
        (0, 4_000)
    );
}
