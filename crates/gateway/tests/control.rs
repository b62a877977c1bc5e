//! Orders to a running program: purge, reset breakers, reload; and whether it is ready.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Answer, Server, live_data};
use gateway::{GatewayOptions, Readiness, ReloadOutcome, ReloadRequest};
use pipeline::{BufferOptions, LaneSpec, Pipeline, SinkSpec};
use record::Priority;
use serde_json::json;
use sinks::{BoxWriter, BreakerSpec, BreakerState, CircuitBreaker, MemoryWriter, RetryPolicy};
use tokio::sync::{mpsc, watch};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn order(server: &Server, path: &str, body: &str) -> Answer {
    server.order(path, body, &[JSON]).await
}

async fn with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_throws_away_what_waits_in_the_lanes_that_it_names_and_counts_it() {
    let sink = MemoryWriter::new();
    let breaker = CircuitBreaker::new(sink.clone(), BreakerSpec::default()).unwrap();
    let handle = breaker.handle();
    // Nothing is taken out of the lanes while the breaker is open.
    handle.force_open();
    let lanes = [
        LaneSpec::new(Priority::Normal),
        LaneSpec::new(Priority::Low),
    ];
    let archive = SinkSpec::new("archive", BoxWriter::new(breaker))
        .lanes(lanes)
        .retry(RetryPolicy::default().unlimited())
        .breaker(handle.clone());
    let pipeline = Pipeline::builder()
        .sink(archive)
        .live(live_data(50))
        .start()
        .unwrap();
    let server = Server::over(pipeline, sink, GatewayOptions::default()).await;
    let lines: String = ["low", "normal", "low", "normal", "normal"]
        .iter()
        .map(|priority| json!({"source": "s", "tag": "t", "value": 1, "priority": priority}))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(
        server.send("POST", "/api/ingest", lines, &[]).await.status,
        200
    );
    let purged = order(&server, "/api/purge", r#"{"lane": "low"}"#).await;
    assert_eq!((purged.status, purged.json()), (200, json!({"purged": 2})));
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(
        (&metrics["dropped"]["purged"], &metrics["pending"]),
        (&json!(2), &json!(3))
    );
    let purged = order(&server, "/api/purge", r#"{"lane": "all"}"#).await;
    assert_eq!(purged.json(), json!({"purged": 3}));
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(
        (&metrics["accepted"], &metrics["pending"]),
        (&json!(5), &json!(0))
    );

    assert_eq!(handle.snapshot().state, BreakerState::ForcedOpen);
    let reset = order(&server, "/api/breaker/reset", "").await;
    assert_eq!((reset.status, reset.json()), (200, json!({"reset": 1})));
    assert_eq!(handle.snapshot().state, BreakerState::Closed);
    server.stop().await;
    assert_eq!(handle.snapshot().state, BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_not_meant_so_is_refused() {
    let server = Server::start().await;
    server.sink.go_down();
    server.put("D1", 1.0, 1);
    let purge = r#"{"lane": "all"}"#;
    for (body, headers, status) in [
        ("", &[JSON][..], 400),
        ("{}", &[JSON], 400),
        (r#"{"lane": "urgent"}"#, &[JSON], 400),
        (r#"{"lane": "all", "sure": true}"#, &[JSON], 400),
        // What a form of a page may send.
        (purge, &[], 415),
        (purge, &[("content-type", "text/plain")], 415),
        (purge, &[JSON, ("origin", "http://evil.example")], 403),
        (purge, &[JSON, ("host", "evil.example")], 403),
    ] {
        let answer = server.order("/api/purge", body, headers).await;
        assert_eq!(answer.status, status, "{body} {headers:?}: {answer:?}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    let urgent = order(&server, "/api/purge", r#"{"lane": "urgent"}"#)
        .await
        .text;
    assert!(
        urgent.contains("critical") && urgent.contains("all"),
        "{urgent}"
    );
    assert_eq!(server.get("/api/purge").await.status, 405);
    for path in ["/api/breaker/reset", "/api/reload"] {
        let strange = [("origin", "http://evil.example")];
        assert_eq!(server.order(path, "", &strange).await.status, 403, "{path}");
    }
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(metrics["dropped"]["purged"], 0);
    assert_eq!(
        order(&server, "/api/breaker/reset", "").await.json(),
        json!({"reset": 0})
    );
    server.sink.recover();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloading_answers_what_changed_or_every_mistake() {
    let (reload, mut requests) = mpsc::channel::<ReloadRequest>(1);
    let options = GatewayOptions {
        reload: Some(reload),
        ..GatewayOptions::default()
    };
    let server = with(options).await;
    let changes = vec!["[buffer] max_size: 10000 -> 20000".to_owned()];
    let mistakes = vec!["[buffer] max_size is 0, but must be at least 1".to_owned()];
    let outcomes = [
        ReloadOutcome::Applied {
            changes: changes.clone(),
        },
        ReloadOutcome::Refused {
            mistakes: mistakes.clone(),
        },
    ];
    let program = tokio::spawn(async move {
        for outcome in outcomes {
            requests.recv().await.unwrap().answer(outcome);
        }
        // The third is dropped unanswered, and then the program is gone.
        drop(requests.recv().await.unwrap());
    });
    let applied = order(&server, "/api/reload", "").await;
    assert_eq!(
        (applied.status, applied.json()),
        (200, json!({"changes": changes}))
    );
    let refused = order(&server, "/api/reload", "").await;
    assert_eq!(
        (refused.status, refused.json()),
        (
            422,
            json!({"type": "about:blank", "title": "Unprocessable Entity", "status": 422,
                "detail": "the configuration is refused, and nothing has changed",
                "mistakes": mistakes})
        )
    );
    assert_eq!(order(&server, "/api/reload", "").await.status, 503);
    program.await.unwrap();
    assert_eq!(order(&server, "/api/reload", "").await.status, 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloading_is_asked_for_once_at_a_time_and_not_of_everyone() {
    let server = Server::start().await;
    let none = order(&server, "/api/reload", "").await;
    assert_eq!(none.status, 501);
    assert!(
        none.json()["detail"]
            .as_str()
            .unwrap()
            .contains("start it anew")
    );
    server.stop().await;

    // One request waits in the channel already.
    let (reload, mut requests) = mpsc::channel::<ReloadRequest>(1);
    let options = GatewayOptions {
        reload: Some(reload.clone()),
        ..GatewayOptions::default()
    };
    let server = with(options).await;
    let place = reload.reserve().await.unwrap();
    let busy = order(&server, "/api/reload", "").await;
    assert_eq!((busy.status, busy.header("retry-after")), (503, "1"));
    drop(place);
    requests.close();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_ready_between_its_start_and_its_end_also_while_the_sink_is_away() {
    let (say, readiness) = watch::channel(Readiness::Starting);
    let options = GatewayOptions {
        readiness: Some(readiness),
        ..GatewayOptions::default()
    };
    let server = with(options).await;
    let state = async || {
        let answer = server.get("/api/ready").await;
        (
            answer.status,
            answer.json()["state"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(state().await, (503, "starting".to_owned()));
    say.send_replace(Readiness::Ready);
    assert_eq!(state().await, (200, "ready".to_owned()));
    server.sink.go_down();
    server.put("D1", 1.0, 1);
    assert_eq!(
        state().await,
        (200, "ready".to_owned()),
        "what comes is buffered"
    );
    say.send_replace(Readiness::Draining);
    assert_eq!(state().await, (503, "draining".to_owned()));
    say.send_replace(Readiness::Ready);
    server.sink.recover();
    server.pipeline.shutdown(None).await;
    assert_eq!(
        state().await,
        (503, "draining".to_owned()),
        "nothing is taken any more"
    );
    let live = server.get("/api/live").await;
    assert_eq!((live.status, live.json()), (200, json!({"live": true})));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_says_nothing_is_ready_from_the_start() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/ready").await.status, 200);
    server.stop().await;
}
