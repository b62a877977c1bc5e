//! An application's own page is served beside the gateway's, and cannot take its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::borrow::Cow;

use common::Server;
use gateway::{Gateway, GatewayOptions};
use pipeline::{BufferOptions, Pipeline};
use sinks::{BoxWriter, MemoryWriter, ScopeName};

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_application_are_served_with_their_types_and_the_policy_of_the_pages() {
    let owned = Cow::Owned(b"{\"a\": 1}".to_vec());
    let assets = [
        ("mine.html".to_owned(), Cow::Borrowed(&b"<p>mine</p>"[..])),
        ("mine.js".to_owned(), Cow::Borrowed(&b"1;"[..])),
        ("data.json".to_owned(), owned),
        ("strange".to_owned(), Cow::Borrowed(&b"?"[..])),
    ];
    let options = GatewayOptions {
        assets: assets.into(),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    for (path, kind, text) in [
        (
            "/assets/mine.html",
            "text/html; charset=utf-8",
            "<p>mine</p>",
        ),
        ("/assets/mine.js", "text/javascript; charset=utf-8", "1;"),
        ("/assets/data.json", "application/json", "{\"a\": 1}"),
        ("/assets/strange", "application/octet-stream", "?"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, text), "{path}");
        assert_eq!(answer.header("content-type"), kind, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self'"), "{policy}");
    }
    assert_eq!(server.get("/assets/app.js").await.status, 200);
    assert_eq!(server.get("/assets/other.html").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_is_taken_or_no_name_is_refused_when_the_gateway_is_bound() {
    for (name, said) in [
        ("app.js", "one of the gateway's own"),
        ("plotly.min.js", "one of the gateway's own"),
        ("a/b.js", "without `/`"),
        ("", "expected 1 to 64"),
    ] {
        let options = GatewayOptions {
            assets: [(name.to_owned(), Cow::Borrowed(&b""[..]))].into(),
            ..GatewayOptions::default()
        };
        let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
            .start()
            .unwrap();
        let intake = pipeline.intake(&ScopeName::new("http/normal")).await;
        let listen = "127.0.0.1:0".parse().unwrap();
        let bound = Gateway::bind(listen, options, pipeline.clone(), intake.unwrap()).await;
        let error = bound.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        pipeline.shutdown(None).await;
    }
}
