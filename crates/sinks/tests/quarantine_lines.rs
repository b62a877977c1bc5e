//! Long lines of a quarantine, and how much its files hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{SCOPE, batch, row};
use record::Value;
use sinks::quarantine::{self, WhenFull};
use sinks::{
    Batch, BatchId, BatchWriter, BoxWriter, ErrorKind, FnWriter, MemoryWriter, Quarantine,
    QuarantineFiles, QuarantineOptions, Receipt, Refused, ScopeName,
};

/// Rejects every row.
fn writer(files: &QuarantineFiles) -> impl BatchWriter<Row = record::Record> {
    let sink = FnWriter::new("closed", |batch: &Batch| {
        let refused = (0..batch.len()).map(|row| Refused {
            row,
            reason: "no".to_owned(),
        });
        Ok(Receipt::delivered_all(batch.len()).with_rejected(refused.collect()))
    });
    Quarantine::new(sink, files.clone())
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

#[tokio::test]
async fn a_record_that_is_longer_as_json_than_a_line_of_input_can_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let files = QuarantineFiles::new(QuarantineOptions::new(directory.path()));
    // Each of these characters is escaped.
    let long = row(1, Value::text(&"\u{1}".repeat(300_000)).unwrap());
    let expected = long.content.clone().unwrap();
    let written = writer(&files)
        .write(&Batch::new(BatchId(1), vec![long]))
        .await;
    assert_eq!(written.unwrap().quarantined().len(), 1);
    let path = files.paths().unwrap().remove(0);
    let read = quarantine::read(path).unwrap().next().unwrap().unwrap();
    assert_eq!(read.content.unwrap(), expected);
}

#[tokio::test]
async fn the_reader_goes_on_behind_a_line_that_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let files = QuarantineFiles::new(QuarantineOptions::new(directory.path()));
    writer(&files).write(&batch(1, 1..=2)).await.unwrap();
    let path = files.paths().unwrap().remove(0);
    let whole = std::fs::read_to_string(&path).unwrap();
    let (first, second) = whole.split_once('\n').unwrap();
    let long = "x".repeat(9 << 20);
    std::fs::write(&path, format!("{first}\n{long}\n{second}")).unwrap();
    let rows: Vec<_> = quarantine::read(&path).unwrap().collect();
    assert_eq!(rows.len(), 3);
    let error = rows[1].as_ref().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("line 2: the line is longer than"),
        "{error}"
    );
    assert_eq!(rows[2].as_ref().unwrap().position.number(), 2);
}

#[tokio::test]
async fn what_was_taken_away_with_its_file_is_kept_anew_and_counts_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let options = QuarantineOptions::new(directory.path()).when_full(WhenFull::Stop);
    let files = QuarantineFiles::new(options);
    let writer = writer(&files);
    writer.write(&batch(1, 1..=2)).await.unwrap();
    assert_eq!(files.size().0, 2);
    std::fs::remove_file(files.paths().unwrap().remove(0)).unwrap();
    writer.write(&batch(2, 3..=3)).await.unwrap();
    assert_eq!(files.size().0, 1);
    writer.write(&batch(3, 1..=2)).await.unwrap();
    assert_eq!(lines(&files.paths().unwrap()[0]), 3);
}

#[tokio::test]
async fn a_receipt_about_another_number_of_rows_is_an_error_of_its_sink() {
    let writer = BoxWriter::new(FnWriter::new("miscounts", |_: &Batch| {
        Ok(Receipt::delivered_all(2))
    }));
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("`miscounts`"), "{error}");
}

#[tokio::test]
async fn a_scope_in_memory_is_renamed_with_what_is_open_and_never_over_another() {
    let memory = MemoryWriter::new();
    let (from, to) = (ScopeName::new("a"), ScopeName::new("b"));
    memory.open_scope(SCOPE, &from).await.unwrap();
    memory.write(&batch(1, 1..=2)).await.unwrap();
    memory.rename_scope(&from, &to).await.unwrap();
    assert_eq!(memory.write(&batch(2, 2..=3)).await.unwrap().repeated(), 1);
    memory
        .open_scope(sinks::ScopeIndex(1), &from)
        .await
        .unwrap();
    let error = memory.rename_scope(&from, &to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert_eq!(memory.scopes("b").await.unwrap()[0].1.number(), 3);
}
