//! Retries and timeouts around a writer, and what every layer passes on, in tokio's stopped time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::batch;
use scripted::{SECOND, Scripted, TRANSIENT, breaker, kind, limited, outcome, retrying, stack};
use sinks::{
    BatchId, BatchWriter, ErrorKind, Guarantee, LimitSpec, MemoryWriter, RetryBudget, RetryPolicy,
    Retrying, ScopeIndex, ScopeName, SharedBudget, Timeout, WriteError,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn law_7_each_retry_sends_the_same_batch() {
    let sink = Scripted::outcomes(&[TRANSIENT, TRANSIENT, None]);
    let writer = retrying(sink.clone(), RetryPolicy::default());
    let receipt = writer.write(&batch(42, 1..=5)).await.unwrap();
    assert_eq!(receipt.delivered(), 5);
    let calls = sink.calls.lock();
    assert!(
        calls
            .iter()
            .all(|(id, rows, _)| (*id, *rows) == (BatchId(42), 5))
    );
    assert_eq!(calls.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn giving_up_says_how_often_and_how_long() {
    let sink = Scripted::new(|_| (SECOND, outcome(TRANSIENT)));
    let policy = RetryPolicy::new(SECOND, SECOND, Some(2));
    let error = retrying(sink.clone(), policy)
        .write(&batch(1, [1]))
        .await
        .unwrap_err();
    let took = Instant::now() - sink.calls.lock()[0].2;
    let took = Duration::from_millis(took.as_millis() as u64);
    assert_eq!(
        error.to_string(),
        format!(
            "gave up after 3 attempts in {took:?}, because the attempts are used up: \
             scripted failure"
        )
    );
    assert_eq!(error.kind(), ErrorKind::Transient);
}

#[tokio::test(start_paused = true)]
async fn what_is_hopeless_is_tried_once_and_keeps_its_error() {
    for hopeless in [ErrorKind::Data, ErrorKind::Fenced, ErrorKind::Fatal] {
        let error = WriteError::new(hopeless, "no").at_row(3);
        let answer = error.clone();
        let sink = Scripted::new(move |_| (Duration::ZERO, Err(answer.clone())));
        let writer = retrying(sink.clone(), RetryPolicy::default());
        assert_eq!(writer.write(&batch(1, [1])).await.unwrap_err(), error);
        assert_eq!(sink.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn lesson_a_retried_batch_does_not_start_with_a_fresh_count() {
    let sink = Scripted::outcomes(&[TRANSIENT]);
    let writer = retrying(sink.clone(), RetryPolicy::default());
    assert_eq!(kind(&writer, 1).await, TRANSIENT);
    assert_eq!(sink.count(), 4);
    // The next batch has its own.
    assert_eq!(kind(&writer, 2).await, TRANSIENT);
    assert_eq!(sink.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn lesson_a_retry_sleep_does_not_block_other_batches() {
    let busy = WriteError::new(ErrorKind::Transient, "busy").with_retry_after(SECOND * 3600);
    let sink = Scripted::new(move |call| match call {
        0 => (Duration::ZERO, Err(busy.clone())),
        _ => (Duration::ZERO, Ok(())),
    });
    let writer = Arc::new(retrying(sink.clone(), RetryPolicy::default()));
    let patient = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { writer.write(&batch(1, [1])).await }
    });
    while sink.count() == 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    for id in 2..100 {
        writer.write(&batch(id, [1])).await.unwrap();
    }
    assert!(began.elapsed() < SECOND);
    assert!(!patient.is_finished());
    patient.await.unwrap().unwrap();
    assert!(began.elapsed() >= SECOND * 3599);
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_retry_waits_for_the_budget_and_then_delivers() {
    let sink = Scripted::new(|call| {
        (
            Duration::ZERO,
            outcome((call < 50).then_some(ErrorKind::Fatal)),
        )
    });
    let policy = RetryPolicy::new(SECOND / 1000, SECOND / 1000, None);
    let budget = RetryBudget::new(Instant::now().into_std(), 0.0, 1.0, 1).unwrap();
    let writer = Retrying::with_seed(sink.clone(), policy, SharedBudget::new(budget), 7);
    writer.write(&batch(1, [1])).await.unwrap();
    // One saved, then one per second, though each pause is a millisecond at most.
    let took = sink.times()[50];
    assert!((SECOND * 48..SECOND * 51).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_deadline_though_the_sink_is_never_ready() {
    let writer = breaker(Scripted::outcomes(&[None]), 1);
    writer.handle().force_open();
    let policy = RetryPolicy::default().within(SECOND * 100);
    let writer = retrying(writer, policy);
    let began = Instant::now();
    let error = writer.write(&batch(1, [1])).await.unwrap_err();
    assert!(
        error.to_string().starts_with("gave up after 0 attempts"),
        "{error}"
    );
    assert!(began.elapsed() <= SECOND * 100, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn opening_a_scope_is_tried_again_but_renaming_and_closing_are_not() {
    let sink = Scripted::outcomes(&[TRANSIENT, TRANSIENT, None]);
    let writer = retrying(sink.clone(), RetryPolicy::default());
    let name = ScopeName::new("host/normal");
    assert_eq!(
        writer.open_scope(ScopeIndex(0), &name).await.unwrap().fence,
        9
    );
    assert_eq!(sink.opens.load(Ordering::SeqCst), 3);
    assert!(writer.rename_scope(&name, &name).await.is_err());
    assert_eq!(sink.renames.load(Ordering::SeqCst), 1);
    assert!(writer.close().await.is_err());
    assert_eq!(sink.closes.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_too_long_is_cut_off_with_its_outcome_unknown() {
    let sink = Scripted::new(|_| (SECOND * 3600, Ok(())));
    let writer = Timeout::new(sink.clone(), SECOND * 5);
    let began = Instant::now();
    let error = writer.write(&batch(3, [1])).await.unwrap_err();
    assert_eq!(began.elapsed(), SECOND * 5);
    assert_eq!(error.kind(), ErrorKind::Transient);
    let expected = "scripted did not write batch 3 within 5s; the outcome is unknown";
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        sink.in_flight.load(Ordering::SeqCst),
        0,
        "the write was not dropped"
    );
    let name = ScopeName::new("host/normal");
    let error = writer.open_scope(ScopeIndex(0), &name).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("did not open scope `host/normal` within 5s")
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_a_lost_answer_behind_a_timeout_is_not_written_twice() {
    let memory = MemoryWriter::new();
    let writer = retrying(Timeout::new(memory.clone(), SECOND), RetryPolicy::default());
    let name = ScopeName::new("host/normal");
    writer.open_scope(ScopeIndex(0), &name).await.unwrap();
    memory.answer_late(SECOND * 10);
    let receipt = writer.write(&batch(1, 1..=3)).await.unwrap();
    assert_eq!(receipt.repeated(), 3);
    assert_eq!(memory.delivered().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_layer_passes_on_what_is_not_its_own() {
    async fn check(writer: impl BatchWriter<Row = record::Record>, sink: &Scripted) {
        assert_eq!(writer.name(), "scripted");
        assert_eq!(writer.guarantee(), Guarantee::ExactlyOnce);
        let name = ScopeName::new("host/normal");
        assert_eq!(
            writer.open_scope(ScopeIndex(0), &name).await.unwrap().fence,
            9
        );
        assert!(writer.scopes("").await.unwrap().is_empty());
        writer.rename_scope(&name, &name).await.unwrap();
        assert_eq!(sink.renames.load(Ordering::SeqCst), 1);
        writer.ready().await;
        assert_eq!(sink.readies.load(Ordering::SeqCst), 1);
        assert_eq!(
            writer.write(&batch(1, [1, 2])).await.unwrap().delivered(),
            2
        );
        writer.close().await.unwrap();
        assert_eq!(sink.closes.load(Ordering::SeqCst), 1);
    }
    let sink = || Scripted::outcomes(&[None]);
    let (one, two, three, four, five) = (sink(), sink(), sink(), sink(), sink());
    check(Timeout::new(one.clone(), SECOND), &one).await;
    check(retrying(two.clone(), RetryPolicy::default()), &two).await;
    check(breaker(three.clone(), 1), &three).await;
    check(limited(four.clone(), LimitSpec::new()), &four).await;
    check(stack(five.clone()), &five).await;
}

#[tokio::test(start_paused = true)]
async fn closing_neither_waits_for_a_breaker_nor_is_it_tried_again() {
    let sink = Scripted::outcomes(&[TRANSIENT]);
    let inner = breaker(sink.clone(), 1);
    inner.handle().force_open();
    let writer = retrying(inner, RetryPolicy::default().unlimited());
    let began = Instant::now();
    assert!(writer.close().await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(sink.closes.load(Ordering::SeqCst), 1);
}
