//! Rows go to the fallback as soon as the sink cannot take them, also when it never answered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{SCOPE, batch};
use record::Position;
use sinks::{
    Batch, BatchWriter, BreakerSpec, CircuitBreaker, ErrorKind, Fallback, FnWriter, MemoryWriter,
    OpenScope, Receipt, RetryPolicy, Retrying, ScopeIndex, ScopeName, SharedBudget, Timeout,
    WhenRefused, WriteError,
};

fn scope() -> ScopeName {
    ScopeName::new("host/normal")
}

fn down() -> WriteError {
    WriteError::new(ErrorKind::Transient, "the connection was refused")
}

/// Cannot be opened while the sink in it is down.
struct Unreachable(MemoryWriter);

impl BatchWriter for Unreachable {
    type Row = record::Record;

    fn name(&self) -> &str {
        "unreachable"
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.0
            .write(&Batch::new(sinks::BatchId(0), Vec::new()))
            .await?;
        self.0.open_scope(index, name).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        self.0.write(batch).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_sink_behind_retries_and_a_breaker_holds_nothing_up() {
    let dead = FnWriter::new("dead", |_: &Batch| Err(down()));
    let timed = Timeout::new(dead, Duration::from_secs(30));
    let spec = BreakerSpec::consecutive(5, Duration::from_secs(30));
    let breaker = CircuitBreaker::with_seed(timed, spec, 7).unwrap();
    let policy = RetryPolicy::default().when_refused(WhenRefused::GiveUp);
    let retrying = Retrying::with_seed(breaker, policy, SharedBudget::default(), 7);
    let backup = MemoryWriter::new();
    let writer = Fallback::new(retrying, backup.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let began = tokio::time::Instant::now();
    for position in 1..=100 {
        writer.ready().await;
        let receipt = writer.write(&batch(position, [position])).await.unwrap();
        assert_eq!(receipt.diverted(), 1);
    }
    assert_eq!(backup.delivered().len(), 100);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_at_the_start_is_opened_later_and_loses_nothing() {
    let (sink, backup) = (MemoryWriter::new(), MemoryWriter::new());
    // An earlier run.
    sink.open_scope(SCOPE, &scope()).await.unwrap();
    sink.write(&batch(1, 1..=50)).await.unwrap();
    sink.go_down();
    let writer = Fallback::new(Unreachable(sink.clone()), backup.clone());
    let opened = writer.open_scope(SCOPE, &scope()).await.unwrap();
    assert_eq!(opened.watermark, Position::START);
    assert!(
        opened.numbered_to > Position::new(1 << 48),
        "behind all that it may have"
    );
    let first = opened.numbered_to.number() + 1;
    let receipt = writer.write(&batch(2, [first])).await.unwrap();
    assert_eq!(receipt.diverted(), 1);
    sink.recover();
    // It is left alone for a while after it could not be opened.
    let receipt = writer.write(&batch(3, [first + 1])).await.unwrap();
    assert_eq!(receipt.diverted(), 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let receipt = writer.write(&batch(4, [first + 2])).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (1, 0));
    assert_eq!(sink.delivered().len(), 51);
    // What can be read again is known to the sink.
    let receipt = writer.write(&batch(5, 1..=50)).await.unwrap();
    assert_eq!(receipt.repeated(), 50);
    assert_eq!((sink.delivered().len(), backup.delivered().len()), (51, 2));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_cannot_be_opened_does_not_stop_the_sink() {
    let (sink, backup) = (MemoryWriter::new(), MemoryWriter::new());
    backup.go_down();
    let writer = Fallback::new(sink.clone(), Unreachable(backup.clone()));
    let opened = writer.open_scope(SCOPE, &scope()).await.unwrap();
    let next = opened.numbered_to.number();
    assert_eq!(
        writer
            .write(&batch(1, [next + 1]))
            .await
            .unwrap()
            .delivered(),
        1
    );
    sink.go_down();
    let second = batch(2, [next + 2]);
    let error = writer.write(&second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    backup.recover();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(writer.write(&second).await.unwrap().diverted(), 1);
}
