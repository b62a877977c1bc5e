//! What subscribers see when they come, change, go, or fail.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{WakeCount, values};
use dataservice::{
    DataService, Extract, Extractor, FullHistory, KeyUpdate, LatestValue, Requirement, SinceLast,
    Spec, WindowByCount, WindowByDuration,
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
fn a_late_joiner_has_no_gap_and_no_repetition_between_snapshot_and_stream() {
    let (service, key) = filled(5, 20);
    let mut late = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    service.put(key, 21_000, 21).unwrap();
    let first = late.snapshot();
    assert_eq!(
        (values(&first, key), first.commit_seq().number()),
        (vec![16, 17, 18, 19, 20, 21], 21)
    );
    assert_eq!(
        first.update(key).unwrap().missed(),
        0,
        "what was before it is not missed"
    );
    assert!(late.poll().is_none());
    service.put(key, 22_000, 22).unwrap();
    assert_eq!(values(&late.poll().unwrap(), key), [22]);
}

#[test]
fn a_poll_shows_only_what_changed_and_a_snapshot_shows_all() {
    let service: DataService<u32, i64> = DataService::new();
    let ids: Vec<_> = (0..5).map(|key| service.register(key).unwrap()).collect();
    let mut subscription = service
        .subscribe(Spec::new().keys(ids.iter().copied(), LatestValue))
        .unwrap();
    assert!(subscription.poll().is_none(), "no key holds a value");
    service.put(ids[3], 1, 3).unwrap();
    service.put(ids[1], 1, 1).unwrap();
    let changed = subscription.poll().unwrap();
    let changed: Vec<_> = changed.updates().iter().map(KeyUpdate::id).collect();
    assert_eq!(changed, [ids[3], ids[1]], "in the order of change");
    let all = subscription.snapshot();
    assert_eq!(all.updates().len(), 2);
    assert!(all.update(ids[0]).is_none());
    assert_eq!(values(&all, ids[1]), [1]);
}

#[test]
fn a_history_grows_to_its_greediest_subscriber_without_loss() {
    let (service, key) = filled(3, 3);
    let mut small = service
        .subscribe(Spec::new().key(key, WindowByCount::new(4)))
        .unwrap();
    let mut large = service
        .subscribe(Spec::new().key(key, WindowByCount::new(8)))
        .unwrap();
    assert_eq!(large.granted(key).unwrap().depth, 8);
    for value in 4..=20 {
        service.put(key, value * 1_000, value).unwrap();
        let expected: Vec<_> = (1.max(value - 7)..=value).collect();
        assert_eq!(values(&large.poll().unwrap(), key), expected);
        let expected: Vec<_> = (1.max(value - 3)..=value).collect();
        assert_eq!(values(&small.poll().unwrap(), key), expected);
    }
}

#[test]
fn a_grant_says_when_it_was_cut() {
    let service: DataService<&str, f64> = DataService::builder()
        .depth_max(100)
        .span_count_max(50)
        .build()
        .unwrap();
    let key = service.register("k").unwrap();
    let check = |extractor: Box<dyn Extractor<f64, Output = Extract<f64>>>, asked, depth| {
        let subscription = service.subscribe(Spec::new().key(key, extractor)).unwrap();
        let grant = subscription.granted(key).unwrap();
        assert_eq!(
            (grant.asked, grant.depth, grant.is_cut()),
            (asked, depth, depth < asked)
        );
    };
    check(Box::new(LatestValue), 1, 1);
    check(Box::new(WindowByCount::new(100)), 100, 100);
    check(Box::new(WindowByCount::new(101)), 101, 100);
    check(Box::new(WindowByCount::new(0)), 1, 1);
    check(
        Box::new(WindowByDuration::new(Duration::from_secs(60))),
        50,
        50,
    );
    check(
        Box::new(WindowByDuration::new(Duration::MAX).count_max(200)),
        200,
        100,
    );
    check(Box::new(FullHistory::new(80, 1_000_000)), 80, 80);
    check(Box::new(FullHistory::new(80, 16 * 20)), 80, 20);
    check(Box::new(SinceLast::new(1_000)), 1_000, 100);
}

#[test]
fn each_key_has_its_own_extractor() {
    let service: DataService<u32, i64> = DataService::new();
    let (a, b) = (service.register(1).unwrap(), service.register(2).unwrap());
    let spec = Spec::new()
        .key(a, LatestValue)
        .key(b, LatestValue)
        .key(b, WindowByCount::new(3));
    let mut subscription = service.subscribe(spec).unwrap();
    assert_eq!(subscription.ids().len(), 2);
    for value in 0..5 {
        service.put(a, value, value).unwrap();
        service.put(b, value, value).unwrap();
    }
    let seen = subscription.poll().unwrap();
    assert_eq!(
        (values(&seen, a), values(&seen, b)),
        (vec![4], vec![2, 3, 4])
    );
}

#[test]
fn a_window_by_duration_goes_by_event_time_and_stays_bounded() {
    let service: DataService<&str, i64> = DataService::builder().depth_max(40).build().unwrap();
    let key = service.register("k").unwrap();
    let span = |micros| WindowByDuration::new(Duration::from_micros(micros));
    let mut short = service
        .subscribe(Spec::new().key(key, span(5_000)))
        .unwrap();
    let mut long = service
        .subscribe(Spec::new().key(key, WindowByDuration::new(Duration::MAX)))
        .unwrap();
    for value in 0..100 {
        service.put(key, value * 1_000, value).unwrap();
    }
    assert_eq!(values(&short.poll().unwrap(), key), [95, 96, 97, 98, 99]);
    assert_eq!(values(&long.poll().unwrap(), key).len(), 40);
    service.put(key, i64::MAX, -1).unwrap();
    service.put(key, 100_000, 100).unwrap();
    assert!(
        values(&short.poll().unwrap(), key).ends_with(&[99, -1, 100]),
        "no pin by the future"
    );
}

#[test]
fn a_full_history_past_its_cap_does_not_fail_later_updates() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut all = service
        .subscribe(Spec::new().key(key, FullHistory::default()))
        .unwrap();
    for value in 0..25_000 {
        service.put(key, value, value).unwrap();
    }
    let seen = all.poll().unwrap();
    assert_eq!(values(&seen, key), (15_000..25_000).collect::<Vec<_>>());
    assert_eq!(seen.update(key).unwrap().missed(), 15_000);
    service.put(key, 25_000, 25_000).unwrap();
    assert_eq!(values(&all.poll().unwrap(), key).last(), Some(&25_000));
}

#[test]
fn law_1_what_a_slow_since_last_did_not_see_is_counted_as_missed() {
    let (service, key) = filled(1, 0);
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::new(10)))
        .unwrap();
    let (mut delivered, mut missed) = (0, 0);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100 {
        for _ in 0..random.i64(1..30) {
            service.put(key, 0, 0).unwrap();
        }
        let seen = every.poll().unwrap();
        delivered += values(&seen, key).len() as u64;
        missed += seen.update(key).unwrap().missed();
        assert_eq!(delivered + missed, service.stats().updates);
    }
    assert!(missed > 0);
}

#[test]
fn editing_a_subscription_keeps_history_and_cursor() {
    let (service, key) = filled(1, 0);
    let mut plot = service
        .subscribe(Spec::new().key(key, SinceLast::new(100)))
        .unwrap();
    for value in 0..10 {
        service.put(key, value, value).unwrap();
    }
    assert_eq!(values(&plot.poll().unwrap(), key).len(), 10);
    plot.add(key, SinceLast::new(200)).unwrap();
    assert!(plot.poll().is_none(), "nothing is seen twice");
    service.put(key, 10, 10).unwrap();
    assert_eq!(values(&plot.poll().unwrap(), key), [10]);

    drop(plot);
    let mut plot = service
        .subscribe(Spec::new().key(key, WindowByCount::new(50)))
        .unwrap();
    assert_eq!(
        values(&plot.poll().unwrap(), key),
        (0..=10).collect::<Vec<_>>()
    );
    assert!(plot.remove(key) && !plot.remove(key));
    plot.add(key, FullHistory::default()).unwrap();
    assert_eq!(values(&plot.poll().unwrap(), key).len(), 11);
}

#[test]
fn a_key_that_was_taken_out_is_not_shown_and_does_not_wake() {
    let service: DataService<u32, i64> = DataService::new();
    let (a, b) = (service.register(1).unwrap(), service.register(2).unwrap());
    let mut subscription = service
        .subscribe(Spec::new().keys([a, b], LatestValue))
        .unwrap();
    service.put(a, 1, 1).unwrap();
    assert!(subscription.remove(a));
    assert!(subscription.poll().is_none());
    let wakes = WakeCount::watch(&subscription);
    service.put(a, 2, 2).unwrap();
    assert_eq!(wakes.count(), 0);
    service.put(b, 3, 3).unwrap();
    assert_eq!(subscription.poll().unwrap().updates().len(), 1);
    assert_eq!(
        (subscription.granted(a), subscription.ids().len()),
        (None, 1)
    );
}

#[test]
fn nothing_is_kept_or_noted_for_views_that_nobody_has() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut gone = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    gone.remove(key);
    for value in 0..100 {
        service.put(key, value, value).unwrap();
    }
    assert_eq!(
        service.read(key, Requirement::Count(100)).unwrap().values(),
        [99]
    );
    assert_eq!(service.stats().wakes, 0);
}

#[test]
fn each_of_several_views_of_one_key_is_woken() {
    let (service, key) = filled(1, 0);
    let views: Vec<_> = (0..10)
        .map(|_| {
            service
                .subscribe(Spec::new().key(key, LatestValue))
                .unwrap()
        })
        .collect();
    let wakes: Vec<_> = views.iter().map(WakeCount::watch).collect();
    service.put(key, 1, 1).unwrap();
    assert!(wakes.iter().all(|wakes| wakes.count() == 1));
}

#[test]
fn a_waker_that_comes_late_is_called_at_once_and_a_replaced_one_never() {
    let (service, key) = filled(1, 0);
    let mut subscription = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    let replaced = WakeCount::watch(&subscription);
    let current = WakeCount::watch(&subscription);
    service.put(key, 1, 1).unwrap();
    let late = WakeCount::watch(&subscription);
    assert_eq!((replaced.count(), current.count(), late.count()), (0, 1, 1));

    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(subscription.poll_changed(&mut context), Poll::Ready(()));
    assert!(subscription.wait(Duration::ZERO));
    subscription.poll();
    assert_eq!(subscription.poll_changed(&mut context), Poll::Pending);
    assert!(!subscription.wait(Duration::ZERO));
}

#[test]
fn a_key_that_is_added_later_shows_what_it_holds() {
    let (service, key) = filled(3, 3);
    let mut subscription = service.subscribe(Spec::new()).unwrap();
    let wakes = WakeCount::watch(&subscription);
    subscription.add(key, SinceLast::default()).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(values(&subscription.poll().unwrap(), key), [1, 2, 3]);
}
