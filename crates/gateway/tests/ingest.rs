//! `POST /api/ingest`: what is taken, what is named as malformed, and what is refused whole.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Server;
use gateway::GatewayOptions;
use pipeline::{BufferOptions, WhenFull};
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn ingest_takes_ndjson_and_arrays_and_names_what_is_malformed() {
    let server = Server::start().await;
    let body = [
        r#"{"source":"a","tag":"t","value":1}"#,
        "",
        "rubbish\r",
        r#"{"source":"a","tag":"t"}"#,
        r#"{"plc_code":"a","tag_address":"u","tag_value":"x","quality":"BAD"}"#,
    ]
    .join("\n");
    let answer = server.send("POST", "/api/ingest", body, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"accepted": 2, "malformed_count": 2, "malformed": [
            {"line": 3, "reason": "invalid JSON at column 1: expected value"},
            {"line": 4, "reason": "field `value` is missing"},
        ]})
    );
    let array = r#" [{"source":"a","tag":"t","value":{"x":[1]}}, 7] "#;
    let answer = server.send("POST", "/api/ingest", array, &[]).await.json();
    assert_eq!(
        (&answer["accepted"], &answer["malformed"][0]["line"]),
        (&json!(1), &json!(2))
    );
    server.order("/api/flush", "", &[]).await;
    assert_eq!(
        (
            server.sink.delivered().len(),
            server.sink.quarantined().len()
        ),
        (3, 3)
    );
    let history = server.get("/api/history/a/t").await.json();
    assert_eq!(history["points"][1]["value"], json!({"x": [1]}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_whole_and_nothing_is_stored() {
    let options = GatewayOptions {
        body_bytes_max: 10_000,
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let future = r#"{"source":"s","tag":"t","value":1,"timestamp":"2999-01-01T00:00:00Z"}"#;
    let cases: [(&[u8], u16); 8] = [
        (b"", 400),
        (b"rubbish", 400),
        (b"[1, 2", 400),
        (b"\xff\xfe\x00", 400),
        (br#"{"source":"s","tag":"t","value":NaN}"#, 400),
        (br#"{"source":"s","tag":"t","value":1e999}"#, 400),
        (future.as_bytes(), 400),
        (&[b' '; 10_001], 413),
    ];
    for (body, status) in cases {
        let answer = server.send("POST", "/api/ingest", body, &[]).await;
        assert_eq!(
            answer.status,
            status,
            "{:?}: {answer:?}",
            String::from_utf8_lossy(body)
        );
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(metrics["accepted"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_full_buffer_answers_429_and_takes_none_or_all() {
    let buffer = BufferOptions {
        max_size: 10,
        policy: WhenFull::DropOldest,
        ..BufferOptions::default()
    };
    let server = Server::with(buffer, GatewayOptions::default()).await;
    server.sink.go_down();
    let lines = |count| "{\"source\":\"s\",\"tag\":\"t\",\"value\":1}\n".repeat(count);
    let post = async |count| server.send("POST", "/api/ingest", lines(count), &[]).await;
    assert_eq!(post(8).await.status, 200);
    let full = post(3).await;
    assert_eq!(
        (full.status, full.header("retry-after")),
        (429, "1"),
        "{full:?}"
    );
    assert_eq!(
        full.json(),
        json!({"type": "about:blank", "title": "Too Many Requests", "status": 429,
            "detail": "nothing was taken: the lane normal into sink is full",
            "lane": "normal into sink", "retry_after_s": 1})
    );
    // One would fit, but the lane is past its high mark of 80 %.
    let high = post(1).await;
    assert_eq!((high.status, high.header("retry-after")), (429, "1"));
    assert_eq!(
        high.json()["detail"],
        "nothing was taken: the lane normal into sink is filling up"
    );
    assert_eq!(post(11).await.status, 413, "it would never fit");
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(
        (metrics["accepted"].as_u64(), metrics["refused"].as_u64()),
        (Some(8), Some(4))
    );
    assert_eq!(
        metrics["dropped"]["drop_oldest"], 0,
        "a post never displaces"
    );
    server.sink.recover();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_a_strange_json_value_does_not_break_the_list_of_keys() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    for value in ["[1e999]", "{\"a\":\n\r\n1}", &deep] {
        let body = format!("[{{\"source\":\"s\",\"tag\":\"t\",\"value\":{value}}}]");
        assert_eq!(
            server.send("POST", "/api/ingest", body, &[]).await.status,
            200
        );
        let keys = server.get("/api/keys").await;
        assert_eq!(keys.status, 200);
        assert!(keys.text.contains("\"tag\":\"t\""), "{}", keys.text);
        assert_eq!(server.get("/api/history/s/t").await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_body_of_more_records_than_the_buffer_holds_is_refused_early() {
    let server = Server::start().await;
    let answer = server
        .send("POST", "/api/ingest", "1\n".repeat(2_000_000), &[])
        .await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.json()["detail"],
        "nothing was taken: the body has more than 10000 records for the lane normal into sink; \
         send it in parts"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_too_many_new_keys_is_refused_whole() {
    let server = Server::start().await;
    let body: String = (0..51)
        .map(|number| format!("{{\"source\":\"s\",\"tag\":\"t{number}\",\"value\":1}}\n"))
        .collect();
    let answer = server.send("POST", "/api/ingest", body, &[]).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json()["detail"],
        "nothing was taken: the records have new keys: \
         cannot register another key: 50 of at most 50 are registered"
    );
    let metrics = server.get("/api/metrics").await.json();
    assert_eq!(
        (&metrics["accepted"], &metrics["keys"]),
        (&json!(0), &json!(0)),
        "a refused post fills no table"
    );
    let line = r#"{"source":"s","tag":"t","value":1}"#;
    assert_eq!(
        server.send("POST", "/api/ingest", line, &[]).await.status,
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_bodies_that_never_end_take_bounded_memory_and_leave_room_again() {
    let server = Server::start().await;
    let head = format!(
        "POST /api/ingest HTTP/1.1\r\nhost: {}\r\ncontent-length: 8388608\r\n\r\n",
        server.address
    );
    let line = r#"{"source":"s","tag":"t","value":1}"#;
    let post = async || server.send("POST", "/api/ingest", line, &[]).await;
    // A post may have the last place that a hanging body was to take. That one is refused then, and
    // its connection may be closed while it still writes. So there are more until all places are
    // taken by bodies that hang, which is when posts are refused.
    let mut hanging = Vec::new();
    let refused = loop {
        assert!(hanging.len() < 64, "there is always room");
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(b"{").await;
        hanging.push(stream);
        if hanging.len() >= 8 {
            let answer = post().await;
            if answer.status == 503 {
                break answer;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    };
    assert_eq!(refused.header("retry-after"), "1");
    drop(hanging);
    // Each place is given back once the server has seen that the connection is gone.
    let begun = std::time::Instant::now();
    while post().await.status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

const LINE: &str = r#"{"source":"s","tag":"t","value":1}"#;

async fn post_as(server: &Server, body: &str, key: &str) -> common::Answer {
    let headers = [("idempotency-key", key)];
    server.send("POST", "/api/ingest", body, &headers).await
}

async fn accepted(server: &Server) -> serde_json::Value {
    server.get("/api/metrics").await.json()["accepted"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_post_again_is_answered_as_before_and_taken_once() {
    let server = Server::start().await;
    let body = format!("{LINE}\nrubbish");
    let first = post_as(&server, &body, "a-1").await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (200, "")
    );
    for _ in 0..3 {
        let again = post_as(&server, &body, "a-1").await;
        assert_eq!((again.status, &again.text), (200, &first.text));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("content-type"), "application/json");
    }
    assert_eq!(
        accepted(&server).await,
        2,
        "the record and the malformed line, once"
    );
    let other = post_as(&server, LINE, "a-1").await;
    assert_eq!(
        (other.status, &other.json()["detail"]),
        (
            422,
            &json!("another body was taken under this `Idempotency-Key`; nothing was taken")
        )
    );
    assert_eq!(post_as(&server, LINE, "a-2").await.status, 200);
    assert_eq!(accepted(&server).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_whoever_sent_it() {
    let server = Server::start().await;
    assert_eq!(post_as(&server, LINE, "k").await.status, 200);
    let bearer = format!("Bearer {}", server.admin.as_str());
    let headers = [("idempotency-key", "k"), ("authorization", &bearer)];
    let other = server.send("POST", "/api/ingest", LINE, &headers).await;
    assert_eq!(
        (other.status, other.header("idempotency-replayed")),
        (200, "")
    );
    assert_eq!(accepted(&server).await, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_took_nothing_may_be_made_again_under_its_key() {
    let buffer = BufferOptions {
        max_size: 10,
        ..BufferOptions::default()
    };
    let server = Server::with(buffer, GatewayOptions::default()).await;
    server.sink.go_down();
    let eight = format!("{LINE}\n").repeat(8);
    assert_eq!(post_as(&server, &eight, "1").await.status, 200);
    assert_eq!(post_as(&server, LINE, "2").await.status, 429);
    assert_eq!(post_as(&server, "rubbish", "2").await.status, 400);
    server.sink.recover();
    server.pipeline.flush().await.unwrap();
    assert_eq!(post_as(&server, LINE, "2").await.status, 200);
    assert_eq!(accepted(&server).await, 9);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_while_its_first_post_is_under_way_and_free_when_that_breaks_off() {
    let server = Server::start().await;
    let head = format!(
        "POST /api/ingest HTTP/1.1\r\nhost: {}\r\nidempotency-key: k\r\n\
         content-length: 100\r\n\r\n",
        server.address
    );
    let mut hanging = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    hanging.write_all(head.as_bytes()).await.unwrap();
    // Until the server has read the head, the key is free: such a post takes it for a moment, and
    // takes nothing.
    let begun = std::time::Instant::now();
    let refused = loop {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        let answer = post_as(&server, "rubbish", "k").await;
        if answer.status != 400 {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (409, "1"));
    drop(hanging);
    while post_as(&server, LINE, "k").await.status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
    }
    assert_eq!(accepted(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_none_are_refused() {
    let server = Server::start().await;
    let long = "k".repeat(256);
    for (key, length) in [("", 0), (long.as_str(), 256)] {
        let answer = post_as(&server, LINE, key).await;
        let detail = format!("`Idempotency-Key` has {length} bytes, expected 1 to 255");
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (400, &json!(detail))
        );
    }
    assert_eq!(post_as(&server, LINE, &long[1..]).await.status, 200);
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let answer = server.send("POST", "/api/ingest", LINE, &twice).await;
    assert_eq!(answer.status, 400);
    server.stop().await;
}
