//! The WebSocket, spoken to by a real client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::Server;
use common::socket::{connect, values};
use futures_util::{SinkExt, StreamExt};
use gateway::GatewayOptions;
use pipeline::BufferOptions;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_then_updates_of_the_keys_that_match_new_ones_included() {
    let server = Server::start().await;
    server.put("cpu.1", 1.0, 1);
    server.put("memory", 2.0, 2);
    let mut client = connect(&server, None).await.unwrap();
    let welcome = client.hear(&["welcome"]).await;
    assert_eq!(
        (&welcome["protocol"], &welcome["connection_id"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        welcome["instance"],
        server.get("/api/metrics").await.json()["instance"]
    );
    client
        .say(json!({"type": "subscribe", "id": "a", "keys": ["*/cpu.*"]}))
        .await;
    let snapshot = client.hear(&["snapshot"]).await;
    let timestamp = snapshot["timestamp"].clone();
    assert!(timestamp.is_i64(), "{snapshot}");
    assert_eq!(
        snapshot,
        json!({"type": "snapshot", "id": "a", "seq": 2, "timestamp": timestamp, "changes": [
            {"source": "PLC01", "tag": "cpu.1", "timestamp": 1, "value": 1.0, "quality": "good",
                "priority": "normal"}
        ]})
    );
    server.put("memory", 3.0, 3);
    server.put("cpu.1", 4.0, 4);
    let update = client.hear(&["update"]).await;
    assert_eq!(
        (values(&update), &update["seq"]),
        (vec![("cpu.1".into(), 4.0)], &json!(4))
    );
    server.put("cpu.2", 5.0, 5);
    assert_eq!(
        values(&client.hear(&["update"]).await),
        [("cpu.2".into(), 5.0)]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_the_newest_state_and_one_that_asks_for_all_gets_each_once() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    for (id, extract) in [("newest", "latest"), ("all", "since_last")] {
        let subscribe = json!({"type": "subscribe", "id": id, "keys": ["PLC01/D1"],
            "extract": {"kind": extract}, "min_interval_ms": 400});
        client.say(subscribe).await;
        assert_eq!(
            values(&client.hear(&["snapshot"]).await),
            [("D1".into(), 0.0)]
        );
    }
    for number in 1..=20 {
        server.put("D1", f64::from(number), i64::from(number));
    }
    for _ in 0..2 {
        let update = client.hear(&["update"]).await;
        let numbers: Vec<f64> = values(&update)
            .into_iter()
            .map(|(_, number)| number)
            .collect();
        match update["id"].as_str().unwrap() {
            "newest" => assert_eq!(numbers, [20.0]),
            _ => assert_eq!(numbers, (1..=20).map(f64::from).collect::<Vec<_>>()),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_malformed_messages_get_an_error_and_the_connection_and_others_go_on() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    let mut neighbour = connect(&server, None).await.unwrap();
    neighbour
        .say(json!({"type": "subscribe", "id": "n", "keys": ["*"]}))
        .await;
    neighbour.hear(&["snapshot"]).await;
    let many: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    for (message, code) in [
        (json!("rubbish"), "malformed"),
        (json!({"type": "unheard_of"}), "malformed"),
        (json!({"type": "subscribe", "id": "x"}), "bad_keys"),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"], "channel": "c"}),
            "bad_keys",
        ),
        (
            json!({"type": "subscribe", "id": "x", "channel": "c"}),
            "unknown_channel",
        ),
        (json!({"type": "hello", "protocol": 2}), "bad_protocol"),
        (
            json!({"type": "subscribe", "id": "", "keys": ["*"]}),
            "bad_id",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": []}),
            "bad_keys",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["[a"]}),
            "bad_keys",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": many}),
            "bad_keys",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "window", "count": 0}}),
            "bad_extract",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "downsampled", "seconds": 10}}),
            "malformed",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "downsampled", "points": 1}}),
            "bad_extract",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "downsampled", "points": 2, "count": 2, "seconds": 1}}),
            "bad_extract",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "since": {"instance": "", "seq": 1}}),
            "bad_since",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "since_last"}, "since": {"instance": "none", "seq": 1}}),
            "bad_since",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"],
                "extract": {"kind": "since_last"}, "since": {"instance": "+1", "seq": 1}}),
            "bad_since",
        ),
        (
            json!({"type": "subscribe", "id": "x", "keys": ["*"], "min_interval_ms": 70_000}),
            "bad_interval",
        ),
        (json!({"type": "pause", "id": "x"}), "unknown_subscription"),
        (
            json!({"type": "unpause", "id": "x"}),
            "unknown_subscription",
        ),
        (
            json!({"type": "unsubscribe", "id": "x"}),
            "unknown_subscription",
        ),
    ] {
        client.say(message.clone()).await;
        let error = client.hear(&["error", "snapshot"]).await;
        assert_eq!(error["code"], code, "{message}");
    }
    client.0.send(Message::binary(vec![0xff])).await.unwrap();
    assert_eq!(client.hear(&["error"]).await["code"], "binary");
    client
        .say(json!({"type": "ping", "echo": {"n": [1]}}))
        .await;
    let pong = client.hear(&["pong"]).await;
    assert_eq!(
        (&pong["echo"], &pong["seq"]),
        (&json!({"n": [1]}), &json!(0))
    );
    // A message beyond the limit ends only the connection that sent it.
    let _ = client.0.send(Message::text("x".repeat(300 << 10))).await;
    server.put("D1", 1.0, 1);
    assert_eq!(
        values(&neighbour.hear(&["update"]).await),
        [("D1".into(), 1.0)]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_stranger_cannot_open_the_socket() {
    let options = GatewayOptions {
        allowed_origins: vec!["https://plant.example".to_owned()],
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let own = format!("http://{}", server.address);
    for (origin, expected) in [
        (own.as_str(), None),
        ("https://plant.example", None),
        ("https://plant.example.evil", Some(403)),
        ("http://evil.example", Some(403)),
        ("null", Some(403)),
    ] {
        assert_eq!(
            connect(&server, Some(origin)).await.err(),
            expected,
            "{origin}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_the_number_of_clients_is_bounded_and_a_place_is_free_again() {
    let options = GatewayOptions {
        websockets_max: 2,
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let first = connect(&server, None).await.unwrap();
    let _second = connect(&server, None).await.unwrap();
    assert_eq!(connect(&server, None).await.err(), Some(503));
    drop(first);
    for _ in 0..100 {
        if connect(&server, None).await.is_ok() {
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place was never free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_hear_notifications_and_are_told_when_the_server_stops() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    client.hear(&["welcome"]).await;
    server.sink.go_down();
    server.put("D1", 1.0, 1);
    let heard = client.hear(&["notification"]).await;
    assert_eq!(
        (&heard["level"], &heard["message"]),
        (&json!("error"), &json!("the sink fails: the sink is down"))
    );
    server.sink.recover();
    let stopping = tokio::spawn(server.stop());
    loop {
        match tokio::time::timeout(Duration::from_secs(10), client.0.next())
            .await
            .unwrap()
        {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(frame.reason.as_str(), "the server stops");
                break;
            }
            Some(Ok(_)) => {}
            other => panic!("closed without a word: {other:?}"),
        }
    }
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_client_that_never_reads_costs_the_others_nothing() {
    let server = Server::start().await;
    let mut stalled = connect(&server, None).await.unwrap();
    let window = json!({"type": "subscribe", "id": "w", "keys": ["*"],
        "extract": {"kind": "window", "count": 100}});
    stalled.say(window).await;
    let mut neighbour = connect(&server, None).await.unwrap();
    neighbour
        .say(json!({"type": "subscribe", "id": "n", "keys": ["*"]}))
        .await;
    neighbour.hear(&["snapshot"]).await;
    // Each frame for the stalled one is about a hundred values: some 50 MB if they were queued.
    let mut newest = 0.0;
    for number in 1..=5000 {
        server.put("D1", f64::from(number), i64::from(number));
        if number % 500 == 0 {
            let update = neighbour.hear(&["update"]).await;
            newest = values(&update)[0].1;
        }
    }
    while newest < 5000.0 {
        newest = values(&neighbour.hear(&["update"]).await)[0].1;
    }
    drop(stalled);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_is_not_shown_what_is_long_past() {
    let server = Server::start().await;
    // Its own buffer is small too, as that of a program that knows it is slow.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let url = format!("ws://{}/ws", server.address);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let (mut say, mut hear) = socket.split();
    let subscribe = json!({"type": "subscribe", "id": "a", "keys": ["*"]}).to_string();
    say.send(Message::text(subscribe)).await.unwrap();
    let text = "x".repeat(8000);
    let mut behind = 0;
    for number in 0..8000 {
        let value = record::Value::text(&format!("{number} {text}")).unwrap();
        server.put("D1", value, number);
        if number % 100 == 99 {
            // It reads one frame while a hundred could be sent.
            tokio::time::sleep(Duration::from_millis(3)).await;
            let next = tokio::time::timeout(Duration::from_secs(10), hear.next()).await;
            let Message::Text(frame) = next.unwrap().unwrap().unwrap() else {
                continue;
            };
            let frame: Json = serde_json::from_str(&frame).unwrap();
            if let Some(seen) = frame["changes"][0]["timestamp"].as_i64() {
                behind = number - seen;
            }
        }
    }
    assert!(
        behind < 4000,
        "it is shown what is {behind} updates old: frames pile up for it"
    );
    server.stop().await;
}
