//! The REST interface, asked over a real socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::Server;
use common::exposition::Exposition;
use gateway::{BindError, Gateway, GatewayOptions};
use serde_json::{Value as Json, json};
use sinks::ScopeName;

fn assert_balanced(metrics: &Json) {
    let number = |name: &str| metrics[name].as_u64().unwrap();
    let dropped: u64 = metrics["dropped"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(
        number("offered"),
        number("accepted") + number("refused"),
        "{metrics}"
    );
    assert_eq!(
        number("accepted"),
        number("delivered") + dropped + number("quarantined") + number("pending"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_every_answer_of_metrics_balances_also_under_load() {
    let server = Server::start().await;
    let intake = server.intake.clone();
    let load = tokio::task::spawn_blocking(move || {
        for number in 0..3000 {
            let record = record::Record::new("PLC01", "D1", number.into(), Default::default());
            let contents = vec![
                Ok(record.unwrap()),
                Err(record::Malformed::new("bad", b"x")),
            ];
            let _ = intake.push(std::time::Instant::now(), contents).unwrap();
        }
    });
    for _ in 0..50 {
        assert_balanced(&server.get("/api/metrics").await.json());
    }
    load.await.unwrap();
    server.order("/api/flush", "", &[]).await;
    let metrics = server.get("/api/metrics").await.json();
    assert_balanced(&metrics);
    assert_eq!(
        (
            metrics["delivered"].as_u64(),
            metrics["quarantined"].as_u64()
        ),
        (Some(3000), Some(3000))
    );
    let flushes = metrics["flushes"].as_object().unwrap();
    let reasons: Vec<&str> = flushes.keys().map(String::as_str).collect();
    assert_eq!(
        reasons,
        [
            "age", "bytes", "capacity", "interval", "manual", "shutdown", "size"
        ]
    );
    let delivered: u64 = flushes
        .values()
        .map(|outcome| outcome["delivered"].as_u64().unwrap())
        .sum();
    assert_eq!(
        Some(delivered),
        metrics["sink"]["batches"].as_u64(),
        "{metrics}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_also_answer_by_the_names_that_other_dashboards_ask_for() {
    let server = Server::start().await;
    server.put_many("D1", 40);
    server.order("/api/flush", "", &[]).await;
    let metrics = server.get("/api/metrics").await.json();
    let number = |name: &str| metrics[name].as_f64().unwrap_or_else(|| panic!("{name}"));
    assert_eq!(metrics["total_updates"], metrics["accepted"]);
    assert_eq!(number("total_updates"), 40.0);
    assert_eq!(
        metrics["average_latency_ms"],
        metrics["recent"]["latency_mean_ms"]
    );
    assert_eq!(
        metrics["success_rate"],
        metrics["recent"]["success_rate_pct"]
    );
    assert_eq!(metrics["uptime"], metrics["uptime_s"]);
    assert_eq!(metrics["circuit_breaker_state"], "closed");
    assert_eq!(number("websocket_connections"), 0.0);
    assert!(number("updates_per_second") > 0.0, "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buffer_status_health_and_prometheus_have_their_fixed_names() {
    let server = Server::start().await;
    server.sink.go_down();
    server.put("D1", 1.5, 1_000_000);
    let status = server.get("/api/buffer/status").await.json();
    assert_eq!(
        (status["current_size"].as_u64(), status["max_size"].as_u64()),
        (Some(1), Some(10_000))
    );
    for name in [
        "utilization_pct",
        "overflow_count",
        "overflow_rate_pct",
        "oldest_age_s",
    ] {
        assert!(status[name].is_number(), "{name} in {status}");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let health = server.get("/api/health").await;
    assert_eq!(health.status, 200, "{health:?}");
    let health = health.json();
    assert_eq!(
        (&health["status"], health["score"].as_u64()),
        (&json!("degraded"), Some(60))
    );
    assert_eq!(health["reasons"][0]["code"], "sink_failing");
    assert!(health["reasons"][0]["hint"].as_str().unwrap().len() > 10);
    let read = Exposition::read(&server.get("/metrics").await.text);
    for (name, labels, value) in [
        ("accepted_total", &[][..], 1.0),
        ("dropped_total", &[("policy", "drop_oldest")], 0.0),
        ("pending", &[], 1.0),
        ("health_score", &[], 60.0),
        ("history_updates_total", &[], 1.0),
        ("history_values", &[], 1.0),
        ("history_resizes_total", &[], 0.0),
        ("history_expired_total", &[], 0.0),
        ("history_refused_memory_total", &[], 0.0),
        ("history_feeds", &[], 0.0),
        ("websocket_updates_total", &[], 0.0),
    ] {
        assert_eq!(
            read.sum(&format!("forebay_{name}"), labels),
            value,
            "{name}"
        );
    }
    let history = &server.get("/api/metrics").await.json()["history"];
    for name in ["bytes", "bytes_max"] {
        let gauge = read.sum(&format!("forebay_history_{name}"), &[]);
        assert_eq!(Some(gauge), history[name].as_f64(), "{name}");
    }
    for name in ["commit_us_mean", "commit_us_max", "log_updates"] {
        assert!(history[name].is_number(), "{name} in {history}");
    }
    server.sink.recover();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_pipeline_is_critical_and_takes_nothing() {
    let server = Server::start().await;
    server.pipeline.shutdown(None).await;
    let health = server.get("/api/health").await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &json!("critical"))
    );
    let line = r#"{"source":"s","tag":"t","value":1}"#;
    assert_eq!(
        server.send("POST", "/api/ingest", line, &[]).await.status,
        503
    );
    assert_eq!(server.order("/api/flush", "", &[]).await.status, 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_asked_for_by_count_or_by_seconds() {
    let server = Server::start().await;
    for second in 0..50 {
        server.put("a b/c%", second as f64, second * 1_000_000);
    }
    let points = |answer: &common::Answer| answer.json()["points"].as_array().unwrap().len();
    let path = "/api/history/PLC01/a%20b%2Fc%25";
    let answer = server.get(&format!("{path}?count=3")).await;
    assert_eq!(
        answer.json(),
        json!({"source": "PLC01", "tag": "a b/c%", "points": [
            {"timestamp": 47_000_000, "value": 47.0, "quality": "good", "priority": "normal"},
            {"timestamp": 48_000_000, "value": 48.0, "quality": "good", "priority": "normal"},
            {"timestamp": 49_000_000, "value": 49.0, "quality": "good", "priority": "normal"},
        ]})
    );
    assert_eq!(points(&server.get(path).await), 50);
    let last_ten = points(&server.get(&format!("{path}?seconds=10")).await);
    assert!(
        (10..=11).contains(&last_ten),
        "{last_ten} points in ten seconds"
    );
    for (query, message) in [
        ("count=0", "`count` is 0, expected 1 to 100000"),
        (
            "count=1&seconds=1",
            "give either `count` or `seconds`, not both",
        ),
        (
            "seconds=-1",
            "`seconds` is -1, expected more than 0 and at most 31622400",
        ),
        (
            "seconds=NaN",
            "`seconds` is NaN, expected more than 0 and at most 31622400",
        ),
    ] {
        let answer = server.get(&format!("{path}?{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (400, &json!(message)),
            "{query}"
        );
    }
    assert_eq!(server.get(&format!("{path}?cuont=1")).await.status, 400);
    let answer = server.get("/api/history/PLC01/none").await;
    assert_eq!(
        (answer.status, &answer.json()["detail"]),
        (404, &json!("there is no key \"PLC01/none\""))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_with_their_newest_value_and_filtered_by_glob() {
    let server = Server::start().await;
    server.put("cpu.1", 1.0, 1);
    server.put("cpu.2", 2.0, 2);
    server.put("memory", 3.0, 3);
    let all = server.get("/api/keys").await.json();
    assert_eq!(all["count"], 3);
    assert_eq!(
        all["keys"][2],
        json!({"source": "PLC01", "tag": "memory", "timestamp": 3, "value": 3.0, "quality": "good",
            "priority": "normal"})
    );
    assert_eq!(
        server.get("/api/keys?match=*/cpu.*").await.json()["count"],
        2
    );
    let bad = server.get("/api/keys?match=%5Bx").await;
    assert_eq!(bad.status, 400, "{bad:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_strangers_cannot_change_state_and_strange_hosts_are_refused() {
    let server = Server::start().await;
    let line = r#"{"source":"s","tag":"t","value":1}"#;
    let own = format!("http://{}", server.address);
    for (path, origin, status) in [
        ("/api/ingest", own.as_str(), 200),
        ("/api/ingest", "http://evil.example", 403),
        ("/api/ingest", "null", 403),
        ("/api/flush", "http://evil.example", 403),
        ("/api/flush", own.as_str(), 200),
    ] {
        let answer = server.order(path, line, &[("origin", origin)]).await;
        assert_eq!(answer.status, status, "{path} from {origin}: {answer:?}");
    }
    let answer = server
        .send("GET", "/api/keys", "", &[("host", "evil.example")])
        .await;
    assert_eq!(answer.status, 403);
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_every_file_that_it_names_are_served() {
    let server = Server::start().await;
    let page = server.get("/").await.text;
    let mut wanted: Vec<String> = page
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .map(str::to_owned)
        .collect();
    assert!(wanted.len() >= 3, "{wanted:?}");
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        if path.ends_with(".js") {
            assert!(
                answer.header("content-type").starts_with("text/javascript"),
                "{path}"
            );
        }
        if !path.contains("plotly") {
            let imports = answer.text.split("from \"./").skip(1);
            let names = imports.filter_map(|rest| rest.split('"').next());
            wanted.extend(names.map(|name| format!("/assets/{name}")));
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    let plain = server.send(
        "GET",
        "/assets/plotly.min.js",
        "",
        &[("accept-encoding", "identity")],
    );
    let plain = plain.await;
    assert!(
        plain.text.starts_with("/**\n* plotly.js v3"),
        "{}",
        &plain.text[..40]
    );
    assert_eq!(server.get("/assets/../Cargo.toml").await.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_said_with_the_way_out() {
    let server = Server::start().await;
    let ingest = server
        .pipeline
        .intake(&ScopeName::new("other"))
        .await
        .unwrap();
    let again = Gateway::bind(
        server.address,
        GatewayOptions::default(),
        server.pipeline.clone(),
        ingest,
    );
    let error = again.await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    assert!(
        error.to_string().ends_with("such as --listen 127.0.0.1:0"),
        "{error}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_refuses_tells_a_problem_of_one_shape() {
    let server = Server::start().await;
    for (method, path, status, title) in [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/assets/none", 404, "Not Found"),
        ("PUT", "/api/keys", 405, "Method Not Allowed"),
        ("GET", "/api/keys?count=1", 400, "Bad Request"),
        ("GET", "/api/history/%ff/t", 400, "Bad Request"),
        ("GET", "/api/history/a/t?count=many", 400, "Bad Request"),
        ("POST", "/api/purge", 415, "Unsupported Media Type"),
        ("POST", "/api/ingest", 400, "Bad Request"),
        ("GET", "/ws", 400, "Bad Request"),
    ] {
        let bearer = format!("Bearer {}", server.admin.as_str());
        let headers = [("authorization", bearer.as_str())];
        let answer = server.send(method, path, "", &headers).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}"
        );
        let problem = answer.json();
        assert_eq!(
            json!([problem["type"], problem["title"], problem["status"]]),
            json!(["about:blank", title, status]),
            "{method} {path}"
        );
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
    let bearer = format!("Bearer {}", server.admin.as_str());
    let headers = [("authorization", bearer.as_str())];
    let wrong = server.send("DELETE", "/api/health", "", &headers).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET,HEAD"));
    server.stop().await;
}
