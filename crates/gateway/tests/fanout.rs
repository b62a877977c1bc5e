//! What the loops that send promise: nobody pays for a slow client, and nobody misses a thing
//! without being told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::Server;
use common::socket::{Client, connect, connect_small, values};
use gateway::GatewayOptions;
use pipeline::BufferOptions;
use record::{Priority, Record, Timestamp, Value};
use serde_json::{Value as Json, json};

fn subscribe(id: &str, kind: &str) -> Json {
    json!({"type": "subscribe", "id": id, "keys": ["PLC01/*"], "extract": {"kind": kind}})
}

/// A text that says which number it is, and is long.
fn long_text(number: i64) -> Value {
    Value::text(&format!("{number} {}", "x".repeat(4_000))).unwrap()
}

fn number_of(change: &Json) -> i64 {
    let text = change["value"].as_str().unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

async fn subscribers(server: &Server) -> usize {
    server.pipeline.live().unwrap().stats().subscribers
}

/// Waits until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(20), "it is never so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_clients_share_one_cursor_whenever_they_came() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..20 {
        let mut client = connect(&server, None).await.unwrap();
        client.say(subscribe("a", "latest")).await;
        client.hear(&["snapshot"]).await;
        server.put("D1", f64::from(number), i64::from(number));
        clients.push(client);
    }
    server.put("D1", 100.0, 100);
    for client in &mut clients {
        while values(&client.hear(&["update"]).await)[0].1 < 100.0 {}
    }
    until(async || subscribers(&server).await == 1).await;
    // Another question is another cursor, and one that nobody has any more is gone.
    clients[0].say(subscribe("b", "latest")).await;
    clients[0].hear(&["snapshot"]).await;
    assert_eq!(subscribers(&server).await, 2);
    drop(clients);
    until(async || subscribers(&server).await == 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_client_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not() {
    let options = GatewayOptions {
        stalled_max: Duration::from_secs(2),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    server.put("D1", long_text(0), 0);
    let mut stalled = connect_small(&server).await;
    stalled.say(subscribe("a", "latest")).await;
    let mut slow = connect_small(&server).await;
    slow.say(subscribe("a", "latest")).await;
    slow.hear(&["snapshot"]).await;
    let connected = async || {
        let metrics = server.get("/api/metrics").await.json();
        metrics["websocket_connections"].as_u64().unwrap()
    };
    assert_eq!(connected().await, 2);
    // Meanwhile the slow one reads a frame now and then, and more wait for it all the time.
    let mut number = 0;
    until(async || {
        for _ in 0..100 {
            number += 1;
            server.put("D1", long_text(number), number);
        }
        slow.hear(&["update"]).await;
        connected().await == 1
    })
    .await;
    // It reads the newest in the end.
    while number_of(&slow.hear(&["update"]).await["changes"][0]) < number {}
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_to_lag_is_not_fatal_and_the_newest_state_comes_in_one_frame() {
    let server = Server::start().await;
    server.put("D1", long_text(0), 0);
    let mut client = connect_small(&server).await;
    client.say(subscribe("a", "latest")).await;
    client.hear(&["snapshot"]).await;
    let mut number = 0;
    // It does not read while thousands of updates come, some 40 MB.
    for _ in 0..100 {
        for _ in 0..100 {
            number += 1;
            server.put("D1", long_text(number), number);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (mut frames, mut newest) = (0, 0);
    while newest < number {
        let update = client.hear(&["update"]).await;
        assert_eq!(update["changes"].as_array().unwrap().len(), 1);
        let shown = number_of(&update["changes"][0]);
        assert!(shown > newest, "{shown} after {newest}");
        newest = shown;
        frames += 1;
    }
    // What was in the buffers of the system, and then the newest.
    assert!(frames < 200, "{frames} frames were kept for it");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_gap_that_nobody_is_told_of_shows_in_the_pong() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    client.say(subscribe("a", "latest")).await;
    let seen = client.hear(&["snapshot"]).await["seq"].as_u64().unwrap();
    client.say(json!({"type": "pause", "id": "a"})).await;
    client.say(json!({"type": "ping", "echo": 1})).await;
    assert_eq!(client.hear(&["pong"]).await["seq"], seen);
    server.put("D1", 1.0, 1);
    server.put("D1", 2.0, 2);
    client.say(json!({"type": "ping", "echo": 2})).await;
    let pong = client.hear(&["pong"]).await;
    assert_eq!((&pong["seq"], &pong["echo"]), (&json!(seen + 2), &json!(2)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_what_was_missed_between_two_connections_comes_with_either_kind() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    server.put("D2", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    let instance = client.hear(&["welcome"]).await["instance"].clone();
    client.say(subscribe("a", "latest")).await;
    let seq = client.hear(&["snapshot"]).await["seq"].clone();
    drop(client);
    for number in 1..=3 {
        server.put("D1", f64::from(number), i64::from(number));
    }
    for (kind, expected) in [("latest", vec![3.0]), ("since_last", vec![1.0, 2.0, 3.0])] {
        let mut client = connect(&server, None).await.unwrap();
        let mut again = subscribe("a", kind);
        again["since"] = json!({"instance": instance, "seq": seq});
        client.say(again).await;
        let update = client.hear(&["reset", "snapshot", "update"]).await;
        assert_eq!(
            (&update["type"], &update["resumed"]),
            (&json!("update"), &json!(true)),
            "{update}"
        );
        let numbers: Vec<f64> = values(&update).iter().map(|(_, value)| *value).collect();
        assert_eq!(numbers, expected, "{kind}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_what_is_critical_does_not_wait_for_the_tick() {
    let options = GatewayOptions {
        tick: Duration::from_secs(3600),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    // A client that has something under way would be let in with the next turn.
    client.hear(&["welcome"]).await;
    client.say(subscribe("a", "latest")).await;
    client.hear(&["snapshot"]).await;
    // The next turn is an hour away, but for what is critical.
    server.put("D1", 1.0, 1);
    let timestamp = Timestamp::from_micros(2).unwrap();
    let mut record = Record::new("PLC01", "D2", Value::Bool(true), timestamp).unwrap();
    record.priority = Some(Priority::Critical);
    let pushed = server.intake.push(Instant::now(), vec![Ok(record)]);
    assert_eq!(pushed.unwrap().accepted, 1);
    let update = client.hear(&["update"]).await;
    let changes = update["changes"].as_array().unwrap();
    let critical = changes.iter().find(|change| change["tag"] == "D2");
    assert_eq!(critical.unwrap()["priority"], "critical");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_frames_of_a_subscription_are_closer_than_its_interval_not_even_critical_ones() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    let mut asked = subscribe("a", "latest");
    asked["min_interval_ms"] = json!(60_000);
    client.say(asked).await;
    client.hear(&["snapshot"]).await;
    let timestamp = Timestamp::from_micros(1).unwrap();
    let mut record = Record::new("PLC01", "D1", Value::Bool(true), timestamp).unwrap();
    record.priority = Some(Priority::Critical);
    let pushed = server.intake.push(Instant::now(), vec![Ok(record)]);
    assert_eq!(pushed.unwrap().accepted, 1);
    // Another subscription shows that the turn was had.
    client.say(subscribe("b", "latest")).await;
    client.hear(&["snapshot"]).await;
    server.put("D1", 2.0, 2);
    assert_eq!(client.hear(&["update"]).await["id"], "b");
    server.put("D1", 3.0, 3);
    assert_eq!(client.hear(&["update"]).await["id"], "b");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_many_subscriptions_gets_each_once_it_has_taken_the_one_before() {
    let server = Server::start().await;
    server.put("D1", long_text(0), 0);
    let mut client = connect_small(&server).await;
    for number in 0..32 {
        client.say(subscribe(&format!("s{number}"), "latest")).await;
    }
    client.say(subscribe("one more", "latest")).await;
    let refused = client.hear(&["error"]).await;
    assert_eq!(
        (&refused["code"], &refused["id"]),
        (&json!("too_many_subscriptions"), &json!("one more"))
    );
    for number in 1..=2_000 {
        server.put("D1", long_text(number), number);
    }
    let mut newest = std::collections::BTreeMap::new();
    while newest.len() < 32 || newest.values().any(|number| *number < 2_000) {
        let told = client.hear(&["snapshot", "update"]).await;
        let id = told["id"].as_str().unwrap().to_owned();
        newest.insert(id, number_of(&told["changes"][0]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_client_that_was_behind_for_longer_than_is_remembered_is_told_how_much_it_missed() {
    let server = Server::start().await;
    server.put("D1", long_text(0), 0);
    let mut client = connect_small(&server).await;
    client.say(subscribe("a", "since_last")).await;
    client.hear(&["snapshot"]).await;
    // The server remembers a thousand updates, and the system has room for a few dozen.
    for number in 1..=5_000 {
        server.put("D1", long_text(number), number);
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut shown, mut missed, mut newest) = (0, 0, 0);
    while newest < 5_000 {
        let update = client.hear(&["reset", "snapshot", "update"]).await;
        assert_eq!(update["type"], "update", "{}", update["type"]);
        for change in update["changes"].as_array().unwrap() {
            let number = number_of(change);
            assert!(number > newest, "{number} after {newest}");
            newest = number;
            shown += 1;
        }
        missed += update["missed"].as_i64().unwrap_or(0);
    }
    assert_eq!(shown + missed, 5_000);
    assert!(missed > 0, "the whole of it was kept for one client");
    server.stop().await;
}
