//! Who is behind, and what others do meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::Server;
use common::socket::{connect, connect_small};
use record::Value;
use serde_json::json;

/// So long that a client that does not read is soon behind.
fn long_text(number: i64) -> Value {
    Value::text(&format!("{number} {}", "x".repeat(4_000))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_what_another_began_with_is_not_told_again_to_who_is_behind() {
    let server = Server::start().await;
    server.put("D1", long_text(0), 0);
    server.put("QUIET", 1.0, 1);
    let extract = json!({"kind": "since_last"});
    let ask = json!({"type": "subscribe", "id": "a", "keys": ["*"], "extract": extract});
    let mut behind = connect_small(&server).await;
    behind.say(ask.clone()).await;
    behind.hear(&["snapshot"]).await;
    let mut number = 0;
    for round in 0..2 {
        // More than is remembered.
        for _ in 0..2_500 {
            number += 1;
            server.put("D1", long_text(number), number);
            if number % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        if round == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut other = connect(&server, None).await.unwrap();
            other.say(ask.clone()).await;
            other.hear(&["snapshot"]).await;
        }
    }
    let (mut newest, mut shown, mut missed, mut quiet) = (0, 0, 0, 0);
    while newest < number {
        let update = behind.hear(&["reset", "snapshot", "update"]).await;
        assert_eq!(update["type"], "update");
        for change in update["changes"].as_array().unwrap() {
            if change["tag"] == "QUIET" {
                quiet += 1;
                continue;
            }
            newest = change["timestamp"].as_i64().unwrap();
            shown += 1;
        }
        missed += update["missed"].as_i64().unwrap_or(0);
    }
    assert_eq!((quiet, shown + missed), (0, number));
    server.stop().await;
}
