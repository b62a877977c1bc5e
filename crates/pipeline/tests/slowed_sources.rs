//! A lane that fills up slows the sources that can be slowed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;
use std::time::Duration;

use common::assert_balanced;
use pipeline::source::NdjsonReader;
use pipeline::{BufferOptions, Pipeline, WhenFull, feed};
use record::Position;
use sinks::{BoxWriter, MemoryWriter, ScopeName};

/// The lines of a file with so many readings.
fn lines(count: usize) -> String {
    (1..=count)
        .map(|n| format!("{{\"source\": \"s\", \"tag\": \"t\", \"value\": {n}}}\n"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_pauses_while_a_lane_is_past_its_high_mark_and_nothing_is_lost() {
    let sink = MemoryWriter::new();
    // Dropping is the policy; but a reader that waits gives it nothing to drop.
    let buffer = BufferOptions {
        max_size: 2_000,
        policy: WhenFull::DropOldest,
        ..BufferOptions::default()
    };
    let pipeline = Pipeline::to(BoxWriter::new(sink.clone()))
        .buffer(buffer)
        .flush(100, Duration::from_millis(20))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("file")).await.unwrap();
    sink.go_down();
    let reading = std::thread::spawn({
        let intake = intake.clone();
        move || {
            let text = lines(20_000);
            let mut reader = NdjsonReader::new(text.as_bytes(), Position::START);
            feed(&mut reader, &intake, Duration::from_secs(60), |_| {
                ControlFlow::Continue(())
            })
        }
    });
    while !intake.is_high() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // However long the sink is away, no more than one chunk comes in above the mark.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stats = pipeline.stats();
    assert!(
        stats.routes[0].lanes[0].high && stats.pending < 2_000 + 1,
        "{stats:?}"
    );
    assert_eq!(stats.dropped.total(), 0, "{stats:?}");
    sink.recover();
    let report = tokio::task::spawn_blocking(move || reading.join().unwrap());
    let report = report.await.unwrap();
    assert!(
        report.error.is_none() && report.progress.items == 20_000,
        "{report:?}"
    );
    let end = pipeline.shutdown(Duration::from_secs(30)).await;
    assert_balanced(&end.stats);
    assert_eq!(
        (end.stats.delivered, end.stats.dropped.total()),
        (20_000, 0)
    );
}
