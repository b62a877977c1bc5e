//! Routes that merge: records that come before their scope is open, what is handed back while a
//! sink holds a batch, and lanes that cannot merge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{AGE, assert_balanced};
use flush_policy::FlushSpec;
use parking_lot::Mutex;
use pipeline::{CoalesceAggregate, CoalesceSpec, LaneSpec, Outcome, Pipeline, Plan};
use pipeline::{Report, RouteSpec, Sender, SinkSpec};
use record::{Priority, Record, Timestamp, Value};
use sinks::{Batch, BatchWriter, BoxWriter, MemoryWriter, Receipt, WriteError};

const SOON: Duration = Duration::from_millis(20);

fn record(tag: &str, number: i64) -> Record {
    Record::new("PLC01", tag, Value::I64(number), Timestamp::default()).unwrap()
}

fn lane(flush: FlushSpec) -> LaneSpec {
    LaneSpec::new(Priority::Normal).flush(flush)
}

fn merging(writer: BoxWriter, flush: FlushSpec, aggregate: CoalesceAggregate) -> Pipeline {
    Pipeline::builder()
        .sink(SinkSpec::new("a", writer).lanes([lane(flush)]))
        .route(RouteSpec::to("a").coalesce(CoalesceSpec::new(aggregate)))
        .start()
        .unwrap()
}

fn send(sender: &Sender, tag: &str, number: i64) {
    sender.send(record(tag, number)).unwrap();
}

/// Position, tag and value of each row, in the order of delivery.
fn delivered(sink: &MemoryWriter) -> Vec<(u64, String, Value)> {
    let rows = sink.delivered().into_iter();
    rows.map(|(_, position, record)| {
        (
            position.number(),
            record.tag.as_str().to_owned(),
            record.value,
        )
    })
    .collect()
}

fn undelivered(report: &Report) -> Vec<(u64, String, Value)> {
    let rows = report.undelivered.iter();
    rows.map(|row| {
        let record = row.content.as_ref().unwrap();
        (
            row.position.number(),
            record.tag.as_str().to_owned(),
            record.value.clone(),
        )
    })
    .collect()
}

fn row(position: u64, tag: &str, number: i64) -> (u64, String, Value) {
    (position, tag.to_owned(), Value::I64(number))
}

#[tokio::test(start_paused = true)]
async fn records_from_before_the_scope_was_open_come_before_the_others() {
    let sink = MemoryWriter::new();
    let flush = FlushSpec::new().size(100).age(Some(AGE));
    for (run, aggregate) in [CoalesceAggregate::Last, CoalesceAggregate::Sum]
        .into_iter()
        .enumerate()
    {
        let before = delivered(&sink).len();
        let pipeline = merging(BoxWriter::new(sink.clone()), flush, aggregate);
        let sender = pipeline.sender();
        let mut tracked = Vec::new();
        // Nothing has run yet, so the scope is not open.
        for (tag, number) in [("both", 1), ("early", 2), ("both", 3), ("early", 4)] {
            tracked.push(sender.send_tracked(record(tag, number)).unwrap());
        }
        tokio::time::sleep(SOON).await;
        for (tag, number) in [("late", 5), ("both", 6)] {
            tracked.push(sender.send_tracked(record(tag, number)).unwrap());
        }
        for outcome in tracked {
            let outcome = tokio::time::timeout(2 * AGE, outcome).await.unwrap();
            assert_eq!(outcome, [("a".to_owned(), Outcome::Delivered)]);
        }
        let base = run as u64 * 6;
        let (early, both) = match aggregate {
            CoalesceAggregate::Last => (4, 6),
            _ => (6, 10),
        };
        let expected = [
            row(base + 4, "early", early),
            row(base + 5, "late", 5),
            row(base + 6, "both", both),
        ];
        let rows: Vec<_> = delivered(&sink)[before..]
            .iter()
            .map(|(position, tag, value)| match value {
                Value::F64(number) => row(*position, tag, *number as i64),
                value => (*position, tag.clone(), value.clone()),
            })
            .collect();
        assert_eq!(rows, expected);
        let stats = pipeline.shutdown(AGE).await.stats;
        assert_balanced(&stats);
        assert_eq!((stats.delivered, stats.pending), (6, 0));
    }
}

/// Never answers, and keeps what it was given.
#[derive(Default)]
struct Hangs(Arc<Mutex<Vec<Batch>>>);

impl BatchWriter for Hangs {
    type Row = Record;

    fn name(&self) -> &str {
        "hangs"
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        self.0.lock().push(batch.clone());
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn law_1_what_was_merged_behind_a_batch_that_is_held_is_handed_back() {
    let writer = BoxWriter::new(Hangs::default());
    let flush = FlushSpec::new().size(1).age(None);
    let pipeline = merging(writer, flush, CoalesceAggregate::Last);
    let sender = pipeline.sender();
    tokio::time::sleep(SOON).await;
    send(&sender, "held", 1);
    tokio::time::sleep(SOON).await;
    for number in 0..5 {
        send(&sender, &format!("behind{number}"), number);
    }
    // The same key is in the batch and behind it.
    send(&sender, "held", 2);
    let report = pipeline.shutdown(AGE).await;
    assert_balanced(&report.stats);
    assert_eq!(report.stats.pending, 7);
    let tags = [
        "held", "behind0", "behind1", "behind2", "behind3", "behind4", "held",
    ];
    let values = [1, 0, 1, 2, 3, 4, 2];
    let expected: Vec<_> = (1..)
        .zip(tags)
        .zip(values)
        .map(|((position, tag), value)| row(position, tag, value))
        .collect();
    assert_eq!(undelivered(&report), expected);
}

#[tokio::test(start_paused = true)]
async fn law_1_a_batch_that_came_back_is_handed_back_before_what_was_merged_behind_it() {
    let sink = MemoryWriter::new();
    let writer = BoxWriter::new(sink.clone());
    let flush = FlushSpec::new().size(1).age(None);
    let pipeline = merging(writer, flush, CoalesceAggregate::Last);
    let sender = pipeline.sender();
    tokio::time::sleep(SOON).await;
    sink.go_down();
    send(&sender, "sent", 1);
    tokio::time::sleep(SOON).await;
    for (tag, number) in [("sent", 2), ("other", 3), ("sent", 4)] {
        send(&sender, tag, number);
    }
    let report = pipeline.shutdown(AGE).await;
    assert_balanced(&report.stats);
    assert_eq!(report.stats.pending, 4);
    let expected = [row(1, "sent", 1), row(3, "other", 3), row(4, "sent", 4)];
    assert_eq!(undelivered(&report), expected);
}

#[tokio::test(start_paused = true)]
async fn a_route_does_not_merge_in_the_expiring_lanes_of_a_sink_that_is_kept() {
    let sink = MemoryWriter::new();
    let flush = FlushSpec::new().size(100).age(Some(AGE));
    let lane = lane(flush);
    let expiring = lane.clone().expires_after(4 * AGE);
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new("a", BoxWriter::new(sink.clone())).lanes([expiring]))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    let route = RouteSpec::to("a").coalesce(CoalesceSpec::new(CoalesceAggregate::Last));
    let plan = |route| Plan::new().sink(SinkSpec::kept("a")).route(route);

    let refused = pipeline.reconfigure(plan(route.clone()), AGE).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("expires_after"), "{error}");
    assert!(error.contains("lane `normal`"), "{error}");
    for number in 0..2 {
        send(&sender, "a", number);
    }
    pipeline.flush().await.unwrap();
    assert_eq!(delivered(&sink).len(), 2, "as before, each by itself");

    // With lanes of its own it may.
    let changed = pipeline.reconfigure(plan(route.lanes([lane])), AGE).await;
    assert!(changed.is_ok());
    for number in 2..4 {
        send(&sender, "a", number);
    }
    pipeline.flush().await.unwrap();
    let rows = delivered(&sink);
    assert_eq!(rows.len(), 3, "merged into one");
    assert_eq!(rows[2].2, Value::I64(3));
}
