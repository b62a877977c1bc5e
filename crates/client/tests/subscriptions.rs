//! What a program is told of its subscriptions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use client::{Event, Extract, Failure, SubscribeError};
use common::{Server, changes, latest, said, soon};
use protocol::{
    Change, ClientMessage, Content, Encoding, KeyName, Removed, ServerMessage, Subscribe,
};
use record::Name;
use serde_json::{Value, json};

fn patched(id: &str, patch: Value, base: u64, rev: u64) -> ServerMessage {
    let mut frame = changes(id, rev, &[("x", Value::Null)]);
    frame.changes = vec![Change {
        content: Content::Patch { patch, base },
        rev: Some(rev),
        ..frame.changes.remove(0)
    }];
    ServerMessage::Update(frame)
}

#[tokio::test]
async fn values_come_whole_in_both_encodings() {
    for encoding in Encoding::ALL {
        let server = Server::start().await;
        let asked = Subscribe {
            deltas: true,
            ..latest("a")
        };
        let builder = server.client().encoding(encoding);
        let (_client, mut subscription, mut peer) = server.subscribed(builder, asked).await;
        let whole = json!({"task": "load", "at": {"x": 1, "y": 2}});
        peer.say(ServerMessage::Snapshot(changes(
            "a",
            5,
            &[("x", whole.clone())],
        )))
        .await;
        let Some(Event::Snapshot(frame)) = soon(subscription.next()).await else {
            panic!("a snapshot comes first");
        };
        assert_eq!((frame.seq, said(&frame)), (5, vec![("x", whole)]));
        peer.say(patched("a", json!({"at": {"y": 3}, "task": null}), 5, 6))
            .await;
        let Some(Event::Update(frame)) = soon(subscription.next()).await else {
            panic!("an update follows");
        };
        assert_eq!(said(&frame), [("x", json!({"at": {"x": 1, "y": 3}}))]);
    }
}

#[tokio::test]
async fn a_patch_of_an_unknown_value_is_asked_for_again() {
    let server = Server::start().await;
    let asked = Subscribe {
        deltas: true,
        ..latest("a")
    };
    let (_client, mut subscription, mut peer) = server.subscribed(server.client(), asked).await;
    peer.say(ServerMessage::Snapshot(changes(
        "a",
        5,
        &[("x", json!({"n": 5}))],
    )))
    .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    peer.say(patched("a", json!({"n": 8}), 7, 8)).await;
    assert_eq!(peer.subscribe().await.id, "a");
    // What was on its way belongs to what was asked before.
    peer.say(patched("a", json!({"n": 9}), 8, 9)).await;
    peer.say(ServerMessage::Snapshot(changes(
        "a",
        9,
        &[("x", json!({"n": 9}))],
    )))
    .await;
    let Some(Event::Snapshot(frame)) = soon(subscription.next()).await else {
        panic!("the state is told anew");
    };
    assert_eq!(said(&frame), [("x", json!({"n": 9}))]);
}

#[tokio::test]
async fn a_patch_after_a_reconnect_is_based_on_what_came_before_it() {
    let server = Server::start().await;
    let asked = Subscribe {
        deltas: true,
        ..latest("a")
    };
    let (_client, mut subscription, mut peer) = server.subscribed(server.client(), asked).await;
    let whole = changes("a", 5, &[("x", json!({"n": 5, "of": "x"}))]);
    peer.say(ServerMessage::Snapshot(whole)).await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    peer.close(1001, "the server stops").await;
    let mut peer = server.welcome("one").await;
    assert_eq!(peer.subscribe().await.since.unwrap().seq, 5);
    let mut nothing = changes("a", 6, &[]);
    nothing.resumed = true;
    peer.say(ServerMessage::Update(nothing)).await;
    peer.say(patched("a", json!({"n": 8}), 5, 8)).await;
    let Some(Event::Update(frame)) = soon(subscription.next()).await else {
        panic!("the patch is known");
    };
    assert_eq!(said(&frame), [("x", json!({"n": 8, "of": "x"}))]);
}

#[tokio::test]
async fn lesson_a_slow_program_gets_the_newest_state_in_one_frame() {
    let server = Server::start().await;
    let (client, mut subscription, mut peer) =
        server.subscribed(server.client(), latest("a")).await;
    peer.say(ServerMessage::Snapshot(changes(
        "a",
        1,
        &[("y", json!("kept"))],
    )))
    .await;
    for seq in 2..1_000 {
        peer.say(ServerMessage::Update(changes(
            "a",
            seq,
            &[("x", json!(seq))],
        )))
        .await;
    }
    // The answer comes after everything before it was taken in.
    let (pong, heard) = tokio::join!(client.ping(), async {
        let asked = peer.hear().await;
        let Some(ClientMessage::Ping { echo }) = asked else {
            panic!("{asked:?}");
        };
        let pong = protocol::Pong {
            seq: 999,
            echo,
            timestamp: 1,
        };
        peer.say(ServerMessage::Pong(pong)).await;
    });
    assert_eq!((pong.unwrap().seq, heard), (999, ()));
    let Some(Event::Snapshot(frame)) = soon(subscription.next()).await else {
        panic!("nobody has seen the state yet");
    };
    assert_eq!(said(&frame), [("y", json!("kept")), ("x", json!(999))]);
    assert_eq!((frame.seq, frame.missed), (999, 0));
}

#[tokio::test]
async fn a_slow_program_that_wants_every_value_is_told_how_many_it_missed() {
    let server = Server::start().await;
    let asked = Subscribe {
        extract: Extract::SinceLast,
        ..latest("a")
    };
    let builder = server.client().values_max(3);
    let (client, mut subscription, mut peer) = server.subscribed(builder, asked).await;
    peer.say(ServerMessage::Snapshot(changes("a", 1, &[])))
        .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    for seq in 2..=11 {
        peer.say(ServerMessage::Update(changes(
            "a",
            seq,
            &[("x", json!(seq))],
        )))
        .await;
    }
    let (pong, _) = tokio::join!(client.ping(), async {
        if let Some(ClientMessage::Ping { echo }) = peer.hear().await {
            let pong = protocol::Pong {
                seq: 11,
                echo,
                timestamp: 1,
            };
            peer.say(ServerMessage::Pong(pong)).await;
        }
    });
    pong.unwrap();
    let Some(Event::Update(frame)) = soon(subscription.next()).await else {
        panic!("updates wait");
    };
    let expected = [("x", json!(9)), ("x", json!(10)), ("x", json!(11))];
    assert_eq!((frame.missed, said(&frame)), (7, expected.to_vec()));
}

#[tokio::test]
async fn removals_and_refusals_are_events() {
    let server = Server::start().await;
    let (_client, mut subscription, mut peer) =
        server.subscribed(server.client(), latest("a")).await;
    peer.say(ServerMessage::Snapshot(changes("a", 1, &[("x", json!(1))])))
        .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    let key = KeyName {
        source: Name::new("source", "plc").unwrap(),
        tag: Name::new("tag", "x").unwrap(),
    };
    peer.say(ServerMessage::Removed(Removed {
        id: "a".to_owned(),
        seq: 2,
        keys: vec![key.clone()],
    }))
    .await;
    let expected = Event::Removed {
        seq: 2,
        keys: vec![key],
    };
    assert_eq!(soon(subscription.next()).await, Some(expected));
    let failure = Failure {
        code: "too_many_keys".to_owned(),
        message: "new keys match".to_owned(),
        id: Some("a".to_owned()),
    };
    peer.say(ServerMessage::Error(failure.clone())).await;
    assert_eq!(
        soon(subscription.next()).await,
        Some(Event::Failed(failure))
    );
}

#[tokio::test]
async fn an_id_is_taken_until_its_subscription_is_dropped() {
    let server = Server::start().await;
    let (client, subscription, mut peer) = server.subscribed(server.client(), latest("a")).await;
    let id = "a".to_owned();
    assert_eq!(
        client.subscribe(latest("a")).await.unwrap_err(),
        SubscribeError::IdTaken { id: id.clone() }
    );
    drop(subscription);
    assert_eq!(peer.hear().await, Some(ClientMessage::Unsubscribe { id }));
    let again = client.subscribe(latest("a")).await.unwrap();
    assert_eq!((again.id(), peer.subscribe().await.id.as_str()), ("a", "a"));
}

#[tokio::test]
async fn a_pause_holds_over_a_reconnect() {
    let server = Server::start().await;
    let (_client, subscription, mut peer) = server.subscribed(server.client(), latest("a")).await;
    let id = || "a".to_owned();
    subscription.pause();
    assert_eq!(peer.hear().await, Some(ClientMessage::Pause { id: id() }));
    peer.close(1001, "the server stops").await;
    let mut peer = server.welcome("one").await;
    assert_eq!(peer.subscribe().await.id, "a");
    assert_eq!(peer.hear().await, Some(ClientMessage::Pause { id: id() }));
    subscription.unpause();
    assert_eq!(peer.hear().await, Some(ClientMessage::Unpause { id: id() }));
}

#[tokio::test]
async fn lesson_a_gap_in_silence_is_noticed_and_mended() {
    let server = Server::start().await;
    let asked = Subscribe {
        extract: Extract::SinceLast,
        ..latest("a")
    };
    let builder = server
        .client()
        .ping_every(std::time::Duration::from_millis(10));
    let (_client, mut subscription, mut peer) = server.subscribed(builder, asked).await;
    peer.say(ServerMessage::Snapshot(changes("a", 5, &[])))
        .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Snapshot(_))
    ));
    // The server went on to commit 9, and says so in its pongs; the update was never sent.
    let Some(ClientMessage::Subscribe(again)) = peer.hear_at(9).await else {
        panic!("it asks for what it may have missed");
    };
    assert_eq!(again.since.unwrap().seq, 5);
    let mut missing = changes("a", 9, &[("x", json!(9))]);
    missing.resumed = true;
    peer.say(ServerMessage::Update(missing)).await;
    let Some(Event::Update(frame)) = soon(subscription.next()).await else {
        panic!("what was missing comes");
    };
    assert_eq!(said(&frame), [("x", json!(9))]);
}

#[tokio::test]
async fn what_is_passed_over_is_asked_for_again() {
    let server = Server::start().await;
    let builder = server
        .client()
        .ping_every(std::time::Duration::from_millis(10));
    let (_client, mut subscription, mut peer) = server.subscribed(builder, latest("a")).await;
    // The first request is never answered, the second one refused by its name.
    let again = peer.hear_at(9).await;
    assert!(
        matches!(again, Some(ClientMessage::Subscribe(_))),
        "{again:?}"
    );
    peer.say(ServerMessage::Error(Failure {
        code: "too_fast".to_owned(),
        message: "it is passed over".to_owned(),
        id: Some("a".to_owned()),
    }))
    .await;
    let again = peer.hear_at(9).await;
    assert!(
        matches!(again, Some(ClientMessage::Subscribe(_))),
        "{again:?}"
    );
    peer.say(ServerMessage::Snapshot(changes("a", 9, &[("x", json!(9))])))
        .await;
    let Some(Event::Snapshot(frame)) = soon(subscription.next()).await else {
        panic!("the state is told");
    };
    assert_eq!(said(&frame), [("x", json!(9))]);
}

#[tokio::test]
async fn what_is_refused_is_not_asked_for_again() {
    let server = Server::start().await;
    let builder = server
        .client()
        .ping_every(std::time::Duration::from_millis(10));
    let (_client, mut subscription, mut peer) = server.subscribed(builder, latest("a")).await;
    peer.say(ServerMessage::Error(Failure {
        code: "bad_keys".to_owned(),
        message: "no".to_owned(),
        id: Some("a".to_owned()),
    }))
    .await;
    assert!(matches!(
        soon(subscription.next()).await,
        Some(Event::Failed(_))
    ));
    for _ in 0..10 {
        let Some(ClientMessage::Ping { echo }) = peer.hear().await else {
            panic!("nothing but pings");
        };
        let pong = protocol::Pong {
            seq: 9,
            echo,
            timestamp: 1,
        };
        peer.say(ServerMessage::Pong(pong)).await;
    }
}
