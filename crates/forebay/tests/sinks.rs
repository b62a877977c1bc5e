//! Sinks by URL, through the program: rows arrive once in files, what was kept in files is
//! delivered again, mistakes are named, and no password is ever said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{Outcome, finish, forebay, lines, number, query};

const SECRET: &str = "hunter2";

fn run(directory: &Path, arguments: &[&str]) -> Outcome {
    finish(&mut forebay(directory, arguments))
}

/// Files whose names end so, below a directory.
fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn rows_arrive_once_in_csv_files_and_are_replayed_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"source\":\"PLC01\"}\n".to_owned() + &lines(1..=500);
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let load = [
        "ingest",
        "a.ndjson",
        "--json",
        "--sink",
        "csv:out?rotate_rows=100",
    ];
    let outcome = run(folder.path(), &load).check(0, &[]);
    assert_eq!(outcome.counts(), [501, 500, 1, 0, 0]);
    assert_eq!(outcome.json()["sink"], "csv");
    let outcome = run(folder.path(), &load).check(0, &[]);
    assert_eq!(outcome.counts(), [501, 0, 0, 501, 0]);

    let written = files(&folder.path().join("out"), ".csv");
    assert!(!written.is_empty(), "files were finished");
    let mut replay = vec!["replay", "--json"];
    replay.extend(written.iter().map(|path| path.to_str().unwrap()));
    let outcome = run(folder.path(), &replay).check(0, &[]);
    assert_eq!(outcome.count("read"), outcome.count("delivered"));
    let all = number(
        folder.path(),
        "SELECT count(DISTINCT value) FROM tag_values",
    );
    assert_eq!(all as u64, outcome.count("delivered"));
    let again = run(folder.path(), &replay).check(0, &[]);
    assert_eq!(
        (again.count("delivered"), again.count("skipped")),
        (0, all as u64)
    );

    let kept = files(&folder.path().join("forebay-data"), ".ndjson");
    let replay = ["replay", "--json", kept[0].to_str().unwrap()];
    let outcome = run(folder.path(), &replay).check(0, &[]);
    assert_eq!(
        outcome.counts(),
        [1, 0, 1, 0, 0],
        "it is still bad, and kept again"
    );
    let reasons = query(folder.path(), "SELECT reason FROM quarantine");
    assert!(
        reasons[0].contains("field `value` is missing"),
        "{reasons:?}"
    );
}

#[cfg(feature = "parquet")]
#[test]
fn rows_come_back_from_parquet_files_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let values = ["1.5", "true", "\"open\"", "null", "9007199254740993", "[1]"];
    let text: String = (0..)
        .zip(values)
        .map(|(at, value)| {
            let timestamp = 1_700_000_000_000_000_u64 + at;
            format!(
                "{{\"timestamp\":{timestamp},\"source\":\"P\",\"tag\":\"a\",\"value\":{value}}}\n"
            )
        })
        .collect();
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let load = ["ingest", "a.ndjson", "--json", "--sink", "parquet:out"];
    run(folder.path(), &load).check(0, &[]);
    let written = files(&folder.path().join("out"), ".parquet");
    assert_eq!(written.len(), 1);
    let replay = ["replay", "--json", written[0].to_str().unwrap()];
    let outcome = run(folder.path(), &replay).check(0, &[]);
    assert_eq!(outcome.counts(), [6, 6, 0, 0, 0]);
    let outcome = run(folder.path(), &replay).check(0, &[]);
    assert_eq!(outcome.counts(), [6, 0, 0, 6, 0]);
    run(folder.path(), &["ingest", "a.ndjson"]).check(0, &[]);
    // Each value twice, once by the way of the file, and the two alike.
    let alike = "SELECT count(*), typeof(value), value, quality FROM tag_values \
                 GROUP BY timestamp, typeof(value), value, quality ORDER BY timestamp";
    let found = query(folder.path(), alike);
    let expected = [
        "2|real|1.5|good",
        "2|integer|1|good",
        "2|text|open|good",
        "2|null|null|bad",
        "2|integer|9007199254740993|good",
        "2|text|[1]|good",
    ];
    assert_eq!(found, expected);
}

#[cfg(feature = "oracle")]
#[test]
fn oracle_without_its_client_library_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=2)).unwrap();
    let url = "oracle://me:hunter2@127.0.0.1:1/service";
    let outcome = run(folder.path(), &["ingest", "a.ndjson", "--sink", url]);
    let outcome = outcome.check(1, &["cannot use oracle://me:***@127.0.0.1:1/service"]);
    assert!(!outcome.stderr.contains(SECRET), "{outcome:?}");
    // Where the library is installed, nobody listens there.
    assert!(
        outcome.stderr.contains("Oracle Client library") || outcome.stderr.contains("ORA-12541"),
        "{outcome:?}"
    );
}

#[test]
fn what_is_no_file_of_rows_is_not_replayed_and_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let table: [(&str, &[u8], &str); 4] = [
        (
            "binary",
            b"\x7fELF\x02\x01\x01\0\0",
            "binary: this is binary data",
        ),
        ("text", b"Dear diary,\n", "it has no column `timestamp`"),
        ("old.gz", b"\x1f\x8b\x08\0\0", "old.gz: this is binary data"),
        ("latin", b"timestamp,T\xfcr\n", "latin: this is binary data"),
    ];
    for (name, content, says) in table {
        std::fs::write(folder.path().join(name), content).unwrap();
        run(folder.path(), &["replay", name]).check(1, &[says]);
    }
    run(folder.path(), &["replay", "nofile"]).check(1, &["nofile cannot be read"]);
    run(folder.path(), &["replay", "."]).check(1, &[". is no file"]);
    std::fs::write(folder.path().join("a"), lines(1..=2)).unwrap();
    run(folder.path(), &["replay", "a", "./a"]).check(1, &["are the same file"]);
    assert!(
        !folder.path().join("forebay-data").exists(),
        "nothing was made"
    );
}

#[test]
fn what_a_run_left_undelivered_is_replayed_once_as_ingest_would() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("undelivered-1.ndjson"), lines(1..=20)).unwrap();
    let outcome = run(folder.path(), &["replay", "undelivered-1.ndjson", "--json"]);
    assert_eq!(outcome.check(0, &[]).counts(), [20, 20, 0, 0, 0]);
    let outcome = run(folder.path(), &["ingest", "undelivered-1.ndjson", "--json"]);
    assert_eq!(outcome.check(0, &[]).counts(), [20, 0, 0, 20, 0]);
    run(folder.path(), &["replay", "forebay-data/forebay.sqlite"])
        .check(1, &["this is an SQLite database"]);
}

#[test]
fn mistakes_in_a_url_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=2)).unwrap();
    let table = [
        (
            "pigeon://home",
            "`pigeon` is no kind of sink, this build has sqlite",
        ),
        ("sqlite:x?colour=red", "parameter `colour` is unknown"),
        ("not a url", "is not a URL"),
    ];
    for (url, says) in table {
        let arguments = ["ingest", "a.ndjson", "--sink", url];
        run(folder.path(), &arguments).check(1, &["--sink", says]);
    }
    assert!(
        !folder.path().join("forebay-data").exists(),
        "nothing was made"
    );
}

#[test]
fn a_server_that_is_down_ends_an_ingest_with_its_reason_and_no_password() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=2)).unwrap();
    let urls = [
        "postgres://me:hunter2@127.0.0.1:1/db",
        "mysql://me:hunter2@127.0.0.1:1/db",
        "redis://me:hunter2@127.0.0.1:1/0",
        "pigeon://me:hunter2@127.0.0.1:1/0",
    ];
    for url in urls {
        let arguments = ["ingest", "a.ndjson", "--log-level", "trace", "--sink", url];
        let outcome = run(folder.path(), &arguments).check(1, &[]);
        assert!(!outcome.stderr.contains(SECRET), "{outcome:?}");
        assert!(!outcome.stdout.contains(SECRET), "{outcome:?}");
        let file = folder.path().join("f.toml");
        std::fs::write(&file, format!("[sink]\nurl = \"{url}\"\n")).unwrap();
        let outcome = run(folder.path(), &["check-config", "f.toml"]);
        assert!(!format!("{outcome:?}").contains(SECRET), "{outcome:?}");
    }
}

#[test]
fn a_load_that_http_cut_short_does_not_promise_more_than_http_keeps() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=2)).unwrap();
    let url = "http://127.0.0.1:1/rows";
    let arguments = ["ingest", "a.ndjson", "--retries", "0", "--sink", url];
    let outcome = run(folder.path(), &arguments).check(1, &["may be posted once more"]);
    assert!(!outcome.stderr.contains("twice"), "{outcome:?}");
}

#[test]
fn lesson_a_run_starts_though_its_sink_is_down_and_hands_everything_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://me:hunter2@127.0.0.1:1/db";
    let file = folder.path().join("f.toml");
    std::fs::write(&file, "[shutdown]\ndeadline = \"200ms\"\n").unwrap();
    let arguments = [
        "run",
        "--config",
        "f.toml",
        "--listen",
        "127.0.0.1:0",
        "--for",
        "1s",
        "--sink",
        url,
    ];
    let outcome = run(folder.path(), &arguments).check(1, &["not everything was delivered"]);
    assert!(
        outcome.stdout.contains("postgres://me:***@127.0.0.1:1/db"),
        "{outcome:?}"
    );
    assert!(
        outcome.stdout.contains("records are buffered meanwhile"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("forebay replay"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("with the password for `***`"),
        "{outcome:?}"
    );
    assert!(!format!("{outcome:?}").contains(SECRET), "{outcome:?}");
    let kept = files(&folder.path().join("forebay-data"), ".ndjson");
    let replay = ["replay", "--json", kept[0].to_str().unwrap()];
    let outcome = run(folder.path(), &replay).check(0, &[]);
    assert!(outcome.count("delivered") > 0, "{outcome:?}");
}

#[test]
fn the_sinks_of_this_build_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["sinks"]).check(0, &[]);
    // Without a feature its line says so.
    #[cfg(all(
        feature = "csv",
        feature = "http",
        feature = "mysql",
        feature = "oracle",
        feature = "parquet",
        feature = "postgres",
        feature = "redis",
        feature = "trust"
    ))]
    insta::assert_snapshot!(outcome.stdout);
    for part in ["URL", "sqlite:data/plant.sqlite", "exactly once"] {
        assert!(outcome.stdout.contains(part), "{outcome:?}");
    }
    let outcome = run(folder.path(), &["sinks", "--json"]).check(0, &[]);
    let known = outcome.json();
    assert_eq!(known[0]["name"], "sqlite");
    assert_eq!(known[0]["built_in"], true);
}
