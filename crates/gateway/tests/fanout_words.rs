//! What clients may say and are told: encodings, tokens, deltas, fields, channels, actions, limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Server;
use common::socket::{Client, connect, connect_speaking, values};
use futures_util::{SinkExt, StreamExt};
use gateway::{Access, ActionError, Actions, GatewayOptions, Project, Rights, Token};
use pipeline::{BufferOptions, Level};
use protocol::{ClientMessage, Content, Encoding, ServerMessage, Subscribe};
use record::Value;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;

async fn server_with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

fn subscribe(id: &str) -> Json {
    json!({"type": "subscribe", "id": id, "keys": ["PLC01/*"]})
}

async fn begin(client: &mut Client, asked: Json) -> Json {
    client.say(asked).await;
    client.hear(&["snapshot", "error"]).await
}

fn object(text: &str) -> Value {
    Value::json(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn message_pack_says_the_same_in_binary_frames() {
    let server = Server::start().await;
    server.put("D1", object(r#"{"x": [1, null]}"#), 7);
    let speak = async |client: &mut Client, message: &ClientMessage| {
        let bytes = Encoding::MessagePack.encode(message).unwrap();
        client.0.send(Message::binary(bytes)).await.unwrap();
    };
    let hear = async |client: &mut Client| -> ServerMessage {
        let Message::Binary(bytes) = client.0.next().await.unwrap().unwrap() else {
            panic!("no binary frame");
        };
        Encoding::MessagePack.decode(&bytes).unwrap()
    };
    let offered = "unknown, forebay.v1.msgpack, forebay.v1.json";
    let (mut client, chosen) = connect_speaking(&server, offered).await.unwrap();
    assert_eq!(chosen, "forebay.v1.msgpack");
    let welcome = hear(&mut client).await;
    assert!(matches!(welcome, ServerMessage::Welcome(_)), "{welcome:?}");
    let asked = Subscribe {
        id: "a".to_owned(),
        keys: vec!["*".to_owned()],
        ..Subscribe::default()
    };
    speak(&mut client, &ClientMessage::Subscribe(asked)).await;
    let ServerMessage::Snapshot(snapshot) = hear(&mut client).await else {
        panic!("no snapshot");
    };
    let [change] = &snapshot.changes[..] else {
        panic!("{snapshot:?}");
    };
    assert_eq!(change.content, Content::Whole(json!({"x": [1, null]})));
    client.0.send(Message::text("{}")).await.unwrap();
    let ServerMessage::Error(failure) = hear(&mut client).await else {
        panic!("no error");
    };
    assert_eq!(failure.code, "text");
    assert_eq!(
        connect_speaking(&server, "forebay.v9.xml").await.err(),
        Some(400)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tokens_are_needed_a_client_says_hello_first_and_sees_what_its_token_may_read() {
    let token = Token::generate().unwrap();
    let rights = Rights::none().read(["PLC01/open.*"]).unwrap();
    let access = Access::new().token("reader", token.hash(), rights);
    let options = GatewayOptions {
        access: access.unwrap(),
        ..GatewayOptions::default()
    };
    let server = server_with(options).await;
    server.put("open.1", 1.0, 1);
    server.put("secret.1", 2.0, 2);
    let mut client = connect(&server, None).await.unwrap();
    client.say(subscribe("a")).await;
    let refused = client.hear(&["welcome", "snapshot", "error"]).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    client
        .say(json!({"type": "hello", "token": token.as_str(), "protocol": 1}))
        .await;
    client.hear(&["welcome"]).await;
    let snapshot = begin(&mut client, subscribe("a")).await;
    assert_eq!(values(&snapshot), [("open.1".to_owned(), 1.0)]);
    server.put("secret.1", 3.0, 3);
    server.put("open.2", 4.0, 4);
    let update = client.hear(&["update"]).await;
    assert_eq!(values(&update), [("open.2".to_owned(), 4.0)]);
    client
        .say(json!({"type": "action", "id": "x", "name": "any"}))
        .await;
    assert_eq!(client.hear(&["error"]).await["code"], "forbidden");
    // A wrong one is told so, and closed.
    let other = Token::generate().unwrap();
    let mut stranger = connect(&server, None).await.unwrap();
    stranger
        .say(json!({"type": "hello", "token": other.as_str()}))
        .await;
    assert_eq!(stranger.hear(&["error"]).await["code"], "unauthorized");
    assert_eq!(stranger.closed().await.0, 4401);
    // Who says nothing at all is closed too.
    let mut silent = connect(&server, None).await.unwrap();
    assert_eq!(
        silent.closed().await,
        (4401, "a token is needed".to_owned())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_patches_of_what_the_client_has_and_lead_to_the_same_value() {
    let server = Server::start().await;
    let state = |x: i64, task: &str| {
        object(&format!(
            r#"{{"name": "an agent with a long name", "x": {x}, "task": {task}}}"#
        ))
    };
    server.put("D1", state(0, "\"wait\""), 0);
    let mut asked = subscribe("a");
    asked["deltas"] = json!(true);
    let mut clients = Vec::new();
    for number in 1..=3 {
        let mut client = connect(&server, None).await.unwrap();
        let snapshot = begin(&mut client, asked.clone()).await;
        clients.push((client, snapshot));
        server.put("D1", state(number, "\"load\""), number);
    }
    // Null cannot be said by a patch.
    server.put("D1", state(9, "null"), 9);
    let mut patches = 0;
    for (client, snapshot) in &mut clients {
        let mut held: BTreeMap<u64, Json> = BTreeMap::new();
        let mut take = |told: &Json| {
            for change in told["changes"].as_array().unwrap() {
                let rev = change["rev"].as_u64().unwrap();
                let value = match change.get("patch") {
                    None => change["value"].clone(),
                    Some(patch) => {
                        patches += 1;
                        let base = change["base"].as_u64().unwrap();
                        let mut value = held[&base].clone();
                        protocol::merge_patch::apply(&mut value, patch);
                        value
                    }
                };
                held = BTreeMap::from([(rev, value)]);
            }
            held.values().next().cloned().unwrap_or_default()
        };
        let mut value = take(snapshot);
        while value["x"] != 9 {
            value = take(&client.hear(&["update"]).await);
        }
        assert!(value["task"].is_null());
    }
    // From here all of them are in one cohort, and one value follows the other.
    for number in 10..15 {
        server.put("D1", state(number, "\"load\""), number);
        for (client, _) in &mut clients {
            let update = client.hear(&["update"]).await;
            if number > 10 {
                let patch = &update["changes"][0]["patch"];
                assert_eq!(*patch, json!({"x": number}), "{update}");
                patches += 1;
            }
        }
    }
    assert!(patches >= 12);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_channels_and_a_projection_shape_what_is_sent() {
    let project = Project::new(|key, reading| match key.tag.as_str() {
        "panics" => panic!("the projection of the test"),
        "hidden" => None,
        _ => Some(match &reading.value {
            Value::Json(text) => serde_json::from_str(text.as_str()).unwrap(),
            other => json!({"made": other}),
        }),
    });
    let options = GatewayOptions {
        channels: BTreeMap::from([("agents".to_owned(), vec!["PLC01/agent.*".to_owned()])]),
        project: Some(project),
        ..GatewayOptions::default()
    };
    let server = server_with(options).await;
    server.put("agent.1", object(r#"{"x": 1, "y": 2, "z": {"x": 3}}"#), 1);
    server.put("D1", 5.0, 2);
    server.put("panics", 5.0, 3);
    server.put("hidden", 5.0, 4);
    let mut client = connect(&server, None).await.unwrap();
    let asked = json!({"type": "subscribe", "id": "a", "channel": "agents", "fields": ["x", "z"]});
    let snapshot = begin(&mut client, asked).await;
    assert_eq!(snapshot["changes"].as_array().unwrap().len(), 1);
    let value = &snapshot["changes"][0]["value"];
    assert_eq!(*value, json!({"x": 1, "z": {"x": 3}}));
    let snapshot = begin(&mut client, subscribe("b")).await;
    let mut tags: Vec<&str> = snapshot["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["tag"].as_str().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["D1", "agent.1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_answered_and_one_that_fails_or_panics_costs_nobody_else_anything() {
    let (release, held) = tokio::sync::watch::channel(false);
    let actions = Actions::new()
        .on("echo", async |request| {
            Ok(json!({"target": request.target, "params": request.params, "by": &*request.by}))
        })
        .on("fail", async |_| {
            Err(ActionError::Failed("the agent is busy".to_owned()))
        })
        .on("panic", async |_| panic!("the action of the test"))
        .on("hold", move |_| {
            let mut held = held.clone();
            async move {
                let _ = held.wait_for(|released| *released).await;
                Ok(Json::Null)
            }
        });
    let options = GatewayOptions {
        actions,
        ..GatewayOptions::default()
    };
    let server = server_with(options).await;
    let mut client = connect(&server, None).await.unwrap();
    let action = |id: &str, name: &str| {
        let asked = json!({"type": "action", "id": id, "name": name});
        let mut asked = asked.as_object().unwrap().clone();
        asked.insert("target".to_owned(), json!("agent.1"));
        asked.insert("params".to_owned(), json!([1]));
        Json::Object(asked)
    };
    for (name, ok, error) in [
        ("echo", true, ""),
        ("fail", false, "the agent is busy"),
        ("panic", false, "failed"),
        ("other", false, "there is no action \"other\""),
    ] {
        client.say(action(name, name)).await;
        let result = client.hear(&["action_result", "error"]).await;
        assert_eq!(
            (&result["id"], &result["ok"]),
            (&json!(name), &json!(ok)),
            "{result}"
        );
        let told = result["error"].as_str().unwrap_or_default();
        assert!(told.contains(error), "{result}");
        if ok {
            let expected = json!({"target": "agent.1", "params": [1], "by": "anonymous"});
            assert_eq!(result["value"], expected);
        }
    }
    client.say(action("", "echo")).await;
    assert_eq!(client.hear(&["error"]).await["code"], "bad_id");
    for number in 0..17 {
        client.say(action(&format!("h{number}"), "hold")).await;
    }
    let refused = client.hear(&["error"]).await;
    assert_eq!(
        (&refused["code"], &refused["id"]),
        (&json!("too_many_actions"), &json!("h16"))
    );
    release.send_replace(true);
    for _ in 0..16 {
        assert_eq!(client.hear(&["action_result"]).await["ok"], true);
    }
    client.say(action("again", "echo")).await;
    assert_eq!(client.hear(&["action_result"]).await["id"], "again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_client_that_says_too_much_is_told_so_and_the_rest_is_passed_over() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    for number in 0..2_000 {
        client.say(json!({"type": "ping", "echo": number})).await;
    }
    let error = client.hear(&["error"]).await;
    assert_eq!(error["code"], "too_fast");
    // Others are heard.
    let mut neighbour = connect(&server, None).await.unwrap();
    neighbour.say(json!({"type": "ping"})).await;
    neighbour.hear(&["pong"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_or_no_websocket_ends_its_connection_with_a_word() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    client
        .0
        .send(Message::text("x".repeat(100 << 10)))
        .await
        .unwrap();
    assert_eq!(client.closed().await.0, 1009);
    let mut client = connect(&server, None).await.unwrap();
    // A frame that a client may not send: it is not masked.
    use tokio::io::AsyncWriteExt;
    client.0.get_mut().write_all(&[0x81, 0]).await.unwrap();
    assert_eq!(client.closed().await.0, 1002);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_hears_notifications_in_its_own_encoding() {
    let server = Server::start().await;
    let mut text = connect(&server, None).await.unwrap();
    let (mut binary, _) = connect_speaking(&server, "forebay.v1.msgpack")
        .await
        .unwrap();
    text.hear(&["welcome"]).await;
    binary.0.next().await.unwrap().unwrap();
    server
        .pipeline
        .notify(Level::Warning, "the tank is nearly full");
    let told = text.hear(&["notification"]).await;
    assert_eq!(
        (&told["level"], &told["message"]),
        (&json!("warning"), &json!("the tank is nearly full"))
    );
    let next = tokio::time::timeout(Duration::from_secs(10), binary.0.next()).await;
    let Message::Binary(bytes) = next.unwrap().unwrap().unwrap() else {
        panic!("no binary frame");
    };
    let told: ServerMessage = Encoding::MessagePack.decode(&bytes).unwrap();
    assert!(matches!(told, ServerMessage::Notification(_)), "{told:?}");
    server.stop().await;
}
