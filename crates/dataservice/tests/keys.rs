//! Keys, the mapping view, one-off reads, and how histories shrink.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::time::{Duration, Instant};

use common::values;
use dataservice::{
    CommitSeq, DataService, KeyId, LatestValue, Refusal, RegisterError, Requirement, SinceLast,
    Spec, WindowByCount,
};

#[test]
fn keys_are_interned_to_dense_ids_and_new_ones_can_be_followed() {
    let service: DataService<String, i64> = DataService::new();
    let a = service.register("a".into()).unwrap();
    let b = service.register("b".into()).unwrap();
    assert_eq!((a, b), (KeyId::FIRST, KeyId::FIRST.next()));
    assert_eq!(service.register("a".into()).unwrap(), a);
    assert_eq!(
        (service.id("b"), service.id("c"), service.key(b)),
        (Some(b), None, Some("b".into()))
    );
    assert_eq!(service.keys_len(), 2);

    let seen = service.keys_from(KeyId::FIRST).last().unwrap().0;
    assert_eq!(service.keys_from(seen.next()), []);
    let c = service.register("c".into()).unwrap();
    assert_eq!(service.keys_from(seen.next()), [(c, "c".to_owned())]);
}

#[test]
fn law_2_keys_have_a_cap_that_removal_does_not_evade() {
    let service: DataService<u32, String> = DataService::builder().keys_max(2).build().unwrap();
    let first = service.register(1).unwrap();
    service.insert(2, 0, "two".into()).unwrap();
    assert_eq!(
        service.register(3),
        Err(RegisterError::KeyLimit { limit: 2 })
    );
    let error = service.insert(3, 0, "three".into()).unwrap_err();
    assert_eq!(
        (error.value.as_str(), error.refusal),
        (
            "three",
            Refusal::Register(RegisterError::KeyLimit { limit: 2 })
        )
    );
    assert_eq!(
        error.to_string(),
        "cannot register another key: 2 of at most 2 are registered"
    );
    service.remove(&2);
    assert!(service.register(3).is_err());
    assert_eq!(
        service.register(1),
        Ok(first),
        "known keys are always found"
    );
}

#[test]
fn the_mapping_shows_the_newest_value_of_each_key() {
    let service: DataService<&str, i64> = DataService::new();
    let silent = service.register("silent").unwrap();
    service.insert("b", 1, 10).unwrap();
    service.insert("a", 2, 20).unwrap();
    service.insert("b", 3, 11).unwrap();
    assert_eq!(
        (service.get("b"), service.get("silent"), service.get("none")),
        (Some(11), None, None)
    );
    assert!(service.contains("a") && !service.contains("silent") && !service.contains("none"));
    assert_eq!(service.iter().collect::<Vec<_>>(), [("b", 11), ("a", 20)]);
    assert_eq!(
        (service.len(), service.keys_len(), service.key(silent)),
        (2, 3, Some("silent"))
    );
}

#[test]
fn a_removed_key_is_shown_as_empty_and_comes_back_with_its_id_and_numbers() {
    let service: DataService<&str, i64> = DataService::new();
    let key = service.register("k").unwrap();
    let mut latest = service
        .subscribe(Spec::new().key(key, LatestValue))
        .unwrap();
    let mut every = service
        .subscribe(Spec::new().key(key, SinceLast::default()))
        .unwrap();
    service.put_many(key, [(1, 1), (2, 2), (3, 3)]).unwrap();
    latest.poll();
    assert_eq!((service.remove("k"), service.remove("k")), (Some(3), None));
    assert_eq!(
        service.commit_seq(),
        CommitSeq::from_number(2),
        "removing nothing is no commit"
    );

    let seen = latest.poll().unwrap();
    assert!(values(&seen, key).is_empty() && seen.update(key).unwrap().range().is_empty());
    let seen = every.poll().unwrap();
    assert_eq!(
        (values(&seen, key).len(), seen.update(key).unwrap().missed()),
        (0, 3)
    );

    service.insert("k", 4, 4).unwrap();
    let seen = every.poll().unwrap();
    assert_eq!(seen.update(key).unwrap().range().start.number(), 4);
    assert_eq!((values(&seen, key), service.id("k")), (vec![4], Some(key)));
}

#[test]
fn a_one_off_read_needs_no_subscription() {
    let service: DataService<&str, i64> = DataService::builder().depth_default(10).build().unwrap();
    let key = service.register("k").unwrap();
    for value in 1..=15 {
        service.put(key, value * 100, value).unwrap();
    }
    let check = |requirement, expected: std::ops::RangeInclusive<i64>| {
        let view = service.read(key, requirement).unwrap();
        assert_eq!(
            view.values(),
            expected.clone().collect::<Vec<_>>(),
            "{requirement:?}"
        );
        assert_eq!((view.missed(), view.commit_seq().number()), (0, 15));
        assert_eq!(view.range().start.number(), *expected.start() as u64);
        assert_eq!(view.times_us()[0], expected.start() * 100);
    };
    check(Requirement::Latest, 15..=15);
    check(Requirement::Count(4), 12..=15);
    check(Requirement::Count(99), 6..=15);
    check(
        Requirement::Span {
            span: Duration::from_micros(300),
            count_max: None,
        },
        13..=15,
    );
    check(
        Requirement::Span {
            span: Duration::MAX,
            count_max: Some(2),
        },
        14..=15,
    );
    check(
        Requirement::All {
            count_max: 5,
            bytes_max: 1 << 20,
        },
        11..=15,
    );
    check(Requirement::Since { count_max: 100 }, 6..=15);
    assert!(service.read(key, Requirement::Count(0)).unwrap().is_empty());
}

struct Shrinking {
    service: DataService<&'static str, i64>,
    key: KeyId,
    start: Instant,
}

impl Shrinking {
    /// A history that a window of 100 made deep, and that is full.
    fn new() -> Self {
        let service: DataService<&str, i64> = DataService::builder()
            .shrink_after(Duration::from_secs(30))
            .build()
            .unwrap();
        let key = service.register("k").unwrap();
        let deep = service
            .subscribe(Spec::new().key(key, WindowByCount::new(100)))
            .unwrap();
        for value in 0..100 {
            service.put(key, value, value).unwrap();
        }
        drop(deep);
        Self {
            service,
            key,
            start: Instant::now(),
        }
    }

    fn len_after(&self, seconds: u64) -> usize {
        self.service
            .maintain(self.start + Duration::from_secs(seconds));
        self.service
            .read(self.key, Requirement::Count(1_000))
            .unwrap()
            .len()
    }

    fn window(&self, count: usize) -> dataservice::Subscription<i64> {
        self.service
            .subscribe(Spec::new().key(self.key, WindowByCount::new(count)))
            .unwrap()
    }
}

#[test]
fn law_4_time_comes_in_and_a_history_shrinks_only_after_the_grace_period() {
    let case = Shrinking::new();
    assert_eq!(case.len_after(0), 100, "leaving wipes nothing");
    assert_eq!(case.len_after(29), 100);
    assert_eq!(case.len_after(30), 1, "the newest value stays");
    assert_eq!(case.service.get("k"), Some(99));
    assert_eq!(case.len_after(1_000), 1);
}

#[test]
fn a_subscriber_that_returns_restarts_the_grace_period() {
    let case = Shrinking::new();
    assert_eq!(case.len_after(0), 100);
    let back = case.window(90);
    assert_eq!(case.len_after(40), 100);
    drop(back);
    assert_eq!(case.len_after(41), 100);
    drop(case.window(90));
    assert_eq!(case.len_after(80), 100);
    assert_eq!(case.len_after(109), 100);
    assert_eq!(case.len_after(110), 1);
}

#[test]
fn a_history_shrinks_to_what_is_still_needed_and_only_from_four_times_that() {
    let case = Shrinking::new();
    let half = case.window(26);
    assert_eq!(case.len_after(0), 100);
    assert_eq!(case.len_after(100), 100, "26 is more than a quarter");
    let quarter = case.window(25);
    drop(half);
    assert_eq!(case.len_after(200), 100);
    assert_eq!(case.len_after(230), 25);
    drop(quarter);
    assert_eq!(case.len_after(300), 25);
    assert_eq!(case.len_after(330), 1);
}

#[test]
fn replacing_a_greedy_extractor_lets_the_history_shrink() {
    let case = Shrinking::new();
    let mut plot = case.window(80);
    plot.add(case.key, LatestValue).unwrap();
    assert_eq!(case.len_after(0), 100);
    assert_eq!(case.len_after(30), 1);
}

#[test]
fn a_clock_that_jumps_back_only_delays() {
    let case = Shrinking::new();
    assert_eq!(case.len_after(1_000), 100);
    assert_eq!(case.len_after(0), 100);
    assert_eq!(case.len_after(1_030), 1);
}

#[test]
fn each_service_has_its_own_instance() {
    let (one, other) = (
        DataService::<u32, i64>::new(),
        DataService::<u32, i64>::new(),
    );
    assert_ne!(one.instance(), other.instance());
    assert_eq!(one.instance(), one.clone().instance());
    assert_eq!(one.instance().to_string().len(), 16);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder = DataService::<u32, i64>::builder;
    let error = builder().depth_default(0).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "depth_default is 0, allowed is 1 to 100000"
    );
    let error = builder()
        .depth_max(10)
        .depth_default(11)
        .build()
        .unwrap_err();
    assert_eq!((error.setting, error.max), ("depth_default", 10));
    assert!(builder().transaction_updates_max(0).build().is_err());
    assert!(builder().subscribers_max(0).build().is_err());
    assert!(builder().span_count_max(0).build().is_err());
}
