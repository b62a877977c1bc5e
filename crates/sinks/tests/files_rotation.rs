//! Files: when they are finished, how they are named, how many are kept, and bad days.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{SCOPE, batch, row};
use record::{Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, ErrorKind, FileFormat, FileOptions, FileWriter, ScopeName,
    WhenFull, files,
};
use test_services::Disk;
use url::Url;

fn finished(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "csv"));
    found.sort();
    found
}

fn positions(file: &Path) -> Vec<u64> {
    let rows = files::read(file).unwrap();
    rows.map(|row| row.unwrap().position.unwrap().number())
        .collect()
}

fn all_positions(folder: &Path) -> Vec<u64> {
    finished(folder)
        .iter()
        .flat_map(|file| positions(file))
        .collect()
}

fn options(folder: &Path) -> FileOptions {
    FileOptions::new(folder, FileFormat::Csv).rotate_age(None)
}

async fn open(options: FileOptions) -> FileWriter {
    let writer = FileWriter::new(options);
    writer
        .open_scope(SCOPE, &ScopeName::new("plc/normal"))
        .await
        .unwrap();
    writer
}

#[tokio::test]
async fn a_file_is_finished_at_the_batch_that_fills_it() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(options(folder.path()).rotate_rows(5)).await;
    writer.write(&batch(1, 1..=4)).await.unwrap();
    assert_eq!(finished(folder.path()).len(), 0);
    writer.write(&batch(2, 5..=9)).await.unwrap();
    writer.write(&batch(3, 10..=10)).await.unwrap();
    let files = finished(folder.path());
    assert_eq!(
        (files.len(), positions(&files[0])),
        (1, Vec::from_iter(1..=9))
    );
    writer.close().await.unwrap();
    assert_eq!(positions(&finished(folder.path())[1]), [10]);
    assert_eq!(writer.stats().files_finished, 2);

    let folder = tempfile::tempdir().unwrap();
    let writer = open(options(folder.path()).rotate_bytes(4000)).await;
    let text = Value::text(&"x".repeat(1500)).unwrap();
    for position in 1..=6 {
        let rows = vec![row(position, text.clone())];
        writer
            .write(&Batch::new(BatchId(position), rows))
            .await
            .unwrap();
    }
    let files = finished(folder.path());
    assert_eq!(files.len(), 2);
    assert_eq!(positions(&files[1]), [4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn law_5_a_file_is_finished_at_its_age_though_nothing_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(60);
    let writer = open(options(folder.path()).rotate_age(Some(age))).await;
    writer.write(&batch(1, 1..=2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    writer.write(&batch(2, 3..=4)).await.unwrap();
    assert_eq!(finished(folder.path()).len(), 0);
    tokio::time::sleep(Duration::from_secs(21)).await;
    // An answer comes when the work before it is done.
    writer.scopes("").await.unwrap();
    assert_eq!(all_positions(folder.path()), Vec::from_iter(1..=4));
    // The next file has an age of its own, and no rows have none.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(finished(folder.path()).len(), 1);
    writer.write(&batch(3, 5..=5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    writer.scopes("").await.unwrap();
    assert_eq!(all_positions(folder.path()), Vec::from_iter(1..=5));
}

#[tokio::test]
async fn law_5_rows_of_an_earlier_run_keep_their_age() {
    let folder = tempfile::tempdir().unwrap();
    let clock = |seconds: i64| move || Timestamp::from_micros(seconds * 1_000_000).unwrap();
    let hour = Some(Duration::from_secs(3600));
    let aged = options(folder.path()).rotate_age(hour);
    let writer = open(aged.clone().clock(clock(1000))).await;
    writer.write(&batch(1, 1..=2)).await.unwrap();
    drop(writer);
    let writer = FileWriter::<record::Record>::new(aged.clone().clock(clock(4000)));
    writer.scopes("").await.unwrap();
    assert_eq!(finished(folder.path()).len(), 0);
    drop(writer);
    let writer = FileWriter::<record::Record>::new(aged.clock(clock(4600)));
    writer.scopes("").await.unwrap();
    assert_eq!(all_positions(folder.path()), [1, 2]);
}

#[tokio::test]
async fn lesson_two_backups_in_the_same_second_with_the_same_count_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let now = || Timestamp::from_micros(1_714_564_800_000_000).unwrap();
    for run in 0..4 {
        let writer = open(options(folder.path()).clock(now).rotate_rows(3)).await;
        for file in 0..5 {
            let first = (run * 5 + file) * 3 + 1;
            writer.write(&batch(first, first..first + 3)).await.unwrap();
        }
        writer.close().await.unwrap();
    }
    let files = finished(folder.path());
    assert_eq!(files.len(), 20);
    let file = files[0].file_name().unwrap().to_str().unwrap();
    assert!(
        file.starts_with("tag_values-20240501T120000.000000Z-"),
        "{file}"
    );
    let mut rows = all_positions(folder.path());
    rows.sort_unstable();
    assert_eq!(rows, Vec::from_iter(1..=60));
}

#[tokio::test]
async fn lesson_a_backup_directory_without_a_cap() {
    let folder = tempfile::tempdir().unwrap();
    let capped = options(folder.path()).rotate_rows(2).files_max(3);
    let writer = open(capped.clone()).await;
    for first in [1, 3, 5] {
        writer.write(&batch(first, first..first + 2)).await.unwrap();
    }
    let error = writer.write(&batch(7, 7..=8)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error
            .to_string()
            .contains("is full: it has 3 finished files"),
        "{error}"
    );
    std::fs::remove_file(&finished(folder.path())[0]).unwrap();
    assert_eq!(writer.write(&batch(7, 7..=8)).await.unwrap().repeated(), 0);
    writer.close().await.unwrap();
    assert_eq!(all_positions(folder.path()), Vec::from_iter(3..=8));

    let writer = open(capped.when_full(WhenFull::DeleteOldest)).await;
    for first in [9, 11, 13] {
        writer.write(&batch(first, first..first + 2)).await.unwrap();
    }
    assert_eq!(all_positions(folder.path()), Vec::from_iter(9..=14));
    let stats = writer.stats();
    assert_eq!((stats.files_deleted, stats.files_finished), (3, 3));
    assert!(stats.bytes_deleted > 300);
}

#[tokio::test]
async fn caps_on_bytes_and_age_hold_too() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(options(folder.path()).rotate_rows(1).bytes_max(200)).await;
    writer.write(&batch(1, 1..=1)).await.unwrap();
    writer.write(&batch(2, 2..=2)).await.unwrap();
    let error = writer.write(&batch(3, 3..=3)).await.unwrap_err();
    assert!(
        error.to_string().contains("of 200 bytes are allowed"),
        "{error}"
    );
    writer.close().await.unwrap();

    let later = || {
        Timestamp::from_micros(
            Timestamp::from_system(std::time::SystemTime::now()).micros() + 7_200_000_000,
        )
        .unwrap()
    };
    let hour = Duration::from_secs(3600);
    let aged = options(folder.path())
        .age_max(hour)
        .when_full(WhenFull::DeleteOldest);
    let writer = open(aged.clock(later)).await;
    writer.write(&batch(3, 3..=3)).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(all_positions(folder.path()), [3]);
    assert_eq!(writer.stats().files_deleted, 2);
}

#[tokio::test]
async fn a_second_writer_is_locked_out_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(options(folder.path())).await;
    first.write(&batch(1, 1..=2)).await.unwrap();
    let second = FileWriter::<record::Record>::new(options(folder.path()));
    let error = second.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("another writer has locked"),
        "{error}"
    );
    first.close().await.unwrap();
    assert_eq!(second.scopes("").await.unwrap().len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn law_8_a_lock_whose_file_was_removed_lets_no_two_writers_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = &folder.path().join("a/b");
    let first = open(options(folder)).await;
    first.write(&batch(1, 1..=2)).await.unwrap();
    std::fs::remove_file(folder.join("forebay.lock")).unwrap();
    let second = open(options(folder)).await;
    second.write(&batch(2, 3..=4)).await.unwrap();
    let refused = [
        first.write(&batch(2, 3..=4)).await.map(|_| ()),
        first.rotate().await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains("forebay.lock"), "{error}");
    }
    second.close().await.unwrap();
    assert_eq!(all_positions(folder), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_log_that_is_removed_while_it_is_open_takes_no_rows_that_nobody_will_see() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(options(folder.path())).await;
    let (log, aside) = (
        folder.path().join("forebay.log"),
        folder.path().join("aside"),
    );
    std::fs::rename(&log, &aside).unwrap();
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("was removed or replaced"),
        "{error}"
    );
    std::fs::rename(&aside, &log).unwrap();
    writer.write(&batch(1, 1..=2)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_batch_whole_and_it_goes_in_once_there_is_room() {
    let Some(disk) = Disk::mount("size=1m") else {
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 600 << 10]).unwrap();
    let writer = open(options(disk.path())).await;
    let long = Value::text(&"x".repeat(4000)).unwrap();
    let mut first = 1;
    let failed = loop {
        let rows: Vec<_> = (first..first + 20)
            .map(|at| row(at, long.clone()))
            .collect();
        let batch = Batch::new(BatchId(first), rows);
        match writer.write(&batch).await {
            Ok(_) => first += 20,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                break batch;
            }
        }
        assert!(first < 1000, "the disk never filled up");
    };
    // A copy of the rows does not fit either; they stay where they are.
    let error = writer.rotate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert_eq!(finished(disk.path()).len(), 0);
    std::fs::remove_file(&ballast).unwrap();
    let receipt = writer.write(&failed).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (20, 0));
    writer.close().await.unwrap();
    assert_eq!(all_positions(disk.path()), Vec::from_iter(1..first + 20));
}

#[tokio::test]
async fn a_log_of_other_rows_is_finished_as_it_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(options(folder.path())).await;
    writer.write(&batch(1, 1..=2)).await.unwrap();
    drop(writer);
    let writer = open(options(folder.path()).name("readings")).await;
    writer.write(&batch(2, 2..=4)).await.unwrap();
    writer.close().await.unwrap();
    let files = finished(folder.path());
    assert_eq!(
        (positions(&files[0]), positions(&files[1])),
        (vec![3, 4], vec![1, 2])
    );
}

fn refused(url: &str) -> String {
    FileOptions::from_url(&Url::parse(url).unwrap())
        .unwrap_err()
        .to_string()
}

#[test]
fn everything_can_be_said_by_url_and_mistakes_are_named() {
    let url = "csv:///var/lib/my%20files?name=readings&rotate_bytes=1MiB&rotate_rows=10\
        &rotate_age=30s&files_max=7&bytes_max=1GiB&age_max=48h&when_full=delete_oldest";
    let read = FileOptions::from_url(&Url::parse(url).unwrap()).unwrap();
    let built = FileOptions::new("/var/lib/my files", FileFormat::Csv)
        .name("readings")
        .rotate_bytes(1 << 20)
        .rotate_rows(10)
        .rotate_age(Some(Duration::from_secs(30)))
        .files_max(7)
        .bytes_max(1 << 30)
        .age_max(Duration::from_secs(48 * 3600))
        .when_full(WhenFull::DeleteOldest);
    assert_eq!(format!("{read:?}"), format!("{built:?}"));
    let relative = Url::parse("csv:../out/files?rotate_age=off").unwrap();
    let relative = FileOptions::from_url(&relative).unwrap();
    assert_eq!(relative.directory(), Path::new("../out/files"));

    assert!(refused("csv://out/files").contains("on the host `out`"));
    assert!(refused("csv:").contains("names no directory"));
    assert!(refused("tsv:out").contains("the scheme is `tsv`"));
    assert!(refused("csv:out?rotate=1").contains("rotate"));
    assert!(refused("csv:out?when_full=explode").contains("explode"));
    assert!(refused("csv:out?age_max=1h").contains("delete_oldest"));
    assert!(refused("csv:out?name=No").contains("lower-case"));
}
