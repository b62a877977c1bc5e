//! PostgreSQL: what was written is read back, whole or in buckets, as a naive model has it.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/postgres.rs"]
mod postgres;

use std::num::NonZeroU32;
use std::time::Instant;

use common::{SCOPE, row};
use postgres::{server, writer};
use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, HistoryQuery, HistoryReader, PostgresWriter, ScopeName,
};

const VALUES: i64 = 5_000;

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn value(index: i64) -> Value {
    match index % 7 {
        0 => Value::Null,
        1 => Value::I64(i64::MAX - index),
        2 => Value::Bool(index % 2 == 0),
        3 => Value::text(&format!("text {index}")).unwrap(),
        4 => Value::json("{\"a\":[1]}").unwrap(),
        _ => Value::F64(index as f64 / 8.0),
    }
}

/// The moments go back and forth over 1970.
fn micros(index: i64) -> i64 {
    (index * 7_919) % VALUES * 1_001 - 2_000_000
}

async fn filled(url: &str, table: &str) -> PostgresWriter {
    let writer = writer(url, table);
    let name = ScopeName::new("plc/normal");
    writer.open_scope(SCOPE, &name).await.unwrap();
    let rows: Vec<Entry> = (0..VALUES)
        .map(|index| {
            let record = Record::new("PLC01", "D100", value(index), moment(micros(index)));
            Entry {
                scope: SCOPE,
                position: Position::new(index.cast_unsigned() + 1),
                arrival: Instant::now(),
                content: Ok(record.unwrap()),
            }
        })
        .collect();
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let other = row(90_000, Value::I64(1));
    let mut record = other.content.clone().unwrap();
    record = Record::new("PLC02", "D100", record.value, record.timestamp).unwrap();
    let other = Entry {
        content: Ok(record),
        ..other
    };
    writer
        .write(&Batch::new(BatchId(2), vec![other]))
        .await
        .unwrap();
    writer
}

fn query(readings_max: usize) -> HistoryQuery {
    HistoryQuery {
        source: "PLC01".into(),
        tag: "D100".into(),
        from: moment(-1_000_003),
        until: moment(2_500_007),
        readings_max,
    }
}

/// What a range of these is, by the simplest means.
fn model() -> Vec<(Timestamp, Value)> {
    let within = -1_000_003..2_500_007;
    let mut all: Vec<_> = (0..VALUES)
        .filter(|index| within.contains(&micros(*index)))
        .map(|index| (moment(micros(index)), value(index)))
        .collect();
    all.sort_by_key(|(timestamp, _)| *timestamp);
    all
}

#[tokio::test]
async fn a_range_has_all_readings_by_time_with_their_values_unchanged() {
    let Some(url) = server() else { return };
    let writer = filled(&url, "ranged").await;
    let mut stream = writer.range(query(usize::MAX));
    let found = stream.collect().await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|read| (read.timestamp, read.value))
        .collect();
    assert!(!stream.is_cut_off());
    assert_eq!(found, model());
    let mut stream = writer.range(query(10));
    assert_eq!(stream.collect().await.unwrap().len(), 10);
    assert!(stream.is_cut_off());
    // One that is dropped midway leaves nothing behind that disturbs the next.
    let mut dropped = writer.range(query(usize::MAX));
    dropped.next().await.unwrap().unwrap();
    drop(dropped);
    writer
        .write(&common::batch(9, 100_000..=100_001))
        .await
        .unwrap();
}

#[tokio::test]
async fn buckets_are_those_of_a_naive_model() {
    let Some(url) = server() else { return };
    let writer = filled(&url, "bucketed").await;
    for parts in [1, 7, 100] {
        let parts = NonZeroU32::new(parts).unwrap();
        let found = writer.buckets(query(0), parts).collect().await.unwrap();
        let (from, span) = (-1_000_003_i64, 3_500_010_i64);
        let width = (span + i64::from(parts.get()) - 1) / i64::from(parts.get());
        let mut expected = std::collections::BTreeMap::<i64, (u64, Vec<f64>)>::new();
        for (timestamp, value) in model() {
            let start = from + (timestamp.micros() - from) / width * width;
            let (count, numbers) = expected.entry(start).or_default();
            *count += 1;
            match value {
                Value::I64(number) => numbers.push(number as f64),
                Value::F64(number) => numbers.push(number),
                _ => {}
            }
        }
        assert_eq!(found.len(), expected.len());
        for (bucket, (start, (count, numbers))) in found.iter().zip(&expected) {
            assert_eq!((bucket.start.micros(), bucket.count), (*start, *count));
            let found = bucket.numbers.unwrap();
            assert_eq!(found.count, numbers.len() as u64);
            assert_eq!(found.min, numbers.iter().copied().fold(f64::MAX, f64::min));
            assert_eq!(found.max, numbers.iter().copied().fold(f64::MIN, f64::max));
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            assert!((found.mean - mean).abs() <= mean.abs() * 1e-9);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_the_stream_with_the_reason() {
    let url = "postgres://me:hunter2@127.0.0.1:1/plant";
    let writer = writer(url, "absent");
    let error = writer
        .range(query(1))
        .collect()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read postgres://127.0.0.1:1/plant"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}
