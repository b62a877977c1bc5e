//! Sources come, stop waiting half way, and go: whatever a sink does when it is asked to open a
//! scope, nothing of them is left behind that would hold others up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{numbers, push, record, records};
use flush_policy::FlushSpec;
use parking_lot::Mutex;
use pipeline::source::Item;
use pipeline::{LaneSpec, Pipeline, PipelineError, Plan, RouteSpec, SinkSpec};
use record::{Position, Priority};
use sinks::{Batch, BatchWriter, BoxWriter, ErrorKind, MemoryWriter, OpenScope, Receipt};
use sinks::{ScopeIndex, ScopeName, WriteError};

/// What a sink does the first time that it is asked to open a scope.
#[derive(Clone, Copy)]
enum First {
    Hangs,
    Panics,
    Fails(ErrorKind),
}

/// A sink in memory that opens some scopes only the second time.
struct Moody {
    inner: MemoryWriter,
    firsts: Mutex<BTreeMap<&'static str, First>>,
}

impl Moody {
    fn over(inner: &MemoryWriter, firsts: &[(&'static str, First)]) -> BoxWriter {
        BoxWriter::new(Self {
            inner: inner.clone(),
            firsts: Mutex::new(firsts.iter().copied().collect()),
        })
    }
}

impl BatchWriter for Moody {
    type Row = record::Record;

    fn name(&self) -> &'static str {
        "moody"
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let first = self.firsts.lock().remove(name.as_str());
        match first {
            Some(First::Hangs) => std::future::pending().await,
            Some(First::Panics) => panic!("not this time"),
            Some(First::Fails(kind)) => Err(WriteError::new(kind, "not this time")),
            None => self.inner.open_scope(index, name).await,
        }
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        self.inner.write(batch).await
    }
}

fn lane() -> LaneSpec {
    LaneSpec::new(Priority::Normal).flush(FlushSpec::new().size(1).age(None))
}

fn start(sink: &MemoryWriter, firsts: &[(&'static str, First)]) -> Pipeline {
    let sink = SinkSpec::new("s", Moody::over(sink, firsts)).lanes([lane()]);
    let alarms = RouteSpec::to("s").name("x").tags("x.*".parse().unwrap());
    let pipeline = Pipeline::builder().sink(sink).route(alarms);
    pipeline.route(RouteSpec::to("s")).start().unwrap()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_when_it_opens_a_scope_is_asked_again() {
    let sink = MemoryWriter::new();
    let pipeline = start(&sink, &[("a", First::Panics)]);
    let intake = pipeline.intake_at_once(&ScopeName::new("a")).await.unwrap();
    assert_eq!(push(&intake, records(0..2)), 2);
    seconds(120).await;
    assert_eq!(numbers(&sink), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_told_and_made_again() {
    let sink = MemoryWriter::new();
    let pipeline = start(&sink, &[("a", First::Hangs)]);
    let intake = pipeline.intake_at_once(&ScopeName::new("a")).await.unwrap();
    assert_eq!(push(&intake, records(0..2)), 2);
    // Two seconds have passed.
    tokio::time::sleep(Duration::from_millis(28_001)).await;
    let error = pipeline.stats().sink.last_error.unwrap_or_default();
    assert!(error.contains("did not open `a` within 30 s"), "{error}");
    seconds(60).await;
    assert_eq!(numbers(&sink), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_opening_ends_with_the_intake_that_was_refused() {
    for other in [First::Fails(ErrorKind::Transient), First::Hangs] {
        let sink = MemoryWriter::new();
        let refuses = First::Fails(ErrorKind::Fatal);
        let pipeline = start(&sink, &[("a", other), ("a/x", refuses)]);
        let source = ScopeName::new("a");
        let refused = pipeline.intake_at_once(&source).await;
        assert!(
            matches!(refused, Err(PipelineError::Sink(_))),
            "{refused:?}"
        );
        let intake = pipeline.intake_at_once(&source).await.unwrap();
        seconds(60).await;
        assert_eq!(push(&intake, records(0..1)), 1);
        seconds(60).await;
        assert_eq!(pipeline.stopped(), None);
        assert_eq!(numbers(&sink), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_behind_one_that_hangs_is_heard() {
    let sink = MemoryWriter::new();
    let refuses = First::Fails(ErrorKind::Fatal);
    let pipeline = start(&sink, &[("a/x", First::Hangs), ("a", refuses)]);
    let refused = pipeline.intake_at_once(&ScopeName::new("a")).await;
    assert!(
        matches!(refused, Err(PipelineError::Sink(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_for_an_intake_may_ask_again() {
    let source = ScopeName::new("a");
    let soon = Duration::from_millis(100);
    let sink = MemoryWriter::new();
    let pipeline = start(&sink, &[("a", First::Hangs)]);
    let first = tokio::time::timeout(soon, pipeline.intake(&source)).await;
    assert!(first.is_err(), "{first:?}");
    let intake = pipeline.intake(&source).await.unwrap();
    assert_eq!(push(&intake, records(0..1)), 1);

    let at_once = MemoryWriter::new();
    let pipeline = start(&at_once, &[("a", First::Hangs)]);
    let first = tokio::time::timeout(soon, pipeline.intake_at_once(&source)).await;
    assert!(first.is_err(), "{first:?}");
    seconds(1).await;
    let intake = pipeline.intake_at_once(&source).await.unwrap();
    assert_eq!(push(&intake, records(0..1)), 1);
    seconds(60).await;
    assert_eq!((numbers(&sink), numbers(&at_once)), (vec![0], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_waits_for_a_sink_holds_no_change_up() {
    let pipeline = start(&MemoryWriter::new(), &[("a", First::Hangs)]);
    let waiting = tokio::spawn({
        let pipeline = pipeline.clone();
        async move { pipeline.intake(&ScopeName::new("a")).await }
    });
    seconds(1).await;
    let sink = MemoryWriter::new();
    let other = SinkSpec::new("other", BoxWriter::new(sink.clone())).lanes([lane()]);
    let change = pipeline.reconfigure(Plan::new().sink(other), Duration::from_secs(1));
    let within = Duration::from_secs(5);
    tokio::time::timeout(within, change).await.unwrap().unwrap();
    // It goes where sources go now.
    let intake = waiting.await.unwrap().unwrap();
    assert_eq!(push(&intake, records(0..1)), 1);
    seconds(1).await;
    assert_eq!(numbers(&sink), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_refuses_the_intake_in_the_end() {
    let pipeline = start(&MemoryWriter::new(), &[("a", First::Hangs)]);
    let source = ScopeName::new("a");
    let refused = pipeline.intake(&source).await.unwrap_err().to_string();
    assert!(
        refused.contains("did not open `a` within 30 s"),
        "{refused}"
    );
    pipeline.intake(&source).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_went_comes_again_and_goes_on_where_it_was() {
    let sink = MemoryWriter::new();
    let pipeline = start(&sink, &[]);
    let source = ScopeName::new("a");
    for number in 0..3 {
        let intake = pipeline.intake(&source).await.unwrap();
        let second = pipeline.intake(&source).await;
        assert!(matches!(second, Err(PipelineError::ScopeOpen { .. })));
        // What it handed over last is still on its way when it comes again.
        assert_eq!(push(&intake, vec![record("D100", number)]), 1);
    }
    let at_once = pipeline.intake_at_once(&source).await.unwrap();
    assert_eq!(push(&at_once, vec![record("D100", 3)]), 1);
    seconds(1).await;
    drop(at_once);
    // It may also find other routes.
    let other = Plan::new().sink(SinkSpec::kept("s").lanes([lane()]));
    let other = other.route(RouteSpec::to("s").name("y"));
    pipeline
        .reconfigure(other, Duration::from_secs(1))
        .await
        .unwrap();
    let intake = pipeline.intake(&source).await.unwrap();
    assert_eq!(push(&intake, vec![record("D100", 4)]), 1);
    let report = pipeline.shutdown(None).await;
    assert_eq!((report.stats.pending, report.error), (0, None));
    assert_eq!(numbers(&sink), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_again_and_begins_anew_hands_nothing_over_twice() {
    let sink = MemoryWriter::new();
    let pipeline = start(&sink, &[]);
    let source = ScopeName::new("a");
    for end in [3, 5] {
        let intake = pipeline.intake(&source).await.unwrap();
        let content = |number: u64| record("D100", i64::try_from(number).unwrap());
        let items = (1..=end).map(|number| Item {
            position: Position::new(number),
            content: content(number),
        });
        let accepted = intake.push_items(common::now(), items.collect()).unwrap();
        assert_eq!(accepted.refusal, None);
    }
    let report = pipeline.shutdown(None).await;
    assert_eq!((report.stats.pending, report.error), (0, None));
    assert_eq!(numbers(&sink), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_scope_that_was_never_open_are_handed_back_numbered_from_the_start() {
    let hangs = [("a", First::Hangs), ("a/x", First::Hangs)];
    let pipeline = start(&MemoryWriter::new(), &hangs);
    let intake = pipeline.intake_at_once(&ScopeName::new("a")).await.unwrap();
    assert_eq!(push(&intake, records(0..3)), 3);
    let report = pipeline.shutdown(Duration::from_millis(100)).await;
    let positions = report.undelivered.iter().map(|row| row.position);
    let expected = [1, 2, 3].map(Position::new);
    assert_eq!(positions.collect::<Vec<_>>(), expected);
}
