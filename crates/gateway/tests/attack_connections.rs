//! Attacks by connections: too many of them, slow ones, large ones, doors left open, and TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::socket::connect;
use common::tls::{self, certificate, connector};
use common::{Server, live_data};
use gateway::{Access, BindError, Gateway, GatewayOptions, Rights, Tls, Token};
use pipeline::{BufferOptions, Pipeline};
use rustls::pki_types::ServerName;
use sinks::{BoxWriter, MemoryWriter, ScopeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LIVE: &str = "GET /api/live HTTP/1.1\r\nhost: localhost:PORT\r\n\r\n";

async fn with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

/// Sends this and reads until the other side closes.
async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, send: &[u8]) -> String {
    let mut text = Vec::new();
    let all = async {
        // Whoever is not wanted may be cut off at any point of this.
        let _ = stream.write_all(send).await;
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            text.extend_from_slice(&chunk[..count]);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, all).await;
    assert!(ended.is_ok(), "the connection is not closed");
    String::from_utf8_lossy(&text).into_owned()
}

fn live(address: SocketAddr) -> String {
    LIVE.replace("PORT", &address.port().to_string())
}

/// Asks on a connection and leaves it open.
async fn ask(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(live(address).as_bytes()).await;
    let mut answer = [0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
    let count = read.unwrap().unwrap_or(0);
    (
        stream,
        String::from_utf8_lossy(&answer[..count]).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_an_address_may_have_are_closed_at_once() {
    let server = with(GatewayOptions {
        connections_per_address_max: 3,
        ..GatewayOptions::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let (stream, answer) = ask(server.address).await;
        assert_eq!(answer, "HTTP/1.1 200");
        held.push(stream);
    }
    for _ in 0..5 {
        assert_eq!(ask(server.address).await.1, "", "there is no room for it");
    }
    drop(held);
    until_answered(server.address).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_may_be_in_all_are_closed_at_once() {
    let server = with(GatewayOptions {
        connections_max: 2,
        ..GatewayOptions::default()
    })
    .await;
    let held = [ask(server.address).await, ask(server.address).await];
    assert_eq!(
        held.each_ref().map(|(_, answer)| answer.as_str()),
        ["HTTP/1.1 200"; 2]
    );
    assert_eq!(ask(server.address).await.1, "");
    drop(held);
    until_answered(server.address).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_keeps_the_seat_of_its_connection() {
    let server = with(GatewayOptions {
        connections_max: 1,
        ..GatewayOptions::default()
    })
    .await;
    let mut socket = connect(&server, None).await.unwrap();
    socket.say(serde_json::json!({"type": "ping"})).await;
    socket.hear(&["pong"]).await;
    assert_eq!(
        ask(server.address).await.1,
        "",
        "the socket has the only seat"
    );
    drop(socket);
    until_answered(server.address).await;
    server.stop().await;
}

async fn until_answered(address: SocketAddr) {
    let answered = async {
        while ask(address).await.1 != "HTTP/1.1 200" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_and_connections_without_requests_are_cut_off() {
    let server = Server::start().await;
    let connect = || TcpStream::connect(server.address);
    // A head that stops, one that trickles, none at all, and a second request that never comes.
    let stopped = exchange(connect().await.unwrap(), b"GET / HTTP/1.1\r\nhost: ");
    let trickling = async {
        let mut stream = connect().await.unwrap();
        let trickle = async {
            while stream
                .write_all(b"GET / HTTP/1.1\r\nx: x\r\n")
                .await
                .is_ok()
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
                if stream
                    .read(&mut [0; 64])
                    .await
                    .is_ok_and(|count| count == 0)
                {
                    break;
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, trickle).await.is_ok());
    };
    let silent = exchange(connect().await.unwrap(), b"");
    let request = live(server.address);
    let idle = exchange(connect().await.unwrap(), request.as_bytes());
    let (_, (), _, idle) = tokio::join!(stopped, trickling, silent, idle);
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert_eq!(server.get("/api/live").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_head_is_refused_and_a_huge_body_too() {
    let server = with(GatewayOptions {
        body_bytes_max: 1 << 20,
        ..GatewayOptions::default()
    })
    .await;
    let port = server.address.port();
    let huge = format!(
        "GET /api/live HTTP/1.1\r\nhost: localhost:{port}\r\nx: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(stream, huge.as_bytes()).await;
    // The answer may be lost where the client was still sending.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let many = format!(
        "GET /api/live HTTP/1.1\r\nhost: localhost:{port}\r\n{}\r\n",
        "a: b\r\n".repeat(500)
    );
    let stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(stream, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // It is refused by what it says of itself, before any of it is read.
    let body = format!(
        "POST /api/ingest HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-length: 9999999\r\n\r\nx"
    );
    let stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(stream, body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop().await;
}

async fn bind(listen: &str, options: GatewayOptions) -> Result<Gateway, BindError> {
    let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
        .live(live_data(10))
        .start()
        .unwrap();
    let ingest = pipeline
        .intake(&ScopeName::new("http/normal"))
        .await
        .unwrap();
    let bound = Gateway::bind(listen.parse().unwrap(), options, pipeline.clone(), ingest).await;
    pipeline.shutdown(None).await;
    bound
}

#[tokio::test]
async fn other_machines_are_not_let_in_without_tokens_unless_it_is_said() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let error = bind(listen, GatewayOptions::default()).await.unwrap_err();
        assert!(matches!(error, BindError::Anonymous { .. }), "{error}");
        for way_out in ["forebay token", "127.0.0.1", "allow_anonymous = true"] {
            assert!(error.to_string().contains(way_out), "{error}");
        }
    }
    let token = Token::generate().unwrap();
    let closed = Access::new().token("a", token.hash(), Rights::none().read_all());
    let closed = GatewayOptions {
        access: closed.unwrap(),
        ..GatewayOptions::default()
    };
    let said = GatewayOptions {
        allow_anonymous: true,
        ..GatewayOptions::default()
    };
    assert!(bind("0.0.0.0:0", closed).await.is_ok());
    assert!(bind("0.0.0.0:0", said).await.is_ok());
    assert!(bind("127.0.0.1:0", GatewayOptions::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_and_without_a_name_and_not_with_plain_clients() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let server = with(GatewayOptions {
        tls: Some(Tls::from_files(&certificate, &key).unwrap()),
        ..GatewayOptions::default()
    })
    .await;
    let connector = connector(&certificate);
    let port = server.address.port();
    let request =
        format!("GET /api/live HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    // An address is no name, so that the second sends none.
    for name in ["localhost", "127.0.0.1"] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let answer = exchange(stream, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(stream, request.as_bytes()).await;
    assert!(
        !answer.contains("HTTP/1.1"),
        "nothing is said in plain: {answer}"
    );
    // Who never answers is cut off too, and holds up nobody.
    let stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(exchange(stream, b"").await, "");
    server.stop().await;
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let (_, foreign) = tls::certificate(other.path());
    let missing = folder.path().join("missing.pem");
    for (certificate, key, named) in [
        (&missing, &key, &missing),
        (&certificate, &missing, &missing),
        (&key, &key, &key),
        (&certificate, &certificate, &certificate),
        (&certificate, &foreign, &foreign),
    ] {
        let error = Tls::from_files(certificate, key).unwrap_err().to_string();
        assert!(error.contains(&named.display().to_string()), "{error}");
    }
}
