//! A sink that takes nothing for now: an open breaker, a scope that cannot be opened yet, and rows
//! that are refused for good. Nothing leaves the buffer meanwhile, and nothing is lost unsaid.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use common::{AGE, assert_balanced, intake, numbers, push, records};
use pipeline::{Pipeline, PipelineError, ShortBuilder};
use record::{Position, Record};
use sinks::{Batch, BatchWriter, BoxWriter, ErrorKind, MemoryWriter, OpenScope, Receipt, Refused};
use sinks::{RetryPolicy, ScopeIndex, ScopeName, WriteError};
use tokio::sync::watch;

/// A sink behind a gate, which refuses rows and does not open scopes as it is told.
#[derive(Clone)]
struct Gated {
    inner: MemoryWriter,
    open: Arc<watch::Sender<bool>>,
    /// Rows whose values are these are rejected.
    rejects: Arc<Mutex<Vec<usize>>>,
    /// Why scopes cannot be opened.
    unreachable: Arc<Mutex<Option<ErrorKind>>>,
}

impl Gated {
    fn new(inner: &MemoryWriter) -> Self {
        Self {
            inner: inner.clone(),
            open: Arc::new(watch::Sender::new(true)),
            rejects: Arc::default(),
            unreachable: Arc::default(),
        }
    }

    fn shut(&self) {
        self.open.send_replace(false);
    }

    fn open(&self) {
        self.open.send_replace(true);
    }

    fn reach(&self, why_not: Option<ErrorKind>) {
        *self.unreachable.lock().unwrap() = why_not;
    }

    fn builder(&self) -> ShortBuilder {
        Pipeline::to(BoxWriter::new(self.clone())).flush(10, AGE)
    }
}

impl BatchWriter for Gated {
    type Row = Record;

    fn name(&self) -> &str {
        "gated"
    }

    async fn ready(&self) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let why_not = *self.unreachable.lock().unwrap();
        match why_not {
            Some(kind) => Err(WriteError::new(kind, "cannot connect to db.example:5432")),
            None => self.inner.open_scope(index, name).await,
        }
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let receipt = self.inner.write(batch).await?;
        let refused = self.rejects.lock().unwrap().clone();
        let refused = refused.into_iter().map(|row| Refused {
            row,
            reason: "the value is too large".to_owned(),
        });
        Ok(receipt.with_rejected(refused.collect()))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn lesson_an_open_breaker_pauses_and_burns_no_attempts() {
    let sink = MemoryWriter::new();
    let gated = Gated::new(&sink);
    let retry = RetryPolicy::new(AGE, AGE, Some(3));
    let pipeline = gated.builder().retry(retry).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.go_down();
    push(&intake, records(0..10));
    // The first attempt fails, and with it the breaker opens.
    gated.shut();
    tokio::time::sleep(HOUR).await;
    assert_eq!(sink.attempts().len(), 0, "the breaker was open before");
    gated.open();
    tokio::time::sleep(Duration::from_millis(1)).await;
    gated.shut();
    assert_eq!(sink.attempts().len(), 1);
    // Far more than the attempts that the batch has, if waiting cost any.
    tokio::time::sleep(HOUR).await;
    push(&intake, records(10..35));
    tokio::time::sleep(HOUR).await;
    let stats = pipeline.stats();
    assert_eq!((sink.attempts().len(), stats.pending), (1, 35));
    assert_eq!(stats.sink.retries, 1);
    assert_eq!(pipeline.stopped(), None);
    sink.recover();
    gated.open();
    tokio::time::sleep(AGE * 2).await;
    assert_eq!(numbers(&sink), (0..35).collect::<Vec<_>>(), "in order");
    assert_balanced(&pipeline.stats());
}

#[tokio::test(start_paused = true)]
async fn law_1_an_open_breaker_leaves_the_buffer_to_its_policy() {
    let sink = MemoryWriter::new();
    let gated = Gated::new(&sink);
    let options = pipeline::BufferOptions {
        max_size: 20,
        ..pipeline::BufferOptions::default()
    };
    let pipeline = gated.builder().buffer(options).start().unwrap();
    let intake = intake(&pipeline).await;
    gated.shut();
    for batch in 0..5 {
        push(&intake, records(batch * 10..batch * 10 + 10));
        tokio::time::sleep(HOUR).await;
    }
    let stats = pipeline.stats();
    assert_balanced(&stats);
    assert_eq!((stats.dropped.drop_oldest, stats.pending), (30, 20));
    gated.open();
    let report = pipeline.shutdown(HOUR).await;
    assert_eq!(numbers(&sink), (30..50).collect::<Vec<_>>());
    assert_eq!(report.stats.delivered, 20);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_the_breaker_is_open_hands_everything_back_by_its_deadline() {
    let sink = MemoryWriter::new();
    let gated = Gated::new(&sink);
    let pipeline = gated.builder().start().unwrap();
    let intake = intake(&pipeline).await;
    gated.shut();
    push(&intake, records(0..35));
    tokio::time::sleep(HOUR).await;
    let began = tokio::time::Instant::now();
    let report = pipeline.shutdown(Duration::from_secs(7)).await;
    assert_eq!(began.elapsed().as_secs(), 7);
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!((report.undelivered.len(), report.stats.pending), (35, 35));
    assert_balanced(&report.stats);
    assert_eq!(sink.attempts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_flush_while_the_breaker_is_open_is_told_why_there_is_none() {
    let sink = MemoryWriter::new();
    let gated = Gated::new(&sink);
    let pipeline = gated.builder().start().unwrap();
    let intake = intake(&pipeline).await;
    gated.shut();
    for waits in [false, true] {
        if waits {
            push(&intake, records(0..10));
            tokio::time::sleep(HOUR).await;
        }
        let flush = tokio::time::timeout(AGE, pipeline.flush()).await.unwrap();
        let said = flush.unwrap_err().to_string();
        assert!(said.contains("the sink takes nothing for now"), "{said}");
    }
    gated.open();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(sink.delivered().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn law_1_rows_that_a_sink_rejects_are_dropped_and_counted() {
    let sink = MemoryWriter::new();
    let gated = Gated::new(&sink);
    *gated.rejects.lock().unwrap() = vec![2, 5];
    let pipeline = gated.builder().start().unwrap();
    let mut heard = pipeline.notifications();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..20));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stats = pipeline.stats();
    assert_balanced(&stats);
    assert_eq!((stats.delivered, stats.dropped.rejected), (16, 4));
    assert_eq!((stats.quarantined, stats.pending), (0, 0));
    let said = heard.recv().await.unwrap().message;
    assert_eq!(
        said,
        "4 records were refused by the sink and are kept nowhere"
    );
}

/// A sink whose scope was delivered up to 3 by somebody before.
async fn written_before() -> MemoryWriter {
    let sink = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(sink.other_process()));
    let pipeline = pipeline.start().unwrap();
    push(&intake(&pipeline).await, records(0..3));
    pipeline.shutdown(HOUR).await;
    assert_eq!(numbers(&sink), [0, 1, 2]);
    sink
}

#[tokio::test(start_paused = true)]
async fn lesson_a_failed_first_connect_is_never_final() {
    let sink = written_before().await;
    let gated = Gated::new(&sink);
    gated.reach(Some(ErrorKind::Transient));
    let pipeline = gated.builder().start().unwrap();
    let name = ScopeName::new("plc/normal");
    let intake = pipeline.intake_at_once(&name).await.unwrap();
    push(&intake, records(3..20));
    tokio::time::sleep(HOUR).await;
    let stats = pipeline.stats();
    assert_eq!((stats.delivered, stats.pending), (0, 17));
    assert_balanced(&stats);
    let health = pipeline.health();
    let said = format!("{:?}", health.reasons);
    assert!(said.contains("cannot connect to db.example:5432"), "{said}");
    assert_eq!(pipeline.stopped(), None);
    gated.reach(None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    push(&intake, records(20..40));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(numbers(&sink), (0..40).collect::<Vec<_>>());
    let positions = sink.delivered();
    let positions = positions.iter().map(|(_, position, _)| position.number());
    assert_eq!(positions.collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    let stats = pipeline.stats();
    assert_eq!((stats.sink.repeated, stats.sink.failing_for_s), (0, 0.0));
    assert_eq!(intake.watermark(), Position::new(3));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_never_opens_hands_everything_back() {
    let sink = written_before().await;
    let gated = Gated::new(&sink);
    gated.reach(Some(ErrorKind::Transient));
    let pipeline = gated.builder().start().unwrap();
    let name = ScopeName::new("plc/normal");
    let intake = pipeline.intake_at_once(&name).await.unwrap();
    push(&intake, records(3..20));
    let report = pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.undelivered.len(), report.stats.pending), (17, 17));
    let last = report.stats.sink.last_error.unwrap();
    assert!(last.contains("db.example"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_can_never_work_is_said_at_once() {
    let gated = Gated::new(&MemoryWriter::new());
    gated.reach(Some(ErrorKind::Fatal));
    let pipeline = gated.builder().start().unwrap();
    let name = ScopeName::new("plc/normal");
    let refused = pipeline.intake_at_once(&name).await;
    assert!(matches!(refused, Err(PipelineError::Sink(error)) if error.kind() == ErrorKind::Fatal));
    gated.reach(None);
    let intake = pipeline.intake_at_once(&name).await.unwrap();
    push(&intake, records(0..1));
    let report = pipeline.shutdown(HOUR).await;
    assert_eq!(report.stats.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn the_batches_of_another_run_have_other_ids() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let sink = MemoryWriter::new();
        let pipeline = common::builder(&sink).start().unwrap();
        push(&intake(&pipeline).await, records(0..1));
        pipeline.shutdown(HOUR).await;
        ids.extend(sink.attempts());
    }
    assert_ne!(ids[0], ids[1]);
}
