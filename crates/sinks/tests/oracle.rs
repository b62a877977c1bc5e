//! Oracle: what can be said without a server, and one test with one.
//!
//! The live test needs a server and Oracle's client library, which a test cannot install or start
//! by itself; so `FOREBAY_REQUIRE_SERVICES` does not ask for it. It runs where
//! `FOREBAY_TEST_ORACLE_URL` names a server, and says loudly where it does not.

#![cfg(feature = "oracle")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Instant;

use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, Guarantee, OracleOptions, OracleWriter,
    ScopeIndex, ScopeName,
};
use url::Url;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn entry(position: u64, value: Value) -> Entry {
    Entry {
        scope: ScopeIndex(0),
        position: Position::new(position),
        arrival: Instant::now(),
        content: Ok(Record::new("PLC01", "D100", value, Timestamp::default()).unwrap()),
    }
}

#[test]
fn a_url_says_everything_and_its_password_is_never_shown() {
    let url = Url::parse("oracle://sc&ott:t%69ger@db:1522/ORCL?table=rows&prefix=x_&timeout=5s");
    let options = OracleOptions::from_url(&url.unwrap()).unwrap();
    assert_eq!(
        format!("{options:?}"),
        "OracleOptions(sc&ott at //db:1522/ORCL)"
    );
    for (url, expected) in [
        (
            "oracle://scott:tiger@db",
            "oracle://user:password@host:1521/service",
        ),
        ("oracle://scott:tiger@db/ORCL?tabel=rows", "tabel"),
        ("oracle://scott:tiger@db/ORCL?timeout=0s", "timeout"),
        (
            "oracle://scott:tiger@db/ORCL?table=Drop--",
            "table=`Drop--`",
        ),
    ] {
        let error = OracleOptions::from_url(&Url::parse(url).unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && !error.contains("tiger"),
            "{error}"
        );
    }
}

#[test]
fn lesson_a_failed_first_connect_is_an_error_and_not_final() {
    // Nobody listens on this port, and the client library may be missing as well.
    let writer = OracleWriter::<Record>::new(OracleOptions::new("//127.0.0.1:1/X", "u", "secret"));
    assert_eq!(
        (writer.name(), writer.guarantee()),
        ("oracle", Guarantee::ExactlyOnce)
    );
    let scope = ScopeName::new("plc/normal");
    for _ in 0..2 {
        let error = runtime()
            .block_on(writer.open_scope(ScopeIndex(0), &scope))
            .unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::Transient | ErrorKind::Fatal
        ));
        assert!(
            error
                .to_string()
                .starts_with("cannot connect to //127.0.0.1:1/X"),
            "{error}"
        );
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_live_server_takes_each_row_once_and_quarantines_the_bad() {
    let Ok(url) = std::env::var("FOREBAY_TEST_ORACLE_URL") else {
        println!("SKIPPED: no FOREBAY_TEST_ORACLE_URL, so Oracle was NOT tested with a server");
        return;
    };
    let options = OracleOptions::from_url(&Url::parse(&url).unwrap()).unwrap();
    let writer = OracleWriter::<Record>::new(options);
    // A scope of its own for each run, as the tables stay.
    let name = ScopeName::new(format!(
        "test/{:?}",
        std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap()
    ));
    let rows = vec![
        entry(1, Value::F64(2.5)),
        entry(2, Value::text(&"x".repeat(4_001)).unwrap()),
        entry(3, Value::text("007").unwrap()),
    ];
    let batch = Batch::new(BatchId(7), rows);
    runtime().block_on(async {
        let opened = writer.open_scope(ScopeIndex(0), &name).await.unwrap();
        assert_eq!(opened.watermark, Position::START);
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.quarantined().len()), (2, 1));
        let again = writer.write(&batch).await.unwrap();
        assert_eq!(
            (again.repeated(), again.quarantined()),
            (3, receipt.quarantined())
        );
        let scopes = writer.scopes(name.as_str()).await.unwrap();
        assert_eq!(scopes, [(name.clone(), Position::new(3))]);
        writer.open_scope(ScopeIndex(1), &name).await.unwrap();
        let later = Batch::new(BatchId(8), vec![entry(4, Value::Null)]);
        let error = writer.write(&later).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        writer.close().await.unwrap();
    });
}
