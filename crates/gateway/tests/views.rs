//! Views that nobody sees, and clients that come back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Server;
use common::socket::{Client, connect, values};
use serde_json::{Value as Json, json};

fn subscribe(kind: &str) -> Json {
    json!({"type": "subscribe", "id": "a", "keys": ["PLC01/*"], "extract": {"kind": kind}})
}

fn numbers(message: &Json) -> Vec<f64> {
    values(message)
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

/// What came before the answer to a ping, which the server gives at once.
async fn heard_before_the_pong(client: &mut Client) -> Vec<Json> {
    client.say(json!({"type": "ping"})).await;
    let mut heard = Vec::new();
    loop {
        let message = client.hear(&["snapshot", "update", "error", "pong"]).await;
        if message["type"] == "pong" {
            return heard;
        }
        heard.push(message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_view_wakes_nobody_and_catches_up_when_it_is_seen_again() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    for (kind, expected) in [("latest", vec![3.0]), ("since_last", vec![1.0, 2.0, 3.0])] {
        let mut client = connect(&server, None).await.unwrap();
        client.say(subscribe(kind)).await;
        client.hear(&["snapshot"]).await;
        client.say(json!({"type": "pause", "id": "a"})).await;
        assert!(heard_before_the_pong(&mut client).await.is_empty());
        let wakes = async || server.get("/api/metrics").await.json()["history"]["wakes"].clone();
        let before = wakes().await;
        for number in 1..=3 {
            server.put("D1", f64::from(number), i64::from(number));
        }
        assert_eq!(wakes().await, before, "a commit wakes no hidden view");
        assert!(heard_before_the_pong(&mut client).await.is_empty());
        client.say(json!({"type": "unpause", "id": "a"})).await;
        let update = client.hear(&["update"]).await;
        assert_eq!(numbers(&update), expected, "{kind}");
        assert!(update["missed"].is_null(), "{update}");
        // It is gone before wakes are counted again.
        client.say(json!({"type": "unsubscribe", "id": "a"})).await;
        assert!(heard_before_the_pong(&mut client).await.is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_view_finds_keys_that_came_meanwhile() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    client.say(subscribe("latest")).await;
    client.hear(&["snapshot"]).await;
    client.say(json!({"type": "pause", "id": "a"})).await;
    assert!(heard_before_the_pong(&mut client).await.is_empty());
    server.put("D2", 5.0, 5);
    client.say(json!({"type": "unpause", "id": "a"})).await;
    assert_eq!(numbers(&client.hear(&["update"]).await), [5.0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_connection_goes_on_with_neither_gap_nor_repetition() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    let instance = client.hear(&["welcome"]).await["instance"].clone();
    client.say(subscribe("since_last")).await;
    let first = client.hear(&["snapshot"]).await;
    assert!(first["resumed"].is_null(), "{first}");
    server.put("D1", 1.0, 1);
    let seen = client.hear(&["update"]).await["seq"].clone();
    drop(client);
    // Nobody is there for these, and D2 is new.
    server.put("D1", 2.0, 2);
    server.put("D2", 3.0, 3);
    let mut client = connect(&server, None).await.unwrap();
    let mut again = subscribe("since_last");
    again["since"] = json!({"instance": instance, "seq": seen});
    client.say(again.clone()).await;
    let update = client.hear(&["snapshot", "update"]).await;
    assert_eq!(
        (&update["type"], &update["resumed"]),
        (&json!("update"), &json!(true)),
        "{update}"
    );
    let mut caught_up = numbers(&update);
    caught_up.sort_by(f64::total_cmp);
    assert_eq!(caught_up, [2.0, 3.0]);
    // With nothing new it is told all the same that it goes on.
    again["since"]["seq"] = update["seq"].clone();
    client.say(again).await;
    let nothing = client.hear(&["snapshot", "update"]).await;
    assert_eq!(
        (&nothing["resumed"], &nothing["changes"], &nothing["seq"]),
        (&json!(true), &json!([]), &update["seq"])
    );
    server.put("D1", 4.0, 4);
    assert_eq!(numbers(&client.hear(&["update"]).await), [4.0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_server_or_of_long_ago_is_told_to_begin_anew() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    let instance = client.hear(&["welcome"]).await["instance"].clone();
    // More than the thousand updates that the server remembers.
    for number in 0..5_000 {
        server.put("D1", f64::from(number), i64::from(number));
    }
    for (instance, seq) in [(instance, 1), (json!("38d8c498e70d1df8"), 4_999)] {
        let mut again = subscribe("since_last");
        again["since"] = json!({"instance": instance, "seq": seq});
        client.say(again).await;
        let reset = client.hear(&["reset", "snapshot", "update"]).await;
        assert_eq!(
            (&reset["type"], &reset["id"]),
            (&json!("reset"), &json!("a")),
            "{reset}"
        );
        let snapshot = client.hear(&["reset", "snapshot", "update"]).await;
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        assert_eq!(numbers(&snapshot), [4_999.0]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_loses_its_values_is_named_once_and_comes_back() {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    let mut client = connect(&server, None).await.unwrap();
    client.say(subscribe("latest")).await;
    client.hear(&["snapshot"]).await;
    let live = server.pipeline.live().unwrap();
    live.clear(&[dataservice::KeyId::FIRST]);
    let removed = client.hear(&["update", "removed"]).await;
    assert_eq!(
        (&removed["type"], &removed["id"], &removed["keys"]),
        (
            &json!("removed"),
            &json!("a"),
            &json!([{"source": "PLC01", "tag": "D1"}])
        )
    );
    server.put("D1", 2.0, 2);
    let update = client.hear(&["update", "removed"]).await;
    assert_eq!(numbers(&update), [2.0]);
    server.stop().await;
}
