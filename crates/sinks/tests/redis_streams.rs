//! What stands in the streams: each row once, in order, under its position, whoever writes.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/redis.rs"]
mod streams;

use std::time::Instant;

use common::{SCOPE, batch, malformed, row};
use record::{Position, Record, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, Guarantee, RedisFormat, RedisOptions, RedisTrim,
    RedisWriter, RowOutcome, ScopeIndex, ScopeName,
};
use streams::{Fields, connection, entries, expected_ids, ids, opened, options, server};

#[tokio::test]
async fn rows_stand_in_order_under_their_positions_in_chunks_of_any_size() {
    let Some(server) = server() else { return };
    for chunk in [1, 7, 100, 10_000] {
        let prefix = format!("order{chunk}");
        let writer = opened(options(server, &prefix).chunk_rows(chunk)).await;
        let receipt = writer
            .write(&batch(1, (1..=100).map(|n| 3 * n)))
            .await
            .unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (100, 0));
        let entries = entries(server, &format!("{prefix}:stream:plc/normal"));
        assert_eq!(entries.len(), 100);
        for (index, (id, fields)) in entries.iter().enumerate() {
            let position = 3 * (index + 1);
            assert_eq!(*id, format!("{position}-0"));
            assert_eq!(fields["value"], position.to_string());
        }
    }
}

#[tokio::test]
async fn lesson_none_has_no_field_and_every_value_keeps_its_kind() {
    let Some(server) = server() else { return };
    let writer = opened(options(server, "kinds")).await;
    let values = [
        (Value::Null, None, "null"),
        (Value::Bool(true), Some("1"), "bool"),
        (Value::I64(i64::MAX), Some("9223372036854775807"), "int"),
        (Value::F64(0.0), Some("0"), "float"),
        (Value::F64(f64::NAN), Some("NaN"), "float"),
        (Value::F64(0.1), Some("0.1"), "float"),
        (Value::text("").unwrap(), Some(""), "text"),
        (Value::text("0.0\r\n").unwrap(), Some("0.0\r\n"), "text"),
    ];
    let rows: Vec<Entry> = (1..)
        .zip(&values)
        .map(|(at, value)| row(at, value.0.clone()))
        .collect();
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let entries = entries(server, "kinds:stream:plc/normal");
    assert_eq!(entries.len(), values.len());
    for ((_, fields), (_, text, kind)) in entries.iter().zip(values) {
        assert_eq!(fields.get("value").map(String::as_str), text);
        assert_eq!(fields["value_kind"], kind);
        assert_eq!(fields["source"], "PLC01");
        assert_eq!(fields["tag"], "D100");
        let quality = if kind == "null" { "bad" } else { "good" };
        assert_eq!(fields["quality"], quality);
    }
    assert_eq!(entries[4].1["timestamp"], "5");
}

#[tokio::test]
async fn what_was_written_is_not_written_again_wherever_batches_begin() {
    let Some(server) = server() else { return };
    let writer = opened(options(server, "again")).await;
    assert_eq!(writer.guarantee(), Guarantee::ExactlyOnce);
    writer.write(&batch(1, 1..=10)).await.unwrap();
    let receipt = writer.write(&batch(1, 1..=10)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (10, 10));
    let receipt = writer.write(&batch(2, 6..=15)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (10, 5));
    // Another process reads how far it is.
    let other = RedisWriter::<Record>::new(options(server, "again"));
    let name = ScopeName::new("plc/normal");
    let scope = other.open_scope(SCOPE, &name).await.unwrap();
    assert_eq!((scope.watermark, scope.fence), (Position::new(15), 2));
    let receipt = other.write(&batch(3, 11..=20)).await.unwrap();
    assert_eq!(receipt.repeated(), 5);
    assert_eq!(ids(server, "again:stream:plc/normal"), expected_ids(1..=20));

    let changed = vec![row(20, Value::Null)];
    let error = other
        .write(&Batch::new(BatchId(3), changed))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("must not change"), "{error}");
}

#[tokio::test]
async fn a_writer_that_was_shut_out_writes_nothing() {
    let Some(server) = server() else { return };
    let stale = opened(options(server, "fence")).await;
    stale.write(&batch(1, 1..=2)).await.unwrap();
    let current = opened(options(server, "fence")).await;
    let error = stale.write(&batch(2, 3..=4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains("fence 2, ours 1"), "{error}");
    current.write(&batch(3, 3..=5)).await.unwrap();
    let error = stale.write(&batch(2, 3..=4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(ids(server, "fence:stream:plc/normal"), expected_ids(1..=5));
}

#[tokio::test]
async fn what_is_malformed_is_refused_each_time_and_never_written() {
    let Some(server) = server() else { return };
    let writer = opened(options(server, "malformed")).await;
    let rows = vec![
        row(1, Value::I64(1)),
        malformed(2, "no JSON", b"{"),
        row(3, Value::I64(3)),
        malformed(4, "no name", b"{}"),
    ];
    for repeated in [0, 2] {
        let receipt = writer
            .write(&Batch::new(BatchId(1), rows.clone()))
            .await
            .unwrap();
        assert_eq!(receipt.outcome(1), RowOutcome::Rejected("no JSON"));
        assert_eq!(receipt.outcome(3), RowOutcome::Rejected("no name"));
        assert_eq!((receipt.delivered(), receipt.repeated()), (2, repeated));
    }
    assert_eq!(
        ids(server, "malformed:stream:plc/normal"),
        expected_ids([1, 3])
    );
    let known = writer.scopes("plc").await.unwrap();
    assert_eq!(known, [(ScopeName::new("plc/normal"), Position::new(4))]);
}

#[tokio::test]
async fn scopes_have_a_stream_each_and_can_be_renamed() {
    let Some(server) = server() else { return };
    let writer = opened(options(server, "scopes").chunk_rows(3)).await;
    let (a, b) = (ScopeName::new("plc/normal"), ScopeName::new("plc/critical"));
    writer.open_scope(ScopeIndex(1), &b).await.unwrap();
    let mut rows: Vec<Entry> = (1..=10).map(|at| row(at, Value::I64(1))).collect();
    rows.extend((5..=9).map(|at| Entry {
        scope: ScopeIndex(1),
        ..row(at, Value::I64(2))
    }));
    let rows = Batch::new(BatchId(1), rows);
    writer.write(&rows).await.unwrap();
    assert_eq!(writer.write(&rows).await.unwrap().repeated(), 15);
    assert_eq!(
        ids(server, "scopes:stream:plc/normal"),
        expected_ids(1..=10)
    );
    assert_eq!(
        ids(server, "scopes:stream:plc/critical"),
        expected_ids(5..=9)
    );

    let c = ScopeName::new("line/normal");
    writer.rename_scope(&a, &c).await.unwrap();
    let error = writer.rename_scope(&c, &b).await.unwrap_err();
    assert!(
        error.to_string().contains("there is one of that name"),
        "{error}"
    );
    writer.write(&batch(2, 8..=12)).await.unwrap();
    assert_eq!(
        ids(server, "scopes:stream:line/normal"),
        expected_ids(1..=12)
    );
    assert!(ids(server, "scopes:stream:plc/normal").is_empty());
    let known = writer.scopes("").await.unwrap();
    assert_eq!(known, [(c, Position::new(12)), (b, Position::new(9))]);

    let unknown = Entry {
        scope: ScopeIndex(9),
        ..row(1, Value::Null)
    };
    let error = writer
        .write(&Batch::new(BatchId(9), vec![unknown]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("scope 9 is not open"), "{error}");
}

#[tokio::test]
async fn maxlen_trims_what_was_delivered_and_repeats_stay_known() {
    let Some(server) = server() else { return };
    let exact = opened(
        options(server, "exact")
            .trim(RedisTrim::Exactly(5))
            .chunk_rows(4),
    )
    .await;
    exact.write(&batch(1, 1..=12)).await.unwrap();
    assert_eq!(ids(server, "exact:stream:plc/normal"), expected_ids(8..=12));
    assert_eq!(exact.write(&batch(1, 1..=12)).await.unwrap().repeated(), 12);
    assert_eq!(ids(server, "exact:stream:plc/normal"), expected_ids(8..=12));

    let about = opened(options(server, "about").trim(RedisTrim::AtLeast(500))).await;
    about.write(&batch(1, 1..=2_000)).await.unwrap();
    let kept = ids(server, "about:stream:plc/normal").len();
    assert!((500..1_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_fatal_and_left_alone() {
    let Some(server) = server() else { return };
    let mut connection = connection(server);
    let key = "wrong:stream:plc/normal";
    redis::cmd("SET")
        .arg(key)
        .arg("mine")
        .exec(&mut connection)
        .unwrap();
    let writer = RedisWriter::<Record>::new(options(server, "wrong"));
    let name = ScopeName::new("plc/normal");
    let error = writer.open_scope(SCOPE, &name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");

    redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    let writer = opened(options(server, "wrong")).await;
    redis::cmd("SET")
        .arg(key)
        .arg("mine")
        .exec(&mut connection)
        .unwrap();
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let kept: String = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
    assert_eq!(kept, "mine");
    // The ledger did not go ahead of the rows.
    redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    assert_eq!(writer.write(&batch(1, 1..=2)).await.unwrap().repeated(), 0);
    assert_eq!(ids(server, key), expected_ids(1..=2));
}

#[tokio::test]
async fn entries_of_others_and_a_lost_ledger_stop_the_writer_instead_of_losing_rows() {
    let Some(server) = server() else { return };
    let mut connection = connection(server);
    let name = ScopeName::new("plc/normal");
    let writer = opened(options(server, "foreign")).await;
    writer.write(&batch(1, 1..=2)).await.unwrap();
    redis::cmd("DEL")
        .arg("foreign:ledger")
        .exec(&mut connection)
        .unwrap();
    let error = writer.write(&batch(2, 3..=4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("had entries up to 2"), "{error}");
    let error = writer.open_scope(SCOPE, &name).await.unwrap_err();
    assert!(
        error.to_string().contains("delete or rename the stream"),
        "{error}"
    );

    let stream = "foreign:stream:plc/normal";
    redis::cmd("DEL").arg(stream).exec(&mut connection).unwrap();
    let error = writer.write(&batch(2, 3..=4)).await.unwrap_err();
    assert!(
        error.to_string().contains("open the scope again"),
        "{error}"
    );
    writer.open_scope(SCOPE, &name).await.unwrap();
    writer.write(&batch(2, 3..=4)).await.unwrap();
    let mut add = redis::cmd("XADD");
    add.arg(stream).arg("*").arg("mine").arg(1);
    add.exec(&mut connection).unwrap();
    let error = writer.write(&batch(3, 5..=6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("somebody else"), "{error}");
}

#[tokio::test]
async fn consumers_that_delete_what_they_read_do_no_harm() {
    let Some(server) = server() else { return };
    let mut connection = connection(server);
    let stream = "consumed:stream:plc/normal";
    // A group that was there before the first row.
    let mut group = redis::cmd("XGROUP");
    group
        .arg("CREATE")
        .arg(stream)
        .arg("readers")
        .arg("0")
        .arg("MKSTREAM");
    group.exec(&mut connection).unwrap();
    let writer = opened(options(server, "consumed")).await;
    writer.write(&batch(1, 1..=4)).await.unwrap();
    redis::cmd("XTRIM")
        .arg(stream)
        .arg("MAXLEN")
        .arg(0)
        .exec(&mut connection)
        .unwrap();
    let writer = opened(options(server, "consumed")).await;
    writer.write(&batch(2, 3..=6)).await.unwrap();
    assert_eq!(ids(server, stream), expected_ids(5..=6));
    redis::cmd("DEL").arg(stream).exec(&mut connection).unwrap();
    writer.write(&batch(3, 5..=8)).await.unwrap();
    assert_eq!(ids(server, stream), expected_ids(7..=8));
}

struct Order {
    id: i64,
    note: Option<String>,
    photo: Vec<u8>,
}

sinks::row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "note": Text or null = |order| order.note.as_deref();
        "photo": Bytes = |order| &order.photo[..];
    }
}

#[tokio::test]
async fn any_struct_is_written_as_fields_or_as_json() {
    let Some(server) = server() else { return };
    for (format, prefix) in [(RedisFormat::Fields, "fields"), (RedisFormat::Json, "json")] {
        let writer = RedisWriter::<Order>::new(options(server, prefix).format(format));
        writer
            .open_scope(SCOPE, &ScopeName::new("orders"))
            .await
            .unwrap();
        let rows = vec![Entry {
            scope: SCOPE,
            position: Position::new(1),
            arrival: Instant::now(),
            content: Ok(Order {
                id: 7,
                note: None,
                photo: b"a\x00b".to_vec(),
            }),
        }];
        writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    }
    let fields = [("id".into(), "7".into()), ("photo".into(), "a\0b".into())];
    assert_eq!(
        entries(server, "fields:stream:orders")[0].1,
        Fields::from(fields)
    );
    let json = [(
        "row".into(),
        r#"{"id":7,"note":null,"photo":"610062"}"#.into(),
    )];
    assert_eq!(
        entries(server, "json:stream:orders")[0].1,
        Fields::from(json)
    );
}

#[tokio::test]
async fn a_wrong_password_is_fatal_and_never_shown() {
    let Some(server) = server() else { return };
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER")
        .arg("forebay")
        .arg("on")
        .arg(">p@ss/word")
        .arg("~*")
        .arg("+@all");
    user.exec(&mut connection(server)).unwrap();
    let url = |password: &str| format!("redis://forebay:{password}@127.0.0.1:{}/", server.port());
    let right = RedisOptions::new(&url("p%40ss%2Fword"))
        .unwrap()
        .prefix("login");
    assert!(!format!("{right:?}").contains("ss"), "{right:?}");
    opened(right).await.write(&batch(1, 1..=1)).await.unwrap();

    let writer = RedisWriter::<Record>::new(RedisOptions::new(&url("hunter2")).unwrap());
    let name = ScopeName::new("plc/normal");
    for _ in 0..2 {
        let error = writer.open_scope(SCOPE, &name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
