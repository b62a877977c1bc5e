//! What one client can make a loop do with frames: it pays for that itself, and others do not
//! notice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use common::Server;
use common::socket::connect;
use gateway::{Actions, GatewayOptions};
use pipeline::BufferOptions;
use record::Value;
use serde_json::{Value as Json, json};

/// A WebSocket without a client behind it that would keep to the rules.
fn raw(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// Reads to the end, and whether a close frame with this code was there.
fn is_closed_with(stream: &mut TcpStream, code: u16) -> bool {
    let mut bytes = Vec::new();
    // The end may be a reset, since not all that was sent was read.
    let _ = stream.read_to_end(&mut bytes);
    let code = code.to_be_bytes();
    bytes
        .windows(4)
        .any(|four| four[0] == 0x88 && four[2..] == code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_2_endless_empty_parts_of_a_message_hold_up_nobody_and_end_with_1008() {
    let server = Server::start().await;
    let mut good = connect(&server, None).await.unwrap();
    good.hear(&["welcome"]).await;
    let address = server.address;
    let attack = std::thread::spawn(move || {
        let mut stream = raw(address);
        let mut reading = stream.try_clone().unwrap();
        let heard = std::thread::spawn(move || is_closed_with(&mut reading, 1008));
        // The first part of a text, then parts without content.
        stream.write_all(&[0x01, 0x80, 0, 0, 0, 0]).unwrap();
        let parts = [0x00, 0x80, 0, 0, 0, 0].repeat(10_000);
        while stream.write_all(&parts).is_ok() {}
        heard.join().unwrap()
    });
    for _ in 0..20 {
        good.say(json!({"type": "ping"})).await;
        good.hear(&["pong"]).await;
    }
    assert!(attack.join().unwrap(), "it was not closed with 1008");
    good.say(json!({"type": "ping"})).await;
    good.hear(&["pong"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_frame_that_would_be_too_large_is_refused_and_the_connection_goes_on() {
    let server = Server::start().await;
    for number in 0..36 {
        let text = Value::text(&"x".repeat(1 << 20)).unwrap();
        server.put(&format!("D{number:02}"), text, 1);
    }
    let mut client = connect(&server, None).await.unwrap();
    client.hear(&["welcome"]).await;
    let ask = |keys: &str| json!({"type": "subscribe", "id": "a", "keys": [keys]});
    client.say(ask("*")).await;
    let refused = client.hear(&["error", "snapshot"]).await;
    assert_eq!(refused["code"], "frame_too_large");
    assert_eq!(refused["id"], "a");
    client.say(ask("*/D00")).await;
    let snapshot = client.hear(&["error", "snapshot"]).await;
    assert_eq!(snapshot["changes"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_the_result_of_an_action_is_bounded_and_the_connection_goes_on() {
    let much = Actions::new().on("much", |request| async move {
        let bytes = request.params["bytes"].as_u64().unwrap_or(0);
        Ok(Json::from("x".repeat(bytes as usize)))
    });
    let options = GatewayOptions {
        actions: much,
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let mut client = connect(&server, None).await.unwrap();
    client.hear(&["welcome"]).await;
    for (bytes, ok) in [(60_000, true), (1 << 20, false), (10, true)] {
        let params = json!({"bytes": bytes});
        let act = json!({"type": "action", "id": "1", "name": "much", "params": params});
        client.say(act).await;
        let result = client.hear(&["action_result", "error"]).await;
        assert_eq!(result["ok"], ok, "{bytes}: {result}");
        if !ok {
            let error = result["error"].as_str().unwrap();
            assert!(error.contains("the limit is 65536"), "{error}");
        }
    }
    server.stop().await;
}
