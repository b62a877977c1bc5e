//! Attacks on what all share: memory, places, room for bodies, time of the loops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Instant;

use common::Server;
use common::socket::{Client, connect};
use gateway::{Access, GatewayOptions, Rights, Token};
use pipeline::BufferOptions;
use record::{Record, Timestamp, Value};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

/// Sends the head of a request, and no more.
async fn begin(server: &Server, method_and_path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let address = server.address;
    let head = format!("{method_and_path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// The head of an answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Opens so many sockets that never say who they are.
async fn strangers(server: &Server, path: &str, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = begin(server, path, UPGRADE).await;
        let head = head(&mut stream).await;
        assert!(head.contains(" 101 "), "{head}");
        held.push(stream);
    }
    held
}

#[cfg(target_os = "linux")]
fn resident_kibibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_library_is_in_memory_once_however_many_do_not_take_it() {
    let closed = GatewayOptions {
        access: Access::new(),
        ..GatewayOptions::default()
    };
    let server = with(closed).await;
    let library = server.get("/assets/plotly.min.js").await;
    assert!(library.text.len() > 1 << 20);
    let before = resident_kibibytes();
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(begin(&server, "GET /assets/plotly.min.js", "").await);
    }
    for stream in &held {
        // The answer has begun.
        stream.peek(&mut [0]).await.unwrap();
    }
    // A copy for each of them would be over 200 MiB.
    let more = resident_kibibytes().saturating_sub(before);
    assert!(more < 100 << 10, "{more} KiB for answers that nobody takes");
    drop(held);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_take_no_places_of_clients_and_go_when_others_come() {
    let token = Token::generate().unwrap();
    let reads = Rights::none().read_all();
    let options = GatewayOptions {
        access: Access::new().token("reader", token.hash(), reads).unwrap(),
        websockets_max: 2,
        ..GatewayOptions::default()
    };
    let server = with(options).await;
    let mut held = strangers(&server, "GET /ws", 40).await;
    let hello = json!({"type": "hello", "token": token.as_str()});
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&server, None).await.unwrap();
        client.say(hello.clone()).await;
        client.hear(&["welcome"]).await;
        clients.push(client);
    }
    // The places of clients are for so many and no more.
    let mut one_more = connect(&server, None).await.unwrap();
    one_more.say(hello.clone()).await;
    assert_eq!(one_more.closed().await.0, 1013);
    drop(clients.pop());
    // Of the strangers of one address all but the newest are closed, long before their time.
    let mut rest = [0; 4];
    held[0].read_exact(&mut rest).await.unwrap();
    assert_eq!(u16::from_be_bytes([rest[2], rest[3]]), 1013);
    drop(held);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_keep_no_administrator_out() {
    let server = Server::start().await;
    let held = strangers(&server, "GET /ws/admin", 40).await;
    let url = format!("ws://{}/ws/admin", server.address);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut page = Client(socket);
    let token = server.admin.as_str();
    page.say(json!({"type": "hello", "id": "1", "token": token}))
        .await;
    page.hear(&["welcome"]).await;
    drop(held);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_take_long_over_many_keys_are_refused() {
    let server =
        Server::with_keys(5_000, BufferOptions::default(), GatewayOptions::default()).await;
    let time = Timestamp::from_micros(1).unwrap();
    let records = (0..3_000).map(|number| {
        let tag = format!("{}{number}", "a".repeat(200));
        Ok(Record::new("PLC01", &tag, Value::F64(1.0), time).unwrap())
    });
    let pushed = server.intake.push(Instant::now(), records.collect());
    assert_eq!(pushed.unwrap().accepted, 3_000);
    let pattern = format!("*{}#", "?".repeat(100));
    for path in ["/api/keys", "/api/export"] {
        let wanted = pattern.replace('?', "%3F").replace('#', "%23");
        let answer = server.get(&format!("{path}?match={wanted}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    let mut client = connect(&server, None).await.unwrap();
    let patterns = [pattern];
    client
        .say(json!({"type": "subscribe", "id": "slow", "keys": patterns}))
        .await;
    let refused = client.hear(&["error"]).await;
    assert_eq!(refused["code"], "bad_keys", "{refused}");
    assert!(
        refused["message"].as_str().unwrap().contains("keys"),
        "{refused}"
    );
    // The same connection, and others, go on.
    client
        .say(json!({"type": "subscribe", "id": "all", "keys": ["*"]}))
        .await;
    let snapshot = client.hear(&["snapshot"]).await;
    assert_eq!(snapshot["changes"].as_array().unwrap().len(), 3_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_makes_nobody_read_the_past_for_it() {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    let foreign = ("sec-fetch-site", "cross-site");
    for path in [
        "/api/keys",
        "/api/history/PLC01/D1?from=0",
        "/api/export?match=*",
    ] {
        assert_eq!(
            server.send("GET", path, "", &[foreign]).await.status,
            403,
            "{path}"
        );
        let own = ("sec-fetch-site", "same-origin");
        assert_eq!(
            server.send("GET", path, "", &[own]).await.status,
            200,
            "{path}"
        );
    }
    // A link to the page itself may stand anywhere.
    assert_eq!(server.send("GET", "/", "", &[foreign]).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_there_is_no_room_keeps_the_connection() {
    let buffer = BufferOptions {
        max_size: 10,
        ..BufferOptions::default()
    };
    let server = Server::with(buffer, GatewayOptions::default()).await;
    server.sink.go_down();
    let line = "{\"source\":\"s\",\"tag\":\"t\",\"value\":1}\n";
    loop {
        let answer = server
            .send("POST", "/api/ingest", line.repeat(9), &[])
            .await;
        if answer.status == 429 {
            assert_eq!(answer.header("connection"), "");
            break;
        }
    }
    server.stop().await;
}
