//! The laws of the design, on a whole pipeline with a sink that fails on order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{AGE, assert_balanced, builder, intake, now, numbers, push, record, records};
use flush_policy::Reason;
use pipeline::{BufferOptions, Content, LiveData, WhenFull};
use record::{Key, Malformed, Name, Value};
use sinks::{MemoryWriter, RetryPolicy, ScopeName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_1_every_snapshot_balances_under_load_failures_and_overflow() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink)
        .flush(7, Duration::from_millis(1))
        .retry(RetryPolicy::new(
            Duration::from_micros(50),
            Duration::from_micros(200),
            None,
        ))
        .buffer(BufferOptions {
            max_size: 50,
            ..BufferOptions::default()
        })
        .start()
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = [("a", 0), ("b", 1), ("c", 2)]
        .map(|(name, kind)| {
            let pipeline = pipeline.clone();
            let runtime = tokio::runtime::Handle::current();
            let (done, sink) = (Arc::clone(&done), sink.clone());
            std::thread::spawn(move || {
                let intake = runtime
                    .block_on(pipeline.intake(&ScopeName::new(name)))
                    .unwrap();
                let mut offered = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut contents = records(0..13);
                    contents.push(Err(Malformed::new("no record", b"x")));
                    offered += contents.len() as u64;
                    if kind == 0 {
                        // It is refused or taken whole; the account knows which.
                        let _ = intake.try_push_all(now(), contents);
                    } else {
                        let _ = intake.push(now(), contents).unwrap();
                    }
                    if offered % 5 == 0 {
                        sink.fail_before_write();
                        sink.fail_after_write();
                    }
                }
                offered
            })
        })
        .into();
    for _ in 0..2000 {
        assert_balanced(&pipeline.stats());
    }
    done.store(true, Ordering::Relaxed);
    let mut offered: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    // However the threads were scheduled, the buffer does overflow and an answer does get lost.
    sink.go_down();
    sink.fail_after_write();
    let last = pipeline.intake(&ScopeName::new("last")).await.unwrap();
    let _ = last.push(now(), records(0..100)).unwrap();
    offered += 100;
    assert_balanced(&pipeline.stats());
    sink.recover();
    let report = pipeline.shutdown(Duration::from_secs(30)).await;
    assert_balanced(&report.stats);
    assert_eq!(report.stats.offered, offered);
    assert_eq!(report.stats.pending, 0);
    assert_eq!(report.stats.delivered, sink.delivered().len() as u64);
    assert_eq!(report.stats.quarantined, sink.quarantined().len() as u64);
    assert!(
        report.stats.dropped.drop_oldest > 0,
        "the buffer did overflow"
    );
    assert!(report.stats.sink.repeated > 0, "answers were lost");
}

#[tokio::test(start_paused = true)]
async fn law_1_an_eviction_is_never_counted_as_a_delivery() {
    let sink = MemoryWriter::new();
    sink.go_down();
    let options = BufferOptions {
        max_size: 100,
        ..BufferOptions::default()
    };
    let pipeline = builder(&sink).buffer(options).start().unwrap();
    let intake = intake(&pipeline).await;
    assert_eq!(push(&intake, records(0..1000)), 1000);
    let stats = pipeline.stats();
    assert_balanced(&stats);
    assert_eq!(
        (stats.delivered, stats.dropped.drop_oldest, stats.pending),
        (0, 900, 100)
    );
}

#[tokio::test(start_paused = true)]
async fn law_5_timers_do_not_wait_for_arrivals() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    for round in 1..=3 {
        push(&intake, records(0..1));
        tokio::time::sleep(AGE - Duration::from_millis(2)).await;
        assert_eq!(sink.delivered().len(), round - 1, "not before its age");
        tokio::time::sleep(Duration::from_millis(4)).await;
        assert_eq!(
            sink.delivered().len(),
            round,
            "at its age, though nothing else arrived"
        );
        // A quiet hour in between: the first item after it is not flushed alone at once.
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    assert_eq!(pipeline.stats().flushes.of(Reason::Age).delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn law_5_a_trickle_does_not_postpone_and_a_failed_flush_does_not_stop_the_next() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.fail_before_write();
    for number in 0..100 {
        push(&intake, records(number..number + 1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stats = pipeline.stats();
    assert_eq!(
        (stats.flushes.of(Reason::Age).failed, stats.sink.retries),
        (1, 1)
    );
    assert!(
        stats.flushes.of(Reason::Age).delivered >= 2,
        "{:?}",
        stats.flushes
    );
    let p99 = Duration::from_secs_f64(stats.latency_ms.max / 1000.0);
    assert!(
        p99 <= AGE + Duration::from_millis(130),
        "waited {p99:?}, with one retry of 100 ms"
    );
}

#[tokio::test(start_paused = true)]
async fn law_6_order_is_kept_through_every_retry_and_law_7_a_retry_repeats_the_same_batch() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    for number in 0..10 {
        sink.fail_before_write();
        sink.fail_after_write();
        push(&intake, records(number * 100..number * 100 + 100));
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    assert_eq!(numbers(&sink), (0..1000).collect::<Vec<_>>());
    assert_eq!(report.stats.delivered, 1000);
    let attempts = sink.attempts();
    assert!(
        attempts.is_sorted(),
        "a later batch never overtakes one that is retried"
    );
    let mut ids = attempts.clone();
    ids.dedup();
    assert_eq!(ids.len(), 10, "each batch has one id: {attempts:?}");
    assert_eq!(attempts.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn law_8_a_lost_answer_writes_nothing_twice() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.fail_after_write();
    let mut contents = records(0..50);
    contents.push(Err(Malformed::new("line 51: rubbish", b"rubbish")));
    push(&intake, contents);
    let report = pipeline.shutdown(None).await;
    assert_eq!(numbers(&sink), (0..50).collect::<Vec<_>>());
    assert_eq!((report.stats.delivered, report.stats.quarantined), (50, 1));
    assert_eq!(report.stats.sink.repeated, 51);
    assert_eq!(sink.quarantined().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn law_2_a_full_buffer_refuses_or_drops_by_its_policy_and_says_so() {
    let table = [
        (WhenFull::Reject, (10, 5, 0, 0)),
        (WhenFull::DropNewest, (15, 0, 0, 5)),
        (WhenFull::DropOldest, (15, 0, 5, 0)),
        (WhenFull::Block(Duration::ZERO), (10, 5, 0, 0)),
    ];
    for (policy, expected) in table {
        let sink = MemoryWriter::new();
        let options = BufferOptions {
            max_size: 10,
            policy,
            ..BufferOptions::default()
        };
        let pipeline = builder(&sink).buffer(options).start().unwrap();
        let intake = intake(&pipeline).await;
        let _ = intake.push(now(), records(0..15)).unwrap();
        let stats = pipeline.stats();
        assert_balanced(&stats);
        let dropped = stats.dropped;
        assert_eq!(
            (
                stats.accepted,
                stats.refused,
                dropped.drop_oldest,
                dropped.drop_newest
            ),
            expected,
            "{policy:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_stored_and_shown_or_refused_never_one_without_the_other() {
    let sink = MemoryWriter::new();
    let live: LiveData = LiveData::builder()
        .keys_max(2)
        .depth_default(100)
        .build()
        .unwrap();
    let options = BufferOptions {
        max_size: 10,
        policy: WhenFull::Reject,
        ..BufferOptions::default()
    };
    let pipeline = builder(&sink)
        .buffer(options)
        .live(live.clone())
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    let key = |tag: &str| Key {
        source: Name::new("source", "PLC01").unwrap(),
        tag: Name::new("tag", tag).unwrap(),
    };
    let commits = live.commit_seq();
    push(
        &intake,
        vec![record("D1", 1), record("D2", 2), record("D1", 3)],
    );
    assert_eq!(
        live.commit_seq().number(),
        commits.number() + 1,
        "a poll is one transaction"
    );
    assert_eq!(live.get(&key("D1")).unwrap().value, Value::I64(3));

    // A third key cannot be shown, so nothing of this call is stored.
    let error = intake
        .push(now(), vec![record("D1", 4), record("D3", 5)])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the records have new keys: cannot register another key: 2 of at most 2 are registered"
    );
    assert_eq!(live.get(&key("D1")).unwrap().value, Value::I64(3));

    // Twelve do not fit: all or none for one call, a prefix for the other.
    assert!(
        intake
            .try_push_all(now(), records_of("D1", 100..112))
            .is_err()
    );
    assert_eq!(live.get(&key("D1")).unwrap().value, Value::I64(3));
    assert_eq!(push(&intake, records_of("D1", 100..112)), 7);
    assert_eq!(live.get(&key("D1")).unwrap().value, Value::I64(106));

    let report = pipeline.shutdown(None).await;
    assert_balanced(&report.stats);
    assert_eq!(
        (report.stats.refused, report.stats.delivered),
        (2 + 12 + 5, 10)
    );
    let positions: Vec<u64> = sink
        .delivered()
        .iter()
        .map(|(_, position, _)| position.number())
        .collect();
    assert_eq!(
        positions,
        (1..=10).collect::<Vec<_>>(),
        "a refusal leaves no gap"
    );
}

fn records_of(tag: &str, numbers: std::ops::Range<i64>) -> Vec<Content> {
    numbers.map(|number| record(tag, number)).collect()
}
