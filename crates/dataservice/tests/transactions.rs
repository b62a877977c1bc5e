//! What a commit shows, to whom, and what a transaction that does not commit leaves behind.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use common::{WakeCount, values};
use dataservice::{
    CommitSeq, DataService, KeyId, LatestValue, Refusal, SinceLast, Spec, WindowByCount,
};

#[test]
fn latest_value_sees_40_since_last_sees_20_30_40_each_woken_once() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("speed").unwrap();
    let mut latest = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    let mut since = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    let (latest_wakes, since_wakes) = (WakeCount::watch(&latest), WakeCount::watch(&since));

    let mut transaction = service.begin();
    transaction
        .put_many(key, [(1, 20), (2, 30), (3, 40)])
        .unwrap();
    assert!(
        latest.poll().is_none(),
        "nothing is visible before the commit"
    );
    assert_eq!(transaction.commit().unwrap(), CommitSeq::from_number(1));

    assert_eq!((latest_wakes.count(), since_wakes.count()), (1, 1));
    assert_eq!(service.stats().wakes, 2);
    let seen = latest.poll().unwrap();
    assert_eq!(
        (values(&seen, key), seen.update(key).unwrap().missed()),
        (vec![40], 2)
    );
    let seen = since.poll().unwrap();
    assert_eq!(
        (values(&seen, key), seen.update(key).unwrap().missed()),
        (vec![20, 30, 40], 0)
    );
    assert!(latest.poll().is_none() && since.poll().is_none());
}

#[test]
fn a_subscriber_is_woken_once_until_it_polls() {
    let service: DataService<u32, i64> = DataService::new();
    let keys = [service.register(1).unwrap(), service.register(2).unwrap()];
    let mut subscription = service
        .subscribe(Spec::new().keys(keys, LatestValue))
        .unwrap();
    let wakes = WakeCount::watch(&subscription);
    for time in 0..100 {
        service.put(keys[time as usize % 2], time, time).unwrap();
    }
    assert_eq!((wakes.count(), service.stats().wakes), (1, 1));
    assert_eq!(subscription.poll().unwrap().commit_seq().number(), 100);
    let wakes = WakeCount::watch(&subscription);
    assert_eq!(wakes.count(), 0, "nothing is unseen");
    service.put(keys[0], 100, 100).unwrap();
    assert_eq!(wakes.count(), 1);
}

#[test]
fn only_subscribers_of_changed_keys_are_woken() {
    let service: DataService<u32, i64> = DataService::new();
    let (a, b) = (service.register(1).unwrap(), service.register(2).unwrap());
    let on_a = service.subscribe(Spec::new().key(a, LatestValue)).unwrap();
    let on_b = service.subscribe(Spec::new().key(b, LatestValue)).unwrap();
    let (wakes_a, wakes_b) = (WakeCount::watch(&on_a), WakeCount::watch(&on_b));
    service.put(a, 1, 1).unwrap();
    assert_eq!((wakes_a.count(), wakes_b.count()), (1, 0));
}

#[test]
fn a_window_is_no_cursor_but_since_last_sees_150_updates_per_commit_exactly_once() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut window_100 = service
        .subscribe(Spec::new().key(key, WindowByCount::new(100)))
        .unwrap();
    let mut window_50 = service
        .subscribe(Spec::new().key(key, WindowByCount::new(50)))
        .unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::new(150)))
        .unwrap();
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    for commit in 0..20 {
        let mut transaction = service.begin();
        for value in commit * 150..(commit + 1) * 150 {
            transaction.put(key, value, value).unwrap();
            all.push(value);
        }
        transaction.commit().unwrap();
        let window = window_100.poll().unwrap();
        assert_eq!(
            (
                values(&window, key).len(),
                window.update(key).unwrap().missed()
            ),
            (100, 50)
        );
        let window = window_50.poll().unwrap();
        assert_eq!(
            (
                values(&window, key).len(),
                window.update(key).unwrap().missed()
            ),
            (50, 100)
        );
        seen.extend(values(&every.poll().unwrap(), key));
    }
    assert_eq!(seen, all);
}

#[test]
fn a_window_larger_than_a_commit_repeats_but_since_last_does_not() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let spec = |count| Spec::new().key(key, WindowByCount::new(count));
    let mut window = service.subscribe(spec(100)).unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::new(60)))
        .unwrap();
    let (mut shown, mut seen) = (0, Vec::new());
    for commit in 0..10 {
        let range = commit * 60..(commit + 1) * 60;
        service
            .put_many(key, range.map(|value| (value, value)))
            .unwrap();
        shown += values(&window.poll().unwrap(), key).len();
        seen.extend(values(&every.poll().unwrap(), key));
    }
    assert!(shown > 600);
    assert_eq!(seen, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_dropped_transaction_leaves_nothing_and_wakes_nobody() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut subscription = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    let wakes = WakeCount::watch(&subscription);
    let mut transaction = service.begin();
    transaction.put(key, 1, 1).unwrap();
    drop(transaction);
    assert_eq!((wakes.count(), service.commit_seq()), (0, CommitSeq::START));
    assert!(subscription.poll().is_none() && service.is_empty());
}

#[test]
fn a_panic_rolls_back_and_strands_no_later_notification() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut subscription = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    let wakes = WakeCount::watch(&subscription);
    let writer = service.clone();
    let panicked = std::thread::spawn(move || {
        let mut transaction = writer.begin();
        transaction.put(key, 1, 1).unwrap();
        panic!("a writer fails in the middle");
    })
    .join();
    assert!(panicked.is_err());
    service.put(key, 2, 2).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(values(&subscription.poll().unwrap(), key), [2]);
}

#[test]
fn a_nested_transaction_that_is_dropped_is_rolled_back() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    let mut transaction = service.begin();
    transaction.put(key, 1, 1).unwrap();
    let mut nested = transaction.begin();
    nested.put_many(key, [(2, 2), (3, 3)]).unwrap();
    assert_eq!((nested.len(), nested.get(key)), (2, Some(3)));
    drop(nested);
    assert_eq!((transaction.len(), transaction.get(key)), (1, Some(1)));
    transaction.put(key, 4, 4).unwrap();
    transaction.commit().unwrap();
    assert_eq!(values(&every.poll().unwrap(), key), [1, 4]);
}

#[test]
fn an_empty_commit_is_none() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let subscription = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    let wakes = WakeCount::watch(&subscription);
    assert_eq!(service.begin().commit().unwrap(), CommitSeq::START);
    assert_eq!(service.put_many(key, []).unwrap(), CommitSeq::START);
    assert_eq!(service.put(key, 1, 1).unwrap().number(), 1);
    assert_eq!(service.begin().commit().unwrap().number(), 1);
    assert_eq!(wakes.count(), 1);
}

#[test]
fn law_2_a_transaction_has_a_cap_and_hands_back_what_does_not_fit() {
    let service: DataService<&str, String> = DataService::builder()
        .transaction_updates_max(2)
        .build()
        .unwrap();
    let key = service.register("k").unwrap();
    let mut transaction = service.begin();
    transaction.put(key, 1, "one".into()).unwrap();
    let error = transaction
        .put_many(key, [(2, "two".into()), (3, "three".into())])
        .unwrap_err();
    assert_eq!(error.value, "three");
    assert_eq!(error.refusal, Refusal::TransactionFull { limit: 2 });
    assert_eq!(
        error.to_string(),
        "the transaction is full: it holds 2 of at most 2 updates"
    );
    assert_eq!(transaction.len(), 1, "all or none");
    transaction.commit().unwrap();
    assert_eq!(service.get("k").as_deref(), Some("one"));
}

#[test]
fn law_11_an_unknown_id_is_an_error_and_no_panic() {
    let service: DataService<&str, i64> = DataService::new();
    service.register("k").unwrap();
    let unknown = KeyId::from_number(7);
    let error = service.put(unknown, 1, 42).unwrap_err();
    assert_eq!(error.value, 42);
    assert_eq!(
        error.to_string(),
        "key id 7 is unknown: 1 keys are registered"
    );
    assert!(service.begin().put(unknown, 1, 1).is_err());
    assert!(
        service
            .subscribe(Spec::new().key(unknown, LatestValue))
            .is_err()
    );
    assert!(
        service
            .read(unknown, dataservice::Requirement::Latest)
            .is_none()
    );
    assert_eq!(
        (service.key(unknown), service.keys_from(unknown)),
        (None, vec![])
    );
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn law_6_updates_of_one_key_keep_the_order_of_commits() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    let (mut first, mut second) = (service.begin(), service.begin());
    first.put(key, 1, 1).unwrap();
    second.put(key, 2, 2).unwrap();
    first.put(key, 3, 3).unwrap();
    second.commit().unwrap();
    first.commit().unwrap();
    assert_eq!(values(&every.poll().unwrap(), key), [2, 1, 3]);
}
