//! What one frame may have, and that everything else of a subscription to every value is counted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use common::Server;
use common::socket::{Client, connect, values};
use gateway::GatewayOptions;
use pipeline::BufferOptions;
use serde_json::{Value as Json, json};

async fn subscribe(client: &mut Client, id: &str, extract: Json) {
    client
        .say(json!({"type": "subscribe", "id": id, "keys": ["PLC01/*"], "extract": extract}))
        .await;
    client.hear(&["snapshot"]).await;
}

/// The values of each tag in a frame.
fn counts(frame: &Json) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for (tag, _) in values(frame) {
        *counts.entry(tag).or_insert(0) += 1;
    }
    counts
}

/// After a pause in which each of so many tags got so many values, that others keep.
async fn frame_after_a_pause(tags: usize, each: i64) -> Json {
    let buffer = BufferOptions::default();
    let server = Server::with_keys(600, buffer, GatewayOptions::default()).await;
    // Half of them are found when the subscription is there.
    for tag in 0..tags.div_ceil(2) {
        server.put(&format!("D{tag}"), 0.0, 0);
    }
    let mut client = connect(&server, None).await.unwrap();
    subscribe(&mut client, "a", json!({"kind": "since_last"})).await;
    for tag in tags.div_ceil(2)..tags {
        server.put(&format!("D{tag}"), 0.0, 0);
    }
    let mut found = tags.div_ceil(2);
    while found < tags {
        let update = client.hear(&["update"]).await;
        assert!(update["missed"].is_null(), "{update}");
        found += values(&update).len();
    }
    let mut neighbour = connect(&server, None).await.unwrap();
    let deep = json!({"kind": "downsampled", "count": 200_000 / tags.max(20), "points": 2});
    subscribe(&mut neighbour, "deep", deep).await;
    client.say(json!({"type": "pause", "id": "a"})).await;
    client.say(json!({"type": "ping"})).await;
    client.hear(&["pong"]).await;
    for tag in 0..tags {
        server.put_many(&format!("D{tag}"), each);
    }
    client.say(json!({"type": "unpause", "id": "a"})).await;
    let frame = client.hear(&["update"]).await;
    server.stop().await;
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_frame_has_a_thousand_values_of_a_key_and_counts_the_rest_as_missed() {
    let frame = frame_after_a_pause(1, 3_000).await;
    assert_eq!(values(&frame).len(), 1_000);
    assert_eq!(values(&frame)[999].1, 3_000.0);
    assert_eq!(frame["missed"], 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_frame_of_many_keys_has_fewer_values_of_each_and_counts_the_rest_as_missed() {
    let frame = frame_after_a_pause(300, 400).await;
    let counts = counts(&frame);
    assert_eq!(counts.len(), 300);
    assert!(counts.values().all(|count| *count == 390), "{counts:?}");
    assert_eq!(frame["missed"], 300 * 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_key_lost_before_it_was_found_is_counted_as_missed() {
    let server = Server::start().await;
    server.put("D1", 0.0, 0);
    let mut client = connect(&server, None).await.unwrap();
    subscribe(&mut client, "a", json!({"kind": "since_last"})).await;
    // The server keeps a hundred values of a key that nobody watches.
    server.put_many("new", 5_000);
    let (mut shown, mut missed) = (0, 0);
    while shown + missed < 5_000 {
        let update = client.hear(&["update"]).await;
        shown += values(&update).len();
        missed += update["missed"].as_u64().unwrap_or(0) as usize;
    }
    assert_eq!(shown + missed, 5_000);
    // From then on nothing is missed.
    server.put("new", 1.0, 6_000);
    let update = client.hear(&["update"]).await;
    assert_eq!(values(&update), [("new".to_owned(), 1.0)]);
    assert!(update["missed"].is_null(), "{update}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_once_that_new_keys_are_left_out() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    let window = json!({"kind": "window", "count": 10_000});
    subscribe(&mut client, "w", window).await;
    for tag in 0..20 {
        server.put(&format!("D{tag}"), 0.0, 0);
    }
    let mut found = 0;
    while found < 20 {
        found += values(&client.hear(&["update"]).await).len();
    }
    server.put("D20", 0.0, 0);
    let error = client.hear(&["error"]).await;
    assert_eq!(
        (&error["code"], &error["id"], &error["message"]),
        (
            &json!("too_many_keys"),
            &json!("w"),
            &json!(
                "new keys match, but with this `extract` the subscription may have no more than \
                its 20"
            )
        )
    );
    // It is not told again, here after a pause, and hears of the keys that it has.
    client.say(json!({"type": "pause", "id": "w"})).await;
    server.put("D21", 0.0, 0);
    client.say(json!({"type": "unpause", "id": "w"})).await;
    server.put("D0", 1.0, 1);
    let next = client.hear(&["update", "error"]).await;
    assert_eq!(next["type"], "update", "{next}");
    server.stop().await;
}
