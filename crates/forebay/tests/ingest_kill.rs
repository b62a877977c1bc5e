//! A process that is killed in the middle of an ingest, at any moment: the next run goes on where
//! the database is, and no row is twice, none is missing, and the order is kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Running, delivered, finish, forebay, lines, open, until};

const ROWS: u64 = 200_000;

/// Starts an ingest, kills it after this time, and says whether that cut it short.
fn kill_after(directory: &Path, batch: &str, delay: Duration) -> bool {
    let mut command = forebay(directory, &["ingest", "a.ndjson", "--batch-size", batch]);
    let mut running = Running::start(&mut command);
    let begun = Instant::now();
    until("the moment to kill", || {
        running.has_ended() || begun.elapsed() >= delay
    });
    running.kill();
    running.end().code.is_none()
}

#[track_caller]
fn assert_exactly_once(directory: &Path, rows: u64) {
    let connection = open(directory);
    let scopes: i64 = connection
        .query_row("SELECT count(*) FROM scopes", (), |row| row.get(0))
        .unwrap();
    assert_eq!(scopes, 1);
    // In the order of the table, which is the order of delivery: each row's line is the next one.
    let mut statement = connection
        .prepare("SELECT position, value FROM tag_values ORDER BY rowid")
        .unwrap();
    let mut found = statement.query(()).unwrap();
    let mut next = 1_i64;
    while let Some(row) = found.next().unwrap() {
        let (position, value): (i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
        assert_eq!((position, value), (next, next), "at row {next}");
        next += 1;
    }
    assert_eq!(next, rows as i64 + 1);
}

#[test]
fn law_8_killed_at_random_moments_no_row_is_twice_and_none_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ndjson");
    std::fs::write(&file, lines(1..=ROWS)).unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = seed;
    let mut killed = 0;
    for batch in ["500", "1000", "333", "5000", "77"] {
        // A linear congruential generator by Knuth; the high bits are the good ones.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let delay = Duration::from_millis(20 + (random >> 33) % 300);
        killed += u64::from(kill_after(folder.path(), batch, delay));
    }
    assert!(killed > 0, "no run was cut short");
    let outcome = finish(&mut forebay(
        folder.path(),
        &["ingest", "a.ndjson", "--json"],
    ));
    let outcome = outcome.check(0, &[]);
    assert_eq!(outcome.count("read"), ROWS);
    assert_exactly_once(folder.path(), ROWS);
}

#[test]
fn law_8_killed_and_resumed_after_lines_were_appended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ndjson");
    // Shorter than 64 KiB at first, so that its scope has to be found by a part of what it is now.
    let mut rows = 300;
    std::fs::write(&file, lines(1..=rows)).unwrap();
    finish(&mut forebay(folder.path(), &["ingest", "a.ndjson"])).check(0, &[]);
    for (batch, more) in [("400", 40_000), ("50", 10_000), ("5000", 30_000)] {
        let mut appended = OpenOptions::new().append(true).open(&file).unwrap();
        appended
            .write_all(lines(rows + 1..=rows + more).as_bytes())
            .unwrap();
        rows += more;
        let before = delivered(folder.path());
        let mut command = forebay(
            folder.path(),
            &["ingest", "a.ndjson", "--batch-size", batch],
        );
        let mut running = Running::start(&mut command);
        until("something new to be written", || {
            running.has_ended() || delivered(folder.path()) > before
        });
        running.kill();
        running.end();
    }
    let outcome = finish(&mut forebay(
        folder.path(),
        &["ingest", "a.ndjson", "--json"],
    ));
    assert_eq!(outcome.check(0, &[]).count("read"), rows);
    assert_exactly_once(folder.path(), rows);
}

#[test]
fn an_interrupt_delivers_what_was_read_and_says_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=ROWS)).unwrap();
    let arguments = ["ingest", "a.ndjson", "--json", "--batch-size", "100"];
    let running = Running::start(&mut forebay(folder.path(), &arguments));
    until("the first rows", || delivered(folder.path()) > 0);
    running.signal("INT");
    let outcome = running.end().check(0, &["Run the same command again"]);
    let [read, written, .., undelivered] = outcome.counts();
    assert_eq!((read, undelivered), (written, 0));
    assert!(read < ROWS, "{outcome:?}");
    assert_eq!(outcome.json()["complete"], false);
    let outcome = finish(&mut forebay(
        folder.path(),
        &["ingest", "a.ndjson", "--json"],
    ));
    assert_eq!(outcome.counts(), [ROWS, ROWS - read, 0, read, 0]);
    assert_exactly_once(folder.path(), ROWS);
}
