//! Rows and their watermark commit together in MariaDB: once, in order, whoever else writes.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod mysql_server;

use std::num::NonZeroU32;
use std::time::Duration;

use common::{SCOPE, batch, malformed, row};
use mysql_async::prelude::Queryable;
use mysql_server::{Database, open};
use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Bucket, BucketNumbers, Entry, ErrorKind, HistoryQuery,
    HistoryReader, MysqlInsert, MysqlOptions, MysqlWriter, RowOutcome, ScopeIndex, ScopeName, row,
};

const ROWS: &str = "tag_values";
const QUARANTINE: &str = "forebay_quarantine";

#[tokio::test]
async fn law_8_every_row_is_there_once_whatever_the_boundaries_of_batches() {
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        let Some(database) = Database::create().await else {
            return;
        };
        let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
        assert_eq!(open(&writer).await.watermark, Position::START);
        assert_eq!(
            writer.write(&batch(1, 1..=1_000)).await.unwrap().repeated(),
            0
        );
        assert_eq!(
            writer.write(&batch(1, 1..=1_000)).await.unwrap().repeated(),
            1_000
        );
        let receipt = writer.write(&batch(2, 900..=1_700)).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (801, 101));
        writer.close().await.unwrap();
        let again: MysqlWriter = database.writer();
        assert_eq!(open(&again).await.watermark, Position::new(1_700));
        assert_eq!(
            again
                .write(&batch(3, 1_500..=1_800))
                .await
                .unwrap()
                .repeated(),
            201
        );
        let expected: Vec<u64> = (1..=1_800).collect();
        assert_eq!(database.positions(ROWS).await, expected);
    }
}

#[tokio::test]
async fn a_stale_writer_is_shut_out_also_after_it_has_connected_again() {
    let Some(database) = Database::create().await else {
        return;
    };
    let (old, new): (MysqlWriter, MysqlWriter) = (database.writer(), database.writer());
    open(&old).await;
    old.write(&batch(1, 1..=3)).await.unwrap();
    let scope = open(&new).await;
    assert_eq!((scope.watermark, scope.fence), (Position::new(3), 2));
    for _ in 0..2 {
        let error = old.write(&batch(2, 4..=6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert_eq!(
            error.to_string(),
            "scope `plc/normal` was opened by another writer (fence 2, ours 1)"
        );
        kill_connections(&database).await;
    }
    new.write(&batch(3, 4..=5)).await.unwrap();
    assert_eq!(database.positions(ROWS).await, [1, 2, 3, 4, 5]);
}

/// Ends every connection to the database, as a proxy that is restarted would.
async fn kill_connections(database: &Database) {
    let mut conn = database.connect().await;
    let sql = "SELECT id FROM information_schema.PROCESSLIST
               WHERE DB = DATABASE() AND id <> CONNECTION_ID()";
    let ids: Vec<u64> = conn.query(sql).await.unwrap();
    for id in ids {
        // It may have ended by itself.
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
}

#[tokio::test]
async fn a_connection_that_was_lost_while_idle_costs_no_attempt() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    writer.write(&batch(1, 1..=3)).await.unwrap();
    kill_connections(&database).await;
    assert_eq!(writer.write(&batch(2, 3..=6)).await.unwrap().repeated(), 1);
    assert_eq!(database.positions(ROWS).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn law_9_poison_rows_cost_only_themselves_wherever_they_are() {
    let tables: [&[u64]; 5] = [&[1], &[300], &[600], &[7, 8, 300, 599], &[]];
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        for poisoned in tables {
            let Some(database) = Database::create().await else {
                return;
            };
            let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
            open(&writer).await;
            database
                .run("ALTER TABLE tag_values MODIFY value_text VARCHAR(5)")
                .await;
            let is_poisoned = |at| poisoned.contains(&at) || poisoned.is_empty();
            let rows = (1..=600).map(|at| {
                let text = if is_poisoned(at) { "too long" } else { "short" };
                row(at, Value::text(text).unwrap())
            });
            let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
            for attempt in 0..2 {
                let receipt = writer.write(&batch).await.unwrap();
                let reason = "Data too long for column 'value_text'";
                for at in 1..=600 {
                    let outcome = receipt.outcome(usize::try_from(at).unwrap() - 1);
                    let expected = if is_poisoned(at) {
                        RowOutcome::Quarantined(reason)
                    } else {
                        RowOutcome::Delivered
                    };
                    assert_eq!(outcome, expected, "{at} of {poisoned:?}, attempt {attempt}");
                }
            }
            let (bad, good): (Vec<u64>, Vec<u64>) = (1..=600).partition(|at| is_poisoned(*at));
            assert_eq!(database.positions(ROWS).await, good);
            assert_eq!(database.positions(QUARANTINE).await, bad);
        }
    }
}

#[tokio::test]
async fn lesson_one_duplicate_key_costs_no_row_beside_it() {
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        let Some(database) = Database::create().await else {
            return;
        };
        let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
        open(&writer).await;
        database
            .run(
                "ALTER TABLE tag_values ADD UNIQUE KEY once (value),
                 ADD CONSTRAINT small CHECK (value < 1000)",
            )
            .await;
        let values = [1, 2, 2, 3, 1, 4, 1_000, 5];
        let rows = (1..)
            .zip(values)
            .map(|(at, value)| row(at, Value::I64(value)));
        let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
        let receipt = writer.write(&batch).await.unwrap();
        let refused: Vec<_> = receipt
            .quarantined()
            .iter()
            .map(|refused| refused.row)
            .collect();
        assert_eq!(refused, [2, 4, 6]);
        let reason = &receipt.quarantined()[0].reason;
        assert!(reason.contains("Duplicate entry '2' for key"), "{reason}");
        assert_eq!(database.positions(ROWS).await, [1, 2, 4, 6, 8]);
    }
}

#[tokio::test]
async fn law_9_malformed_input_is_kept_with_its_reason_and_bytes() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let rows = vec![
        row(1, Value::Null),
        malformed(2, "line 2: invalid UTF-8 at byte 0", b"\xff\xfe'\\"),
        row(3, Value::Null),
    ];
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (2, 1));
    let kept: Vec<(u64, String, Vec<u8>)> = database
        .query("SELECT position, reason, original FROM forebay_quarantine")
        .await;
    let reason = "line 2: invalid UTF-8 at byte 0".to_owned();
    assert_eq!(kept, [(2, reason, b"\xff\xfe'\\".to_vec())]);
}

struct Order {
    id: i64,
    price: Option<f64>,
    note: Option<String>,
    paid: bool,
    at: Timestamp,
    scan: Vec<u8>,
}

row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "price": F64 or null = |order| order.price;
        "note": Text or null = |order| order.note.as_deref();
        "paid": Bool = |order| order.paid;
        "at": Timestamp = |order| order.at;
        "scan": Bytes = |order| order.scan.as_slice();
    }
}

fn order(position: u64, price: Option<f64>, at: i64) -> Entry<Order> {
    let content = Order {
        id: i64::MAX,
        price,
        note: Some("grün 🚰 ' \\ \0".into()),
        paid: true,
        at: Timestamp::from_micros(at).unwrap(),
        scan: vec![0, 255, b'\''],
    };
    let like = row(position, Value::Null);
    Entry {
        scope: like.scope,
        position: like.position,
        arrival: like.arrival,
        content: Ok(content),
    }
}

#[tokio::test]
async fn any_struct_is_written_and_nan_or_a_year_too_early_is_quarantined_and_never_zero() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter<Order> = database.writer();
    open(&writer).await;
    let rows = vec![
        order(1, Some(2.5), 1_700_000_000_123_456),
        order(2, Some(f64::NAN), 0),
        order(3, Some(f64::NEG_INFINITY), 0),
        order(4, None, 0),
        order(5, Some(1.0), -40_000_000_000_000_000),
    ];
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let reasons: Vec<_> = receipt
        .quarantined()
        .iter()
        .map(|bad| bad.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "column `price`: NaN is not a finite number",
            "column `price`: -inf is not a finite number",
            "column `at`: the year 702 is not within 1000 to 9999, as a DATETIME has them",
        ]
    );
    let rows: Vec<(i64, Option<f64>, String, bool, String, Vec<u8>)> = database
        .query("SELECT id, price, note, paid, CAST(at AS CHAR), scan FROM orders")
        .await;
    let note = "grün 🚰 ' \\ \0".to_owned();
    let scan = vec![0, 255, b'\''];
    let first = (
        i64::MAX,
        Some(2.5),
        note,
        true,
        "2023-11-14 22:13:20.123456".into(),
        scan,
    );
    assert_eq!(rows[0], first);
    assert_eq!((rows.len(), rows[1].1), (2, None));
}

#[tokio::test]
async fn the_server_refuses_nan_as_well() {
    let Some(database) = Database::create().await else {
        return;
    };
    database
        .run("CREATE TABLE t (value DOUBLE) ENGINE=InnoDB")
        .await;
    let mut conn = database.connect().await;
    conn.query_drop("SET sql_mode = 'STRICT_ALL_TABLES'")
        .await
        .unwrap();
    assert!(
        conn.exec_drop("INSERT INTO t VALUES (?)", (f64::NAN,))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn lesson_bad_values_are_never_stored_as_zeros_or_cut_off_as_load_data_local_does() {
    let Some(database) = Database::create().await else {
        return;
    };
    // What the server does unless it is told otherwise must not matter.
    database.run("SET GLOBAL sql_mode = ''").await;
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    database
        .run(
            "ALTER TABLE tag_values MODIFY value FLOAT, MODIFY value_text VARCHAR(3) NULL;
             ALTER TABLE tag_values MODIFY value DECIMAL(4,0)",
        )
        .await;
    let values = [
        Value::I64(9_999),
        Value::I64(10_000),
        Value::text("abc").unwrap(),
        Value::text("abcd").unwrap(),
    ];
    let rows = (1..).zip(values).map(|(at, value)| row(at, value));
    let receipt = writer
        .write(&Batch::new(BatchId(1), rows.collect::<Vec<_>>()))
        .await
        .unwrap();
    let reasons: Vec<_> = receipt
        .quarantined()
        .iter()
        .map(|bad| bad.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "Out of range value for column 'value'",
            "Data too long for column 'value_text'"
        ]
    );
    assert_eq!(database.positions(ROWS).await, [1, 3]);
    database.run("SET GLOBAL sql_mode = DEFAULT").await;
}

#[tokio::test]
async fn every_value_comes_back_as_it_was() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::I64(i64::MIN),
        Value::I64((1 << 53) + 1),
        Value::I64(-7),
        Value::F64(0.1),
        Value::F64(f64::MAX),
        Value::text("007 ' \\ 🚰").unwrap(),
        Value::text("").unwrap(),
        Value::json("[1,2]").unwrap(),
    ];
    let rows = (1..).zip(values.clone()).map(|(at, value)| row(at, value));
    writer
        .write(&Batch::new(BatchId(1), rows.collect::<Vec<_>>()))
        .await
        .unwrap();
    let read = writer.range(query(0, 100)).collect().await.unwrap();
    let read: Vec<_> = read.into_iter().map(|reading| reading.value).collect();
    assert_eq!(read, values);
}

fn query(from: i64, until: i64) -> HistoryQuery {
    HistoryQuery {
        source: "PLC01".into(),
        tag: "D100".into(),
        from: Timestamp::from_micros(from).unwrap(),
        until: Timestamp::from_micros(until).unwrap(),
        readings_max: 10_000,
    }
}

#[tokio::test]
async fn a_range_is_read_in_order_in_part_and_reduced_to_buckets() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    writer.write(&batch(1, 1..=5_000)).await.unwrap();
    let mut other = row(5_001, Value::I64(1));
    other.content = Ok(Record::new("plc01", "D100 ", Value::Null, Timestamp::default()).unwrap());
    writer
        .write(&Batch::new(BatchId(2), vec![other]))
        .await
        .unwrap();

    let mut stream = writer.range(query(10, 4_010));
    let read = stream.collect().await.unwrap().into_iter();
    let times = read.map(|reading| reading.timestamp.micros());
    assert_eq!(times.collect::<Vec<_>>(), (10..4_010).collect::<Vec<_>>());
    assert!(!stream.is_cut_off());
    let mut few = writer.range(HistoryQuery {
        readings_max: 3,
        ..query(0, 6_000)
    });
    assert_eq!(few.collect().await.unwrap().len(), 3);
    assert!(few.is_cut_off());
    let buckets = writer.buckets(query(1, 11), NonZeroU32::new(2).unwrap());
    let bucket = |start: i64, min: f64, max: f64, mean: f64| Bucket {
        start: Timestamp::from_micros(start).unwrap(),
        count: 5,
        numbers: Some(BucketNumbers {
            count: 5,
            min,
            max,
            mean,
        }),
    };
    let expected = [bucket(1, 1.0, 5.0, 3.0), bucket(6, 6.0, 10.0, 8.0)];
    assert_eq!({ buckets }.collect().await.unwrap(), expected);
    // A stream that nobody reads to its end does not stand in the way.
    drop(writer.range(query(0, 6_000)));
    writer.write(&batch(3, 5_002..=5_003)).await.unwrap();
}

#[tokio::test]
async fn one_batch_advances_each_of_its_scopes_and_scopes_keep_their_marks_under_new_names() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let other = ScopeIndex(1);
    // Names differ by their bytes alone.
    let name = ScopeName::new("PLC/normal ");
    writer.open_scope(other, &name).await.unwrap();
    let mut second = row(40, Value::Bool(true));
    second.scope = other;
    let rows = vec![row(7, Value::Null), second, row(8, Value::Null)];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let seen = writer.scopes("").await.unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, mark)| (name.as_str(), mark.number()))
        .collect();
    assert_eq!(seen, [("plc/normal", 8), ("PLC/normal ", 40)]);
    writer
        .rename_scope(&name, &ScopeName::new("file:%' \\"))
        .await
        .unwrap();
    assert_eq!(
        writer.scopes("file:%'").await.unwrap()[0].1,
        Position::new(40)
    );
    let (renamed, taken) = (ScopeName::new("file:%' \\"), ScopeName::new("plc/normal"));
    let error = writer.rename_scope(&renamed, &taken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let mut stray = row(9, Value::Null);
    stray.scope = ScopeIndex(9);
    let error = writer
        .write(&Batch::new(BatchId(2), vec![stray]))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "scope 9 is not open");
    writer.write(&batch(3, 9..=10)).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_transient_and_the_batch_goes_in_once_it_is_gone() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let mut other = database.connect().await;
    other
        .query_drop("BEGIN; SELECT * FROM forebay_ledger FOR UPDATE")
        .await
        .unwrap();
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(error.to_string().contains("lock_wait_timeout"), "{error}");
    other.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().repeated(), 0);
    assert_eq!(database.positions(ROWS).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_write_that_is_dropped_at_any_moment_is_there_once_after_the_next() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let mut expected = Vec::new();
    for round in 0..40_u64 {
        let first = round * 50 + 1;
        let batch = batch(round, first..first + 50);
        let patience = Duration::from_micros(round * 150);
        let cut = tokio::time::timeout(patience, writer.write(&batch)).await;
        if let Ok(receipt) = cut {
            receipt.unwrap();
        }
        let receipt = writer.write(&batch).await.unwrap();
        assert!(receipt.delivered() == 50, "round {round}");
        expected.extend(first..first + 50);
    }
    assert_eq!(database.positions(ROWS).await, expected);
}

#[tokio::test]
async fn a_missing_column_that_may_be_null_is_added_and_anything_else_is_refused_by_its_name() {
    let Some(database) = Database::create().await else {
        return;
    };
    open(&database.writer::<Record>()).await;
    database
        .run("ALTER TABLE tag_values DROP COLUMN value_text")
        .await;
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let text = Value::text("there again").unwrap();
    writer
        .write(&Batch::new(BatchId(1), vec![row(1, text)]))
        .await
        .unwrap();
    let texts: Vec<String> = database.query("SELECT value_text FROM tag_values").await;
    assert_eq!(texts, ["there again"]);
    database
        .run(
            "ALTER TABLE tag_values DROP COLUMN quality, MODIFY `timestamp` DATETIME NOT NULL,
             MODIFY value INT NULL, ADD COLUMN shift INT NOT NULL",
        )
        .await;
    let error = database.writer::<Record>().scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let said = error.to_string();
    for part in [
        "table `tag_values`",
        "column `timestamp` is DATETIME, expected DATETIME(6)",
        "column `value` is INT, expected DOUBLE",
        "column `quality` (MEDIUMTEXT NOT NULL) is missing",
        "column `shift` is not filled and has no default",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_table_without_transactions_is_refused() {
    let Some(database) = Database::create().await else {
        return;
    };
    open(&database.writer::<Record>()).await;
    database.run("ALTER TABLE tag_values ENGINE=MyISAM").await;
    let error = database.writer::<Record>().scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("is kept by MyISAM, which has no transactions"),
        "{error}"
    );
}

#[tokio::test]
async fn law_9_a_table_that_was_changed_is_not_taken_for_bad_rows() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    writer.write(&batch(1, 1..=3)).await.unwrap();
    database
        .run("ALTER TABLE tag_values RENAME COLUMN quality TO grade")
        .await;
    for _ in 0..2 {
        let error = writer.write(&batch(2, 4..=6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    }
    database
        .run("ALTER TABLE tag_values RENAME COLUMN grade TO quality")
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(writer.write(&batch(2, 4..=6)).await.unwrap().delivered(), 3);
    assert!(database.positions(QUARANTINE).await.is_empty());
}

#[tokio::test]
async fn a_wrong_password_or_database_is_fatal_and_the_password_is_shown_nowhere() {
    let Some(database) = Database::create().await else {
        return;
    };
    database
        .run("CREATE USER plant@'%' IDENTIFIED BY 'right'")
        .await;
    let wrong = database.url.replace("root@", "plant:hunter2@");
    let options = mysql_server::options(&wrong);
    let shown = format!("{options} {options:?}");
    let writer: MysqlWriter = MysqlWriter::new(options);
    let error = writer.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("check the user and the password"),
        "{error}"
    );
    assert!(!format!("{error} {error:?} {shown} {writer:?}").contains("hunter2"));
    let missing: MysqlWriter = MysqlWriter::new(
        MysqlOptions::from_url(&database.url.replace("/test_", "/missing_").parse().unwrap())
            .unwrap(),
    );
    let error = missing.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("create the database first"),
        "{error}"
    );
    assert!(error.retry_after().is_some());
}

#[test]
fn a_url_says_what_it_means_or_is_refused_by_what_is_wrong() {
    let refused = [
        ("http://host/db", "scheme `http`"),
        ("mysql://host/", "names no database"),
        ("mysql://host/db?colour=red", "`colour` is unknown"),
        ("mysql://host/db?table=Rows", "parameter `table`"),
        ("mysql://host/db?tls=maybe", "parameter `tls`"),
        ("mysql://host/db?tls=off&ca=/etc/ca.pem", "parameter `ca`"),
        (
            "mysql://host/db?lock_wait_timeout=10ms",
            "parameter `lock_wait_timeout`",
        ),
        ("mysql://host/db?insert=load", "parameter `insert`"),
    ];
    for (url, expected) in refused {
        let error = MysqlOptions::from_url(&url.parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
    let url = "mariadb://a%40b:p%2Fw@db:3307/x?table=rows&prefix=f_&tls=on&insert=rows\
               &connect_timeout=2s&lock_wait_timeout=3s";
    let options = MysqlOptions::from_url(&url.parse().unwrap()).unwrap();
    let expected = MysqlOptions::new("db", "x")
        .port(3307)
        .account("a@b", Some("p/w".into()))
        .table("rows")
        .prefix("f_")
        .insert(MysqlInsert::Rows)
        .connect_timeout(Duration::from_secs(2))
        .lock_wait_timeout(Duration::from_secs(3));
    assert_eq!(options, expected);
    let writer: MysqlWriter = MysqlWriter::new(options);
    assert!(writer.schema()[1].starts_with("CREATE TABLE IF NOT EXISTS `f_ledger` ("));
    assert_eq!(SCOPE, ScopeIndex(0));
}
