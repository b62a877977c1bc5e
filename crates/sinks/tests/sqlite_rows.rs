//! Any struct can be written to SQLite, and records can be read back by time.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::num::NonZeroU32;
use std::time::Instant;

use common::{SCOPE, batch, row};
use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, HistoryQuery, HistoryReader, RowOutcome,
    ScopeName, SqliteOptions, SqliteWriter, row,
};

struct Order {
    id: i64,
    price: f64,
    note: Option<String>,
    at: Timestamp,
    paid: bool,
}

row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "price": F64 = |order| order.price;
        "note": Text or null = |order| order.note.as_deref();
        "at": Timestamp = |order| order.at;
        "paid": Bool = |order| order.paid;
    }
}

fn order(position: u64, price: f64, note: Option<&str>) -> Entry<Order> {
    Entry {
        scope: SCOPE,
        position: Position::new(position),
        arrival: Instant::now(),
        content: Ok(Order {
            id: position.cast_signed(),
            price,
            note: note.map(str::to_owned),
            at: Timestamp::from_micros(5).unwrap(),
            paid: true,
        }),
    }
}

#[tokio::test]
async fn any_struct_can_be_written_and_its_bad_rows_are_kept_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.sqlite");
    let options = SqliteOptions::new(&path).table("orders_2026").unwrap();
    let writer = SqliteWriter::<Order>::open(options).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("shop"))
        .await
        .unwrap();
    // A price that is no number has no place in a column that must have one.
    let rows = vec![
        order(1, 2.5, Some("fragile")),
        order(2, f64::NAN, None),
        order(3, 1.0, None),
    ];
    let receipt = writer.write(&Batch::new(BatchId(9), rows)).await.unwrap();
    assert_eq!(receipt.delivered(), 2);
    assert!(
        matches!(receipt.outcome(1), RowOutcome::Quarantined(reason) if reason.contains("price"))
    );
    let connection = rusqlite::Connection::open(&path).unwrap();
    let text = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(
        text(
            "SELECT group_concat(concat_ws('|', id, price, ifnull(note, '-'), at, paid), ' ')
             FROM orders_2026"
        ),
        "1|2.5|fragile|5|1 3|1.0|-|5|1"
    );
    assert_eq!(
        text("SELECT original FROM quarantine"),
        r#"{"id":2,"price":null,"note":null,"at":5,"paid":true}"#
    );
}

#[test]
fn a_table_that_cannot_be_is_refused_by_name() {
    for bad in ["", "Orders", "1st", "a b", "ledger", "sqlite_x", "a\"b"] {
        let error = SqliteOptions::new("x").table(bad).unwrap_err().to_string();
        assert!(error.contains(&format!("table `{bad}`")), "{error}");
    }
}

#[test]
fn a_url_is_understood_or_refused_by_the_name_of_the_parameter() {
    let options = |text: &str| SqliteOptions::from_url(&url::Url::parse(text).unwrap());
    let expected = SqliteOptions::new("/var/f.sqlite")
        .busy_timeout(std::time::Duration::from_secs(2))
        .checkpoint_pages(4_000)
        .table("plant")
        .unwrap();
    let text = "sqlite:///var/f.sqlite?table=plant&busy_timeout=2s&checkpoint_pages=4000";
    assert_eq!(options(text).unwrap(), expected);
    for (text, says) in [
        ("sqlite:f?tabel=x", "tabel"),
        ("sqlite:f?busy_timeout=soon", "busy_timeout"),
        ("sqlite:f?checkpoint_pages=0", "checkpoint_pages"),
        ("sqlite:f?table=ledger", "table `ledger`"),
    ] {
        let error = options(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_migrated_and_goes_on_at_its_watermark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.sqlite");
    let writer: SqliteWriter = SqliteWriter::open(SqliteOptions::new(&path)).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc"))
        .await
        .unwrap();
    writer.write(&batch(1, 1..=3)).await.unwrap();
    writer.close().await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("ALTER TABLE ledger DROP COLUMN hash")
        .unwrap();
    drop(connection);

    let writer: SqliteWriter = SqliteWriter::open(SqliteOptions::new(&path)).unwrap();
    let opened = writer
        .open_scope(SCOPE, &ScopeName::new("plc"))
        .await
        .unwrap();
    assert_eq!(opened.watermark, Position::new(3));
    assert_eq!(writer.write(&batch(7, 2..=5)).await.unwrap().repeated(), 2);
}

#[tokio::test]
async fn law_7_a_batch_that_comes_again_with_other_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let writer: SqliteWriter =
        SqliteWriter::open(SqliteOptions::new(folder.path().join("f.sqlite"))).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc"))
        .await
        .unwrap();
    writer.write(&batch(1, 1..=3)).await.unwrap();
    let changed = vec![row(1, Value::I64(1)), row(3, Value::I64(4))];
    let error = writer
        .write(&Batch::new(BatchId(1), changed))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("written before up to position 3"),
        "{error}"
    );
}

#[tokio::test]
async fn lesson_a_failed_first_connect_is_not_final() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let writer: SqliteWriter =
        SqliteWriter::lazy(SqliteOptions::new(later.join("f.sqlite"))).unwrap();
    let name = ScopeName::new("plc");
    assert!(writer.open_scope(SCOPE, &name).await.is_err());
    std::fs::create_dir(&later).unwrap();
    writer.open_scope(SCOPE, &name).await.unwrap();
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().delivered(), 3);
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn query(from: i64, until: i64, readings_max: usize) -> HistoryQuery {
    HistoryQuery {
        source: "PLC01".into(),
        tag: "D100".into(),
        from: at(from),
        until: at(until),
        readings_max,
    }
}

#[tokio::test]
async fn a_range_is_read_by_time_and_says_when_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let writer: SqliteWriter =
        SqliteWriter::open(SqliteOptions::new(folder.path().join("f.sqlite"))).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc"))
        .await
        .unwrap();
    let mut rows: Vec<Entry> = (1..=3_000_u64)
        .map(|position| row(position, Value::I64(position.cast_signed())))
        .collect();
    // Positions grow, times do not; and there is another tag.
    for (index, time) in [(0, 5_000), (1, 4_000)] {
        rows[index].content.as_mut().unwrap().timestamp = at(time);
    }
    let other = Record::new("PLC01", "other", Value::I64(0), at(10)).unwrap();
    rows.push(Entry {
        content: Ok(other),
        ..row(3_001, Value::Null)
    });
    rows.push(row(3_002, Value::text("007").unwrap()));
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();

    let mut stream = writer.range(query(3, 5_000, 10_000));
    let readings = stream.collect().await.unwrap();
    assert!(!stream.is_cut_off());
    let times: Vec<i64> = readings
        .iter()
        .map(|reading| reading.timestamp.micros())
        .collect();
    let expected: Vec<i64> = (3..=3_000).chain([3_002, 4_000]).collect();
    assert_eq!(times, expected);
    assert_eq!(readings[2_998].value, Value::text("007").unwrap());
    assert_eq!(readings[2_999].value, Value::I64(2));

    let mut stream = writer.range(query(0, 9_000, 1_500));
    assert_eq!(stream.collect().await.unwrap().len(), 1_500);
    assert!(stream.is_cut_off());

    // The database reduces: a naive model beside it.
    let mut stream = writer.buckets(query(0, 9_000, 1), NonZeroU32::new(7).unwrap());
    let buckets = stream.collect().await.unwrap();
    let width = 1_286;
    let all: Vec<(i64, Option<f64>)> = (3..=3_000)
        .map(|number| (number, Some(number as f64)))
        .chain([(5_000, Some(1.0)), (4_000, Some(2.0)), (3_002, None)])
        .collect();
    let mut starts: Vec<i64> = all.iter().map(|(time, _)| time / width * width).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(buckets.len(), starts.len());
    for (bucket, start) in buckets.iter().zip(starts) {
        let inside = all.iter().filter(|(time, _)| time / width * width == start);
        let numbers: Vec<f64> = inside.clone().filter_map(|(_, number)| *number).collect();
        assert_eq!(
            (bucket.start.micros(), bucket.count),
            (start, inside.count() as u64)
        );
        let found = bucket.numbers.unwrap();
        let sum: f64 = numbers.iter().sum();
        assert_eq!(found.count, numbers.len() as u64);
        assert_eq!(
            found.min,
            numbers.iter().copied().fold(f64::INFINITY, f64::min)
        );
        assert_eq!(
            found.max,
            numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        );
        assert!((found.mean - sum / numbers.len() as f64).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_range_of_a_file_that_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.sqlite");
    let writer: SqliteWriter = SqliteWriter::lazy(SqliteOptions::new(&path)).unwrap();
    let error = writer
        .range(query(0, 1, 1))
        .collect()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot read") && error.contains("none.sqlite"),
        "{error}"
    );
}

#[tokio::test]
async fn law_2_ranges_that_nobody_reads_on_are_bounded_in_number() {
    let folder = tempfile::tempdir().unwrap();
    let writer: SqliteWriter =
        SqliteWriter::open(SqliteOptions::new(folder.path().join("f.sqlite"))).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc"))
        .await
        .unwrap();
    writer.write(&batch(1, 1..=20_000)).await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut stream = writer.range(query(0, 90_000, 20_000));
        assert!(stream.next().await.unwrap().is_ok());
        stalled.push(stream);
    }
    let refused = writer.range(query(0, 90_000, 1)).next().await.unwrap();
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("8 ranges are being read"), "{error}");
    // One that is dropped makes room, as soon as its thread has noticed.
    stalled.pop();
    loop {
        let mut stream = writer.range(query(0, 90_000, 1));
        if stream.next().await.unwrap().is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
}
