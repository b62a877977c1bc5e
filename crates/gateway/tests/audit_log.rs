//! Every act of an administrator is in the log, and none of them with a token.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use common::Server;
use gateway::Token;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Takes down the level and the fields of what is said of the audit.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "forebay::audit" && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        self.0.lock().unwrap().push((level, line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_and_every_refusal_is_in_the_log_and_no_token() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let server = Server::start().await;
    let json = ("content-type", "application/json");
    let purge = server
        .order("/api/purge", r#"{"lane": "low"}"#, &[json])
        .await;
    assert_eq!(purge.status, 200);
    assert_eq!(server.order("/api/reload", "", &[]).await.status, 501);
    let stranger = Token::generate().unwrap();
    let bearer = format!("Bearer {}", stranger.as_str());
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        let refused = server.send("POST", "/api/flush", "", headers).await;
        assert_eq!(refused.status, 401);
    }
    let said = log.0.lock().unwrap().clone();
    let expected = [
        (Level::INFO, r#"by="test-admin""#, r#"act="purge""#, "done"),
        (
            Level::WARN,
            r#"by="test-admin""#,
            r#"act="reload""#,
            "failed",
        ),
        (
            Level::WARN,
            r#"by="anonymous""#,
            r#"act="POST /api/flush""#,
            "refused",
        ),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((level, line), (as_high, by, act, outcome)) in said.iter().zip(expected) {
        assert_eq!(*level, as_high, "{line}");
        let outcome = format!(r#"outcome="{outcome}""#);
        for part in [by, act, outcome.as_str(), "from=127.0.0.1:"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        for token in [&stranger, &server.admin] {
            assert!(!line.contains(token.as_str()), "{line}");
        }
    }
    assert!(said[0].1.contains(r#"with={"lane":"low"}"#), "{said:?}");
    assert!(said[0].1.contains(r#"result={"purged":0}"#), "{said:?}");
    server.stop().await;
}
