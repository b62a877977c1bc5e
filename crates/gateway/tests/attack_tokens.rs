//! Attacks on who may do what: no token, wrong tokens, tokens of other rights, guessing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Answer, Server};
use gateway::{Access, GatewayOptions, Rights, Token};
use pipeline::BufferOptions;

const ADMINISTERING: [&str; 4] = [
    "/api/flush",
    "/api/purge",
    "/api/breaker/reset",
    "/api/reload",
];
const READING: [&str; 5] = [
    "/api/buffer/status",
    "/api/metrics",
    "/metrics",
    "/api/keys",
    "/api/history/PLC01/D1?count=1",
];

async fn with(access: Access) -> Server {
    let options = GatewayOptions {
        access,
        ..GatewayOptions::default()
    };
    Server::with(BufferOptions::default(), options).await
}

async fn ask(server: &Server, method: &str, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let body = match path {
        "/api/ingest" => r#"{"source": "PLC01", "tag": "D1", "value": 1}"#,
        _ => "",
    };
    server.send(method, path, body, &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_told_and_nothing_is_taken() {
    let server = with(Access::new()).await;
    for path in READING.into_iter().chain(["/api/whatever"]) {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
        assert!(!answer.text.contains("PLC01"), "{path}: {answer:?}");
    }
    for path in ADMINISTERING.into_iter().chain(["/api/ingest"]) {
        let answer = server.send("POST", path, "{}", &[]).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    // A proxy or a supervisor has to know that it is there, and a browser has to get the page.
    for path in [
        "/",
        "/assets/app.js",
        "/api/live",
        "/api/ready",
        "/api/health",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let health = server.get("/api/health").await.json();
    let told: Vec<_> = health.as_object().unwrap().keys().collect();
    assert_eq!(told, ["status"], "the reasons are for readers");
    let token = server.admin.as_str().to_owned();
    let health = ask(&server, "GET", "/api/health", &token).await.json();
    assert!(health["reasons"].is_array(), "{health}");
    let metrics = ask(&server, "GET", "/api/metrics", &token).await.json();
    assert_eq!(metrics["turned_away"]["right"], 11, "{metrics}");
    let text = ask(&server, "GET", "/metrics", &token).await.text;
    for line in [
        "forebay_turned_away_total{reason=\"right\"} 11",
        "forebay_turned_away_total{reason=\"host\"} 0",
        "forebay_connections ",
    ] {
        assert!(text.lines().any(|one| one.starts_with(line)), "{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_administering_takes_a_token_also_where_everything_else_is_open() {
    let server = with(Access::open()).await;
    for path in ADMINISTERING {
        let answer = server.send("POST", path, "{}", &[]).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        let answer = ask(&server, "POST", path, Token::generate().unwrap().as_str()).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    assert_eq!(server.get("/api/keys").await.status, 200);
    assert_eq!(server.order("/api/flush", "", &[]).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_its_own_right_and_no_other() {
    let tokens = [(); 4].map(|()| Token::generate().unwrap());
    let rights = [
        Rights::none().read_all(),
        Rights::none().ingest(),
        Rights::none().act(),
        Rights::none().admin(),
    ];
    let mut access = Access::new();
    for ((name, token), rights) in ["r", "i", "a", "x"].iter().zip(&tokens).zip(rights) {
        access = access.token(name, token.hash(), rights).unwrap();
    }
    let server = with(access).await;
    let asked = [
        ("GET", "/api/keys"),
        ("POST", "/api/ingest"),
        ("POST", "/api/flush"),
    ];
    for (token, expected) in tokens.iter().zip([
        [200, 403, 403],
        [403, 200, 403],
        [403, 403, 403],
        [403, 403, 200],
    ]) {
        for ((method, path), status) in asked.into_iter().zip(expected) {
            let answer = ask(&server, method, path, token.as_str()).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            assert!(!answer.text.contains(token.as_str()));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_even_where_none_is_needed() {
    let server = with(Access::open()).await;
    let right = server.admin.as_str().to_owned();
    let (all_but_one, last) = right.split_at(right.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    for token in [
        "",
        "x",
        all_but_one,
        &format!("{all_but_one}{other}"),
        &format!("{right}0"),
        &right.to_uppercase(),
        &server.admin.hash().to_string(),
    ] {
        let answer = ask(&server, "GET", "/api/live", token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(
            token.len() < 2 || !answer.text.contains(token),
            "{answer:?}"
        );
    }
    assert_eq!(ask(&server, "GET", "/api/live", &right).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_without_end_is_told_to_wait_and_locks_nobody_out() {
    let server = with(Access::open()).await;
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let guess = Token::generate().unwrap();
        let answer = ask(&server, "GET", "/api/keys", guess.as_str()).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
            assert_eq!(answer.header("connection"), "close");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert!(statuses[10..].contains(&429), "{statuses:?}");
    // From the same address, as behind a proxy.
    let right = ask(&server, "GET", "/api/keys", server.admin.as_str()).await;
    assert_eq!(right.status, 200);
    assert_eq!(server.get("/api/keys").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_token_in_an_address_is_refused_and_not_repeated() {
    let server = with(Access::open()).await;
    let token = server.admin.as_str();
    for path in [
        format!("/api/keys?token={token}"),
        format!("/api/keys?access_token={token}"),
        format!("/api/keys?match={token}"),
        format!("/assets/{token}"),
        "/?token=anything".to_owned(),
        "/ws?token=anything".to_owned(),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text.contains("Authorization: Bearer"), "{answer:?}");
        assert!(!answer.text.contains(token), "{answer:?}");
    }
    server.stop().await;
}
