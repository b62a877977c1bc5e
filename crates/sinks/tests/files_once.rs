//! Files: rows and watermarks commit together, wherever the log is cut off.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/files.rs"]
mod of_files;

use std::path::{Path, PathBuf};

use common::{SCOPE, batch, malformed, row};
use of_files::{FORMATS, finished, name, open, stored};
use record::{Position, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, ErrorKind, FileFormat, Guarantee, QuarantineFiles,
    QuarantineOptions, ScopeIndex, ScopeName,
};

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
async fn law_9_a_row_that_is_none_fails_its_batch_by_name_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), FileFormat::Csv);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let good = batch(1, 1..=1);
    writer.write(&good).await.unwrap();
    let bad = [
        malformed(3, "line 3 is no record", b"{oops"),
        row(3, Value::json("[1").unwrap()),
    ];
    for bad in bad {
        let rows = vec![row(2, Value::I64(2)), bad, row(4, Value::I64(4))];
        let batch = Batch::new(BatchId(2), rows);
        let error = writer.write(&batch).await.unwrap_err();
        assert_eq!((error.kind(), error.row()), (ErrorKind::Data, Some(1)));
        let settled = writer.scopes("").await.unwrap();
        assert_eq!(settled, [(name(), Position::new(1))]);
    }
}

#[tokio::test]
async fn law_9_bad_rows_are_kept_before_the_watermark_passes_them() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = || {
        let files = QuarantineFiles::new(QuarantineOptions::new(kept.path()));
        Bisect::new(open(folder.path(), FileFormat::Csv)).with_quarantine(files)
    };
    let rows = vec![
        row(1, Value::I64(1)),
        malformed(2, "line 2 is no record", b"{oops"),
        row(3, Value::json("[1").unwrap()),
        row(4, Value::I64(4)),
    ];
    let batch = Batch::new(BatchId(1), rows);
    // The second time as after a crash before the answer was heard.
    for repeated in [0, 2] {
        let writer = open();
        writer.open_scope(SCOPE, &name()).await.unwrap();
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (2, repeated));
        let rows = receipt.quarantined().iter();
        let quarantined: Vec<_> = rows.map(|refused| refused.row).collect();
        assert_eq!(quarantined, [1, 2]);
        assert_eq!(receipt.rejected().len(), 0);
    }
    open().close().await.unwrap();
    let writer = open();
    writer.scopes("").await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(positions(folder.path()), [1, 4]);
}

#[tokio::test]
async fn law_8_whatever_is_cut_off_the_log_is_set_aside_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.log");
    for number in 1..=2_u64 {
        let writer = open(folder.path(), FileFormat::Csv);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        drop(writer);
        let first = std::fs::read(&path).unwrap().len();
        let writer = open(folder.path(), FileFormat::Csv);
        let position = writer.open_scope(SCOPE, &name()).await.unwrap().watermark;
        let next = position.number() + 1;
        writer.write(&batch(number, next..=next)).await.unwrap();
        writer
            .write(&batch(number + 10, next + 1..=next + 2))
            .await
            .unwrap();
        drop(writer);
        // One digit of a length, which then reaches beyond the end.
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[first + 17], b'0');
        bytes[first + 17] = b'7';
        std::fs::write(&path, &bytes).unwrap();
        open(folder.path(), FileFormat::Csv)
            .scopes("")
            .await
            .unwrap();
        let aside = folder.path().join(format!("forebay.damaged-{number}"));
        assert_eq!(std::fs::read(aside).unwrap(), &bytes[first..]);
    }
    assert!(!folder.path().join("forebay.damaged-3").exists());
}
