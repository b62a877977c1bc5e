//! One pipeline into sinks that are not equally far: rows of a source that cannot be read again
//! reach all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{builder, intake, numbers, push, records};
use pipeline::Pipeline;
use record::Position;
use sinks::{BoxWriter, FanOut, MemoryWriter, ScopeName, Target, WhenBehind};

/// A sink into which earlier pipelines wrote so many rows.
async fn written(count: i64) -> MemoryWriter {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    push(&intake(&pipeline).await, records(0..count));
    pipeline.shutdown(None).await;
    assert_eq!(numbers(&sink).len(), usize::try_from(count).unwrap());
    sink
}

#[tokio::test(start_paused = true)]
async fn no_target_takes_new_rows_for_those_that_it_had_before() {
    let (ahead, behind) = (written(10).await, written(6).await);
    let fan_out = FanOut::new(vec![
        Target::new(ahead.clone(), WhenBehind::Wait),
        Target::new(behind.clone(), WhenBehind::Wait),
    ]);
    let pipeline = Pipeline::to(BoxWriter::new(fan_out)).start().unwrap();
    let known = intake(&pipeline).await;
    assert_eq!(known.watermark(), Position::new(6));
    push(&known, records(100..120));
    let name = ScopeName::new("plc/low");
    push(
        &pipeline.intake_at_once(&name).await.unwrap(),
        records(200..203),
    );
    let report = pipeline.shutdown(None).await;
    assert_eq!(
        (report.stats.delivered, report.stats.sink.repeated),
        (23, 0)
    );
    for (sink, before) in [(ahead, 0..10), (behind, 0..6)] {
        let all: Vec<i64> = before.chain(100..120).chain(200..203).collect();
        assert_eq!(numbers(&sink), all);
    }
}
