//! How each message lies on the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use protocol::{
    Action, ActionResult, Change, Changes, ClientMessage, Content, Encoding, Extract, Failure,
    Hello, KeyName, Level, Notification, Plot, Pong, Removed, Reset, ServerMessage, Since,
    Subscribe, Welcome,
};
use record::{Name, Priority, Quality};
use serde::Serialize;
use serde_json::{Value, json};

/// The JSON text of each; what `MessagePack` says must be the same.
fn lines<T: Serialize>(messages: &[T]) -> String {
    let mut lines = String::new();
    for message in messages {
        let text = String::from_utf8(Encoding::Json.encode(message).unwrap()).unwrap();
        let binary = Encoding::MessagePack.encode(message).unwrap();
        let read: Value = Encoding::MessagePack.decode(&binary).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(&text).unwrap());
        lines.push_str(&text);
        lines.push('\n');
    }
    lines
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn name(text: &str) -> Name {
    Name::new("name", text).unwrap()
}

fn change(content: Content, rev: Option<u64>) -> Change {
    Change {
        source: name("agent-7"),
        tag: name("state"),
        timestamp: 1_795_215_464_571_455,
        content,
        quality: Quality::Uncertain,
        priority: Priority::Critical,
        rev,
    }
}

#[test]
fn what_a_client_says() {
    let all = Subscribe {
        id: text("all"),
        keys: vec![text("agent-*/state")],
        extract: Extract::SinceLast,
        min_interval_ms: 300,
        fields: vec![text("task")],
        deltas: true,
        since: Some(Since {
            instance: text("38d8c498e70d1df8"),
            seq: 25,
        }),
        ..Subscribe::default()
    };
    let extracts = [
        Extract::Window { count: 100 },
        Extract::Downsampled {
            count: None,
            seconds: Some(0.5),
            points: 400,
        },
    ];
    let mut messages = vec![
        ClientMessage::Hello(Hello::default()),
        ClientMessage::Hello(Hello {
            token: Some(text("a token")),
            protocol: Some(1),
        }),
        ClientMessage::Subscribe(Subscribe {
            id: text("by channel"),
            channel: Some(text("agents")),
            ..Subscribe::default()
        }),
        ClientMessage::Subscribe(all),
    ];
    messages.extend(extracts.map(|extract| {
        ClientMessage::Subscribe(Subscribe {
            id: text("extract"),
            keys: vec![text("*")],
            extract,
            ..Subscribe::default()
        })
    }));
    messages.extend([
        ClientMessage::Unsubscribe { id: text("a") },
        ClientMessage::Pause { id: text("a") },
        ClientMessage::Unpause { id: text("a") },
        ClientMessage::Action(Action {
            id: text("1"),
            name: text("stop"),
            target: text("agent-7"),
            params: json!({"within_ms": 500}),
        }),
        ClientMessage::Ping { echo: Value::Null },
        ClientMessage::Ping { echo: json!(17) },
    ]);
    insta::assert_snapshot!(lines(&messages));
}

#[test]
fn what_a_server_says_of_values() {
    let changes = Changes {
        id: text("a"),
        seq: 25,
        timestamp: 1_795_215_464_587_904,
        changes: vec![
            change(Content::Whole(json!({"task": "load"})), None),
            change(Content::Whole(Value::Null), Some(3)),
            change(
                Content::Patch {
                    patch: json!({"task": "move"}),
                    base: 3,
                },
                Some(4),
            ),
        ],
        ..Changes::default()
    };
    let plots = Changes {
        resumed: true,
        missed: 7,
        changes: Vec::new(),
        plots: vec![Plot {
            source: name("host"),
            tag: name("load.1m"),
            points_in: 36_000,
            timestamps: vec![1, 2, 3],
            values: vec![Some(1.0), None, Some(0.1)],
        }],
        ..changes.clone()
    };
    let messages = [
        ServerMessage::Snapshot(changes),
        ServerMessage::Update(plots),
        ServerMessage::Removed(Removed {
            id: text("a"),
            seq: 26,
            keys: vec![KeyName {
                source: name("agent-7"),
                tag: name("state"),
            }],
        }),
        ServerMessage::Reset(Reset {
            id: text("a"),
            reason: text("the server was restarted"),
        }),
    ];
    insta::assert_snapshot!(lines(&messages));
}

#[test]
fn what_a_server_says_besides() {
    let timestamp = 1_795_215_464_587_904;
    let messages = [
        ServerMessage::Welcome(Welcome {
            protocol: 1,
            instance: text("38d8c498e70d1df8"),
            connection_id: 12,
            timestamp,
        }),
        ServerMessage::Notification(Notification {
            level: Level::Warning,
            message: text("the buffer is filling up"),
            timestamp,
        }),
        ServerMessage::ActionResult(ActionResult {
            id: text("1"),
            ok: true,
            value: json!({"stopped": true}),
            error: None,
            timestamp,
        }),
        ServerMessage::ActionResult(ActionResult {
            id: text("2"),
            ok: false,
            value: Value::Null,
            error: Some(text("no such agent")),
            timestamp,
        }),
        ServerMessage::Pong(Pong {
            seq: 25,
            echo: json!([1, "a"]),
            timestamp,
        }),
        ServerMessage::Error(Failure {
            code: text("bad_keys"),
            message: text("`keys` has 0 patterns, expected 1 to 512"),
            id: Some(text("a")),
        }),
    ];
    insta::assert_snapshot!(lines(&messages));
}
