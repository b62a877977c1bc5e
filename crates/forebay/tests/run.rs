//! `forebay run`: how it starts, how it ends, and where everything is afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Outcome, Running, delivered, finish, forebay, number, open, query, until};
use test_services::Disk;

/// `forebay run` on a free port, with this configuration.
fn run(directory: &Path, config: &str, arguments: &[&str]) -> std::process::Command {
    std::fs::write(directory.join("f.toml"), config).unwrap();
    let mut command = forebay(directory, &["run", "--config", "f.toml"]);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    command
}

/// A server into which only what is posted goes.
const QUIET: &str = "[host]\nenabled = false\n";

fn post(address: &str, lines: &str) -> serde_json::Value {
    let answer = ureq::post(format!("{address}/api/ingest"))
        .send(lines)
        .unwrap();
    answer.into_body().read_json().unwrap()
}

/// The last line of a clean end.
#[track_caller]
fn summary(outcome: &Outcome) -> &str {
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with("stopped after "));
    line.unwrap_or_else(|| panic!("no summary: {outcome:?}"))
}

#[test]
fn it_polls_this_host_and_ends_by_itself_with_everything_delivered() {
    let folder = tempfile::tempdir().unwrap();
    // Without a command it runs, too.
    let arguments = ["--listen", "127.0.0.1:0", "--for", "1500ms"];
    let begun = Instant::now();
    let outcome = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    let rows = delivered(folder.path());
    assert!(rows > 50, "{rows} rows, {outcome:?}");
    let said = summary(&outcome);
    let count = rows as u64;
    assert!(
        said.contains(&format!("{count} accepted, {count} delivered")),
        "{said}"
    );
    assert!(
        said.contains("0 dropped by policy, 0 quarantined, 0 undelivered"),
        "{said}"
    );
    let memory = "SELECT count(*) FROM tag_values WHERE tag = 'memory.used_bytes' AND value > 0";
    assert!(number(folder.path(), memory) > 5);
    let scopes = query(folder.path(), "SELECT name FROM scopes ORDER BY name");
    let lanes = ["critical", "high", "low", "normal"];
    let of = |source: &'static str| lanes.map(|lane| format!("{source}/{lane}"));
    assert_eq!(scopes, [of("host"), of("http")].concat());
}

#[test]
fn a_signal_drains_what_was_accepted_and_ends_with_a_summary() {
    for name in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        // Nothing is flushed before the end.
        let config = format!("{QUIET}[flush]\nage = \"off\"");
        let (running, address) = Running::serve(&mut run(folder.path(), &config, &[]));
        let answer = post(&address, &(common::lines(1..=30) + "not JSON\n"));
        assert_eq!(answer["accepted"], 30);
        running.signal(name);
        let outcome = running.end().check(0, &[]);
        assert!(
            summary(&outcome).contains(
                "31 accepted, 30 delivered, 0 dropped by policy, 1 quarantined, 0 undelivered"
            ),
            "{outcome:?}"
        );
        assert!(
            outcome.stdout.contains("forebay-data/forebay.sqlite"),
            "{outcome:?}"
        );
        let values = query(folder.path(), "SELECT value FROM tag_values");
        let expected: Vec<_> = (1..=30).map(|value| value.to_string()).collect();
        assert_eq!(values, expected);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("{QUIET}[shutdown]\ndeadline = \"10m\"");
        let (running, address) = Running::serve(&mut run(folder.path(), &config, &[]));
        let other = open(folder.path());
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        post(&address, &common::lines(1..=3));
        running.signal(name);
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        running.signal(name);
        let outcome = running.end();
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn what_is_not_delivered_in_time_is_kept_in_a_file_that_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{QUIET}[shutdown]\ndeadline = \"300ms\"");
    let (running, address) = Running::serve(&mut run(folder.path(), &config, &[]));
    let other = open(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    post(&address, &(common::lines(1..=5) + "not JSON\n"));
    running.signal("TERM");
    let outcome = running.end().check(1, &["not everything was delivered"]);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(
        summary(&outcome).contains("6 accepted, 0 delivered"),
        "{outcome:?}"
    );
    assert!(summary(&outcome).contains("6 undelivered"), "{outcome:?}");
    let (_, command) = outcome.stdout.split_once("`forebay ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!(words[0], "replay");
    assert!(
        words[1].starts_with("forebay-data/undelivered-"),
        "{command}"
    );
    assert_eq!(delivered(folder.path()), 0);
    let outcome = finish(forebay(folder.path(), &words).arg("--json")).check(0, &[]);
    assert_eq!(outcome.counts(), [6, 5, 1, 0, 0]);
    assert_eq!(
        query(folder.path(), "SELECT original FROM quarantine"),
        ["not JSON"]
    );
}

#[test]
fn a_lock_of_another_process_only_delays() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = Running::serve(&mut run(folder.path(), QUIET, &[]));
    let other = open(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(post(&address, &common::lines(1..=3))["accepted"], 3);
    std::thread::sleep(Duration::from_secs(1));
    other.execute_batch("ROLLBACK").unwrap();
    until("the rows", || delivered(folder.path()) == 3);
    running.signal("TERM");
    running.end().check(0, &[]);
}

#[test]
fn a_port_in_use_is_named_and_whoever_has_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = Running::serve(&mut run(folder.path(), QUIET, &[]));
    let port = address.strip_prefix("http://").unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["run", "--listen", port]));
    let says = format!("{port} is in use");
    let outcome = outcome.check(1, &[&says, "--listen 127.0.0.1:0"]);
    assert_eq!(outcome.stdout, "");
    // The second was started in the same directory by mistake, and has not taken it over.
    post(&address, &common::lines(1..=3));
    until("the rows", || delivered(folder.path()) == 3);
    running.signal("TERM");
    running.end().check(0, &[]);
}

#[test]
fn a_database_that_another_run_took_over_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, address) = Running::serve(&mut run(folder.path(), QUIET, &[]));
    let (second, other) = Running::serve(&mut run(folder.path(), QUIET, &[]));
    // Both count their positions from the same place.
    post(&other, &common::lines(101..=105));
    until("the rows", || delivered(folder.path()) == 5);
    post(&address, &common::lines(1..=3));
    let outcome = first.end().check(1, &["another process took over"]);
    assert!(summary(&outcome).contains("3 undelivered"), "{outcome:?}");
    second.signal("TERM");
    second.end().check(0, &[]);
}

#[test]
fn a_read_only_data_directory_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount("size=1m") else {
        return;
    };
    disk.make_read_only();
    let data = disk.path().join("data");
    for data in [disk.path(), &data] {
        let data = data.to_str().unwrap();
        let outcome = finish(&mut run(folder.path(), "", &["--data", data]));
        outcome.check(1, &[data]);
    }
}

#[test]
fn a_database_that_stays_locked_is_said_so_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("forebay-data")).unwrap();
    let other = open(folder.path());
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t(x)")
        .unwrap();
    let outcome = finish(&mut run(folder.path(), "", &[]));
    outcome.check(1, &["another process has locked it"]);
}

#[test]
fn an_unknown_key_is_named_before_anything_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = finish(&mut run(folder.path(), "[host]\nintervall = \"1s\"", &[]));
    outcome.check(1, &["f.toml:2: host.intervall is no setting"]);
    assert!(!folder.path().join("forebay-data").exists());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = "data = 'a'\n[host]\nsource = 'file'\n[log]\nlevel = 'off'";
    let mut command = run(folder.path(), config, &["--for", "300ms", "--data", "c"]);
    command
        .env("FOREBAY__DATA", "b")
        .env("FOREBAY_HOST__SOURCE", "variable");
    let outcome = finish(&mut command).check(0, &[]);
    assert_eq!(outcome.stderr, "");
    let connection = rusqlite::Connection::open(folder.path().join("c/forebay.sqlite")).unwrap();
    let source: String = connection
        .query_row("SELECT DISTINCT source FROM tag_values", (), |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(source, "variable");
}

#[test]
fn logs_are_json_where_asked_for_and_without_colour_where_no_terminal_is() {
    let folder = tempfile::tempdir().unwrap();
    // Every poll overflows, which is logged.
    let config = "[buffer]\nmax_size = 5";
    for format in ["json", "human"] {
        let arguments = ["--for", "2500ms", "--log", format];
        let outcome = finish(&mut run(folder.path(), config, &arguments)).check(0, &[]);
        assert!(
            outcome.stderr.contains("because the buffer is full"),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
        let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert_eq!(
            outcome.stderr.lines().all(is_json),
            format == "json",
            "{outcome:?}"
        );
        assert!(
            !summary(&outcome).contains(" 0 dropped by policy"),
            "{outcome:?}"
        );
    }
}
