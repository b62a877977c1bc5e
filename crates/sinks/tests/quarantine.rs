//! What a sink refuses is kept and can be read again, and what it gives up is never called
//! delivered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/guards.rs"]
mod guards;

use std::time::Duration;

use common::{SCOPE, batch, row};
use guards::{down, files, kept, positions, refusing, scope};
use record::{FutureLimit, Position, Record, Timestamp, Value, ndjson};
use sinks::quarantine::{self, WhenFull};
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, Entry, ErrorKind, Fallback, Fault, FaultWriter,
    MemoryWriter, NdjsonFileOptions, NdjsonFileWriter, Quarantine, QuarantineFiles,
    QuarantineOptions, RowOutcome, ScopeName,
};

#[tokio::test]
async fn a_row_is_kept_once_also_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let files = files(directory.path());
        let sink = refusing(&[2]);
        let writer = Quarantine::new(Bisect::new(sink.clone()), files.clone());
        writer.open_scope(SCOPE, &scope()).await.unwrap();
        for _ in 0..2 {
            let receipt = writer.write(&batch(run, 1..=3)).await.unwrap();
            assert_eq!(receipt.outcome(1), RowOutcome::Quarantined("no 2"));
        }
        assert_eq!(kept(&files), [2]);
    }
    // The same place with other content, after the ledger of a scope was deleted.
    let files = files(directory.path());
    let writer = Quarantine::new(Bisect::new(refusing(&[2])), files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let rows = vec![row(2, Value::F64(7.5))];
    writer.write(&Batch::new(BatchId(9), rows)).await.unwrap();
    assert_eq!(kept(&files), [2, 2]);
}

#[tokio::test]
async fn a_refused_row_is_kept_before_the_watermark_of_the_sink_passes_it() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let sink = refusing(&[2]);
    let writer = Bisect::new(sink.clone()).with_quarantine(files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    // The whole, [1, 2], [1] and [2] are answered; the process dies in the next call.
    for fault in [
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::HangAfter,
    ] {
        sink.then(fault);
    }
    let batch = batch(1, 1..=4);
    let write = writer.write(&batch);
    tokio::select! {
        _ = write => panic!("it hangs"),
        () = until(|| positions(sink.inner()).contains(&4)) => {}
    }
    assert_eq!(kept(&files), [2], "nobody would offer it again");
    let receipt = writer.write(&batch).await.unwrap();
    assert_eq!(receipt.outcome(1), RowOutcome::Quarantined("no 2"));
    assert_eq!(receipt.delivered(), 3);
    assert_eq!(kept(&files), [2]);
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn lesson_a_backup_directory_without_a_cap() {
    let directory = tempfile::tempdir().unwrap();
    let options = QuarantineOptions::new(directory.path()).rows_max(2);
    let stop = QuarantineFiles::new(options.clone().name("stop"));
    let writer = Quarantine::new(Bisect::new(refusing(&[1, 2, 3])), stop.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let batch = batch(1, 1..=4);
    let error = writer.write(&batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("may take 2 rows"), "{error}");
    assert!(kept(&stop).is_empty(), "all or nothing");
    // `Reject` goes on, and never says that a row is kept which is not.
    let reject = QuarantineFiles::new(options.name("reject").when_full(WhenFull::Reject));
    let writer = Quarantine::new(Bisect::new(refusing(&[1, 2, 3])), reject.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let receipt = writer.write(&batch).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (1, 3));
    assert!(receipt.quarantined().is_empty());
    // A fallback file has a cap as well, in bytes; what was taken away makes room.
    let options = NdjsonFileOptions::new(directory.path()).bytes_max(100);
    let file: NdjsonFileWriter = NdjsonFileWriter::new(options);
    file.write(&common::batch(1, 1..=1)).await.unwrap();
    let error = file.write(&common::batch(2, 2..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("may take 100 bytes"), "{error}");
    std::fs::remove_file(&file.paths().unwrap()[0]).unwrap();
    file.write(&common::batch(2, 2..=2)).await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_kept_is_kept_by_the_next_attempt_without_writing_again() {
    let directory = tempfile::tempdir().unwrap();
    let options = QuarantineOptions::new(directory.path()).rows_max(1);
    let files = QuarantineFiles::new(options);
    let sink = refusing(&[1, 3]);
    let writer = Quarantine::new(Bisect::new(sink.clone()), files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    writer.write(&batch(1, 1..=2)).await.unwrap();
    let second = batch(2, 3..=4);
    assert_eq!(
        writer.write(&second).await.unwrap_err().kind(),
        ErrorKind::Fatal
    );
    let calls = sink.attempts().len();
    std::fs::remove_file(&files.paths().unwrap()[0]).unwrap();
    let receipt = writer.write(&second).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (1, 1));
    assert_eq!(sink.attempts().len(), calls, "the sink was not asked again");
    assert_eq!(kept(&files), [3]);
}

#[tokio::test]
async fn lesson_two_backups_in_the_same_second_with_the_same_count_overwrite_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for run in 0..3 {
        let options = NdjsonFileOptions::new(directory.path()).file_bytes_max(1);
        let file: NdjsonFileWriter = NdjsonFileWriter::new(options);
        for step in 0..4 {
            let at = run * 4 + step + 1;
            file.write(&batch(at, at..=at)).await.unwrap();
            expected.push(i64::try_from(at).unwrap());
        }
        assert_eq!(file.paths().unwrap().len(), expected.len(), "a file each");
    }
    let file: NdjsonFileWriter = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    assert_eq!(values(&file), expected, "and their names tell the order");
}

/// What `forebay ingest` would read.
fn values(file: &NdjsonFileWriter) -> Vec<i64> {
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let limit = FutureLimit::new(now, Duration::from_secs(60));
    let mut values = Vec::new();
    for path in file.paths().unwrap() {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            match ndjson::parse(line.as_bytes(), &limit).unwrap().value {
                Value::I64(number) => values.push(number),
                other => panic!("{other:?}"),
            }
        }
    }
    values
}

#[tokio::test]
async fn lesson_a_backup_that_nothing_can_replay() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let sink = refusing(&[1, 2, 3, 4, 5]);
    let writer = Quarantine::new(Bisect::new(sink.clone()), files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let values = [
        Value::F64(0.1),
        Value::Null,
        Value::text("a \"line\"\nand another").unwrap(),
        Value::json("{\"a\":\n[1, 2]}").unwrap(),
        Value::Bool(true),
    ];
    let rows: Vec<Entry> = (1..)
        .zip(values)
        .map(|(at, value)| row(at, value))
        .collect();
    let originals: Vec<Record> = rows
        .iter()
        .map(|row| row.content.clone().unwrap())
        .collect();
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let path = &files.paths().unwrap()[0];
    let read: Vec<Record> = quarantine::read(path)
        .unwrap()
        .map(|row| row.unwrap().content.unwrap())
        .collect();
    assert_eq!(read.len(), 5);
    for (read, original) in read.iter().zip(&originals) {
        if !matches!(original.value, Value::Json(_)) {
            assert_eq!(read, original);
        }
    }
    // Delivered again, they are what they were.
    let replayed = MemoryWriter::new();
    replayed
        .open_scope(SCOPE, &ScopeName::new("replay"))
        .await
        .unwrap();
    let rows: Vec<Entry> = (1..)
        .zip(read)
        .map(|(at, record)| Entry {
            content: Ok(record),
            ..row(at, Value::Null)
        })
        .collect();
    assert_eq!(
        replayed
            .write(&Batch::new(BatchId(1), rows))
            .await
            .unwrap()
            .delivered(),
        5
    );
}

#[tokio::test]
async fn a_torn_last_line_is_passed_over_and_a_broken_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let writer = Quarantine::new(Bisect::new(refusing(&[1, 2])), files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    writer.write(&batch(1, 1..=2)).await.unwrap();
    let path = files.paths().unwrap().remove(0);
    let whole = std::fs::read_to_string(&path).unwrap();
    for cut in 1..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut reader = quarantine::read(&path).unwrap();
        let rows: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
        // A line that lacks nothing but its newline is whole.
        let lines = whole.lines().scan(0, |end, line| {
            *end += line.len() + 1;
            Some(*end - 1)
        });
        assert_eq!(
            rows.len(),
            lines.filter(|end| *end <= cut).count(),
            "cut at {cut}"
        );
        assert!(
            rows.iter()
                .zip(1..)
                .all(|(row, at)| row.position == Position::new(at))
        );
    }
    std::fs::write(&path, format!("{{\"scope\":1}}\n\n{whole}")).unwrap();
    let mut reader = quarantine::read(&path).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
    assert_eq!(
        reader.filter(Result::is_ok).count(),
        2,
        "the others are read"
    );
}

#[tokio::test]
async fn two_writers_cannot_share_files() {
    let directory = tempfile::tempdir().unwrap();
    let first: NdjsonFileWriter = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let other: NdjsonFileWriter = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    first.write(&batch(1, 1..=1)).await.unwrap();
    let error = other.write(&batch(1, 1..=1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("rows.lock"), "{error}");
}

#[tokio::test]
async fn lesson_items_popped_before_the_write_are_lost_in_the_fallback() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("a file");
    std::fs::write(&blocked, "").unwrap();
    let sink = FaultWriter::new(MemoryWriter::new());
    let file = NdjsonFileWriter::new(NdjsonFileOptions::new(&blocked));
    let writer = Fallback::new(sink.clone(), file);
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    sink.then(Fault::Before(down()));
    let batch = batch(1, 1..=3);
    let error = writer.write(&batch).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Transient,
        "worth another attempt: {error}"
    );
    assert!(
        error
            .to_string()
            .contains("refused; and the fallback failed"),
        "{error}"
    );
    // The rows are still the caller's.
    assert_eq!(writer.write(&batch).await.unwrap().delivered(), 3);
    assert_eq!(positions(sink.inner()), [1, 2, 3]);
}

#[tokio::test]
async fn law_1_what_is_diverted_is_not_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let sink = refusing(&[6]);
    let file = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let writer = Bisect::new(Fallback::new(sink.clone(), file));
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    assert_eq!(writer.write(&batch(1, 1..=2)).await.unwrap().delivered(), 2);
    // The whole is refused for row 6; its first half is diverted, and not the rest.
    sink.then(Fault::None);
    sink.then(Fault::Before(down()));
    let receipt = writer.write(&batch(2, 3..=6)).await.unwrap();
    assert_eq!(
        (
            receipt.delivered(),
            receipt.diverted(),
            receipt.rejected().len()
        ),
        (1, 2, 1)
    );
    assert_eq!(receipt.diverted_rows(), [0, 1]);
    assert_eq!(receipt.outcome(0), RowOutcome::Diverted);
    assert_eq!(receipt.outcome(2), RowOutcome::Delivered);
    assert_eq!(positions(sink.inner()), [1, 2, 5]);
    let file: NdjsonFileWriter = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    assert_eq!(values(&file), [3, 4]);
}

#[tokio::test]
async fn a_diverted_batch_whose_receipt_was_lost_is_not_diverted_twice() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FaultWriter::new(MemoryWriter::new());
    let file = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let writer = Fallback::new(sink.clone(), file);
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    sink.then(Fault::Before(down()));
    let batch = batch(1, 1..=2);
    let first = writer.write(&batch).await.unwrap();
    assert_eq!(writer.write(&batch).await.unwrap(), first);
    assert_eq!(values(writer.fallback()), [1, 2]);
    assert!(positions(sink.inner()).is_empty());
}

#[tokio::test]
async fn a_fenced_writer_diverts_nothing() {
    let memory = MemoryWriter::new();
    let directory = tempfile::tempdir().unwrap();
    let file = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let writer = Fallback::new(memory.clone(), file).on(&[
        ErrorKind::Transient,
        ErrorKind::Fatal,
        ErrorKind::Data,
        ErrorKind::Fenced,
    ]);
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    memory
        .other_process()
        .open_scope(SCOPE, &scope())
        .await
        .unwrap();
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(values(writer.fallback()).is_empty());
}
