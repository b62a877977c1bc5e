//! The WebSocket behind TLS: the same loops, with every frame encrypted for each client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::Server;
use common::tls::{certificate, connector};
use futures_util::{SinkExt, StreamExt};
use gateway::{GatewayOptions, Tls};
use pipeline::BufferOptions;
use record::Value;
use rustls::pki_types::ServerName;
use serde_json::{Value as Json, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Client = WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

async fn connect(server: &Server, connector: &tokio_rustls::TlsConnector) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let url = format!("wss://localhost:{}/ws", server.address.port());
    let (client, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    client
}

async fn hear(client: &mut Client, kind: &str) -> Json {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), client.next()).await;
        let Message::Text(text) = next.unwrap().unwrap().unwrap() else {
            continue;
        };
        let message: Json = serde_json::from_str(&text).unwrap();
        if message["type"] == kind {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_behind_tls_gets_whole_frames_and_the_newest_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let options = GatewayOptions {
        tls: Some(Tls::from_files(&certificate, &key).unwrap()),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let connector = connector(&certificate);
    let text = "x".repeat(50_000);
    let put = |number: i64| {
        let value = Value::text(&format!("{number} {text}")).unwrap();
        server.put("D1", value, number);
    };
    put(0);
    let mut client = connect(&server, &connector).await;
    let subscribe = json!({"type": "subscribe", "id": "a", "keys": ["*"]}).to_string();
    client.send(Message::text(subscribe)).await.unwrap();
    hear(&mut client, "snapshot").await;
    for number in 1..=300 {
        put(number);
        // It says something while frames are under way, and is answered between them.
        if number % 30 == 0 {
            let ping = json!({"type": "ping", "echo": number}).to_string();
            client.send(Message::text(ping)).await.unwrap();
            assert_eq!(hear(&mut client, "pong").await["echo"], number);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    put(301);
    loop {
        let update = hear(&mut client, "update").await;
        let value = update["changes"][0]["value"].as_str().unwrap();
        assert!(value.ends_with(&text));
        if update["changes"][0]["timestamp"] == 301 {
            break;
        }
    }
    server.stop().await;
}
