//! What Redis streams do not take: rows that are too long, ledgers of others, names twice.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/redis.rs"]
mod streams;

use std::time::Instant;

use common::{SCOPE, row};
use record::{Position, Record, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, Entry, ErrorKind, RedisWriter, RowOutcome, ScopeName,
};
use streams::{Fields, connection, entries, expected_ids, ids, opened, options, server};

#[tokio::test]
async fn a_row_that_is_too_long_is_refused_and_does_not_block_its_scope() {
    let Some(server) = server() else { return };
    let writer = opened(options(server, "long").row_bytes_max(1_024).chunk_rows(1)).await;
    let long = Value::text(&"x".repeat(2_000)).unwrap();
    let mut rows: Vec<Entry> = (1..=20).map(|at| row(at, Value::I64(1))).collect();
    rows[14] = row(15, long);
    let rows = Batch::new(BatchId(1), rows);
    let error = writer.write(&rows).await.unwrap_err();
    assert_eq!((error.kind(), error.row()), (ErrorKind::Data, Some(14)));
    assert!(error.to_string().contains("1024 of `row_max`"), "{error}");
    // Some are there already, once: a row is named before the ledger passes it.
    assert_eq!(ids(server, "long:stream:plc/normal"), expected_ids(1..=8));
    let writer = Bisect::new(writer);
    for repeated in [14, 19] {
        let receipt = writer.write(&rows).await.unwrap();
        assert!(receipt.repeated() <= repeated, "{receipt:?}");
        assert_eq!(receipt.delivered(), 19);
        assert!(matches!(receipt.outcome(14), RowOutcome::Rejected(_)));
    }
    let expected = expected_ids((1..=20).filter(|at| *at != 15));
    assert_eq!(ids(server, "long:stream:plc/normal"), expected);
}

#[tokio::test]
async fn a_ledger_that_others_wrote_into_is_refused_and_never_counted_on() {
    let Some(server) = server() else { return };
    let name = ScopeName::new("plc/normal");
    let texts = [
        (
            format!("fence={} position=1 batch=1 hash=1", u64::MAX),
            "no fence",
        ),
        (
            "fence=01 position=1 batch=1 hash=1".to_owned(),
            "no entry of ours",
        ),
    ];
    for (text, expected) in texts {
        let mut set = redis::cmd("HSET");
        set.arg("outside:ledger").arg("plc/normal").arg(text);
        set.exec(&mut connection(server)).unwrap();
        let writer = RedisWriter::<Record>::new(options(server, "outside"));
        let error = writer.open_scope(SCOPE, &name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

struct Clash {
    x_kind: i64,
}

sinks::row! {
    Clash => "clash" {
        "x": Any = |_clash| sinks::Cell::Text("value");
        "x_kind": I64 = |clash| clash.x_kind;
    }
}

#[tokio::test]
async fn the_kind_of_a_column_never_takes_the_name_of_another() {
    let Some(server) = server() else { return };
    let writer = RedisWriter::<Clash>::new(options(server, "clash"));
    let name = ScopeName::new("rows");
    writer.open_scope(SCOPE, &name).await.unwrap();
    let rows = vec![Entry {
        scope: SCOPE,
        position: Position::new(1),
        arrival: Instant::now(),
        content: Ok(Clash { x_kind: 7 }),
    }];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let fields = [("x", "value"), ("x_kind_", "text"), ("x_kind", "7")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        entries(server, "clash:stream:rows")[0].1,
        Fields::from(fields)
    );
}
