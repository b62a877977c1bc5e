//! Posts into several lanes: each has its own room, and a full one is named. What the metrics say
//! of routes, lanes and sinks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Answer, Server, live_data};
use gateway::GatewayOptions;
use pipeline::{LaneSpec, Pipeline, RouteSpec, SinkSpec};
use record::Priority;
use serde_json::{Value as Json, json};
use sinks::{BoxWriter, BreakerSpec, CircuitBreaker, MemoryWriter, RetryPolicy};

/// A sink with lanes for so many critical and normal records, and 100 low ones; and a second one
/// for alarms with room for five, in one lane.
async fn server(critical: usize, normal: usize) -> Server {
    let (sink, alarms) = (MemoryWriter::new(), MemoryWriter::new());
    let writer = CircuitBreaker::new(sink.clone(), BreakerSpec::default()).unwrap();
    let breaker = writer.handle();
    let lane = |priority, size| LaneSpec::new(priority).size(size).size_min(size);
    let pipeline = Pipeline::builder()
        .sink(
            SinkSpec::new("archive", BoxWriter::new(writer))
                .lanes([
                    lane(Priority::Critical, critical),
                    lane(Priority::Normal, normal),
                    lane(Priority::Low, 100),
                ])
                .retry(RetryPolicy::default().unlimited())
                .breaker(breaker),
        )
        .sink(SinkSpec::new("alarms", BoxWriter::new(alarms)).lanes([lane(Priority::Critical, 5)]))
        .route(RouteSpec::to("archive").name("all"))
        .route(RouteSpec::to("alarms").tags("alarm.*".parse().unwrap()))
        .live(live_data(50))
        .start()
        .unwrap();
    Server::over(pipeline, sink, GatewayOptions::default()).await
}

async fn post(server: &Server, priority: &str, tag: &str, count: usize) -> Answer {
    let line = json!({"source": "s", "tag": tag, "value": 1, "priority": priority});
    let body = format!("{line}\n").repeat(count);
    server.send("POST", "/api/ingest", body, &[]).await
}

/// Waits until a figure of the metrics is what is wanted.
async fn until(server: &Server, pointer: &str, wanted: impl Fn(&Json) -> bool) {
    let mut last = Json::Null;
    for _ in 0..1000 {
        let metrics = server.get("/api/metrics").await.json();
        last = metrics.pointer(pointer).unwrap().clone();
        if wanted(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pointer} is still {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_posts_are_taken_while_the_normal_lane_is_full() {
    let server = server(10, 10).await;
    server.sink.go_down();
    assert_eq!(post(&server, "normal", "t", 10).await.status, 200);
    let full = post(&server, "normal", "t", 1).await;
    assert_eq!((full.status, full.header("retry-after")), (429, "1"));
    assert_eq!(
        full.json(),
        json!({"type": "about:blank", "title": "Too Many Requests", "status": 429,
            "detail": "nothing was taken: the lane normal of all into archive is full",
            "lane": "normal of all into archive", "retry_after_s": 1})
    );
    assert_eq!(post(&server, "critical", "t", 3).await.status, 200);
    // A mixed body is taken whole or not at all.
    let mixed = ["critical", "normal"]
        .map(|priority| json!({"source": "s", "tag": "t", "value": 1, "priority": priority}));
    let mixed = json!(mixed).to_string();
    let refused = server.send("POST", "/api/ingest", mixed, &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["lane"], "normal of all into archive");
    let metrics = server.get("/api/metrics").await.json();
    let lanes = &metrics["routes"][0]["lanes"];
    assert_eq!(
        (&lanes[0]["accepted"], &lanes[0]["dropped"]["drop_oldest"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        (&lanes[1]["accepted"], &lanes[1]["refused"]),
        (&json!(10), &json!(2))
    );
    server.sink.recover();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_past_its_high_mark_answers_429_and_takes_posts_again_once_it_is_low() {
    let server = server(10, 10).await;
    server.sink.go_down();
    assert_eq!(post(&server, "normal", "t", 8).await.status, 200);
    let high = post(&server, "normal", "t", 1).await;
    assert_eq!((high.status, high.header("retry-after")), (429, "1"));
    assert_eq!(
        high.json()["detail"],
        "nothing was taken: the lane normal of all into archive is filling up"
    );
    until(&server, "/routes/0/lanes/1/high", |high| high == true).await;
    server.sink.recover();
    server.order("/api/breaker/reset", "", &[]).await;
    until(&server, "/routes/0/lanes/1/high", |high| high == false).await;
    assert_eq!(post(&server, "normal", "t", 1).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_records_of_a_body_are_those_of_the_lane_that_they_go_to() {
    let server = server(10, 50).await;
    let refused = post(&server, "critical", "t", 11).await;
    assert_eq!(refused.status, 413);
    assert_eq!(
        refused.json(),
        json!({"type": "about:blank", "title": "Payload Too Large", "status": 413,
            "detail": "nothing was taken: the body has more than 10 records for the lane \
            critical of all into archive; send it in parts",
            "lane": "critical of all into archive"})
    );
    // Each lane counts for itself, and so does each sink that a record goes to.
    assert_eq!(post(&server, "normal", "t", 39).await.status, 200);
    let alarms = post(&server, "normal", "alarm.fire", 6).await;
    assert_eq!(
        (alarms.status, &alarms.json()["lane"]),
        (413, &json!("critical into alarms"))
    );
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(metrics["accepted"], 39);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_routes_lanes_and_sinks_and_each_balances() {
    let server = server(10, 100).await;
    assert_eq!(post(&server, "normal", "alarm.fire", 4).await.status, 200);
    assert_eq!(post(&server, "critical", "t", 2).await.status, 200);
    server.order("/api/flush", "", &[]).await;
    until(&server, "/delivered", |delivered| delivered == 10).await;
    let metrics = server.get("/api/metrics").await.json();
    let named: Vec<_> = metrics["routes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|route| {
            route["lanes"]
                .as_array()
                .unwrap()
                .iter()
                .map(move |lane| (route, lane))
        })
        .map(|(route, lane)| {
            json!([
                route["route"],
                route["sink"],
                lane["lane"],
                lane["delivered"]
            ])
        })
        .collect();
    assert_eq!(
        json!(named),
        json!([
            ["all", "archive", "critical", 2],
            ["all", "archive", "normal", 4],
            ["all", "archive", "low", 0],
            [null, "alarms", "critical", 4],
        ])
    );
    let sum = |object: &Json| -> u64 {
        let numbers = object.as_object().unwrap().values();
        numbers.map(|number| number.as_u64().unwrap()).sum()
    };
    for route in metrics["routes"].as_array().unwrap() {
        for part in route["lanes"].as_array().unwrap().iter().chain([route]) {
            let number = |name: &str| part[name].as_u64().unwrap();
            assert_eq!(
                number("offered"),
                number("accepted") + number("refused"),
                "{part}"
            );
            let settled = number("delivered") + sum(&part["dropped"]) + number("quarantined");
            assert_eq!(number("accepted"), settled + number("pending"), "{part}");
        }
    }
    let lane = &metrics["routes"][0]["lanes"][0];
    assert_eq!(
        (&lane["state"], &lane["high"]),
        (&json!("running"), &json!(false))
    );
    for name in ["p50", "p95", "p99", "max"] {
        assert!(lane["latency_ms"][name].is_number() && lane["write_ms"][name].is_number());
    }
    for name in [
        "batch_size",
        "batches",
        "restarts",
        "latency_target_ms",
        "rows_per_s",
    ] {
        assert!(lane[name].is_number(), "{name} in {lane}");
    }
    let sinks = metrics["sinks"].as_array().unwrap();
    let breakers: Vec<_> = sinks
        .iter()
        .map(|sink| [&sink["sink"], &sink["breaker"]])
        .collect();
    assert_eq!(
        json!(breakers),
        json!([["archive", "closed"], ["alarms", null]])
    );
    server.stop().await;
}
