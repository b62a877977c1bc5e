//! The Rust client against a gateway: values, actions, tokens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use client::{
    ActError, Client, ConnectError, Encoding, Event, Extract, Frame, State, Subscribe, Subscription,
};
use common::Server;
use gateway::{Access, ActionError, Actions, GatewayOptions, Rights, Token};
use pipeline::BufferOptions;
use record::Value;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

async fn with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

fn url(server: &Server) -> String {
    format!("ws://{}/ws", server.address)
}

fn asked(id: &str, keys: &str) -> Subscribe {
    Subscribe {
        id: id.to_owned(),
        keys: vec![keys.to_owned()],
        ..Subscribe::default()
    }
}

async fn event(subscription: &mut Subscription) -> Event {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.unwrap().unwrap()
}

/// The next frame, whichever it is in.
async fn frame(subscription: &mut Subscription) -> Frame {
    match event(subscription).await {
        Event::Snapshot(frame) | Event::Update(frame) => frame,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_whole_though_only_differences_are_sent() {
    let server = Server::start().await;
    for encoding in Encoding::ALL {
        let client = Client::builder(url(&server)).encoding(encoding);
        let client = client.connect().await.unwrap();
        let asked = Subscribe {
            deltas: true,
            ..asked("state", "PLC01/*")
        };
        let mut subscription = client.subscribe(asked).await.unwrap();
        frame(&mut subscription).await;
        let text = "a long description that nobody wants to be sent again".repeat(40);
        for number in 1..=20 {
            let state =
                json!({"description": text, "at": {"x": number, "y": 1}, "odd": number % 2});
            let value = Value::json(&state.to_string()).unwrap();
            server.put("state", value, number);
            loop {
                let frame = frame(&mut subscription).await;
                if frame.readings.last().unwrap().value == state {
                    break;
                }
            }
        }
        let bearer = format!("Bearer {}", server.admin.as_str());
        let headers = [("authorization", bearer.as_str())];
        let listed = server.send("GET", "/api/connections", "", &headers);
        let listed = listed.await.json();
        let bytes = listed["connections"].as_array().unwrap().iter();
        let bytes = bytes.map(|one| one["bytes"].as_u64().unwrap()).max();
        assert!(bytes.unwrap() < 10 * text.len() as u64, "{listed}");
        client.close().await;
        until_nobody_is_connected(&server, &headers).await;
    }
    server.stop().await;
}

async fn until_nobody_is_connected(server: &Server, headers: &[(&str, &str)]) {
    for _ in 0..500 {
        let listed = server.send("GET", "/api/connections", "", headers);
        if listed.await.json()["count"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a closed client is still connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_subscription_is_told_what_it_asked_for() {
    let server = Server::start().await;
    let client = Client::builder(url(&server)).connect().await.unwrap();
    for number in 1..=5 {
        server.put("D1", f64::from(number), i64::from(number));
    }
    let kinds = [
        (Extract::Latest, vec![json!(5.0)], 0),
        (
            Extract::Window { count: 3 },
            vec![json!(3.0), json!(4.0), json!(5.0)],
            0,
        ),
        (Extract::SinceLast, vec![json!(5.0)], 0),
        (
            Extract::Downsampled {
                count: Some(5),
                seconds: None,
                points: 2,
            },
            Vec::new(),
            1,
        ),
    ];
    for (number, (extract, values, plots)) in kinds.into_iter().enumerate() {
        let id = number.to_string();
        let asked = Subscribe {
            extract,
            ..asked(&id, "PLC01/D1")
        };
        let mut subscription = client.subscribe(asked).await.unwrap();
        let Event::Snapshot(frame) = event(&mut subscription).await else {
            panic!("a snapshot comes first");
        };
        let said = frame.readings.into_iter().map(|reading| reading.value);
        assert_eq!(said.collect::<Vec<_>>(), values, "{extract:?}");
        assert_eq!(frame.plots.len(), plots, "{extract:?}");
    }
    let mut refused = client.subscribe(asked("none", "[")).await.unwrap();
    let Event::Failed(failure) = event(&mut refused).await else {
        panic!("that is no glob");
    };
    assert_eq!(failure.code, "bad_keys");
    assert!(client.ping().await.unwrap().seq >= 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_done_refused_and_fail() {
    let actions = Actions::new().on("stop", |request| async move {
        match request.target.as_str() {
            "agent-1" => Ok(json!({"stopped": request.params})),
            other => Err(ActionError::Failed(format!("there is no {other}"))),
        }
    });
    let (all, reader) = (Token::generate().unwrap(), Token::generate().unwrap());
    let rights = Rights::none().read_all().act();
    let access = Access::new()
        .token("operator", all.hash(), rights)
        .unwrap()
        .token("reader", reader.hash(), Rights::none().read_all())
        .unwrap();
    let server = with(GatewayOptions {
        actions,
        access,
        ..GatewayOptions::default()
    })
    .await;
    let client = Client::builder(url(&server)).token(all.as_str());
    let client = client.connect().await.unwrap();
    let done = client.act("stop", "agent-1", json!(7)).await;
    assert_eq!(done, Ok(json!({"stopped": 7})));
    let failed = client.act("stop", "agent-2", json!(null)).await;
    assert!(
        matches!(&failed, Err(ActError::Failed { message }) if message.contains("agent-2")),
        "{failed:?}"
    );
    let unknown = client.act("start", "agent-1", json!(null)).await;
    assert!(
        matches!(unknown, Err(ActError::Failed { .. })),
        "{unknown:?}"
    );

    let client = Client::builder(url(&server)).token(reader.as_str());
    let client = client.connect().await.unwrap();
    let refused = client.act("stop", "agent-1", json!(7)).await;
    assert!(
        matches!(&refused, Err(ActError::Refused { code, .. }) if code == "forbidden"),
        "{refused:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_shows_what_it_may_read_and_a_wrong_one_is_final() {
    let token = Token::generate().unwrap();
    let rights = Rights::none().read(["PLC01/public.*"]).unwrap();
    let access = Access::new()
        .token("visitor", token.hash(), rights)
        .unwrap();
    let server = with(GatewayOptions {
        access,
        ..GatewayOptions::default()
    })
    .await;
    server.put("public.load", 1.0, 1);
    server.put("secret", 2.0, 2);
    let client = Client::builder(url(&server)).token(token.as_str());
    let client = client.connect().await.unwrap();
    let mut subscription = client.subscribe(asked("all", "*")).await.unwrap();
    let tags = |frame: Frame| {
        let readings = frame.readings.into_iter();
        readings
            .map(|reading| reading.key.tag.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(tags(frame(&mut subscription).await), ["public.load"]);
    server.put("secret", 3.0, 3);
    server.put("public.load", 4.0, 4);
    assert_eq!(tags(frame(&mut subscription).await), ["public.load"]);

    let wrong = Token::generate().unwrap();
    let client = Client::builder(url(&server)).token(wrong.as_str());
    let refused = client.connect().await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Unauthorized { .. }),
        "{refused:?}"
    );
    let waiting = Client::builder(url(&server)).token(wrong.as_str()).start();
    let ended = tokio::time::timeout(PATIENCE, waiting.state_when(State::has_ended)).await;
    assert!(
        matches!(ended.unwrap(), State::Ended { cause: Some(_) }),
        "it does not go on trying"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_subscription_is_told_afterwards_what_changed() {
    let server = Server::start().await;
    let client = Client::builder(url(&server)).connect().await.unwrap();
    let mut subscription = client.subscribe(asked("a", "PLC01/D1")).await.unwrap();
    frame(&mut subscription).await;
    subscription.pause();
    // What is said later is heard later, so the pause holds when the answer comes.
    client.ping().await.unwrap();
    client.ping().await.unwrap();
    for number in 1..=3 {
        server.put("D1", f64::from(number), i64::from(number));
    }
    subscription.unpause();
    let frame = frame(&mut subscription).await;
    let said: Vec<_> = frame.readings.into_iter().map(|one| one.value).collect();
    assert_eq!(said, [json!(3.0)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_why_the_server_is_gone() {
    let server = Server::start().await;
    let client = Client::builder(url(&server)).connect().await.unwrap();
    let mut notifications = client.notifications();
    server.sink.go_down();
    server.put("D1", 1.0, 1);
    let heard = tokio::time::timeout(PATIENCE, notifications.next()).await;
    assert_eq!(
        heard.unwrap().unwrap().message,
        "the sink fails: the sink is down"
    );
    server.sink.recover();
    server.stop().await;
    let lost = client.state_when(|state| matches!(state, State::Waiting { .. }));
    let State::Waiting { cause, .. } = tokio::time::timeout(PATIENCE, lost).await.unwrap() else {
        panic!("it waits");
    };
    let expected = ConnectError::ClosedByServer {
        code: 1001,
        reason: "the server stops".to_owned(),
    };
    // A server that has gone may be asked in vain before this is looked at.
    assert!(
        cause == expected || matches!(cause, ConnectError::Network { .. }),
        "{cause:?}"
    );
}
