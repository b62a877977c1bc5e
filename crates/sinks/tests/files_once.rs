//! Files: rows and watermarks commit together, wherever the log is cut off, and what is read back
//! is what was written.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{SCOPE, batch, malformed, row};
use proptest::prelude::*;
use record::{Name, Position, Quality, Record, Timestamp, Value};
use sinks::files::{self, StoredRow};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, FileFormat, FileOptions, FileWriter, Guarantee,
    ScopeIndex, ScopeName, row as sink_row,
};

const FORMATS: &[FileFormat] = &[
    FileFormat::Csv,
    #[cfg(feature = "parquet")]
    FileFormat::Parquet,
];

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

fn open(folder: &Path, format: FileFormat) -> FileWriter {
    FileWriter::new(FileOptions::new(folder, format).rotate_age(None))
}

/// The finished files, the oldest first.
fn finished(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| {
        let end = path.extension().unwrap_or_default();
        end == "csv" || end == "parquet"
    });
    found.sort();
    found
}

fn stored(folder: &Path) -> Vec<StoredRow> {
    let files = finished(folder);
    let rows = files.iter().flat_map(|file| files::read(file).unwrap());
    rows.map(|row| row.unwrap()).collect()
}

fn positions(folder: &Path) -> Vec<u64> {
    let rows = stored(folder).into_iter();
    rows.map(|row| row.position.unwrap().number()).collect()
}

#[tokio::test]
async fn law_8_overlapping_batches_write_only_what_lies_above_the_watermark() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path(), *format);
        assert_eq!(writer.guarantee(), Guarantee::ExactlyOnce);
        let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
        assert_eq!((opened.watermark, opened.fence), (Position::START, 1));
        assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 0);
        assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 5);
        let receipt = writer.write(&batch(2, 3..=9)).await.unwrap();
        assert_eq!((receipt.repeated(), receipt.delivered()), (3, 7));
        writer.close().await.unwrap();
        assert_eq!(positions(folder.path()), Vec::from_iter(1..=9));

        let again = open(folder.path(), *format);
        let opened = again.open_scope(SCOPE, &name()).await.unwrap();
        assert_eq!((opened.watermark, opened.fence), (Position::new(9), 2));
    }
}

#[tokio::test]
async fn law_8_a_scope_that_is_opened_again_shuts_out_the_earlier_opening() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.open_scope(ScopeIndex(1), &name()).await.unwrap();
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains("(fence 2, ours 1)"), "{error}");
}

#[tokio::test]
async fn law_8_a_dropped_write_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    for round in 0..20 {
        let rows = batch(round, round * 3 + 1..=round * 3 + 3);
        {
            // Polled once, which starts the write, and dropped.
            let write = std::pin::pin!(writer.write(&rows));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = write.poll(&mut context);
        }
        assert_eq!(writer.write(&rows).await.unwrap().delivered(), 3);
    }
    writer.close().await.unwrap();
    assert_eq!(positions(folder.path()), Vec::from_iter(1..=60));
}

#[tokio::test]
async fn a_renamed_scope_keeps_its_watermark_and_its_opening() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=4)).await.unwrap();
    let other = ScopeName::new("plc/other");
    writer.rename_scope(&name(), &other).await.unwrap();
    writer.write(&batch(2, 3..=6)).await.unwrap();
    let expected = vec![(other.clone(), Position::new(6))];
    assert_eq!(writer.scopes("plc/").await.unwrap(), expected);
    drop(writer);
    let again = open(folder.path(), FileFormat::Csv);
    assert_eq!(again.scopes("plc/").await.unwrap(), expected);
    again.open_scope(SCOPE, &name()).await.unwrap();
    let error = again.rename_scope(&name(), &other).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is a scope `plc/other` already")
    );
}

/// Copies a directory without its lock.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Opens the directory, goes on behind the watermark up to position 12, and finishes.
async fn go_on(folder: &Path, format: FileFormat) {
    let writer = open(folder, format);
    let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
    let next = opened.watermark.number() + 1;
    writer.write(&batch(100, next..=12)).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(positions(folder), Vec::from_iter(1..=12));
}

#[tokio::test]
async fn law_8_a_log_that_is_cut_at_any_byte_gives_each_row_once_and_in_order() {
    for format in FORMATS {
        let origin = tempfile::tempdir().unwrap();
        let writer = open(origin.path(), *format);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        writer.write(&batch(1, 1..=2)).await.unwrap();
        writer.rotate().await.unwrap();
        let log = std::fs::metadata(origin.path().join("forebay.log")).unwrap();
        let first = log.len();
        writer.write(&batch(2, 3..=4)).await.unwrap();
        writer.write(&batch(3, 5..=7)).await.unwrap();
        drop(writer);
        let whole = std::fs::read(origin.path().join("forebay.log")).unwrap();
        // Parquet is slower to write, and reads the same log.
        let step = if *format == FileFormat::Csv { 1 } else { 37 };
        for length in (usize::try_from(first).unwrap()..=whole.len()).step_by(step) {
            let folder = tempfile::tempdir().unwrap();
            copy(origin.path(), folder.path());
            std::fs::write(folder.path().join("forebay.log"), &whole[..length]).unwrap();
            go_on(folder.path(), *format).await;
        }
    }
}

#[tokio::test]
async fn law_8_a_log_with_a_changed_byte_never_gives_a_wrong_row() {
    let origin = tempfile::tempdir().unwrap();
    let writer = open(origin.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=2)).await.unwrap();
    writer.rotate().await.unwrap();
    let first = std::fs::metadata(origin.path().join("forebay.log"))
        .unwrap()
        .len();
    writer.write(&batch(2, 3..=4)).await.unwrap();
    writer.write(&batch(3, 5..=7)).await.unwrap();
    drop(writer);
    let whole = std::fs::read(origin.path().join("forebay.log")).unwrap();
    for at in (usize::try_from(first).unwrap()..whole.len()).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        copy(origin.path(), folder.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(folder.path().join("forebay.log"), bytes).unwrap();
        go_on(folder.path(), FileFormat::Csv).await;
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_said_and_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), FileFormat::Csv)
        .open_scope(SCOPE, &name())
        .await
        .unwrap();
    std::fs::write(folder.path().join("forebay.log"), "0000").unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    let error = writer.open_scope(SCOPE, &name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("forebay.log: its first entry"),
        "{error}"
    );
}

#[tokio::test]
async fn law_8_a_crash_between_the_steps_of_finishing_neither_loses_nor_doubles() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let writer = open(path, *format);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        writer.write(&batch(1, 1..=5)).await.unwrap();
        let before = std::fs::read(path.join("forebay.log")).unwrap();
        writer.rotate().await.unwrap();
        drop(writer);
        let file = finished(path).remove(0);
        let part = PathBuf::from(format!("{}.part", file.display()));
        // The new log is there, and the file has not got its name.
        std::fs::rename(&file, &part).unwrap();
        let after = std::fs::read(path.join("forebay.log")).unwrap();
        open(path, *format).scopes("").await.unwrap();
        assert_eq!(positions(path), Vec::from_iter(1..=5));
        // The old log is there: the copy, whole or not, is thrown away and made again.
        std::fs::rename(&file, &part).unwrap();
        std::fs::write(path.join("forebay.log"), before).unwrap();
        go_on(path, *format).await;
        assert!(!part.exists());
        // The file was moved away by somebody before the next opening.
        for file in finished(path) {
            std::fs::remove_file(file).unwrap();
        }
        std::fs::write(path.join("forebay.log"), after).unwrap();
        let writer = open(path, *format);
        let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
        assert_eq!(opened.watermark, Position::new(5));
        writer.close().await.unwrap();
        assert_eq!(positions(path), [0_u64; 0]);
    }
}

#[tokio::test]
async fn law_9_rows_that_are_none_are_rejected_each_time_and_the_others_written() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let rows = vec![
        row(1, Value::I64(1)),
        malformed(2, "line 2 is no record", b"{oops"),
        row(3, Value::json("[1").unwrap()),
        row(4, Value::I64(4)),
    ];
    let batch = Batch::new(BatchId(1), rows);
    for repeated in [0, 4] {
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (2, repeated));
        let rejected: Vec<usize> = receipt
            .rejected()
            .iter()
            .map(|refused| refused.row)
            .collect();
        assert_eq!(rejected, [1, 2]);
        assert_eq!(receipt.rejected()[0].reason, "line 2 is no record");
    }
    writer.close().await.unwrap();
    assert_eq!(positions(folder.path()), [1, 4]);
}

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
