//! Attacks by pages of other sites: foreign origins, strange hosts, frames, and what a browser
//! would make of an answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::socket::connect;
use common::{Answer, Server};
use gateway::{Access, GatewayOptions};
use pipeline::BufferOptions;

const FOREIGN: [&str; 5] = [
    "http://evil.example",
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "file://",
];

#[tokio::test(flavor = "multi_thread")]
async fn lesson_a_foreign_page_cannot_open_a_socket() {
    let server = Server::start().await;
    for origin in FOREIGN {
        assert_eq!(
            connect(&server, Some(origin)).await.err(),
            Some(403),
            "{origin}"
        );
    }
    let own = format!("http://{}", server.address);
    assert!(connect(&server, Some(&own)).await.is_ok());
    assert!(connect(&server, None).await.is_ok(), "a program is no page");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_cannot_change_anything_not_even_with_a_token() {
    let server = Server::start().await;
    for origin in FOREIGN {
        let line = r#"{"source": "s", "tag": "t", "value": 1}"#;
        let headers = [("origin", origin)];
        let answer = server.send("POST", "/api/ingest", line, &headers).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        let answer = server.order("/api/flush", "", &headers).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        // Nothing lets a browser show an answer to that page.
        let answer = server.send("OPTIONS", "/api/ingest", "", &headers).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "",
            "{answer:?}"
        );
        let answer = server.send("GET", "/api/keys", "", &headers).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "",
            "{answer:?}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_pointed_at_this_address_is_not_answered() {
    let server = Server::start().await;
    let port = server.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "127.0.0.1:1".to_owned(),
        format!("10.0.0.1:{port}"),
    ] {
        for path in ["/", "/api/keys", "/ws", "/api/live"] {
            let answer = server.send("GET", path, "", &[("host", &host)]).await;
            assert_eq!(answer.status, 403, "{host} {path}: {answer:?}");
        }
    }
    server.stop().await;
}

/// The headers that every answer has, whatever it is.
fn check_headers(what: &str, answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{what}: {part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe-eval"), "{what}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{what}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_other_pages_out() {
    let server = Server::start().await;
    for (path, status, cache) in [
        ("/", 200, "no-cache"),
        ("/assets/app.js", 200, "no-cache"),
        ("/assets/base.css", 200, "no-cache"),
        ("/assets/plotly.min.js", 200, "max-age=86400"),
        ("/assets/none.js", 404, "no-store"),
        ("/api/keys", 200, "no-store"),
        ("/api/metrics", 200, "no-store"),
        ("/metrics", 200, "no-store"),
        ("/api/live", 200, "no-store"),
        ("/api/health", 200, "no-store"),
        ("/api/history/a", 404, "no-store"),
        ("/api/keys?match=[", 400, "no-store"),
        ("/api/keys?token=x", 400, "no-store"),
        ("/api/flush", 405, "no-store"),
        ("/ws", 400, "no-store"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        check_headers(path, &answer);
        assert_eq!(answer.header("cache-control"), cache, "{path}");
    }
    let refused = server.send("POST", "/api/flush", "", &[]).await;
    assert_eq!(refused.status, 401);
    check_headers("401", &refused);
    let foreign = [("origin", "http://evil.example")];
    let refused = server.send("POST", "/api/ingest", "", &foreign).await;
    check_headers("403", &refused);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_no_script_of_its_own() {
    let options = GatewayOptions {
        access: Access::new(),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let page = server.get("/").await.text.to_lowercase();
    for script in page.split("<script").skip(1) {
        let (head, _) = script.split_once('>').unwrap();
        assert!(
            head.contains("src=\"/assets/") || head.contains("src=\"assets/"),
            "{head}"
        );
    }
    for handler in [" onclick=", " onload=", " onerror=", "javascript:"] {
        assert!(!page.contains(handler), "{handler}");
    }
    server.stop().await;
}
