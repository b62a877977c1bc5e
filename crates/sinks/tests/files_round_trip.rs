//! Files: what is read back is what was written, and what is wrong with a row is that row's error.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/files.rs"]
mod of_files;

use std::path::Path;

use common::{SCOPE, row};
use of_files::{FORMATS, finished, name, open, stored};
use proptest::prelude::*;
use record::{Name, Position, Quality, Record, Timestamp, Value};
use sinks::files::{self};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, FileFormat, FileOptions, FileWriter, ScopeName,
    row as sink_row,
};

fn record_strategy() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just((1 << 53) + 1)].prop_map(Value::I64),
        any::<f64>().prop_map(Value::number),
        prop_oneof![Just(-0.0), Just(f64::MAX), Just(5e-324), Just(0.1)].prop_map(Value::F64),
        "\\PC*".prop_map(|text| Value::text(&text).unwrap()),
        "[ ,\"\r\nab0\\\\é😀']{0,8}".prop_map(|text| Value::text(&text).unwrap()),
        prop_oneof![
            Just(""),
            Just("007"),
            Just(" 1 "),
            Just("null"),
            Just("NaN")
        ]
        .prop_map(|text| Value::text(text).unwrap()),
        "[a-z,\"é]{0,6}".prop_map(|text| {
            Value::json(&serde_json::json!({ "a": text, "b": [1, null] }).to_string()).unwrap()
        }),
    ];
    let quality = prop_oneof![
        Just(Quality::Good),
        Just(Quality::Uncertain),
        Just(Quality::Bad)
    ];
    let moment = -377_705_023_201_000_000..=253_402_207_200_999_999_i64;
    let names = ("[ ,\"a-zé;]{1,12}", "[ ,\"a-zé;]{1,12}");
    (moment, names, value, quality).prop_map(|(micros, names, value, quality)| Record {
        timestamp: Timestamp::from_micros(micros).unwrap(),
        source: Name::new("source", &names.0).unwrap(),
        tag: Name::new("tag", &names.1).unwrap(),
        value,
        quality,
        priority: None,
        id: None,
    })
}

fn entries(records: &[Record]) -> Vec<Entry> {
    let placed = (1..).zip(records);
    placed
        .map(|(position, record)| Entry {
            content: Ok(record.clone()),
            ..row(position, Value::Null)
        })
        .collect()
}

async fn write_all(folder: &Path, format: FileFormat, records: &[Record]) {
    let writer = open(folder, format);
    let scope = ScopeName::new("a \"scope\", so to say");
    writer.open_scope(SCOPE, &scope).await.unwrap();
    let batch = Batch::new(BatchId(1), entries(records));
    let receipt = writer.write(&batch).await.unwrap();
    assert_eq!(receipt.delivered(), records.len());
    writer.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lesson_a_backup_that_nothing_can_replay(
        records in prop::collection::vec(record_strategy(), 1..20)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for format in FORMATS {
            let folder = tempfile::tempdir().unwrap();
            runtime.block_on(write_all(folder.path(), *format, &records));
            let stored = stored(folder.path());
            let read: Vec<Record> = stored.iter().map(|row| row.record.clone()).collect();
            prop_assert_eq!(&read, &records);
            for (number, row) in (1..).zip(&stored) {
                prop_assert_eq!((row.number, row.position), (number, Some(Position::new(number))));
                let scope = row.scope.as_ref().map(ScopeName::as_str);
                prop_assert_eq!(scope, Some("a \"scope\", so to say"));
            }
        }
    }
}

#[tokio::test]
async fn lesson_none_stored_as_0_0_and_marked_good() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let at = Timestamp::default();
        let none = Record::new("s", "t", Value::Null, at).unwrap();
        let nan = Record::new("s", "t", Value::F64(f64::NAN), at).unwrap();
        write_all(folder.path(), *format, &[none.clone(), nan]).await;
        let stored = stored(folder.path());
        assert_eq!(stored[0].record, none);
        assert_eq!(stored[0].record.quality, Quality::Bad);
        assert_eq!(stored[1].record.value, Value::Null);
    }
}

#[tokio::test]
async fn a_csv_file_is_a_plain_table() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let rows = vec![
        row(1, Value::F64(12.5)),
        row(2, Value::text("007").unwrap()),
        row(3, Value::text("a \"b\", c").unwrap()),
        row(4, Value::Null),
    ];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    writer.close().await.unwrap();
    let text = std::fs::read_to_string(&finished(folder.path())[0]).unwrap();
    let expected = "\
timestamp,source,tag,value,quality,value_kind,scope,position
1970-01-01T00:00:00.000001Z,PLC01,D100,12.5,good,float,plc/normal,1
1970-01-01T00:00:00.000002Z,PLC01,D100,007,good,text,plc/normal,2
1970-01-01T00:00:00.000003Z,PLC01,D100,\"a \"\"b\"\", c\",good,text,plc/normal,3
1970-01-01T00:00:00.000004Z,PLC01,D100,,bad,null,plc/normal,4
";
    assert_eq!(text, expected);
}

#[test]
fn a_row_that_is_cut_off_or_wrong_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.csv");
    let text = "timestamp,source,tag,value,quality,value_kind,scope,position\n\
        1,s,t,1,good,int,x,1\n\
        2,s,t,one,good,int,x,2\n\
        3,s,t,3,good\n\
        yesterday,s,t,\"4\n4\",good,text,x,4\n\
        5,s,t,5,good,int,x,5\n\
        6,s,t,6,good,int,x,12";
    std::fs::write(&path, text).unwrap();
    let mut rows = files::read(&path).unwrap();
    assert_eq!(
        (rows.rows_total(), rows.bytes_total()),
        (None, text.len() as u64)
    );
    let identity = rows.identity().to_owned();
    assert_eq!(rows.next().unwrap().unwrap().record.value, Value::I64(1));
    let bad = rows.next().unwrap().unwrap_err();
    let expected = "readings.csv: line 3: column `value` is \"one\", expected a whole number of \
        64 bits, as `value_kind` says \"int\"";
    assert!(bad.to_string().ends_with(expected), "{bad}");
    assert_eq!(bad.original(), b"2,s,t,one,good,int,x,2\n");
    let bad = rows.next().unwrap().unwrap_err();
    assert!(
        bad.to_string()
            .ends_with("line 4: the row has 5 cells, the header has 8"),
        "{bad}"
    );
    let bad = rows.next().unwrap().unwrap_err();
    assert!(
        bad.to_string()
            .contains("line 5: field `timestamp` is \"yesterday\""),
        "{bad}"
    );
    let sound = rows.next().unwrap().unwrap();
    assert_eq!((sound.number, sound.position), (5, Some(Position::new(5))));
    let torn = rows.next().unwrap().unwrap_err();
    assert_eq!((torn.line(), torn.number()), (8, 6));
    assert!(
        torn.reason().starts_with("the last row is cut off"),
        "{torn}"
    );
    assert!(rows.next().is_none());
    assert_eq!(rows.bytes_read(), text.len() as u64);
    // Moved, it is the same file; with another row it is another.
    let moved = folder.path().join("moved.csv");
    std::fs::rename(&path, &moved).unwrap();
    assert_eq!(files::read(&moved).unwrap().identity(), identity);
    std::fs::write(&moved, format!("{text}\n")).unwrap();
    assert_ne!(files::read(&moved).unwrap().identity(), identity);
}

#[test]
fn a_quote_that_is_never_closed_reads_no_more_than_a_row_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.csv");
    let text = format!(
        "timestamp,source,tag,value\n1,s,t,\"{}",
        "x\n".repeat(9 << 20)
    );
    std::fs::write(&path, text).unwrap();
    let mut rows = files::read(&path).unwrap();
    let bad = rows.next().unwrap().unwrap_err();
    assert!(bad.reason().contains("more than 16777216 bytes"), "{bad}");
    assert!(rows.next().is_none());
}

#[test]
fn a_file_without_the_columns_is_refused_with_its_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    std::fs::write(&path, "id,price\n1,2.5\n").unwrap();
    let error = files::read(&path).unwrap_err().to_string();
    assert!(error.contains("no column `timestamp`"), "{error}");
    assert!(error.contains("\"id,price\""), "{error}");
}

struct Order {
    id: i64,
    note: Option<String>,
    raw: Option<Vec<u8>>,
    paid: bool,
    at: Timestamp,
}

sink_row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "note": Text or null = |order| order.note.as_deref();
        "raw": Bytes or null = |order| order.raw.as_deref();
        "paid": Bool = |order| order.paid;
        "at": Timestamp = |order| order.at;
    }
}

#[tokio::test]
async fn any_struct_has_files_with_its_own_columns() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let options = FileOptions::new(folder.path(), *format);
        let writer: FileWriter<Order> = FileWriter::new(options);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        let orders = [(Some(String::new()), Some(vec![0, 255])), (None, None)];
        let rows = (1..).zip(orders).map(|(id, (note, raw))| Entry {
            scope: SCOPE,
            position: Position::new(id),
            arrival: std::time::Instant::now(),
            content: Ok(Order {
                id: id.cast_signed(),
                note,
                raw,
                paid: id == 1,
                at: Timestamp::default(),
            }),
        });
        let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
        assert_eq!(writer.write(&batch).await.unwrap().delivered(), 2);
        writer.close().await.unwrap();
        let path = &finished(folder.path())[0];
        if *format == FileFormat::Csv {
            let expected = "id,note,raw,paid,at,note_kind,raw_kind,scope,position\n\
                1,,00ff,true,1970-01-01T00:00:00Z,text,bytes,plc/normal,1\n\
                2,,,false,1970-01-01T00:00:00Z,null,null,plc/normal,2\n";
            assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
        }
        let error = files::read(path).unwrap_err();
        assert!(
            error.to_string().contains("no column `timestamp`"),
            "{error}"
        );
    }
}
