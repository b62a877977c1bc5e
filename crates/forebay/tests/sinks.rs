//! Sinks by URL, through the program: rows arrive once in servers and files, what was kept in files
//! is delivered again, mistakes are named, and no password is ever said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{Outcome, Running, finish, forebay, lines, number, query};
use test_services::{Kind, Service};

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

/// Ingests into a server, cut short by a kill, and once more to the end.
fn assert_once(kind: Kind, name: &str) {
    let Some(service) = Service::start(kind) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rows = 20_000;
    std::fs::write(folder.path().join("a.ndjson"), lines(1..=rows)).unwrap();
    let url = service.url();
    let load = [
        "ingest",
        "a.ndjson",
        "--json",
        "--batch-size",
        "200",
        "--sink",
        &url,
    ];
    let mut running = Running::start(&mut forebay(folder.path(), &load));
    std::thread::sleep(std::time::Duration::from_millis(700));
    running.kill();
    let _ = running.end();
    let outcome = run(folder.path(), &load).check(0, &[]);
    let [read, delivered, quarantined, skipped, undelivered] = outcome.counts();
    assert_eq!((read, quarantined, undelivered), (rows, 0, 0));
    assert_eq!(delivered + skipped, rows);
    assert_eq!(outcome.json()["sink"], name);
    let again = run(folder.path(), &load).check(0, &[]);
    assert_eq!(
        (again.count("delivered"), again.count("skipped")),
        (0, rows)
    );
}

#[test]
fn law_8_postgres_killed_and_resumed_has_each_row_once() {
    assert_once(Kind::Postgres, "postgres");
}

#[test]
fn law_8_mariadb_killed_and_resumed_has_each_row_once() {
    assert_once(Kind::MariaDb, "mysql");
}

#[test]
fn law_8_redis_killed_and_resumed_has_each_row_once() {
    assert_once(Kind::Redis, "redis");
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
    for part in [
        "URL",
        "sqlite:data/plant.sqlite",
        "PostgreSQL",
        "exactly once",
        "at least once",
    ] {
        assert!(
            outcome.stdout.contains(part),
            "{part} in {}",
            outcome.stdout
        );
    }
    let outcome = run(folder.path(), &["sinks", "--json"]).check(0, &[]);
    let known = outcome.json();
    assert_eq!(known[0]["name"], "sqlite");
    assert_eq!(known[0]["built_in"], true);
}
