//! Within one push, the most urgent records do not wait for the room of others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{assert_balanced, now};
use pipeline::{Content, LaneSpec, Pipeline, Refusal, SinkSpec, WhenFull};
use record::{Priority, Record, Timestamp, Value};
use sinks::{BoxWriter, MemoryWriter, RetryPolicy, ScopeName};

fn of(priority: Priority, number: i64) -> Content {
    let mut record = Record::new("PLC01", "D1", Value::I64(number), Timestamp::default()).unwrap();
    record.priority = Some(priority);
    Ok(record)
}

#[tokio::test]
async fn a_critical_record_is_taken_before_the_low_ones_of_its_push_wait_for_room() {
    let sink = MemoryWriter::new();
    let low = LaneSpec::new(Priority::Low).size(1);
    let low = low.when_full(WhenFull::Block(Duration::from_secs(600)));
    let spec = SinkSpec::new("sink", BoxWriter::new(sink.clone()));
    let spec = spec.retry(RetryPolicy::default().unlimited());
    let pipeline = Pipeline::builder()
        .sink(spec.lanes([LaneSpec::new(Priority::Critical), low]))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    sink.go_down();
    let pushing = std::thread::spawn(move || {
        let rows = [Priority::Low, Priority::Low, Priority::Critical];
        let rows = rows.into_iter().zip(0..);
        let rows = rows.map(|(priority, number)| of(priority, number));
        intake.push(now(), rows.collect()).unwrap()
    });
    let accepted = |priority| {
        let stats = pipeline.stats();
        let lanes = stats.routes[0].lanes.iter();
        let mut own = lanes.filter(|lane| lane.lane == priority);
        own.next().unwrap().totals.accepted
    };
    let both = async {
        while (accepted(Priority::Critical), accepted(Priority::Low)) != (1, 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert!(!pushing.is_finished(), "the second low one waits");
    let report = pipeline.shutdown(Duration::ZERO).await;
    let pushed = pushing.join().unwrap();
    within.unwrap();
    assert_eq!(
        (pushed.accepted, pushed.refusal, &pushed.refused[..]),
        (2, Some(Refusal::Closed), &[1][..])
    );
    assert_balanced(&report.stats);
}
