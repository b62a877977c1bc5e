//! Attacks by messages of the WebSocket: who is not known, who asks for too much, too often, or
//! for what is not theirs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::Server;
use common::socket::{Client, connect, values};
use futures_util::{SinkExt, StreamExt};
use gateway::{Access, GatewayOptions, Rights, Token};
use pipeline::BufferOptions;
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn with(access: Access) -> Server {
    let options = GatewayOptions {
        access,
        ..GatewayOptions::default()
    };
    Server::with(BufferOptions::default(), options).await
}

/// Opens a socket with a token in the header, or says why not.
async fn open(server: &Server, path: &str, token: &Token) -> Result<Client, u16> {
    let mut request = format!("ws://{}{path}", server.address)
        .into_client_request()
        .unwrap();
    let bearer = format!("Bearer {}", token.as_str()).parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    match connect_async(request).await {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn subscribe(client: &mut Client, keys: &[&str]) -> Json {
    let asked = json!({"type": "subscribe", "id": "a", "keys": keys});
    client.say(asked).await;
    client.hear(&["snapshot", "error"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_say_who_they_are_is_told_nothing() {
    let server = with(Access::new()).await;
    server.put("D1", 1.0, 1);
    for first in [
        json!({"type": "subscribe", "id": "a", "keys": ["*"]}),
        json!({"type": "hello"}),
        json!({"type": "hello", "token": "guess"}),
        json!({"type": "hello", "token": Token::generate().unwrap().as_str()}),
        json!({"type": "action", "id": "a", "name": "stop", "target": ""}),
    ] {
        let mut client = connect(&server, None).await.unwrap();
        client.say(first.clone()).await;
        let error = client
            .hear(&["error", "snapshot", "welcome", "action_result"])
            .await;
        assert_eq!(error["type"], "error", "{first}: {error}");
        assert!(!error.to_string().contains("D1"), "{error}");
        let (code, _) = client.closed().await;
        assert_eq!(code, 4401, "{first}");
    }
    let mut client = connect(&server, None).await.unwrap();
    let hello = json!({"type": "hello", "token": server.admin.as_str()});
    client.say(hello).await;
    client.hear(&["welcome"]).await;
    assert_eq!(values(&subscribe(&mut client, &["*"]).await).len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_at_all_is_sent_away() {
    let server = with(Access::new()).await;
    let mut client = connect(&server, None).await.unwrap();
    assert_eq!(client.closed().await.0, 4401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_in_the_header_opens_nothing() {
    let server = with(Access::open()).await;
    let wrong = Token::generate().unwrap();
    assert_eq!(open(&server, "/ws", &wrong).await.err(), Some(401));
    assert_eq!(open(&server, "/ws/admin", &wrong).await.err(), Some(401));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_keys_beyond_the_right_are_not_shown_whatever_is_asked_for() {
    let token = Token::generate().unwrap();
    let rights = Rights::none().read(["PLC01/D*"]).unwrap();
    let access = Access::new().token("d", token.hash(), rights).unwrap();
    let server = with(access).await;
    server.put("D1", 1.0, 1);
    server.put("secret", 42.0, 1);
    let mut client = open(&server, "/ws", &token).await.unwrap();
    for keys in [
        &["*"][..],
        &["PLC01/*"],
        &["PLC01/secret", "PLC01/D1"],
        &["*{secret,D1}"],
    ] {
        let snapshot = subscribe(&mut client, keys).await;
        assert_eq!(values(&snapshot), [("D1".to_owned(), 1.0)], "{keys:?}");
    }
    let nothing = subscribe(&mut client, &["*secret*"]).await;
    assert!(values(&nothing).is_empty(), "{nothing}");
    // Updates too, and keys that come later.
    subscribe(&mut client, &["*"]).await;
    server.put("secret2", 43.0, 2);
    server.put("secret", 44.0, 2);
    server.put("D1", 2.0, 2);
    let update = client.hear(&["update"]).await;
    assert_eq!(values(&update), [("D1".to_owned(), 2.0)]);
    let bearer = format!("Bearer {}", token.as_str());
    let headers = [("authorization", bearer.as_str())];
    let keys = server.send("GET", "/api/keys", "", &headers).await;
    assert!(keys.status == 200 && keys.text.contains("D1"), "{keys:?}");
    assert!(!keys.text.contains("secret"), "{keys:?}");
    // Refused alike whether there is that key or not.
    for path in [
        "/api/history/PLC01/secret?count=5",
        "/api/history/PLC01/secret?from=0",
        "/api/history/PLC01/none?count=5",
        "/api/export/PLC01/secret",
        "/api/export/PLC01/none",
    ] {
        let answer = server.send("GET", path, "", &headers).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    let all = server.send("GET", "/api/export?match=*", "", &headers);
    let all = all.await.text;
    assert!(all.contains("D1") && !all.contains("secret"), "{all}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administering_by_socket_or_rest_takes_the_right() {
    let token = Token::generate().unwrap();
    let rights = Rights::none().read_all().ingest().act();
    let access = Access::open()
        .token("all-but", token.hash(), rights)
        .unwrap();
    let server = with(access).await;
    assert_eq!(open(&server, "/ws/admin", &token).await.err(), Some(403));
    assert!(open(&server, "/ws/admin", &server.admin).await.is_ok());
    let bearer = format!("Bearer {}", token.as_str());
    let headers = [("authorization", bearer.as_str())];
    for (method, path) in [
        ("GET", "/api/connections"),
        ("DELETE", "/api/connections/1"),
        ("GET", "/api/audit"),
        ("POST", "/api/notify"),
        ("POST", "/api/flush"),
    ] {
        let answer = server.send(method, path, "", &headers).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        let answer = server.send(method, path, "", &[]).await;
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_message_ends_its_connection_and_no_other() {
    let server = Server::start().await;
    let mut other = connect(&server, None).await.unwrap();
    let mut client = connect(&server, None).await.unwrap();
    let ping = |bytes: usize| {
        let around = json!({"type": "ping", "echo": ""}).to_string().len();
        json!({"type": "ping", "echo": "x".repeat(bytes - around)})
    };
    client.say(ping(64 << 10)).await;
    client.hear(&["pong"]).await;
    client.say(ping((64 << 10) + 1)).await;
    assert_eq!(client.closed().await.0, 1009);
    let mut client = connect(&server, None).await.unwrap();
    let huge = ping(1 << 20);
    // It may be cut off while it still sends.
    let _ = client.0.send(Message::text(huge.to_string())).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), client.is_cut_off()).await;
    assert!(ended.is_ok());
    other.say(json!({"type": "ping"})).await;
    other.hear(&["pong"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_allowed_are_refused() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    for _ in 0..1_000 {
        client
            .0
            .feed(Message::text(r#"{"type":"ping"}"#))
            .await
            .unwrap();
    }
    client.0.flush().await.unwrap();
    let error = client.hear(&["error"]).await;
    assert_eq!(error["code"], "too_fast", "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_on_with_too_many_messages_is_cut_off() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    let began = Instant::now();
    let flood = async {
        loop {
            for _ in 0..300 {
                client.0.feed(Message::text(r#"{"type":"ping"}"#)).await?;
            }
            client.0.flush().await?;
            while let Ok(heard) = timeout(Duration::from_millis(100), client.0.next()).await {
                if let Some(Ok(Message::Close(Some(frame)))) = heard {
                    return Ok::<u16, Error>(frame.code.into());
                }
                heard.transpose()?;
            }
        }
    };
    let code = timeout(Duration::from_secs(60), flood).await.unwrap();
    // The close may be lost where the client was still sending.
    assert!(matches!(code, Ok(1008) | Err(_)), "{code:?}");
    assert!(began.elapsed() >= Duration::from_secs(10));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_subscriptions_than_allowed_are_refused() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    for number in 0..33 {
        let id = number.to_string();
        let asked = json!({"type": "subscribe", "id": id, "keys": ["*"]});
        client.say(asked).await;
        let answer = client.hear(&["snapshot", "error"]).await;
        match number {
            32 => assert_eq!(answer["code"], "too_many_subscriptions", "{answer}"),
            _ => assert_eq!(answer["type"], "snapshot", "{answer}"),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_would_cost_much_are_refused_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut client = connect(&server, None).await.unwrap();
    let doubling = "{a,b}".repeat(200);
    let nested = format!("{}{}", "{a,".repeat(300), "}".repeat(300));
    let stars = "*a".repeat(500);
    let many: Vec<&str> = vec![&stars; 60];
    for keys in [&[doubling.as_str()][..], &[&nested], &many, &["["], &[]] {
        let answer = subscribe(&mut client, keys).await;
        assert_eq!(answer["type"], "error", "{answer}");
    }
    let answer = subscribe(&mut client, &["PLC{01,02}/*"]).await;
    assert_eq!(answer["type"], "snapshot", "{answer}");
    server.stop().await;
}
