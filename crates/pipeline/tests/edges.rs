//! Sinks that panic, hang, answer late or hold on, and options that would never flush.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{assert_balanced, builder, intake, now, numbers, push, record, records};
use pipeline::{BufferOptions, Content, LaneState, LiveData, Pipeline, Refusal, WhenFull};
use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchWriter, BoxWriter, ErrorKind, MemoryWriter, OpenScope, Receipt, RetryPolicy,
    ScopeIndex, ScopeName, WriteError,
};

const AGE: Duration = common::AGE;

type Written = Pin<Box<dyn Future<Output = Result<Receipt, WriteError>> + Send>>;

/// A sink in memory whose writes are somebody else's.
struct Scripted<W> {
    memory: MemoryWriter,
    write: W,
}

impl<W: Fn(Batch) -> Written + Send + Sync + 'static> BatchWriter for Scripted<W> {
    type Row = Record;

    fn name(&self) -> &str {
        "scripted"
    }

    async fn open_scope(&self, at: ScopeIndex, name: &ScopeName) -> Result<OpenScope, WriteError> {
        self.memory.open_scope(at, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.memory.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.memory.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        (self.write)(batch.clone()).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        Ok(())
    }
}

fn scripted(
    memory: &MemoryWriter,
    write: impl Fn(Batch) -> Written + Send + Sync + 'static,
) -> BoxWriter {
    BoxWriter::new(Scripted {
        memory: memory.clone(),
        write,
    })
}

fn down() -> WriteError {
    WriteError::new(ErrorKind::Transient, "down")
}

#[tokio::test(start_paused = true)]
async fn law_10_a_sink_that_panics_is_tried_again_and_nothing_is_lost() {
    let (memory, panics) = (MemoryWriter::new(), AtomicUsize::new(0));
    let sink = memory.clone();
    let writer = scripted(&memory, move |batch| {
        let sink = sink.clone();
        let is_sound = panics.fetch_add(1, Ordering::Relaxed) >= 3;
        Box::pin(async move {
            assert!(is_sound, "the sink fails");
            sink.write(&batch).await
        })
    });
    let pipeline = Pipeline::to(writer).flush(1, AGE).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..2));
    tokio::time::sleep(Duration::from_millis(150)).await;
    let lane = &pipeline.stats().routes[0].lanes[0];
    assert_eq!((lane.state, lane.restarts), (LaneState::Restarting, 2));
    assert!(
        lane.last_error
            .as_ref()
            .unwrap()
            .contains("panicked: the sink fails")
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(numbers(&memory), [0, 1]);
    let report = pipeline.shutdown(None).await;
    assert_balanced(&report.stats);
    assert_eq!(
        (
            report.stats.delivered,
            report.stats.routes[0].lanes[0].restarts
        ),
        (2, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn law_1_a_sink_that_only_panics_hands_everything_back_at_the_deadline() {
    let writer = scripted(&MemoryWriter::new(), |_| {
        Box::pin(async { panic!("the sink fails") })
    });
    let pipeline = Pipeline::to(writer).flush(1, AGE).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..1));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let report = pipeline.shutdown(None).await;
    let late = intake.push(now(), records(1..2)).unwrap();
    assert_eq!(late.refusal, Some(Refusal::Closed));
    assert_balanced(&report.stats);
    assert_eq!((report.undelivered.len(), report.stats.pending), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn law_1_what_a_sink_never_answered_for_is_handed_back() {
    // As a database thread that is busy: it keeps the batch though nobody waits any more.
    let writer = scripted(&MemoryWriter::new(), |batch| {
        Box::pin(async move {
            let busy = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(batch);
            });
            busy.await.unwrap();
            Err(down())
        })
    });
    let pipeline = Pipeline::to(writer).flush(10, AGE).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..13));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = pipeline.shutdown(Duration::from_secs(2)).await;
    assert_eq!(report.undelivered.len() as u64, report.stats.pending);
    let left: Vec<u64> = report
        .undelivered
        .iter()
        .map(|row| row.position.number())
        .collect();
    assert_eq!(left, (1..=13).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn law_8_a_batch_that_a_failed_sink_still_holds_is_not_overtaken() {
    let memory = MemoryWriter::new();
    let (sink, first) = (memory.clone(), AtomicBool::new(true));
    let writer = scripted(&memory, move |batch| {
        let (sink, is_first) = (sink.clone(), first.swap(false, Ordering::Relaxed));
        Box::pin(async move {
            if is_first {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    drop(batch);
                });
                return Err(down());
            }
            sink.write(&batch).await
        })
    });
    let no_retry = RetryPolicy::new(Duration::from_millis(1), Duration::from_millis(1), Some(0));
    let pipeline = Pipeline::to(writer)
        .flush(100, Duration::from_secs(1))
        .retry(no_retry)
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..10));
    assert!(pipeline.flush().await.is_err());
    push(&intake, records(10..20));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = pipeline.shutdown(None).await;
    assert_eq!(
        (report.stats.delivered, report.stats.sink.repeated),
        (20, 0)
    );
    assert_eq!(numbers(&memory), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn no_further_batch_begins_after_the_deadline_and_a_second_shutdown_may_shorten_it() {
    let memory = MemoryWriter::new();
    let writer = scripted(&memory, |_| Box::pin(std::future::pending()));
    let pipeline = Pipeline::to(writer).flush(1, AGE).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let patient = pipeline.clone();
    let first = tokio::spawn(async move { patient.shutdown(Duration::from_secs(600)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.abort();
    let begun = tokio::time::Instant::now();
    let report = pipeline.shutdown(Duration::from_secs(1)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(report.undelivered.len(), 1);
    assert_eq!(report.stats.flushes.total().attempted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_on_request_is_heard_while_flushes_follow_each_other() {
    let memory = MemoryWriter::new();
    let sink = memory.clone();
    let writer = scripted(&memory, move |batch| {
        let sink = sink.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            sink.write(&batch).await
        })
    });
    let options = BufferOptions {
        max_size: 200,
        policy: WhenFull::Block(Duration::from_secs(30)),
        ..BufferOptions::default()
    };
    let pipeline = Pipeline::to(writer)
        .buffer(options)
        .flush(10, AGE)
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let load = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let _ = intake.push(now(), records(0..50)).unwrap();
        }
    });
    let flushed = tokio::time::timeout(Duration::from_secs(20), pipeline.flush()).await;
    done.store(true, Ordering::Relaxed);
    load.join().unwrap();
    assert!(flushed.expect("an answer under load").is_ok());
}

#[tokio::test(start_paused = true)]
async fn bytes_are_flushed_at_once_also_after_records_were_displaced() {
    let memory = MemoryWriter::new();
    let pipeline = builder(&memory)
        .flush(500, Duration::from_secs(20))
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..400));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let long = Value::text(&"x".repeat(1 << 20)).unwrap();
    let rows: Vec<Content> = (0..70)
        .map(|_| Ok(Record::new("PLC01", "D1", long.clone(), Timestamp::default()).unwrap()))
        .collect();
    let accepted = intake.push(now(), rows).unwrap();
    assert!(
        accepted.dropped > 400,
        "seventy mebibytes displace what was there"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(pipeline.stats().delivered >= 48, "{:?}", pipeline.stats());
}

#[tokio::test(start_paused = true)]
async fn law_5_a_flush_size_beyond_the_buffer_flushes_when_the_buffer_is_full() {
    let memory = MemoryWriter::new();
    let options = BufferOptions {
        max_size: 100,
        policy: WhenFull::Reject,
        ..BufferOptions::default()
    };
    let pipeline = builder(&memory)
        .flush(500, None)
        .buffer(options)
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..100));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(memory.delivered().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_with_defaults_outlives_a_sink_that_is_down_for_an_hour() {
    let memory = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(memory.clone()))
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    memory.go_down();
    push(&intake, records(0..1));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    memory.recover();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(memory.delivered().len(), 1, "{:?}", pipeline.stopped());
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_registers_no_key_and_a_scope_has_one_intake() {
    let live = LiveData::new();
    let memory = MemoryWriter::new();
    memory.go_down();
    let options = BufferOptions {
        max_size: 1,
        ..BufferOptions::default()
    };
    let pipeline = builder(&memory)
        .live(live.clone())
        .buffer(options)
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..1));
    assert!(
        intake
            .try_push_all(now(), vec![record("never", 1)])
            .is_err()
    );
    assert_eq!(live.keys_len(), 1);
    assert_balanced(&pipeline.stats());
    let again = pipeline
        .intake(&ScopeName::new("plc/normal"))
        .await
        .map(|_| ());
    assert_eq!(
        again.unwrap_err().to_string(),
        "the scope `plc/normal` has an intake already"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_table_of_keys_costs_a_poll_only_its_new_keys() {
    let live = LiveData::builder().keys_max(1).build().unwrap();
    let memory = MemoryWriter::new();
    let pipeline = builder(&memory).live(live).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..1));
    let poll = vec![record("D100", 1), record("new", 2), record("D100", 3)];
    let mut poll: Vec<Record> = poll.into_iter().map(Result::unwrap).collect();
    assert_eq!(intake.keep_showable(&mut poll), 1);
    assert_eq!(push(&intake, poll.into_iter().map(Ok).collect()), 2);
    pipeline.shutdown(None).await;
    assert_eq!(numbers(&memory), [0, 1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_every_handle_delivers_what_is_there_and_leaves_no_task() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let memory = MemoryWriter::new();
    let pipeline = builder(&memory).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..3));
    drop((pipeline, intake));
    for _ in 0..500 {
        if tasks() == before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((tasks(), memory.delivered().len()), (before, 3));
}

#[tokio::test(start_paused = true)]
async fn law_10_a_source_that_has_died_is_seen_in_the_health() {
    let pipeline = builder(&MemoryWriter::new()).start().unwrap();
    let intake = intake(&pipeline).await;
    assert_eq!(pipeline.health().score, 100);
    intake.source_stopped("it has panicked");
    let health = pipeline.health();
    assert_eq!(
        (health.score, health.reasons[0].code),
        (60, "source_stopped")
    );
    assert_eq!(
        health.reasons[0].message,
        "a source has ended: plc/normal: it has panicked"
    );
}
