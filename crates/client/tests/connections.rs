//! How connections are made, lost, made again and ended.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use client::{Client, ConnectError, Event, Extract, State, SubscribeError};
use common::{Server, changes, latest, said, soon};
use protocol::{
    Failure, Level, Notification, Reset, ServerMessage, Since, Subscribe, VERSION, Welcome,
};
use serde_json::json;

#[tokio::test]
async fn the_token_goes_into_the_header_and_nowhere_else() {
    let server = Server::start().await;
    // Made here, so that no test holds one.
    let token = format!("{:032x}", fastrand::u128(..));
    let builder = server.client().token(token.clone());
    assert!(!format!("{builder:?}").contains(&token));
    let (client, peer) = tokio::join!(builder.connect(), server.welcome("one"));
    assert_eq!(peer.authorization, Some(format!("Bearer {token}")));
    assert_eq!(peer.path, "/ws");
    assert!(!format!("{:?}", client.unwrap()).contains(&token));
}

#[tokio::test]
async fn a_wrong_token_is_an_error_and_not_tried_again() {
    let server = Server::start().await;
    let answer =
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 26\r\n\r\n{\"detail\":\"unknown token\"}";
    let (client, ()) = tokio::join!(server.client().connect(), server.answer(answer));
    let expected = ConnectError::Unauthorized {
        message: "unknown token".to_owned(),
    };
    assert_eq!(client.unwrap_err(), expected);
}

#[tokio::test]
async fn a_token_that_is_no_longer_accepted_ends_the_client() {
    let server = Server::start().await;
    let (client, mut subscription, peer) = server.subscribed(server.client(), latest("a")).await;
    peer.close(1001, "the server stops").await;
    let peer = server.accept().await;
    peer.close(4401, "a token is needed").await;
    let cause = ConnectError::Unauthorized {
        message: "a token is needed".to_owned(),
    };
    let ended = State::Ended { cause: Some(cause) };
    assert_eq!(soon(client.state_when(State::has_ended)).await, ended);
    assert_eq!(soon(subscription.next()).await, None);
    assert_eq!(
        client.subscribe(latest("b")).await.unwrap_err(),
        SubscribeError::Ended
    );
}

#[tokio::test]
async fn an_error_that_names_the_token_is_final_too() {
    let server = Server::start().await;
    let refuse = async {
        let mut peer = server.accept().await;
        peer.say(ServerMessage::Error(Failure {
            code: "unauthorized".to_owned(),
            message: "a wrong token".to_owned(),
            id: None,
        }))
        .await;
        peer
    };
    let (client, _peer) = tokio::join!(server.client().connect(), refuse);
    assert!(matches!(
        client.unwrap_err(),
        ConnectError::Unauthorized { .. }
    ));
}

#[tokio::test]
async fn another_version_is_an_error() {
    let server = Server::start().await;
    let newer = async {
        let mut peer = server.accept().await;
        peer.say(ServerMessage::Welcome(Welcome {
            protocol: VERSION + 1,
            instance: "one".to_owned(),
            connection_id: 1,
            timestamp: 1,
        }))
        .await;
        peer
    };
    let (client, _peer) = tokio::join!(server.client().connect(), newer);
    let expected = ConnectError::Version {
        server: VERSION + 1,
        ours: VERSION,
    };
    assert_eq!(client.unwrap_err(), expected);
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error() {
    for url in ["", "127.0.0.1", "http://127.0.0.1:1/ws", "ws://"] {
        let refused = Client::builder(url).connect().await.unwrap_err();
        assert!(!refused.is_transient(), "{url:?}: {refused}");
    }
    if cfg!(not(feature = "tls")) {
        let refused = Client::builder("wss://127.0.0.1:1/ws").connect().await;
        assert!(matches!(refused, Err(ConnectError::Address { .. })));
    }
}

#[tokio::test]
async fn a_client_may_start_before_its_server_is_ready() {
    let server = Server::start().await;
    let client = server.client().start();
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    server.answer(busy).await;
    let _peer = server.welcome("one").await;
    let connected = State::Connected {
        instance: "one".to_owned(),
        connection_id: 7,
    };
    assert_eq!(
        soon(client.state_when(State::is_connected)).await,
        connected
    );
}

#[tokio::test]
async fn lesson_no_update_is_missing_after_a_reconnect() {
    let server = Server::start().await;
    let asked = Subscribe {
        extract: Extract::SinceLast,
        ..latest("log")
    };
    let (_client, mut subscription, mut peer) = server.subscribed(server.client(), asked).await;
    peer.say(ServerMessage::Snapshot(changes("log", 5, &[])))
        .await;
    peer.say(ServerMessage::Update(changes("log", 6, &[("x", json!(6))])))
        .await;
    peer.close(1001, "the server stops").await;

    let mut peer = server.welcome("one").await;
    let since = Since {
        instance: "one".to_owned(),
        seq: 6,
    };
    assert_eq!(peer.subscribe().await.since, Some(since));
    let mut rest = changes("log", 8, &[("x", json!(7)), ("x", json!(8))]);
    (rest.resumed, rest.missed) = (true, 2);
    peer.say(ServerMessage::Update(rest)).await;
    let mut values = Vec::new();
    let mut missed = 0;
    while values.len() < 3 {
        match soon(subscription.next()).await {
            Some(Event::Snapshot(frame) | Event::Update(frame)) => {
                missed += frame.missed;
                values.extend(said(&frame).into_iter().map(|(_, value)| value));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((values, missed), (vec![json!(6), json!(7), json!(8)], 2));
}

#[tokio::test]
async fn a_server_that_was_restarted_resets_and_begins_anew() {
    let server = Server::start().await;
    let asked = Subscribe {
        extract: Extract::SinceLast,
        ..latest("log")
    };
    let (_client, mut subscription, mut peer) = server.subscribed(server.client(), asked).await;
    peer.say(ServerMessage::Snapshot(changes("log", 5, &[])))
        .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    peer.close(1001, "the server stops").await;

    let mut peer = server.welcome("two").await;
    assert_eq!(peer.subscribe().await.since.unwrap().instance, "one");
    let reason = "the server was restarted".to_owned();
    peer.say(ServerMessage::Reset(Reset {
        id: "log".to_owned(),
        reason: reason.clone(),
    }))
    .await;
    peer.say(ServerMessage::Snapshot(changes(
        "log",
        2,
        &[("x", json!(1))],
    )))
    .await;
    assert_eq!(
        soon(subscription.next()).await,
        Some(Event::Reset { reason })
    );
    let Some(Event::Snapshot(frame)) = soon(subscription.next()).await else {
        panic!("a snapshot follows a reset");
    };
    assert_eq!(frame.seq, 2);
    peer.close(1001, "the server stops").await;
    let mut peer = server.welcome("two").await;
    let since = Since {
        instance: "two".to_owned(),
        seq: 2,
    };
    assert_eq!(peer.subscribe().await.since, Some(since));
}

#[tokio::test]
async fn lesson_a_server_that_says_nothing_is_dead() {
    let server = Server::start().await;
    let builder = server
        .client()
        .ping_every(Duration::from_millis(10))
        .pong_within(Duration::from_millis(20));
    let (client, _silent) = tokio::join!(builder.connect(), server.welcome("one"));
    let _client = client.unwrap();
    let _second = server.accept().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_an_event_and_what_is_newer_is_nothing() {
    let server = Server::start().await;
    let (client, mut subscription, mut peer) =
        server.subscribed(server.client(), latest("a")).await;
    peer.say_any(json!({"type": "weather", "id": "a"})).await;
    peer.say(ServerMessage::Snapshot(changes("a", 5, &[])))
        .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    assert!(client.state().is_connected());
    let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
    for broken in [
        json!({"type": "update", "id": "a", "seq": "five"}),
        json!({"type": "update", "id": "a", "seq": 6, "changes": [{"value": deep}]}),
    ] {
        peer.say_any(broken).await;
        let Some(Event::Failed(failure)) = soon(subscription.next()).await else {
            panic!("what is lost is told");
        };
        assert_eq!(
            (failure.code.as_str(), failure.id.as_deref()),
            ("unreadable", Some("a"))
        );
    }
    let mut notifications = client.notifications();
    peer.say_any(json!("nothing that is known")).await;
    let told = soon(notifications.next()).await.unwrap();
    assert!(told.message.starts_with("unreadable: "), "{told:?}");
    let next = changes("a", 7, &[("x", json!(7))]);
    peer.say(ServerMessage::Update(next)).await;
    let Some(Event::Update(frame)) = soon(subscription.next()).await else {
        panic!("the connection goes on");
    };
    assert_eq!(said(&frame), [("x", json!(7))]);
    assert!(client.state().is_connected());
}

#[tokio::test]
async fn notifications_come_to_whoever_listens() {
    let server = Server::start().await;
    let (client, mut peer) = {
        let (client, peer) = tokio::join!(server.client().connect(), server.welcome("one"));
        (client.unwrap(), peer)
    };
    let mut notifications = client.notifications();
    let notification = Notification {
        level: Level::Warning,
        message: "the buffer is filling up".to_owned(),
        timestamp: 3,
    };
    peer.say(ServerMessage::Notification(notification.clone()))
        .await;
    assert_eq!(soon(notifications.next()).await, Some(notification));
    peer.say(ServerMessage::Error(Failure {
        code: "too_fast".to_owned(),
        message: "more than 100 messages per second".to_owned(),
        id: None,
    }))
    .await;
    let refused = soon(notifications.next()).await.unwrap();
    assert_eq!(refused.level, Level::Error);
    assert_eq!(
        refused.message,
        "too_fast: more than 100 messages per second"
    );
    client.close().await;
    assert_eq!(soon(notifications.next()).await, None);
}

#[tokio::test]
async fn closing_and_dropping_end_the_task() {
    let server = Server::start().await;
    let (client, mut subscription, mut peer) =
        server.subscribed(server.client(), latest("a")).await;
    let (heard, ()) = tokio::join!(peer.hear(), client.close());
    assert_eq!(heard, None, "a close frame");
    assert_eq!(client.state(), State::Ended { cause: None });
    assert_eq!(soon(subscription.next()).await, None);
    client.close().await;

    let (client, mut peer) = {
        let (client, peer) = tokio::join!(server.client().connect(), server.welcome("one"));
        (client.unwrap(), peer)
    };
    let other = client.clone();
    drop(client);
    assert!(other.state().is_connected());
    drop(other);
    assert_eq!(peer.hear().await, None, "a close frame");
}
