//! What came of an action, in every case.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use client::{ActError, Client, ClientBuilder, State};
use common::{Peer, Server, soon};
use protocol::{Action, ActionResult, ClientMessage, Failure, ServerMessage};
use serde_json::{Value, json};

async fn connected(server: &Server, builder: ClientBuilder) -> (Client, Peer) {
    let (client, peer) = tokio::join!(builder.connect(), server.welcome("one"));
    (client.unwrap(), peer)
}

async fn action(peer: &mut Peer) -> Action {
    match peer.hear().await {
        Some(ClientMessage::Action(action)) => action,
        other => panic!("{other:?}"),
    }
}

fn result(id: &str, outcome: Result<Value, &str>) -> ServerMessage {
    ServerMessage::ActionResult(ActionResult {
        id: id.to_owned(),
        ok: outcome.is_ok(),
        error: outcome.as_ref().err().map(|error| (*error).to_owned()),
        value: outcome.unwrap_or_default(),
        timestamp: 1,
    })
}

#[tokio::test]
async fn each_answer_goes_to_who_asked() {
    let server = Server::start().await;
    let (client, mut peer) = connected(&server, server.client()).await;
    let answer = async {
        let first = action(&mut peer).await;
        let second = action(&mut peer).await;
        assert_eq!(
            (first.name.as_str(), first.target.as_str()),
            ("stop", "agent-1")
        );
        assert_eq!(first.params, json!({"within_ms": 500}));
        // In the other order.
        peer.say(result(&second.id, Err("it does not run"))).await;
        peer.say(result("action/none", Ok(Value::Null))).await;
        peer.say(result(&first.id, Ok(json!("stopped")))).await;
    };
    let params = json!({"within_ms": 500});
    let (first, second, ()) = tokio::join!(
        client.act("stop", "agent-1", params),
        client.act("stop", "agent-2", Value::Null),
        answer
    );
    assert_eq!(first, Ok(json!("stopped")));
    let message = "it does not run".to_owned();
    assert_eq!(second, Err(ActError::Failed { message }));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let server = Server::start().await;
    let (client, mut peer) = connected(&server, server.client()).await;
    let refuse = async {
        let id = Some(action(&mut peer).await.id);
        let (code, message) = ("forbidden".to_owned(), "it may not act".to_owned());
        peer.say(ServerMessage::Error(Failure { code, message, id }))
            .await;
    };
    let (refused, ()) = tokio::join!(client.act("stop", "", Value::Null), refuse);
    let (code, message) = ("forbidden".to_owned(), "it may not act".to_owned());
    assert_eq!(refused, Err(ActError::Refused { code, message }));
}

#[tokio::test]
async fn an_action_is_not_sent_twice_when_the_connection_breaks() {
    let server = Server::start().await;
    let (client, mut peer) = connected(&server, server.client()).await;
    let break_it = async {
        action(&mut peer).await;
        peer.close(1001, "the server stops").await;
    };
    let (lost, ()) = tokio::join!(client.act("stop", "", Value::Null), break_it);
    assert_eq!(lost, Err(ActError::Lost));
    let mut peer = server.welcome("one").await;
    soon(client.state_when(State::is_connected)).await;
    let (pong, heard) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(1), client.ping()),
        peer.hear()
    );
    drop(pong);
    assert!(
        matches!(heard, Some(ClientMessage::Ping { .. })),
        "{heard:?}"
    );
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let server = Server::start().await;
    let client = server.client().start();
    let refused = soon(client.act("stop", "", Value::Null)).await;
    assert_eq!(refused, Err(ActError::NotConnected));
    assert!(soon(client.ping()).await.is_err());
    client.close().await;
    let refused = client.act("stop", "", Value::Null).await;
    assert_eq!(refused, Err(ActError::NotConnected));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let server = Server::start().await;
    let builder = server.client().act_within(Duration::from_millis(10));
    let (client, _peer) = connected(&server, builder).await;
    let timed_out = client.act("stop", "", Value::Null).await;
    assert_eq!(timed_out, Err(ActError::TimedOut { within_ms: 10 }));
}
