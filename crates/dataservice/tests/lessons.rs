//! The lessons of systems of this kind that were not tested elsewhere, one test per line.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{WakeCount, values};
use dataservice::{
    DataService, FeedSpec, FullHistory, KeyId, LatestValue, Requirement, ResumePoint, Resumed,
    Schema, SinceLast, Spec, WindowByCount, WindowByDuration,
};

type Numbers = DataService<&'static str, i64>;

fn numbers() -> (Numbers, KeyId) {
    let service = DataService::new();
    let id = service.register("speed").unwrap();
    (service, id)
}

fn ascending(range: std::ops::Range<i64>) -> impl Iterator<Item = (i64, i64)> {
    range.map(|number| (number, number))
}

#[test]
fn lesson_20_30_40_are_seen_by_who_wants_every_update_and_40_by_who_wants_the_newest() {
    let (service, id) = numbers();
    let mut dial = service.subscribe(Spec::new().key(id, LatestValue)).unwrap();
    let mut log = service
        .subscribe(Spec::new().key(id, SinceLast::default()))
        .unwrap();
    let mut feed = service.feed(FeedSpec::all()).unwrap();
    service.put_many(id, [(1, 20), (2, 30), (3, 40)]).unwrap();
    assert_eq!(values(&dial.poll().unwrap(), id), [40]);
    assert_eq!(values(&log.poll().unwrap(), id), [20, 30, 40]);
    let batch = feed.poll().unwrap();
    assert!(batch.iter().map(|update| update.value).eq([20, 30, 40]));
    assert_eq!(service.stats().wakes, 3, "each was woken once");
}

/// Commits of `size` updates each, polled after each: the window's account, and that of every
/// update.
fn window_and_cursor(size: i64) -> (u64, usize, Vec<i64>) {
    let (service, id) = numbers();
    let mut window = service
        .subscribe(Spec::new().key(id, WindowByCount::new(100)))
        .unwrap();
    let mut every = service
        .subscribe(Spec::new().key(id, SinceLast::new(1_000)))
        .unwrap();
    let (mut shown, mut seen) = (0, Vec::new());
    for commit in 0..10 {
        let first = commit * size;
        service
            .put_many(id, ascending(first..first + size))
            .unwrap();
        shown += values(&window.poll().unwrap(), id).len();
        seen.extend(values(&every.poll().unwrap(), id));
    }
    (window.stats().missed, shown, seen)
}

#[test]
fn lesson_a_window_is_no_cursor_of_150_updates_a_window_of_100_misses_a_third_and_says_so() {
    let (missed, shown, seen) = window_and_cursor(150);
    assert_eq!((missed, shown), (500, 1_000));
    assert!(seen.into_iter().eq(0..1_500), "every update exactly once");
}

#[test]
fn lesson_a_window_is_no_cursor_of_50_updates_a_window_of_100_shows_most_twice() {
    let (missed, shown, seen) = window_and_cursor(50);
    assert_eq!((missed, shown), (0, 950));
    assert!(seen.into_iter().eq(0..500), "every update exactly once");
}

#[test]
fn lesson_sizes_are_bytes_too_and_who_asked_for_more_is_told() {
    let service: DataService<&str, [f64; 64]> = DataService::builder()
        .key_bytes_max(52_000)
        .build()
        .unwrap();
    let frames = service.register("frames").unwrap();
    let spec = Spec::new().key(frames, WindowByCount::new(10_000));
    let window = service.subscribe(spec).unwrap();
    let granted = window.granted(frames).unwrap();
    // A frame takes 512 bytes and its time 8.
    assert_eq!((granted.asked, granted.depth), (10_000, 100));
    assert!(granted.is_cut() && granted.bytes <= 52_000);
    let spec = Spec::new().key(frames, FullHistory::new(10_000, 5_200));
    let capped = service.subscribe(spec).unwrap();
    assert_eq!(capped.granted(frames).unwrap().depth, 10);
    for time_us in 0..1_000 {
        service.put(frames, time_us, [0.5; 64]).unwrap();
    }
    assert_eq!(service.key_stats(frames).unwrap().values, 100);
}

#[test]
fn lesson_little_memory_cuts_histories_tells_their_readers_and_keeps_the_newest() {
    let service: DataService<u32, String> = DataService::builder()
        .memory_max(100_000)
        .weigh(String::len)
        .build()
        .unwrap();
    let ids = service.register_all((0..4).collect()).unwrap();
    let spec = Spec::new().keys(ids.iter().copied(), WindowByCount::new(1_000));
    let mut window = service.subscribe(spec).unwrap();
    let mut told = std::collections::HashSet::new();
    for time_us in 0..4_000 {
        for id in &ids {
            service.put(*id, time_us, "x".repeat(50)).unwrap();
        }
        assert!(service.stats().bytes <= 100_000);
        told.extend(window.poll().unwrap().revised().to_vec());
    }
    assert_eq!(told.len(), ids.len());
    for id in &ids {
        let granted = window.granted(*id).unwrap();
        assert!(granted.is_cut() && granted.depth >= 1);
        assert!(service.key_stats(*id).unwrap().values >= 1);
    }
    // What a value weighs beyond all memory is refused, and nothing else is lost by it.
    let error = service.put(ids[0], 0, "x".repeat(200_000)).unwrap_err();
    assert!(error.to_string().contains("memory_max"), "{error}");
    assert_eq!(service.len(), 4);
}

#[test]
fn lesson_a_full_buffer_with_an_unbounded_window_goes_on() {
    let service: Numbers = DataService::builder().depth_max(1_000).build().unwrap();
    let id = service.register("speed").unwrap();
    let spec = Spec::new().key(id, FullHistory::new(usize::MAX, usize::MAX));
    let mut all = service.subscribe(spec).unwrap();
    for number in 0..3_000_i64 {
        service.put(id, number, number).unwrap();
        let first = (number - 999).max(0);
        let seen = values(&all.poll().unwrap(), id);
        assert!(seen.into_iter().eq(first..=number), "at {number}");
    }
    let stats = all.stats();
    assert_eq!((stats.delivered, stats.missed), (3_000, 0));
}

#[test]
fn lesson_an_edited_subscription_keeps_its_history_and_an_abandoned_one_does_not() {
    let (service, id) = numbers();
    let spec = || Spec::new().key(id, WindowByCount::new(1_000));
    let window = service.subscribe(spec()).unwrap();
    service.put_many(id, ascending(0..1_000)).unwrap();
    let start = Instant::now();
    drop(window);
    service.maintain(start);
    service.maintain(start + Duration::from_secs(29));
    let mut again = service.subscribe(spec()).unwrap();
    assert_eq!(values(&again.poll().unwrap(), id).len(), 1_000);
    // The grace period begins anew.
    service.maintain(start + Duration::from_secs(31));
    drop(again);
    service.maintain(start + Duration::from_secs(32));
    assert_eq!(service.key_stats(id).unwrap().values, 1_000);
    let maintained = service.maintain(start + Duration::from_secs(62));
    assert_eq!((maintained.histories, maintained.displaced), (1, 999));
    assert_eq!(service.get("speed"), Some(999));
    assert_eq!(service.key_stats(id).unwrap().depth, 1);
}

#[test]
fn lesson_a_history_that_a_span_reads_does_not_stay_deep_for_another_who_left() {
    let (service, id) = numbers();
    let spec = Spec::new().key(id, WindowByCount::new(10_000));
    let deep = service.subscribe(spec).unwrap();
    let span = WindowByDuration::new(Duration::from_micros(100));
    let _span = service.subscribe(Spec::new().key(id, span)).unwrap();
    service.put_many(id, ascending(0..10_000)).unwrap();
    drop(deep);
    let start = Instant::now();
    service.maintain(start);
    service.maintain(start + Duration::from_secs(31));
    let depth = service.key_stats(id).unwrap().depth;
    assert!((100..=400).contains(&depth), "{depth}");
}

#[test]
fn lesson_a_span_grows_with_its_values_also_after_a_clear() {
    let (service, id) = numbers();
    let span = WindowByDuration::new(Duration::from_micros(1_000));
    let mut window = service.subscribe(Spec::new().key(id, span)).unwrap();
    for _ in 0..2 {
        service.put_many(id, ascending(0..2_000)).unwrap();
        let seen = values(&window.poll().unwrap(), id).len();
        assert!((999..=1_001).contains(&seen), "{seen}");
        service.clear(&[id]);
        assert!(window.poll().unwrap().update(id).unwrap().is_cleared());
    }
}

#[test]
fn lesson_no_notification_is_stranded_by_an_error_or_a_panic_in_a_transaction() {
    let (service, id) = numbers();
    let mut dial = service.subscribe(Spec::new().key(id, LatestValue)).unwrap();
    let wakes = WakeCount::watch(&dial);
    let unknown = id.next();
    let mut transaction = service.begin();
    transaction.put(id, 1, 1).unwrap();
    transaction.put(unknown, 1, 1).unwrap_err();
    drop(transaction);
    let failing = AssertUnwindSafe(|| {
        let mut transaction = service.begin();
        let mut savepoint = transaction.begin();
        savepoint.put(id, 2, 2).unwrap();
        panic!("of the one who writes");
    });
    assert!(catch_unwind(failing).is_err());
    assert!(wakes.count() == 0 && dial.poll().is_none());
    service.put(id, 3, 3).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(values(&dial.poll().unwrap(), id), [3]);
}

#[test]
fn lesson_a_change_of_shape_never_clears() {
    #[expect(clippy::ptr_arg, reason = "the values of the service are vectors")]
    fn shape(value: &Vec<u8>) -> Schema {
        Schema::single(if value.len() == 1 { "one" } else { "more" })
    }
    let service: DataService<&str, Vec<u8>> =
        DataService::builder().describe(shape).build().unwrap();
    let id = service.register("image").unwrap();
    let spec = Spec::new().key(id, WindowByCount::new(10));
    let mut window = service.subscribe(spec).unwrap();
    for time_us in 0..3 {
        service.put(id, time_us, vec![0]).unwrap();
    }
    service.put(id, 3, vec![0, 0]).unwrap();
    assert_eq!(values(&window.poll().unwrap(), id).len(), 4);
    let view = service.read(id, Requirement::Count(10)).unwrap();
    assert_eq!(view.generation().number(), 1, "it says so");
    assert_eq!((view.len(), view.uniform().len()), (4, 1));
}

#[test]
fn lesson_a_time_from_the_future_does_not_pin_a_window() {
    let (service, id) = numbers();
    let span = WindowByDuration::new(Duration::from_micros(10));
    let mut window = service.subscribe(Spec::new().key(id, span)).unwrap();
    service.put_many(id, ascending(0..100)).unwrap();
    service.put(id, 1_000_000_000, -1).unwrap();
    service.put_many(id, ascending(100..120)).unwrap();
    let seen = values(&window.poll().unwrap(), id);
    assert!(seen.contains(&119) && seen.contains(&110), "{seen:?}");
    assert!(seen.len() < 40, "{seen:?}");
}

#[test]
fn lesson_a_window_of_five_periods_holds_five_frames_whatever_the_clock_does() {
    let (service, id) = numbers();
    let span = WindowByDuration::new(Duration::from_micros(5_000));
    let mut window = service.subscribe(Spec::new().key(id, span)).unwrap();
    for number in 0..200_i64 {
        let jitter = [0, 120, -90, 40, -130][number as usize % 5];
        service.put(id, number * 1_000 + jitter, number).unwrap();
        let seen = values(&window.poll().unwrap(), id);
        if number > 10 {
            assert_eq!(seen.len(), 5, "at {number}");
        }
    }
}

#[test]
fn lesson_a_view_that_nobody_sees_costs_no_wake_and_loses_nothing_that_is_kept() {
    let (service, id) = numbers();
    let mut hidden = service
        .subscribe(Spec::new().key(id, SinceLast::new(100)))
        .unwrap();
    let wakes = WakeCount::watch(&hidden);
    hidden.pause();
    for number in 0..150 {
        service.put(id, number, number).unwrap();
        assert!(!hidden.wait(Duration::ZERO) && hidden.poll().is_none());
    }
    assert_eq!((wakes.count(), service.stats().wakes), (0, 0));
    hidden.unpause();
    let seen = hidden.poll().unwrap();
    assert!(values(&seen, id).into_iter().eq(50..150));
    assert_eq!(seen.update(id).unwrap().missed(), 50);
}

#[test]
fn lesson_a_paused_view_learns_of_a_key_that_was_cleared() {
    let (service, id) = numbers();
    let mut hidden = service.subscribe(Spec::new().key(id, LatestValue)).unwrap();
    service.put(id, 1, 1).unwrap();
    assert!(hidden.poll().is_some());
    hidden.pause();
    service.clear(&[id]);
    hidden.unpause();
    assert!(hidden.poll().unwrap().update(id).unwrap().is_cleared());
    assert!(hidden.poll().is_none());
}

#[test]
fn law_1_every_committed_update_is_delivered_missed_or_pending_also_of_a_closed_one() {
    let (service, id) = numbers();
    let spec = Spec::new()
        .key(id, SinceLast::new(10))
        .backpressure(dataservice::Backpressure::Disconnect);
    let mut reader = service.subscribe(spec).unwrap();
    service.put_many(id, ascending(0..5)).unwrap();
    assert!(reader.poll().is_some());
    service.put_many(id, ascending(5..30)).unwrap();
    service.maintain(Instant::now());
    assert!(reader.closed().is_some() && reader.poll().is_none());
    service.put_many(id, ascending(30..40)).unwrap();
    let stats = reader.stats();
    assert_eq!(
        (stats.committed, stats.delivered, stats.missed),
        (30, 5, 25)
    );
    assert!(
        reader.add(id, LatestValue).is_err(),
        "nothing is added to it"
    );
}

#[test]
fn law_1_a_feed_that_was_closed_keeps_its_account_and_costs_nothing() {
    let (service, id) = numbers();
    let spec = FeedSpec::all()
        .updates_max(10)
        .backpressure(dataservice::Backpressure::Disconnect);
    let mut feed = service.feed(spec).unwrap();
    for _ in 0..2 {
        service.put_many(id, ascending(0..3_000)).unwrap();
    }
    assert!(feed.poll().is_none() && feed.closed().is_some());
    service.put_many(id, ascending(0..3_000)).unwrap();
    let stats = feed.stats();
    assert_eq!((stats.committed, stats.missed), (6_000, 6_000));
    assert_eq!(service.stats().log_updates, 0);
}

#[test]
fn law_6_feeds_and_cursors_keep_the_order_of_commits() {
    let service: DataService<u32, i64> = DataService::new();
    let ids = service.register_all((0..3).collect()).unwrap();
    let mut feed = service.feed(FeedSpec::all()).unwrap();
    let expected: Vec<(KeyId, i64)> = (0..5_000).map(|n| (ids[n as usize % 3], n)).collect();
    for chunk in expected.chunks(7) {
        let mut transaction = service.begin();
        for (id, number) in chunk {
            // Event times do not matter for the order.
            transaction.put(*id, -number, *number).unwrap();
        }
        transaction.commit().unwrap();
    }
    let batch = feed.poll().unwrap();
    let seen = batch.iter().map(|update| (update.id, update.value));
    assert!(seen.eq(expected));
}

#[test]
fn who_resumes_twice_without_a_poll_sees_every_update_once() {
    let service: Numbers = DataService::builder().resume_updates(100).build().unwrap();
    let id = service.register("speed").unwrap();
    let spec = || Spec::new().key(id, SinceLast::new(100));
    service.put_many(id, ascending(0..5)).unwrap();
    let _keeps_it_deep = service.subscribe(spec()).unwrap();
    let mut point = ResumePoint {
        instance: service.instance(),
        commit_seq: service.commit_seq(),
    };
    service.put_many(id, ascending(5..9)).unwrap();
    for _ in 0..2 {
        let resumed = service.resume(spec(), point).unwrap();
        let Resumed::Continued(subscription) = resumed else {
            panic!("it is remembered");
        };
        point.commit_seq = subscription.commit_seq();
    }
    let mut last = service.resume(spec(), point).unwrap().into_inner();
    assert_eq!(values(&last.poll().unwrap(), id), [5, 6, 7, 8]);
}
