//! The circuit breaker around a writer, in tokio's stopped time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::batch;
use parking_lot::Mutex;
use scripted::{SECOND, Scripted, TRANSIENT, breaker, kind, limited, outcome, retrying};
use sinks::{
    BatchWriter, BoxWriter, BreakerSpec, BreakerState, CircuitBreaker, ConcurrencySpec, ErrorKind,
    LimitSpec, RetryPolicy,
};
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn lesson_a_breaker_awaits_the_call_and_trips() {
    // The failure comes late: a breaker around a future that is not awaited would see none.
    let sink = Scripted::new(|_| (SECOND, outcome(TRANSIENT)));
    let writer = breaker(sink.clone(), 5);
    for id in 0..5 {
        assert_eq!(kind(&writer, id).await, TRANSIENT);
    }
    assert_eq!(writer.handle().snapshot().state, BreakerState::Open);
    let began = Instant::now();
    let error = writer.write(&batch(9, [1])).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(sink.count(), 5);
    assert_eq!(error.retry_after(), Some(SECOND * 30));
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(!error.was_attempted());
}

#[tokio::test(start_paused = true)]
async fn lesson_a_breaker_sees_failures_and_no_swallowed_ones() {
    let check = async |kind: ErrorKind, state: BreakerState| {
        let sink = Scripted::new(move |_| (Duration::ZERO, outcome(Some(kind))));
        let writer = breaker(sink, 3);
        for id in 0..3 {
            // The error is passed on as it is, not turned into a success.
            let error = writer.write(&batch(id, [1])).await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        assert_eq!(writer.handle().snapshot().state, state, "{kind:?}");
    };
    check(ErrorKind::Transient, BreakerState::Open).await;
    check(ErrorKind::Fatal, BreakerState::Open).await;
    // The sink answered: its rows are bad, not the sink.
    check(ErrorKind::Data, BreakerState::Closed).await;
    check(ErrorKind::Fenced, BreakerState::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn lesson_an_open_breaker_pauses_waiting_batches_instead_of_burning_attempts() {
    let dead_until = Instant::now() + SECOND * 100;
    let sink = Scripted::new(move |_| {
        let is_dead = Instant::now() < dead_until;
        (
            Duration::ZERO,
            outcome(is_dead.then_some(ErrorKind::Transient)),
        )
    });
    let spec = BreakerSpec::consecutive(2, SECOND * 30).open(SECOND * 30, SECOND * 30);
    let inner = CircuitBreaker::with_seed(sink.clone(), spec, 1).unwrap();
    let writer = Arc::new(retrying(inner, RetryPolicy::default()));
    // Eight batches of four attempts each, through 100 s of a dead sink.
    let batches = (0..8).map(|id| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move { writer.write(&batch(id, [1])).await })
    });
    for written in batches.collect::<Vec<_>>() {
        written.await.unwrap().unwrap();
    }
    let failed = sink.times().iter().filter(|at| **at < SECOND * 100).count();
    // Those that were under way when it tripped, and one probe per 30 s.
    assert!(failed <= 8 + 4, "{failed} attempts at a dead sink");
}

#[tokio::test(start_paused = true)]
async fn lesson_an_open_breaker_stops_dequeuing() {
    let sink = Scripted::outcomes(&[TRANSIENT, None]);
    let writer = BoxWriter::new(breaker(sink.clone(), 1));
    assert_eq!(kind(&writer, 1).await, TRANSIENT);
    let began = Instant::now();
    writer.ready().await;
    assert_eq!(began.elapsed(), SECOND * 30);
    assert_eq!(sink.count(), 1);
    assert_eq!(kind(&writer, 2).await, None);
    // Closed again: ready at once, and the writer inside was asked as well.
    writer.ready().await;
    assert_eq!(began.elapsed(), SECOND * 30);
    assert_eq!(sink.readies.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_breaker_is_woken_by_hand() {
    let writer = breaker(Scripted::outcomes(&[None]), 1);
    let handle = writer.handle();
    handle.force_open();
    assert!(timeout(SECOND * 86_400, writer.ready()).await.is_err());
    let began = Instant::now();
    let ((), ()) = tokio::join!(writer.ready(), async {
        sleep(SECOND).await;
        handle.reset();
    });
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn lesson_a_cancelled_probe_lets_the_next_one_through() {
    let sink = Scripted::new(|call| match call {
        0 => (Duration::ZERO, outcome(TRANSIENT)),
        1 => (SECOND * 3600, Ok(())),
        _ => (Duration::ZERO, Ok(())),
    });
    let writer = breaker(sink.clone(), 1);
    assert_eq!(kind(&writer, 1).await, TRANSIENT);
    writer.ready().await;
    assert!(timeout(SECOND, writer.write(&batch(2, [1]))).await.is_err());
    let began = Instant::now();
    writer.ready().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(kind(&writer, 3).await, None);
    assert_eq!(writer.handle().snapshot().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn lesson_asking_how_it_is_never_hangs() {
    let writer = breaker(Scripted::outcomes(&[TRANSIENT, None]), 1);
    let handle = writer.handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    handle.on_change(|_| panic!("a listener that panics"));
    // The listener asks, steers and listens from inside: it would hang if a lock were held.
    handle.on_change({
        let (handle, seen) = (handle.clone(), Arc::clone(&seen));
        move |change| {
            seen.lock().push((change.to, handle.snapshot().state));
            handle.on_change(|_| {});
            let _ = format!("{handle:?}");
        }
    });
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    assert_eq!(kind(&writer, 1).await, TRANSIENT);
    writer.ready().await;
    assert_eq!(kind(&writer, 2).await, None);
    std::panic::set_hook(hook);
    let expected = [
        BreakerState::Open,
        BreakerState::HalfOpen,
        BreakerState::Closed,
    ];
    assert_eq!(*seen.lock(), expected.map(|state| (state, state)));
    let limited = limited(
        writer,
        LimitSpec::new().concurrency(ConcurrencySpec::fixed(1)),
    );
    let gate = limited.handle();
    assert!(format!("{gate:?}").contains("in_flight: Some(0)"));
}
