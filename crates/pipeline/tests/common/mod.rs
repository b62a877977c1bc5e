//! A pipeline into memory, and records for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::time::Duration;

use pipeline::{Content, Intake, Pipeline, ShortBuilder, Stats};
use record::{Record, Timestamp, Value};
use sinks::{BoxWriter, MemoryWriter, RetryPolicy, ScopeName};

pub(crate) const AGE: Duration = Duration::from_millis(500);

pub(crate) fn record(tag: &str, number: i64) -> Content {
    Ok(Record::new("PLC01", tag, Value::I64(number), Timestamp::default()).unwrap())
}

pub(crate) fn records(numbers: std::ops::Range<i64>) -> Vec<Content> {
    numbers.map(|number| record("D100", number)).collect()
}

pub(crate) fn builder(sink: &MemoryWriter) -> ShortBuilder {
    Pipeline::to(BoxWriter::new(sink.clone()))
        .flush(100, AGE)
        .retry(RetryPolicy::default().unlimited())
}

pub(crate) async fn intake(pipeline: &Pipeline) -> Intake {
    pipeline
        .intake(&ScopeName::new("plc/normal"))
        .await
        .unwrap()
}

pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

pub(crate) fn push(intake: &Intake, contents: Vec<Content>) -> usize {
    intake.push(now(), contents).unwrap().accepted
}

pub(crate) fn numbers(sink: &MemoryWriter) -> Vec<i64> {
    let number = |record: Record| match record.value {
        Value::I64(number) => number,
        other => panic!("not a whole number: {other:?}"),
    };
    sink.delivered()
        .into_iter()
        .map(|(_, _, record)| number(record))
        .collect()
}

pub(crate) fn assert_balanced(stats: &Stats) {
    assert_eq!(stats.offered, stats.accepted + stats.refused, "{stats:?}");
    assert_eq!(
        stats.accepted,
        stats.delivered + stats.dropped.total() + stats.quarantined + stats.pending,
        "{stats:?}"
    );
}
