//! What is wrong with an input, a data directory or a command line: one bad row costs one row, all
//! else is a clear message, and nothing that was accepted is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Running, delivered, finish, forebay, lines, number, query};
use test_services::Disk;

const GOOD: &str = r#"{"source":"PLC01","tag":"D100","value":1}"#;

/// Ingests two good lines around a bad one, which has to be in the quarantine as it was.
#[track_caller]
fn check_line(bad: &[u8], reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let text = [GOOD.as_bytes(), b"\n", bad, b"\n", GOOD.as_bytes()].concat();
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let outcome = finish(&mut forebay(
        folder.path(),
        &["ingest", "a.ndjson", "--json"],
    ));
    assert_eq!(outcome.check(0, &[]).counts(), [3, 2, 1, 0, 0]);
    let found = query(folder.path(), "SELECT position, reason FROM quarantine");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("2|line 2: "), "{}", found[0]);
    assert!(
        found[0].contains(reason),
        "{reason:?} is not in {}",
        found[0]
    );
    let kept: Vec<u8> = common::open(folder.path())
        .query_row("SELECT CAST(original AS BLOB) FROM quarantine", (), |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(kept, bad[..bad.len().min(1 << 20)]);
    let positions = query(folder.path(), "SELECT position FROM tag_values");
    assert_eq!(positions, ["1", "3"]);
}

#[test]
fn law_9_a_malformed_line_costs_one_line() {
    check_line(b"not JSON", "expected");
    check_line(br#"{"source":"s","tag":"t","value":}"#, "expected value");
    check_line(br#"{"source":"s","tag":"t","value":1"#, "EOF");
    check_line(br#"{"tag":"t","value":1}"#, "field `source` is missing");
    check_line(br#"{"source":"s","value":1}"#, "field `tag` is missing");
    check_line(br#"{"source":"s","tag":"t"}"#, "field `value` is missing");
    check_line(
        br#"{"source":"","tag":"t","value":1}"#,
        "field `source` is empty",
    );
    check_line(
        br#"{"source":"s","tag":"t","value":1,"quality":"fine"}"#,
        "quality",
    );
    check_line(
        br#"{"source":"s","tag":"t","value":1,"timestamp":"today"}"#,
        "timestamp",
    );
    check_line(br#"[1, 2]"#, "an array");
}

#[test]
fn law_9_a_line_that_is_no_text_costs_one_line() {
    check_line(b"{\"source\":\"\xFF\",\"tag\":\"t\",\"value\":1}", "UTF-8");
}

#[test]
fn law_9_a_line_over_a_mebibyte_costs_one_line() {
    let long = "x".repeat(1 << 20);
    let line = format!(r#"{{"source":"s","tag":"t","value":"{long}"}}"#);
    check_line(line.as_bytes(), "1048576");
}

#[test]
fn law_9_numbers_that_are_none_cost_one_line() {
    for number in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let line = format!(r#"{{"source":"s","tag":"t","value":{number}}}"#);
        check_line(line.as_bytes(), "line 2: ");
    }
}

#[test]
fn law_9_a_time_far_in_the_future_costs_one_line() {
    let line = br#"{"source":"s","tag":"t","value":1,"timestamp":"2999-01-01T00:00:00Z"}"#;
    check_line(line, "2999-01-01");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), line).unwrap();
    let arguments = ["ingest", "a", "--json", "--max-future", "999999d"];
    let outcome = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    assert_eq!(outcome.counts(), [1, 1, 0, 0, 0]);
}

#[test]
fn law_9_a_ragged_row_costs_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = "timestamp,source,tag,value\n2024-05-01 12:00:00,s,t,1\n2024-05-01,s,t\n\
                2024-05-01 12:00:00,s,t,1,2\n2024-05-01 12:00:01,s,t,2\n";
    std::fs::write(folder.path().join("a.csv"), text).unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "a.csv", "--json"]));
    assert_eq!(outcome.check(0, &[]).counts(), [4, 2, 2, 0, 0]);
    let found = query(
        folder.path(),
        "SELECT position, reason, original FROM quarantine",
    );
    assert!(
        found[0].starts_with("3|") && found[0].contains("the row has 3 cells"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("4|") && found[1].contains("the header has 4"),
        "{found:?}"
    );
    assert!(
        found[1].ends_with("|2024-05-01 12:00:00,s,t,1,2"),
        "{found:?}"
    );
}

#[test]
fn an_empty_file_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "\n\n", "timestamp,source,tag,value\n"] {
        std::fs::write(folder.path().join("a"), text).unwrap();
        let outcome = finish(&mut forebay(folder.path(), &["ingest", "a", "--json"]));
        assert_eq!(outcome.check(0, &[]).counts(), [0; 5], "{text:?}");
    }
}

/// A file of this content is refused, and no database is made for it.
#[track_caller]
fn check_refused(content: &[u8], arguments: &[&str], says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), content).unwrap();
    let outcome = finish(forebay(folder.path(), &["ingest", "a", "--json"]).args(arguments));
    let outcome = outcome.check(1, says);
    assert_eq!(outcome.stdout, "");
    let said = outcome.stderr.trim_end();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.matches(says[0]).count() == 1, "said twice: {said}");
    assert!(!folder.path().join("forebay-data").exists());
}

#[test]
fn content_that_cannot_be_understood_is_refused_with_what_it_looks_like() {
    check_refused(
        b"a,b\n1,2\n",
        &[],
        &["a: no column gives the timestamp", "--map"],
    );
    check_refused(
        b"time;value\n1;2\n",
        &["--wide"],
        &["no column gives the timestamp"],
    );
    check_refused(
        b"timestamp,value\n1,2\n",
        &["--source", "s"],
        &["no column gives the tag"],
    );
    check_refused(
        b"timestamp,source,tag,value\n",
        &["--map", "value=reading"],
        &["no such column"],
    );
    check_refused(b"\x1f\x8b\x08\0\0", &[], &["this looks like"]);
    check_refused(b"a\0b", &[], &["binary data"]);
    check_refused(b"[{}]", &[], &["a JSON array", "jq"]);
    check_refused(b"{\n  \"source\": 1\n}", &[], &["several lines"]);
    check_refused(b"hello", &[], &["neither JSON lines nor a table"]);
}

#[test]
fn a_table_with_numbers_for_times_asks_for_their_unit() {
    let folder = tempfile::tempdir().unwrap();
    let text = "timestamp,source,tag,value\n1700000000,s,t,1\n";
    std::fs::write(folder.path().join("a"), text).unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "a"]));
    outcome.check(1, &["the time 1700000000 is a number", "--time-unit"]);
}

#[test]
fn a_missing_file_and_a_directory_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "nothing"]));
    outcome.check(1, &["nothing: no such file"]);
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "."]));
    outcome.check(1, &[". is a directory, expected a file"]);
    assert!(!folder.path().join("forebay-data").exists());
}

#[test]
fn a_mistake_on_the_command_line_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), GOOD).unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["ingest"], "<FILE>"),
        (&["ingest", "a", "--unknown"], "--unknown"),
        (&["ingest", "a", "--batch-size", "0"], "1..=1000000"),
        (&["ingest", "a", "--retries", "-1"], "-1"),
        (
            &["ingest", "a", "--map", "time=x"],
            "timestamp, source, tag",
        ),
        (&["ingest", "a", "--timezone", "Mars"], "Europe/Berlin"),
        (&["ingest", "a", "--time-unit", "weeks"], "s, ms, us or ns"),
        (&["ingest", "a", "--delimiter", "ab"], "one ASCII character"),
        (&["ingest", "a", "--max-future", "5"], "ms, s, m, h or d"),
        (&["ingest", "a", "--scope", ""], "1 to 200 bytes"),
        (
            &["ingest", "a", "--wide", "--tag", "t"],
            "cannot be used with",
        ),
        (&["ingest", "a", "--format", "xml"], "ndjson, csv"),
        (&["run", "--for", "soon"], "ms, s, m, h or d"),
        (&["run", "--listen", "8000"], "invalid socket address"),
        (&["walk"], "walk"),
    ];
    for (arguments, says) in table {
        finish(&mut forebay(folder.path(), arguments)).check(2, &[says]);
    }
    assert!(!folder.path().join("forebay-data").exists());
}

#[test]
fn a_data_directory_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), GOOD).unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "a", "--data", "a"]));
    outcome.check(1, &["a is not a directory", "--data DIR"]);
    let outcome = finish(&mut forebay(
        folder.path(),
        &["ingest", "a", "--data", "a/b"],
    ));
    outcome.check(1, &["cannot create the data directory a/b", "--data DIR"]);
}

#[test]
fn a_read_only_data_directory_is_named() {
    let Some(disk) = Disk::mount("size=1m") else {
        return;
    };
    std::fs::write(disk.path().join("a"), GOOD).unwrap();
    std::fs::create_dir(disk.path().join("data")).unwrap();
    disk.make_read_only();
    for data in ["data", "new"] {
        let outcome = finish(&mut forebay(disk.path(), &["ingest", "a", "--data", data]));
        let outcome = outcome.check(1, &[data]);
        let said = outcome.stderr.to_lowercase();
        assert!(
            said.contains("read-only") || said.contains("may it be written"),
            "{said}"
        );
    }
}

/// A data directory with something else in the place of the database.
fn with_database(content: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), GOOD).unwrap();
    std::fs::create_dir(folder.path().join("forebay-data")).unwrap();
    std::fs::write(common::database(folder.path()), content).unwrap();
    folder
}

#[test]
fn a_database_that_is_none_is_left_as_it_is() {
    let letter = "this is a letter, not a database".repeat(100);
    let folder = with_database(letter.as_bytes());
    for arguments in [&["ingest", "a"][..], &["run", "--listen", "127.0.0.1:0"]] {
        let outcome = finish(&mut forebay(folder.path(), arguments));
        outcome.check(1, &["forebay.sqlite", "not an SQLite database"]);
    }
    let found = std::fs::read_to_string(common::database(folder.path())).unwrap();
    assert_eq!(found, letter);
}

#[test]
fn a_database_that_another_process_has_locked_is_said_so() {
    let folder = with_database(b"");
    let other = common::open(folder.path());
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t(x)")
        .unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["ingest", "a"]));
    outcome.check(1, &["forebay.sqlite", "another process has locked it"]);
}

#[test]
fn a_lock_that_comes_and_goes_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), lines(1..=50_000)).unwrap();
    let arguments = ["ingest", "a", "--json", "--batch-size", "1000"];
    let running = Running::start(&mut forebay(folder.path(), &arguments));
    common::until("the first rows", || delivered(folder.path()) > 0);
    let other = common::open(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    other.execute_batch("ROLLBACK").unwrap();
    let outcome = running.end().check(0, &[]);
    assert_eq!(outcome.counts(), [50_000, 50_000, 0, 0, 0]);
    assert_eq!(delivered(folder.path()), 50_000);
}

#[test]
fn two_processes_with_the_same_file_write_it_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), lines(1..=50_000)).unwrap();
    let arguments = ["ingest", "a", "--batch-size", "100"];
    let first = Running::start(&mut forebay(folder.path(), &arguments));
    common::until("the first rows", || delivered(folder.path()) > 0);
    finish(&mut forebay(folder.path(), &["ingest", "a"])).check(0, &[]);
    first.end().check(1, &["by another process"]);
    let twice = "SELECT count(*) - count(DISTINCT position) FROM tag_values";
    assert_eq!(
        (delivered(folder.path()), number(folder.path(), twice)),
        (50_000, 0)
    );
}

/// Fills the rest of a disk with a file.
fn fill(disk: &Path, leave_bytes: usize) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0_u8; 4 << 20]).unwrap_err();
    let length = std::fs::metadata(&ballast).unwrap().len();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&ballast)
        .unwrap();
    file.set_len(length.saturating_sub(leave_bytes as u64))
        .unwrap();
}

#[test]
fn a_full_disk_is_named_and_with_room_again_the_same_command_completes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount("size=2m") else {
        return;
    };
    std::fs::write(folder.path().join("a"), lines(1..=10_000)).unwrap();
    let data = disk.path().join("forebay-data");
    let data = data.to_str().unwrap();
    let arguments = [
        "ingest",
        "a",
        "--json",
        "--batch-size",
        "500",
        "--retries",
        "2",
        "--data",
    ];
    let arguments = [&arguments[..], &[data]].concat();
    fill(disk.path(), 400 << 10);
    let outcome = finish(&mut forebay(folder.path(), &arguments));
    let outcome = outcome.check(1, &["the disk is full", "Run the same command again"]);
    let [read, written, quarantined, skipped, undelivered] = outcome.counts();
    assert_eq!(read, written + undelivered);
    assert_eq!((quarantined, skipped), (0, 0));
    assert!(undelivered > 0, "{outcome:?}");
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    let outcome = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    assert_eq!(outcome.counts(), [10_000, 10_000 - written, 0, written, 0]);
    let twice = "SELECT count(*) - count(DISTINCT position) FROM tag_values";
    assert_eq!(
        (delivered(disk.path()), number(disk.path(), twice)),
        (10_000, 0)
    );
}
