//! The socket of administrators, its REST, and the audit of both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::Server;
use common::socket::Client;
use futures_util::{SinkExt, StreamExt};
use gateway::{Access, GatewayOptions, ReloadOutcome, ReloadRequest, Rights, Token};
use pipeline::BufferOptions;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Opens the socket, with a token in the header if there is one.
async fn open(server: &Server, token: Option<&str>) -> Result<Client, u16> {
    let mut request = format!("ws://{}/ws/admin", server.address)
        .into_client_request()
        .unwrap();
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// A socket of an administrator that has been welcomed.
async fn administrator(server: &Server) -> Client {
    let mut client = open(server, Some(server.admin.as_str())).await.unwrap();
    let welcome = client.hear(&["welcome"]).await;
    assert_eq!(welcome["protocol"], 1);
    client
}

async fn ask(client: &mut Client, request: Json) -> Json {
    client.say(request).await;
    client.hear(&["result", "error"]).await
}

/// The code with which the server closes.
async fn closed(client: &mut Client) -> u16 {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), client.0.next()).await;
        match next.unwrap() {
            Some(Ok(Message::Close(frame))) => return frame.unwrap().code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn administer(server: &Server, method: &str, path: &str) -> common::Answer {
    let bearer = format!("Bearer {}", server.admin.as_str());
    let headers = [("authorization", bearer.as_str())];
    server.send(method, path, "", &headers).await
}

/// What the audit has, beside the times.
async fn audit(server: &Server) -> Vec<Json> {
    let audit = administer(server, "GET", "/api/audit").await.json();
    audit["acts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_answered_by_the_names_of_old_and_new() {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    let mut client = administrator(&server).await;
    for (name, member) in [
        ("health", "score"),
        ("get_health", "score"),
        ("metrics", "accepted"),
        ("get_metrics", "circuit_breaker_state"),
        ("connections", "connections"),
        ("get_connections", "count_of_all_servers"),
        ("audit", "acts"),
    ] {
        let answer = ask(&mut client, json!({ "id": name, "type": name })).await;
        assert_eq!(
            (&answer["type"], &answer["id"]),
            (&json!("result"), &json!(name))
        );
        assert!(!answer["value"][member].is_null(), "{name}: {answer}");
    }
    let metrics = ask(&mut client, json!({ "type": "metrics" })).await;
    assert_eq!(metrics["id"], "");
    let names = "total_updates updates_per_second average_latency_ms success_rate \
        websocket_connections circuit_breaker_state uptime";
    for name in names.split_whitespace() {
        assert!(!metrics["value"][name].is_null(), "{name}: {metrics}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_do_the_same_by_socket_and_by_rest() {
    let server = Server::start().await;
    server.sink.go_down();
    server.put_many("D1", 3);
    let mut client = administrator(&server).await;
    let reset = ask(
        &mut client,
        json!({ "id": "a", "type": "reset_circuit_breaker" }),
    )
    .await;
    assert_eq!(reset["value"], json!({ "reset": 0 }));
    let purged = ask(
        &mut client,
        json!({ "id": "b", "type": "purge", "lane": "low" }),
    )
    .await;
    assert_eq!(purged["value"], json!({ "purged": 0 }));
    let by_rest = server
        .order("/api/purge", r#"{"lane": "low"}"#, &[JSON])
        .await;
    assert_eq!(by_rest.json(), purged["value"]);
    server.sink.recover();
    let flushed = ask(&mut client, json!({ "id": "c", "type": "flush" })).await;
    assert_eq!(flushed["type"], "result", "{flushed}");
    let reload = ask(&mut client, json!({ "id": "d", "type": "reload" })).await;
    assert_eq!(
        (&reload["code"], &reload["id"]),
        (&json!("not_implemented"), &json!("d"))
    );
    assert_eq!(server.order("/api/reload", "", &[]).await.status, 501);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_without_the_right_there_is_neither_socket_nor_answer() {
    let [reader, stranger] = [(); 2].map(|()| Token::generate().unwrap());
    let access = Access::open()
        .token("reader", reader.hash(), Rights::none().read_all())
        .unwrap();
    let options = GatewayOptions {
        access,
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    // In the header: told before there is a socket.
    assert_eq!(open(&server, Some(reader.as_str())).await.err(), Some(403));
    assert_eq!(
        open(&server, Some(stranger.as_str())).await.err(),
        Some(401)
    );
    // In the first message: told by how it is closed.
    let hello = |token: &Token| json!({ "type": "hello", "token": token.as_str() });
    for (first, code) in [
        (hello(&reader), 4403),
        (hello(&stranger), 4401),
        (json!({ "type": "hello" }), 4401),
        (json!({ "type": "health" }), 4401),
        (json!("hello"), 4401),
    ] {
        let mut client = open(&server, None).await.unwrap();
        client.say(first.clone()).await;
        assert_eq!(closed(&mut client).await, code, "{first}");
    }
    let mut client = open(&server, None).await.unwrap();
    client.say(hello(&server.admin)).await;
    client.hear(&["welcome"]).await;
    let again = ask(&mut client, hello(&server.admin)).await;
    assert_eq!(again["code"], "bad_request", "{again}");
    for (method, path) in [
        ("GET", "/api/connections"),
        ("DELETE", "/api/connections/1"),
        ("GET", "/api/audit"),
        ("POST", "/api/notify"),
        ("POST", "/api/flush"),
        ("POST", "/api/purge"),
        ("POST", "/api/breaker/reset"),
        ("POST", "/api/reload"),
    ] {
        let answer = server.send(method, path, "", &[]).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        let bearer = format!("Bearer {}", reader.as_str());
        let headers = [("authorization", bearer.as_str())];
        let answer = server.send(method, path, "", &headers).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_take_the_places_of_administrators() {
    let server = Server::start().await;
    let began = Instant::now();
    // From then on those who say nothing are sent away.
    let is_over = || began.elapsed() >= Duration::from_secs(5);
    let mut waiting = Vec::new();
    for _ in 0..16 {
        waiting.push(open(&server, None).await.unwrap());
    }
    let refused = open(&server, None).await.err();
    assert!(refused == Some(503) || is_over(), "{refused:?}");
    let mut administrators = Vec::new();
    for _ in 0..16 {
        administrators.push(administrator(&server).await);
    }
    let token = server.admin.as_str();
    assert_eq!(open(&server, Some(token)).await.err(), Some(503));
    // One that says late who it is finds the places taken.
    let hello = json!({ "type": "hello", "token": token }).to_string();
    let said = waiting[0].0.send(Message::text(hello)).await;
    assert!(said.is_ok() || is_over(), "{said:?}");
    let code = closed(&mut waiting[0]).await;
    assert!(code == 1013 || is_over(), "{code}");
    // Those who say nothing are sent away.
    assert_eq!(closed(&mut waiting[1]).await, 4401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_11_what_is_no_request_is_told_so_and_the_socket_goes_on() {
    let server = Server::start().await;
    let mut client = administrator(&server).await;
    for (text, code, id) in [
        ("", "malformed", Json::Null),
        ("[]", "malformed", Json::Null),
        (r#"{"type": "sudo"}"#, "malformed", Json::Null),
        (
            r#"{"id": "p", "type": "purge", "lane": "urgent"}"#,
            "malformed",
            json!("p"),
        ),
        (r#"{"id": 7, "type": "flush"}"#, "malformed", Json::Null),
        (
            r#"{"id": "n", "type": "notify", "level": "info", "message": ""}"#,
            "bad_request",
            json!("n"),
        ),
        (
            r#"{"id": "x", "type": "disconnect", "connection_id": 999999}"#,
            "not_found",
            json!("x"),
        ),
    ] {
        client.0.send(Message::text(text)).await.unwrap();
        let answer = client.hear(&["error"]).await;
        assert_eq!(
            (&answer["code"], &answer["id"]),
            (&json!(code), &id),
            "{text}: {answer}"
        );
    }
    client.0.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(client.hear(&["error"]).await["code"], "binary");
    let long = json!({ "id": "i".repeat(65), "type": "health" });
    assert_eq!(ask(&mut client, long).await["code"], "bad_id");
    // A request beyond 16 KiB ends it.
    let huge = json!({ "type": "notify", "level": "info", "message": "x".repeat(20_000) });
    client.say(huge).await;
    while let Some(Ok(message)) = client.0.next().await {
        assert!(!message.is_text(), "{message}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_listed_told_and_sent_away() {
    let server = Server::start().await;
    let mut client = common::socket::connect(&server, None).await.unwrap();
    let welcome = client.hear(&["welcome"]).await;
    let id = welcome["connection_id"].as_u64().unwrap();
    let mut admin = administrator(&server).await;
    let list = ask(&mut admin, json!({ "type": "connections" })).await["value"].clone();
    assert_eq!(
        (&list["count"], &list["count_of_all_servers"]),
        (&json!(1), &json!(1))
    );
    let listed = &list["connections"][0];
    assert_eq!(
        (&listed["connection_id"], &listed["name"]),
        (&json!(id), &json!("anonymous"))
    );
    assert_eq!(listed["encoding"], "json");
    let by_rest = administer(&server, "GET", "/api/connections").await.json();
    assert_eq!(by_rest["connections"][0]["connection_id"], id);

    let told = server
        .order(
            "/api/notify",
            r#"{"level": "warning", "message": "we restart"}"#,
            &[JSON],
        )
        .await;
    assert_eq!(
        (told.status, told.json()),
        (200, json!({ "connections": 1 }))
    );
    let heard = client.hear(&["notification"]).await;
    assert_eq!(
        (&heard["level"], &heard["message"]),
        (&json!("warning"), &json!("we restart"))
    );
    for message in [String::new(), "x".repeat(1_001)] {
        let body = json!({ "level": "info", "message": message }).to_string();
        assert_eq!(server.order("/api/notify", body, &[JSON]).await.status, 400);
    }
    let strange = r#"{"level": "fatal", "message": "m"}"#;
    assert_eq!(
        server.order("/api/notify", strange, &[JSON]).await.status,
        400
    );

    let path = format!("/api/connections/{id}");
    let gone = administer(&server, "DELETE", &path).await;
    assert_eq!(
        (gone.status, gone.json()),
        (200, json!({ "disconnected": id }))
    );
    while let Some(Ok(message)) = client.0.next().await {
        assert!(!message.is_binary());
    }
    assert_eq!(
        administer(&server, "DELETE", "/api/connections/0")
            .await
            .status,
        404
    );
    assert_eq!(
        administer(&server, "DELETE", "/api/connections/x")
            .await
            .status,
        400
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_and_every_refusal_is_in_the_audit_and_no_token() {
    let stranger = Token::generate().unwrap();
    let server = Server::start().await;
    server
        .order("/api/purge", r#"{"lane": "low"}"#, &[JSON])
        .await;
    server.order("/api/reload", "", &[]).await;
    server.send("POST", "/api/flush", "", &[]).await;
    let bearer = format!("Bearer {}", stranger.as_str());
    server
        .send("POST", "/api/flush", "", &[("authorization", &bearer)])
        .await;
    let mut client = administrator(&server).await;
    ask(&mut client, json!({ "type": "health" })).await;
    ask(
        &mut client,
        json!({ "type": "disconnect", "connection_id": 77 }),
    )
    .await;
    let acts = audit(&server).await;
    let seen: Vec<_> = acts
        .iter()
        .map(|entry| {
            let word = |name: &str| entry[name].as_str().unwrap().to_owned();
            (word("by"), word("act"), word("outcome"))
        })
        .collect();
    let entry = |by: &str, act: &str, outcome: &str| (by.into(), act.into(), outcome.into());
    assert_eq!(
        seen,
        [
            entry("test-admin", "purge", "done"),
            entry("test-admin", "reload", "failed"),
            entry("anonymous", "POST /api/flush", "refused"),
            entry("test-admin", "open_socket", "done"),
            entry("test-admin", "disconnect", "failed"),
        ]
    );
    assert_eq!(acts[0]["with"], json!({ "lane": "low" }));
    assert_eq!(acts[0]["result"], json!({ "purged": 0 }));
    assert!(acts[0]["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    let text = json!(acts).to_string();
    for token in [&server.admin, &stranger] {
        assert!(!text.contains(token.as_str()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_whose_client_hangs_up_is_finished_and_in_the_audit() {
    let (reload, mut requests) = mpsc::channel::<ReloadRequest>(1);
    let options = GatewayOptions {
        reload: Some(reload),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let mut client = administrator(&server).await;
    client.say(json!({ "id": "r", "type": "reload" })).await;
    let request = requests.recv().await.unwrap();
    drop(client);
    let changes = vec!["a setting".to_owned()];
    request.answer(ReloadOutcome::Applied { changes });
    let mut seen = Vec::new();
    for _ in 0..1_000 {
        seen = audit(&server).await;
        if seen.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        (&seen[1]["act"], &seen[1]["outcome"], &seen[1]["result"]),
        (&json!("reload"), &json!("done"), &json!({ "changes": 1 }))
    );
    // What is wrong with a configuration is told on the socket as by REST.
    let mut client = administrator(&server).await;
    client.say(json!({ "id": "s", "type": "reload" })).await;
    let mistakes = vec!["[buffer] max_size is 0".to_owned()];
    let request = requests.recv().await.unwrap();
    request.answer(ReloadOutcome::Refused { mistakes });
    let refused = client.hear(&["error"]).await;
    assert_eq!(refused["code"], "refused");
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("; [buffer] max_size is 0"), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_read_later_and_none_is_lost() {
    let server = Server::start().await;
    let mut client = administrator(&server).await;
    for number in 0..40 {
        let request = json!({ "id": number.to_string(), "type": "reset_circuit_breaker" });
        client.say(request).await;
    }
    for number in 0..40 {
        let answer = client.hear(&["result"]).await;
        assert_eq!(answer["id"], number.to_string());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_are_told_when_the_server_stops() {
    let server = Server::start().await;
    let mut client = administrator(&server).await;
    let stopped = tokio::spawn(server.stop());
    assert_eq!(closed(&mut client).await, 1001);
    stopped.await.unwrap();
}
