//! A sink that is lost costs the sources of the other sinks nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;
use std::time::Duration;

use common::{assert_balanced, now, numbers, records};
use pipeline::source::{Item, Progress, ReadError, Reader};
use pipeline::{
    Content, FeedError, FeedReport, Intake, IntakeError, LaneSpec, Pipeline, Refusal, RouteSpec,
    SinkSpec, WhenFull, feed,
};
use record::{FutureLimit, Position, Priority, Record, Timestamp, Value};
use sinks::{
    Batch, BatchWriter, BoxWriter, ErrorKind, MemoryWriter, Receipt, RetryPolicy, ScopeName,
    WriteError,
};

/// A sink that is lost with its first batch.
struct Fatal;

impl BatchWriter for Fatal {
    type Row = Record;

    fn name(&self) -> &str {
        "fatal"
    }

    async fn write(&self, _: &Batch) -> Result<Receipt, WriteError> {
        Err(WriteError::new(ErrorKind::Fatal, "it is gone"))
    }
}

fn of(tag: &str, number: i64) -> Content {
    Ok(Record::new("PLC01", tag, Value::I64(number), Timestamp::default()).unwrap())
}

/// Everything goes to both sinks, but what is `only…` goes to the lost one alone.
async fn with_a_lost_sink(sink: &MemoryWriter) -> (Pipeline, Intake) {
    let lane = |size| {
        let lane = LaneSpec::new(Priority::Normal).size(size);
        lane.when_full(WhenFull::Reject)
    };
    let pipeline = Pipeline::builder()
        .sink(
            SinkSpec::new("lost", BoxWriter::new(Fatal))
                .retry(RetryPolicy::default())
                .lanes([lane(10)]),
        )
        .sink(SinkSpec::new("good", BoxWriter::new(sink.clone())).lanes([lane(100)]))
        .route(RouteSpec::to("lost"))
        .route(RouteSpec::to("good").tags("D*".parse().unwrap()))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    // So many that the lane of the lost one stays above its high mark.
    let _ = intake.push(now(), records(0..10)).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lost = &pipeline.stats().sinks[0].lost;
    assert!(lost.as_ref().unwrap().contains("it is gone"), "{lost:?}");
    (pipeline, intake)
}

#[tokio::test(start_paused = true)]
async fn law_10_what_another_sink_takes_is_not_refused_for_a_lost_one() {
    let sink = MemoryWriter::new();
    let (pipeline, intake) = with_a_lost_sink(&sink).await;
    assert!(!intake.is_high());
    let mut room = intake.count_room();
    for number in 10..40 {
        room.add(&of("D100", number)).unwrap();
    }
    intake.try_push_all(now(), records(10..40)).unwrap();
    let accepted = intake.push(now(), records(40..43)).unwrap();
    assert_eq!((accepted.accepted, accepted.refusal), (3, None));
    assert_eq!((accepted.unreachable, &accepted.refused[..]), (3, &[][..]));
    let sender = pipeline.sender();
    sender.send(of("D100", 43).unwrap()).unwrap();

    let mixed = vec![of("D100", 44), of("only", 45), of("D100", 46)];
    let accepted = intake.push(now(), mixed.clone()).unwrap();
    assert_eq!(
        (accepted.accepted, accepted.refusal, &accepted.refused[..]),
        (2, Some(Refusal::Closed), &[1][..]),
        "one has no other sink"
    );
    assert_eq!((accepted.refused_partly, accepted.unreachable), (0, 3));
    let none = intake.try_push_all(now(), mixed);
    assert!(
        matches!(none, Err(IntakeError::Refused(Refusal::Closed))),
        "{none:?}"
    );

    let report = pipeline.shutdown(None).await;
    assert_balanced(&report.stats);
    let mut expected: Vec<i64> = (0..45).collect();
    expected.push(46);
    let mut delivered = numbers(&sink);
    delivered.sort_unstable();
    assert_eq!(delivered, expected);
}

/// A reader of these chunks, whose values go on from 10.
struct Chunks {
    left: Vec<Vec<&'static str>>,
    read: i64,
}

impl Reader for Chunks {
    fn read(
        &mut self,
        _: &FutureLimit,
        _: usize,
        items: &mut Vec<Item>,
    ) -> Result<Progress, ReadError> {
        for tag in self.left.remove(0) {
            items.push(Item {
                position: Position::new(self.read.unsigned_abs() + 11),
                content: of(tag, self.read + 10),
            });
            self.read += 1;
        }
        Ok(match self.left.is_empty() {
            true => Progress::End,
            false => Progress::More,
        })
    }

    fn bytes_read(&self) -> u64 {
        0
    }

    fn skipped(&self) -> u64 {
        0
    }
}

fn feed_all(intake: &Intake, chunks: &[&[&'static str]]) -> FeedReport {
    let mut reader = Chunks {
        left: chunks.iter().map(|chunk| chunk.to_vec()).collect(),
        read: 0,
    };
    feed(&mut reader, intake, Duration::ZERO, |_| {
        ControlFlow::Continue(())
    })
}

#[tokio::test(start_paused = true)]
async fn law_10_a_feed_reads_on_for_the_sinks_that_are_left_and_ends_with_the_last() {
    let sink = MemoryWriter::new();
    let (pipeline, intake) = with_a_lost_sink(&sink).await;
    let chunks: [&[_]; 3] = [&["D100", "only"], &["only"], &["D100"]];
    let report = feed_all(&intake, &chunks);
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!(report.progress.items, 2);
    let ended = pipeline.shutdown(None).await;
    assert_balanced(&ended.stats);
    let expected: Vec<i64> = (0..11).chain([13]).collect();
    assert_eq!(numbers(&sink), expected);
    let report = feed_all(&intake, &[&["D101"], &["D101"]]);
    assert!(
        matches!(
            report.error,
            Some(FeedError::Intake(IntakeError::Refused(Refusal::Closed)))
        ),
        "{report:?}"
    );
}
