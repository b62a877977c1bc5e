//! What is stored in MariaDB is what was given, and it comes back as it was.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod mysql_server;

use std::num::NonZeroU32;

use common::{batch, row};
use mysql_async::prelude::Queryable;
use mysql_server::{Database, open};
use record::{Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Bucket, BucketNumbers, Entry, HistoryQuery, HistoryReader,
    MysqlWriter, row,
};

const ROWS: &str = "tag_values";

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

type OrderRow = (i64, Option<f64>, String, bool, String, Vec<u8>);

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
    let rows: Vec<OrderRow> = database
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
