//! Records that threads send in every way there is, with room and without, one route and several.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::Duration;

use pipeline::{BufferOptions, LaneSpec, Pipeline, RouteSpec, Sender, SinkSpec, WhenFull};
use record::{Priority, Record, Timestamp, Value};
use sinks::{BoxWriter, MemoryWriter};

const THREADS: usize = 3;
const ROUNDS: i64 = 200;
/// Records of a round: one alone, three at once, one that is tracked.
const ROUND: i64 = 5;

fn record(tag: usize, number: i64) -> Record {
    let timestamp = Timestamp::from_micros(number).unwrap();
    Record::new("PLC01", &format!("D{tag}"), Value::I64(number), timestamp).unwrap()
}

fn send_all(sender: &Sender, tag: usize) {
    for round in 0..ROUNDS {
        let first = round * ROUND;
        sender.send(record(tag, first)).unwrap();
        let many = (first + 1..first + 4).map(|number| record(tag, number));
        assert_eq!(sender.send_many(many).unwrap().refusal, None);
        drop(sender.send_tracked(record(tag, first + 4)).unwrap());
    }
}

/// Lets all threads send everything, and looks whether it arrives as it was sent.
#[track_caller]
fn check(runtime: &tokio::runtime::Runtime, pipeline: &Pipeline, sinks: &[MemoryWriter]) {
    let sender = {
        let _entered = runtime.enter();
        pipeline.sender()
    };
    thread::scope(|scope| {
        for tag in 0..THREADS {
            let sender = sender.clone();
            scope.spawn(move || send_all(&sender, tag));
        }
    });
    let stats = runtime
        .block_on(pipeline.shutdown(Duration::from_secs(60)))
        .stats;
    let sent = THREADS as u64 * (ROUNDS * ROUND).unsigned_abs();
    assert_eq!((stats.offered, stats.delivered), (sent, sent));
    let rows: Vec<_> = sinks.iter().flat_map(MemoryWriter::delivered).collect();
    for tag in 0..THREADS {
        let records = rows.iter().map(|(_, _, record)| record);
        let of_tag = records.filter(|record| record.tag.as_str() == format!("D{tag}"));
        let numbers = of_tag.map(|record| record.timestamp.micros());
        assert!(numbers.eq(0..ROUNDS * ROUND), "tag {tag}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Small, so that what is pushed finds it full now and then.
fn buffer() -> BufferOptions {
    BufferOptions {
        max_size: 64,
        policy: WhenFull::Block(Duration::from_secs(60)),
        ..BufferOptions::default()
    }
}

#[test]
fn law_6_what_threads_send_in_any_way_is_delivered_once_and_in_order() {
    let runtime = runtime();
    let sink = MemoryWriter::new();
    let pipeline = {
        let _entered = runtime.enter();
        let builder = Pipeline::to(BoxWriter::new(sink.clone())).buffer(buffer());
        builder.flush(10, Duration::from_millis(1)).start().unwrap()
    };
    check(&runtime, &pipeline, &[sink]);
}

#[test]
fn law_6_the_same_holds_where_routes_divide_the_records() {
    let runtime = runtime();
    let (one, other) = (MemoryWriter::new(), MemoryWriter::new());
    let pipeline = {
        let _entered = runtime.enter();
        let lane = || {
            [LaneSpec::new(Priority::Normal)
                .buffer(buffer())
                .batch_max(10)]
        };
        Pipeline::builder()
            .sink(SinkSpec::new("one", BoxWriter::new(one.clone())).lanes(lane()))
            .sink(SinkSpec::new("other", BoxWriter::new(other.clone())).lanes(lane()))
            .route(RouteSpec::to("one").tags("D0".parse().unwrap()))
            .route(RouteSpec::to("other").tags("D1".parse().unwrap()))
            .route(
                RouteSpec::to("other")
                    .name("two")
                    .tags("D2".parse().unwrap()),
            )
            .start()
            .unwrap()
    };
    check(&runtime, &pipeline, &[one, other]);
}
