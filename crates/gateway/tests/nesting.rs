//! What one client sends can be read by the others, however deeply it is nested.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Server, socket};
use gateway::{Actions, GatewayOptions};
use pipeline::BufferOptions;
use protocol::{Encoding, ServerMessage};
use serde_json::{Value as Json, json};

/// As deep as a value may be.
const DEPTH_MAX: usize = 120;

fn nested(levels: usize) -> Json {
    (0..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// So many levels, the outermost among them.
fn deep(levels: usize) -> Json {
    nested(levels - 1)
}

/// Both encodings can say it, and say it so that it can be read.
fn is_readable(message: &Json) -> bool {
    let message: ServerMessage = serde_json::from_value(message.clone()).unwrap();
    Encoding::ALL.iter().all(|encoding| {
        let frame = encoding.encode(&message).unwrap();
        encoding.decode::<ServerMessage>(&frame).is_ok()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_nested_too_deeply_is_malformed_and_what_is_taken_can_be_read() {
    let server = Server::start().await;
    let mut client = socket::connect(&server, None).await.unwrap();
    client
        .say(json!({ "type": "subscribe", "id": "all", "keys": ["**"] }))
        .await;
    client.hear(&["snapshot"]).await;
    let line = |levels| json!({ "source": "a", "tag": "t", "value": deep(levels) }).to_string();
    let body = format!("{}\n{}", line(DEPTH_MAX + 1), line(DEPTH_MAX));
    let answer = server.send("POST", "/api/ingest", body, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(
        (&answer["accepted"], &answer["malformed_count"]),
        (&json!(1), &json!(1))
    );
    let reason = answer["malformed"][0]["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "`value` is nested 121 levels deep, the limit is 120"
    );
    let update = client.hear(&["update"]).await;
    assert_eq!(update["changes"][0]["value"], deep(DEPTH_MAX));
    assert!(is_readable(&update));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_nests_too_deeply_is_told_as_text() {
    let server = Server::start().await;
    let text = deep(130).to_string();
    server.put("t", record::Value::json(&text).unwrap(), 1);
    for deltas in [false, true] {
        for encoding in Encoding::ALL {
            let client = client::Client::builder(format!("ws://{}/ws", server.address));
            let client = client.encoding(encoding).connect().await.unwrap();
            let asked = client::Subscribe {
                id: "a".to_owned(),
                keys: vec!["**".to_owned()],
                deltas,
                ..client::Subscribe::default()
            };
            let mut subscription = client.subscribe(asked).await.unwrap();
            let heard = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
            let Some(client::Event::Snapshot(frame)) = heard.unwrap() else {
                panic!("the state comes first");
            };
            assert_eq!(frame.readings[0].value, json!(text), "{encoding:?}");
            client.close().await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_nested_too_deeply_become_no_record() {
    let actions = Actions::new().on("echo", |request| async move { Ok(request.params) });
    let options = GatewayOptions {
        actions,
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let mut client = socket::connect(&server, None).await.unwrap();
    client
        .say(json!({ "type": "subscribe", "id": "all", "keys": ["**"] }))
        .await;
    client.hear(&["snapshot"]).await;
    let act = |levels| {
        json!({ "type": "action", "id": "a", "name": "echo", "target": "t",
            "params": deep(levels) })
    };
    client.say(act(DEPTH_MAX + 1)).await;
    let refused = client.hear(&["action_result", "error"]).await.to_string();
    assert!(
        refused.contains("`params` is nested 121 levels deep"),
        "{refused}"
    );
    client.say(act(DEPTH_MAX)).await;
    let update = client.hear(&["update"]).await;
    assert_eq!(update["changes"][0]["value"]["params"], deep(DEPTH_MAX));
    assert!(is_readable(&update));
    server.stop().await;
}
