//! How a pipeline ends, flushes on request, and speaks to people.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{assert_balanced, builder, intake, now, numbers, push, records};
use flush_policy::Reason;
use pipeline::{BufferOptions, HealthStatus, Refusal};
use sinks::MemoryWriter;

#[tokio::test(start_paused = true)]
async fn a_shutdown_drains_through_failures_and_refuses_what_comes_later() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.go_down();
    push(&intake, records(0..950));
    let later = sink.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        later.recover();
    });
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!((report.stats.delivered, report.stats.pending), (950, 0));
    assert_eq!(numbers(&sink), (0..950).collect::<Vec<_>>());
    let late = intake.push(now(), records(0..1)).unwrap();
    assert_eq!((late.accepted, late.refusal), (0, Some(Refusal::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_past_its_deadline_hands_back_what_was_not_delivered_in_order() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..100));
    tokio::time::sleep(Duration::from_millis(1)).await;
    sink.go_down();
    push(&intake, records(100..350));
    let begun = tokio::time::Instant::now();
    let report = pipeline.shutdown(Duration::from_secs(2)).await;
    // The sink is asked a few times more whether it has the last batch.
    assert!(
        begun.elapsed() <= Duration::from_millis(2500),
        "took {:?}",
        begun.elapsed()
    );
    assert_balanced(&report.stats);
    assert_eq!((report.stats.delivered, report.stats.pending), (100, 250));
    let left: Vec<u64> = report
        .undelivered
        .iter()
        .map(|row| row.position.number())
        .collect();
    assert_eq!(left, (101..=350).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn law_8_a_write_that_outlasts_the_shutdown_is_not_both_delivered_and_handed_back() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.answer_late(Duration::from_secs(60));
    let mut contents = records(0..99);
    contents.push(Err(record::Malformed::new("line 100: rubbish", b"rubbish")));
    contents.extend(records(100..130));
    push(&intake, contents);
    let report = pipeline.shutdown(Duration::from_secs(2)).await;
    assert_balanced(&report.stats);
    assert_eq!((report.stats.delivered, report.stats.quarantined), (99, 1));
    let left: Vec<u64> = report
        .undelivered
        .iter()
        .map(|row| row.position.number())
        .collect();
    assert_eq!(left, (101..=130).collect::<Vec<_>>());
    assert_eq!(sink.delivered().len(), 99);
}

#[tokio::test(start_paused = true)]
async fn a_flush_on_request_says_how_many_updates_it_settled() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).flush(100, None).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..42));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(sink.delivered().len(), 0, "the timer is off");
    assert_eq!(pipeline.flush().await.unwrap(), 42);
    assert_eq!(sink.delivered().len(), 42);
    assert_eq!(pipeline.flush().await.unwrap(), 0);
    assert_eq!(pipeline.stats().flushes.of(Reason::Manual).delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn law_8_a_stale_pipeline_stops_hands_back_and_says_why() {
    let sink = MemoryWriter::new();
    let stale = builder(&sink).start().unwrap();
    let first = intake(&stale).await;
    let fresh = builder(&sink.other_process()).start().unwrap();
    let second = intake(&fresh).await;
    push(&first, records(0..10));
    stale.wait_stopped().await;
    assert!(
        stale
            .stopped()
            .unwrap()
            .contains("opened by another writer")
    );
    assert_eq!(stale.health().score, 0);
    let report = stale.shutdown(None).await;
    assert_eq!(report.undelivered.len(), 10);
    push(&second, records(50..60));
    assert_eq!(fresh.shutdown(None).await.stats.delivered, 10);
    assert_eq!(numbers(&sink), (50..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn law_1_rows_of_another_writer_are_not_taken_for_our_own_after_a_take_over() {
    let sink = MemoryWriter::new();
    let stale = builder(&sink).start().unwrap();
    let first = intake(&stale).await;
    let fresh = builder(&sink.other_process()).start().unwrap();
    let second = intake(&fresh).await;
    // Both count from the same watermark, so these have the positions that ours will get.
    push(&second, records(50..60));
    assert_eq!(fresh.flush().await.unwrap(), 10);
    push(&first, records(0..3));
    stale.wait_stopped().await;
    let report = stale.shutdown(None).await;
    assert_balanced(&report.stats);
    assert_eq!((report.stats.delivered, report.undelivered.len()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn people_hear_of_a_failing_sink_and_of_an_overflow_once_not_per_record() {
    let sink = MemoryWriter::new();
    let options = BufferOptions {
        max_size: 100,
        ..BufferOptions::default()
    };
    let pipeline = builder(&sink).buffer(options).start().unwrap();
    let intake = intake(&pipeline).await;
    let mut heard = pipeline.notifications();
    sink.go_down();
    for number in 0..500 {
        push(&intake, records(number..number + 1));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    sink.recover();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut messages = Vec::new();
    while let Ok(notification) = heard.try_recv() {
        messages.push(notification.message);
    }
    assert_eq!(
        messages,
        [
            "400 records were dropped because the buffer is full",
            "the buffer is filling up: 80 % (80 of 100)",
            "the sink fails: the sink is down",
            "health went from healthy to degraded (44 points): overflow, buffer_high",
            "health went from degraded to critical (4 points): sink_failing, overflow, buffer_high",
            "the buffer has emptied to 0 % (0 of 100)",
            "the sink works again",
        ]
    );
    // What is lost counts for a while, and what gets better has to stay so.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(pipeline.health().status, HealthStatus::Healthy);
}
