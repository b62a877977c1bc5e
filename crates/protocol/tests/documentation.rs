//! Every example of the protocol page is a message, with no field that the types do not know.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use protocol::{ClientMessage, Extract, ServerMessage, merge_patch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/websocket.md");
    std::fs::read_to_string(path).unwrap()
}

/// The messages of all blocks of JSON.
fn examples(page: &str) -> Vec<Value> {
    let blocks = page.split("```json\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let messages = blocks.flat_map(|block| {
        let values = serde_json::Deserializer::from_str(block).into_iter::<Value>();
        values.map(move |value| value.unwrap_or_else(|error| panic!("{error} in {block}")))
    });
    messages.collect()
}

/// Reads it, and checks that nothing of it was passed over.
fn check<T: Serialize + DeserializeOwned>(example: &Value) {
    let read: T = serde_json::from_value(example.clone())
        .unwrap_or_else(|error| panic!("{error} in {example}"));
    assert_known(example, &serde_json::to_value(read).unwrap());
}

fn assert_known(example: &Value, written: &Value) {
    match (example, written) {
        (Value::Object(example), Value::Object(written)) => {
            for (name, value) in example {
                let known = written.get(name);
                assert_known(value, known.unwrap_or_else(|| panic!("no field {name:?}")));
            }
        }
        (Value::Array(example), Value::Array(written)) => {
            assert_eq!(example.len(), written.len());
            for (value, written) in example.iter().zip(written) {
                assert_known(value, written);
            }
        }
        (Value::Number(example), Value::Number(written)) => {
            assert_eq!(example.as_f64(), written.as_f64());
        }
        _ => assert_eq!(example, written),
    }
}

#[test]
fn every_example_is_a_message() {
    let page = page();
    let (client, server) = page.split_once("\n## What the server says").unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for example in examples(client).iter().chain(&examples(server)) {
        let kind = example["type"].as_str().unwrap();
        kinds.insert(kind.to_owned());
        match kind {
            "hello" | "subscribe" | "unsubscribe" | "pause" | "unpause" | "action" | "ping" => {
                check::<ClientMessage>(example);
            }
            _ => check::<ServerMessage>(example),
        }
    }
    // Every message of the protocol has an example.
    let schema = protocol::schema();
    for direction in ["ClientMessage", "ServerMessage"] {
        let messages = schema["$defs"][direction]["oneOf"].as_array().unwrap();
        for message in messages {
            let kind = message["properties"]["type"]["const"].as_str().unwrap();
            assert!(kinds.contains(kind), "{kind} has no example");
        }
    }
}

#[test]
fn every_extract_in_the_tables_is_one() {
    let page = page();
    let mut count = 0;
    for code in page.split('`').filter(|code| code.starts_with("{\"kind\"")) {
        check::<Extract>(&serde_json::from_str(code).unwrap());
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn the_patch_on_the_page_makes_what_the_page_says() {
    let page = page();
    let all = examples(&page);
    let changes = || all.iter().filter_map(|example| example["changes"].get(0));
    let patched = changes()
        .find(|change| change.get("patch").is_some())
        .unwrap();
    let base = changes().find(|change| change["rev"] == patched["base"]);
    let mut value = base.unwrap()["value"].clone();
    merge_patch::apply(&mut value, &patched["patch"]);
    assert_eq!(
        value,
        json!({"at": {"x": 1, "y": 3}, "name": "the red one"})
    );
    let said = format!("`{}`", r#"{"at": {"x": 1, "y": 3}, "name": "the red one"}"#);
    assert!(page.contains(&said));
}
