//! Limits of rate and concurrency around a writer, in tokio's stopped time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/scripted.rs"]
mod scripted;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::batch;
use scripted::{SECOND, Scripted, TRANSIENT, breaker, kind, limited, outcome, retrying};
use sinks::{BatchWriter, ConcurrencySpec, ErrorKind, LimitSpec, Rate, RetryPolicy};
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn lesson_a_limiter_times_each_attempt_and_not_the_whole_sequence() {
    // Every other attempt fails, each takes a millisecond, and between two lie some seconds.
    let sink = || {
        let fails = |call: usize| call.is_multiple_of(2).then_some(ErrorKind::Fatal);
        Scripted::new(move |call| (SECOND / 1000, outcome(fails(call))))
    };
    let policy = RetryPolicy::new(SECOND * 20, SECOND * 20, None);
    let concurrency = ConcurrencySpec::adaptive(1, 8).slow_call(SECOND / 10);
    let spec = LimitSpec::new().concurrency(concurrency);
    let inside = limited(sink(), spec);
    let handle = inside.handle();
    let writer = retrying(inside, policy);
    let wrong = limited(retrying(sink(), policy), spec);
    for id in 0..20 {
        writer.write(&batch(id, [1])).await.unwrap();
        wrong.write(&batch(id, [1])).await.unwrap();
    }
    // Seen as calls of some seconds, the sink looks too slow for more than one.
    assert_eq!(wrong.handle().snapshot().concurrency, Some(1));
    assert_eq!(handle.snapshot().concurrency, Some(3));
    assert_eq!(handle.snapshot().in_flight, Some(0));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_written_at_once_than_the_limit_and_all_in_order() {
    let sink = Scripted::new(|_| (SECOND, Ok(())));
    let spec = LimitSpec::new().concurrency(ConcurrencySpec::fixed(3));
    let writer = limited(sink.clone(), spec);
    let writes: Vec<_> = (0..12).map(|id| batch(id, [1])).collect();
    let began = Instant::now();
    let all = writes.iter().map(|batch| writer.write(batch));
    for written in futures_util::future::join_all(all).await {
        written.unwrap();
    }
    assert_eq!(sink.most_in_flight.load(Ordering::SeqCst), 3);
    assert_eq!(began.elapsed(), SECOND * 4);
    let ids: Vec<u64> = sink.calls.lock().iter().map(|(id, _, _)| id.0).collect();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
    assert_eq!(writer.handle().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_write_gives_its_slot_its_place_and_its_tokens_back() {
    let sink = Scripted::new(|call| (SECOND * if call == 0 { 3600 } else { 0 }, Ok(())));
    let rows = Rate::new(1.0, 10).unwrap();
    let spec = LimitSpec::new()
        .rows(rows)
        .concurrency(ConcurrencySpec::fixed(1));
    let writer = limited(sink.clone(), spec);
    let (first, second, third) = (batch(1, 0..4), batch(2, 0..3), batch(3, 0..3));
    let began = Instant::now();
    let cancelled = tokio::join!(
        timeout(SECOND, writer.write(&first)),
        timeout(SECOND / 2, writer.write(&second)),
        writer.write(&third),
    );
    assert!(cancelled.0.is_err() && cancelled.1.is_err());
    cancelled.2.unwrap();
    // The third had its turn as soon as the first was gone, though the second stood before it.
    assert_eq!(began.elapsed(), SECOND);
    let snapshot = writer.handle().snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting), (Some(0), 0));
    // What the first took is gone, the second never got to the sink.
    assert_eq!(snapshot.rows, Some(10 - 4 - 3 + 1));
}

#[tokio::test(start_paused = true)]
async fn lesson_an_oversized_batch_passes_the_limit() {
    let sink = Scripted::outcomes(&[None]);
    let spec = LimitSpec::new().rows(Rate::new(10.0, 5).unwrap());
    let writer = limited(sink.clone(), spec);
    let began = Instant::now();
    writer.write(&batch(1, 0..105)).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 10);
    writer.write(&batch(2, 0..5)).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 21 / 2);
}

#[tokio::test(start_paused = true)]
async fn a_limited_writer_is_ready_when_a_row_could_pass() {
    let sink = Scripted::new(|_| (SECOND * 5, Ok(())));
    let spec = LimitSpec::new()
        .batches(Rate::new(0.1, 1).unwrap())
        .concurrency(ConcurrencySpec::fixed(1));
    let writer = limited(sink, spec);
    let began = Instant::now();
    writer.ready().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    writer.write(&batch(1, [1])).await.unwrap();
    writer.ready().await;
    assert_eq!(began.elapsed(), SECOND * 10);
    let (first, rest) = (batch(2, [1]), async {
        sleep(SECOND / 10).await;
        writer.ready().await;
        began.elapsed()
    });
    let (written, ready) = tokio::join!(writer.write(&first), rest);
    written.unwrap();
    assert_eq!(ready, SECOND * 20);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_batch_that_a_breaker_refused_are_refunded() {
    let inner = breaker(Scripted::outcomes(&[None]), 1);
    inner.handle().force_open();
    let writer = limited(inner, LimitSpec::new().rows(Rate::new(1.0, 100).unwrap()));
    for id in 0..10 {
        assert_eq!(kind(&writer, id).await, TRANSIENT);
    }
    assert_eq!(writer.handle().snapshot().rows, Some(100));
}
