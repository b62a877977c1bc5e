//! Foreign code that panics at the worst moment, and readers that were away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use dataservice::{
    Backpressure, DataService, FeedSpec, LatestValue, Schema, SinceLast, Spec, WindowByCount,
};

#[test]
fn law_10_a_buffer_that_cannot_be_made_leaves_the_key_as_it_was() {
    let service: DataService<&str, i64> = DataService::builder()
        .register_buffer(|_| true, |_| panic!("there is no memory for it"))
        .build()
        .unwrap();
    let key = service.register("k").unwrap();
    let mut newest = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    service.put(key, 1, 1).unwrap();
    service.put(key, 2, 2).unwrap();
    let deep = Spec::new().key(key, WindowByCount::new(1_000));
    assert!(catch_unwind(AssertUnwindSafe(|| service.subscribe(deep))).is_err());

    assert_eq!((service.get("k"), service.len()), (Some(2), 1));
    let seen = newest.poll().unwrap();
    assert_eq!(seen.update(key).unwrap().values(), [2]);
    let stats = newest.stats();
    assert_eq!((stats.committed, stats.pending), (2, 0));
}

#[test]
fn law_10_a_value_that_cannot_be_described_leaves_its_whole_transaction_out() {
    fn describe(value: &i64) -> Schema {
        assert_ne!(*value, 13, "this value cannot be described");
        Schema::single("i64")
    }
    let service: DataService<&str, i64> =
        DataService::builder().describe(describe).build().unwrap();
    let (a, b) = (
        service.register("a").unwrap(),
        service.register("b").unwrap(),
    );
    let mut feed = service.feed(FeedSpec::all()).unwrap();
    let mut transaction = service.begin();
    transaction.put(a, 1, 2).unwrap();
    transaction.put(b, 1, 13).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| transaction.commit())).is_err());

    assert_eq!((service.get("a"), service.get("b")), (None, None));
    service.put(b, 2, 3).unwrap();
    let batch = feed.poll().unwrap();
    let seen: Vec<_> = batch
        .iter()
        .map(|it| (it.id, it.seq.number(), it.value))
        .collect();
    assert_eq!(seen, [(b, 1, 3)]);
}

#[test]
fn a_feed_of_some_keys_learns_of_a_clear_however_much_others_write() {
    for backpressure in [Backpressure::Conflate, Backpressure::Reset] {
        let service: DataService<&str, i64> = DataService::new();
        let (a, b) = (
            service.register("a").unwrap(),
            service.register("b").unwrap(),
        );
        let spec = FeedSpec::keys([a]).updates_max(100);
        let mut feed = service.feed(spec.backpressure(backpressure)).unwrap();
        service.put(a, 1, 1).unwrap();
        assert_eq!(feed.poll().unwrap().len(), 1);
        service.clear(&[a]);
        for n in 0..20_000 {
            service.put(b, n, n).unwrap();
        }
        let batch = feed.poll().expect("the key was cleared");
        let cleared: Vec<_> = batch
            .cleared()
            .map(|it| (it.id, it.up_to.number()))
            .collect();
        assert_eq!((batch.len(), cleared), (0, vec![(a, 1)]));
    }
}

#[test]
fn a_view_that_nobody_sees_is_not_closed_for_being_overrun() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let spec = Spec::new().key(key, SinceLast::new(2));
    let mut hidden = service
        .subscribe(spec.backpressure(Backpressure::Disconnect))
        .unwrap();
    hidden.pause();
    service.put_many(key, (0..10).map(|n| (n, n))).unwrap();
    service.maintain(Instant::now());
    assert_eq!(hidden.closed(), None);

    hidden.unpause();
    assert!(hidden.poll().is_none());
    assert!(hidden.closed().is_some(), "it is judged when it could poll");
    // Who waits is told at once, again and again.
    assert!(hidden.wait(Duration::ZERO) && hidden.poll().is_none());
    assert!(hidden.wait(Duration::ZERO));
}
