//! What is on loan to a sink that fails: it takes room that nobody else gets, it comes back where
//! nothing else arrives, and at the end the sink is asked for it, not the breaker before it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{LaneSpec, Pipeline, SinkSpec, WhenFull};
use probe::{Probe, account, assert_conserved, lane, ms, number, of, sleep_ms};
use record::Priority::{self, Critical, High, Low, Normal};
use sinks::{
    BoxWriter, BreakerSpec, CircuitBreaker, ErrorKind, Fault, FaultWriter, MemoryWriter,
    RetryPolicy, WriteError,
};

const HOUR: Duration = Duration::from_secs(3600);

fn every(age: Duration, class: Priority) -> LaneSpec {
    LaneSpec::new(class).flush(FlushSpec::new().size(1_000).age(age))
}

fn numbers(memory: &MemoryWriter) -> Vec<i64> {
    let rows = memory.delivered().into_iter();
    rows.map(|(_, _, record)| number(&record)).collect()
}

#[tokio::test(start_paused = true)]
async fn law_5_what_a_requested_flush_gave_up_is_tried_again_though_nothing_arrives() {
    let memory = MemoryWriter::new();
    let faults = FaultWriter::new(memory.clone());
    let refused = WriteError::new(ErrorKind::Fatal, "there is no such table");
    faults.then(Fault::Before(refused.clone()));
    let sink = SinkSpec::new("sink", BoxWriter::new(faults)).retry(RetryPolicy::default());
    let sink = sink.lanes([every(HOUR, Normal)]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    let records = (0..3).map(|number| of("D1", number, None));
    let _ = sender.send_many(records).unwrap();
    let flushed = pipeline.flush().await.unwrap_err();
    assert_eq!(flushed.to_string(), format!("sink: {refused}"));
    tokio::time::sleep(HOUR + ms(1)).await;
    let stats = account(&pipeline);
    assert_eq!((stats.delivered, stats.pending), (3, 0));
    assert_eq!(numbers(&memory), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn law_2_room_that_rows_on_loan_take_is_given_to_no_other_lane() {
    let probe = Probe::new();
    probe.hang(Some("low"));
    let narrow = |class| {
        let lane = LaneSpec::new(class).flush(FlushSpec::new().size(10).age(ms(1)));
        lane.size(10).when_full(WhenFull::DropLowestPriority)
    };
    let sink = probe.spec("sink").lanes([
        narrow(Critical).flush(FlushSpec::new().size(1_000).age(HOUR)),
        narrow(Low).size_min(2),
    ]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    let send = |class, numbers: std::ops::Range<i64>| {
        let records = numbers.map(|number| of("D1", number, class));
        let _ = sender.send_many(records).unwrap();
    };
    // Six are with the sink, which does not answer, and four wait.
    send(Low, 0..6);
    sleep_ms(10).await;
    send(Low, 6..10);
    send(Critical, 0..100);
    let stats = account(&pipeline);
    let (critical, low) = (lane(&stats, Critical), lane(&stats, Low));
    assert_eq!(critical.buffer.current_size + low.buffer.current_size, 20);
    assert_eq!((low.buffer.current_size, low.buffer.max_size), (6, 6));
    assert_eq!(low.totals.dropped.lower_priority, 4);
    assert_eq!(critical.buffer.max_size, 14);
}

#[tokio::test(start_paused = true)]
async fn law_8_an_open_breaker_does_not_answer_for_the_sink_what_it_has() {
    let memory = MemoryWriter::new();
    memory.fail_after_write();
    let breaker = BreakerSpec::consecutive(1, ms(2_000));
    let breaker = CircuitBreaker::new(memory.clone(), breaker).unwrap();
    let sink = SinkSpec::new("sink", BoxWriter::new(breaker)).lanes([every(ms(1), High)]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    let _ = sender
        .send_many((0..3).map(|number| of("D1", number, None)))
        .unwrap();
    sleep_ms(10).await;
    assert_eq!(account(&pipeline).pending, 3, "the answer was lost");
    let report = pipeline.shutdown(ms(100)).await;
    assert_conserved(&report.stats);
    assert_eq!(numbers(&memory), [0, 1, 2]);
    assert_eq!(report.undelivered.len(), 0, "they are in the sink");
    assert_eq!((report.stats.delivered, report.stats.pending), (3, 0));
}
