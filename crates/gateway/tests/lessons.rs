//! What other systems got wrong: averages of something else, timestamps that are no times.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::Server;
use common::socket::connect;
use gateway::{Actions, GatewayOptions};
use pipeline::{BufferOptions, Level, Pipeline};
use record::{Record, Timestamp, Value};
use serde_json::{Value as Json, json};
use sinks::{BoxWriter, MemoryWriter, RetryPolicy, ScopeName};

/// Pushes so many at the moment of the test's clock.
fn push(intake: &pipeline::Intake, count: usize) {
    let record = Record::new("PLC01", "D1", Value::F64(1.0), Timestamp::default()).unwrap();
    let records = (0..count).map(|_| Ok(record.clone())).collect();
    let now = tokio::time::Instant::now().into_std();
    assert_eq!(intake.push(now, records).unwrap().accepted, count);
}

/// `GET /api/metrics` shows it once more as `average_latency_ms`.
#[tokio::test(start_paused = true)]
async fn lesson_an_average_is_of_what_was_added_up() {
    let sink = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(sink.clone()))
        .flush(500, Duration::from_millis(1_000))
        .retry(RetryPolicy::default().unlimited())
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    push(&intake, 1);
    tokio::time::sleep(Duration::from_millis(900)).await;
    push(&intake, 9);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // One batch, of one record that waited for 1,000 ms and nine that waited for 100 ms.
    let recent = pipeline.stats().recent;
    assert_eq!((recent.delivered, recent.batches), (10, 1));
    let mean = recent.latency_mean_ms;
    assert!((190.0..192.0).contains(&mean), "{mean}");
    // Attempts that fail deliver nothing, and are no part of it.
    sink.go_down();
    push(&intake, 100);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let recent = pipeline.stats().recent;
    assert!(recent.failures > 1, "{recent:?}");
    assert_eq!(recent.latency_mean_ms, mean, "{recent:?}");
    sink.recover();
    pipeline.shutdown(None).await;
}

fn now() -> i64 {
    Timestamp::from_system(SystemTime::now()).micros()
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_timestamp_is_a_time() {
    let options = GatewayOptions {
        actions: Actions::new().on("echo", async |request| Ok(request.params)),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let began = now();
    let mut client = connect(&server, None).await.unwrap();
    let mut heard = vec![client.hear(&["welcome"]).await];
    for (said, answer) in [
        (
            json!({"type": "subscribe", "id": "a", "keys": ["PLC01/*"]}),
            "snapshot",
        ),
        (json!({"type": "ping"}), "pong"),
        (
            json!({"type": "action", "id": "b", "name": "echo"}),
            "action_result",
        ),
    ] {
        client.say(said).await;
        heard.push(client.hear(&[answer]).await);
    }
    // What a source read in 1970 does not make the frame old.
    server.put("D1", 1.0, 1);
    let update = client.hear(&["update"]).await;
    assert_eq!(update["changes"][0]["timestamp"], 1, "{update}");
    heard.push(update);
    server.pipeline.notify(Level::Info, "the night shift");
    heard.push(client.hear(&["notification"]).await);
    let ended = now();
    let is_now = |message: &Json| {
        let timestamp = message["timestamp"].as_i64();
        timestamp.is_some_and(|at| (began..=ended).contains(&at))
    };
    for message in &heard {
        assert!(is_now(message), "{message} not from {began} to {ended}");
    }
    server.stop().await;
}
