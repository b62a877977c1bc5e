//! Files that are none, locks of others, full disks: nothing lost, a clear message, and on again.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{SCOPE, batch, row};
use record::Value;
use sinks::{Batch, BatchId, BatchWriter, ErrorKind, ScopeName, SqliteOptions, SqliteWriter};
use test_services::Disk;

fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path).busy_timeout(Duration::from_millis(50))
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.sqlite");
    let text = "this is a letter, not a database, and it is longer than a header".repeat(20);
    std::fs::write(&path, &text).unwrap();
    let error = <SqliteWriter>::open(options(&path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("not an SQLite database"),
        "{error}"
    );
    assert!(error.to_string().contains("forebay.sqlite"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn tables_of_another_shape_are_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE tag_values(timestamp, reading)")
        .unwrap();
    let error = <SqliteWriter>::open(options(&path))
        .unwrap_err()
        .to_string();
    assert!(error.contains("has the columns (timestamp, reading), expected (timestamp, source"));
}

#[test]
fn a_missing_directory_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = <SqliteWriter>::open(options(&folder.path().join("no/such.sqlite"))).unwrap_err();
    assert!(
        error.to_string().contains("does its directory exist"),
        "{error}"
    );
}

#[tokio::test]
async fn a_lock_of_another_process_is_transient_and_the_batch_goes_in_once_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.sqlite");
    let writer = <SqliteWriter>::open(options(&path)).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc/normal"))
        .await
        .unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error
            .to_string()
            .contains("another process has locked it (waited 50ms)"),
        "{error}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().delivered(), 3);
}

#[test]
fn a_file_that_stays_locked_at_start_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.sqlite");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t(x)")
        .unwrap();
    let error = <SqliteWriter>::open(options(&path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("another process has locked it"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_removed_while_it_is_open_takes_no_rows_that_nobody_will_see() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (
        folder.path().join("forebay.sqlite"),
        folder.path().join("aside"),
    );
    let writer = <SqliteWriter>::open(options(&path)).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc/normal"))
        .await
        .unwrap();
    writer.write(&batch(1, 1..=3)).await.unwrap();
    std::fs::rename(&path, &aside).unwrap();
    for _ in 0..2 {
        let error = writer.write(&batch(2, 4..=6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(
            error.to_string().contains("was removed or replaced"),
            "{error}"
        );
    }
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(writer.write(&batch(2, 4..=6)).await.unwrap().delivered(), 3);
}

#[tokio::test]
async fn a_full_disk_fails_the_batch_whole_and_it_goes_in_once_there_is_room() {
    let Some(disk) = Disk::mount("size=1m") else {
        return;
    };
    let path = disk.path().join("forebay.sqlite");
    let writer = <SqliteWriter>::open(options(&path)).unwrap();
    writer
        .open_scope(SCOPE, &ScopeName::new("plc/normal"))
        .await
        .unwrap();
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 600 << 10]).unwrap();
    let long = Value::text(&"x".repeat(4000)).unwrap();
    let mut written = 0;
    let failed = loop {
        let positions = written * 20 + 1..=written * 20 + 20;
        let rows: Vec<_> = positions
            .map(|position| row(position, long.clone()))
            .collect();
        let batch = Batch::new(BatchId(written), rows);
        match writer.write(&batch).await {
            Ok(receipt) => written += (receipt.delivered() == 20) as u64,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                break batch;
            }
        }
        assert!(written < 1000, "the disk never filled up");
    };
    std::fs::remove_file(&ballast).unwrap();
    let receipt = writer.write(&failed).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (20, 0));
    writer.close().await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let (count, highest): (i64, i64) = connection
        .query_row(
            "SELECT count(*), max(position) FROM tag_values",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let expected = (written as i64 + 1) * 20;
    assert_eq!((count, highest), (expected, expected));
}
