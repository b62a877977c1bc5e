//! `forebay run` takes over another configuration while it runs, or refuses it as a whole; it reads
//! files, goes on after a stop, and keeps what each of several sinks did not get.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Outcome, Running, delivered, finish, forebay, lines, until};
use rusqlite::Connection;

/// A server into which only what is posted goes.
const QUIET: &str = "[host]\nenabled = false\n";
const ARCHIVE: &str = "[sinks.archive]\nurl = \"sqlite:archive.sqlite\"\n";

fn serve(directory: &Path, config: &str) -> (Running, String) {
    write(directory, config);
    let arguments = ["run", "--config", "f.toml", "--listen", "127.0.0.1:0"];
    Running::serve(&mut forebay(directory, &arguments))
}

fn write(directory: &Path, config: &str) {
    std::fs::write(directory.join("f.toml"), config).unwrap();
}

/// Posts to the API; the status and the answer.
fn post(address: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let request = ureq::post(format!("{address}{path}")).config();
    let request = request.http_status_as_error(false).build();
    let answer = request.send(body).unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().read_json().unwrap())
}

fn reload(directory: &Path, address: &str) -> (u16, serde_json::Value) {
    let token = std::fs::read_to_string(directory.join("forebay-data/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let request = ureq::post(format!("{address}/api/reload"));
    let request = request.header("authorization", bearer).config();
    let request = request.http_status_as_error(false).build();
    let answer = request.send_empty().unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().read_json().unwrap())
}

/// Rows in the second sink.
fn archived(directory: &Path) -> i64 {
    let path = directory.join("archive.sqlite");
    if !path.exists() {
        return 0;
    }
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(common::PATIENCE).unwrap();
    let count = "SELECT count(*) FROM tag_values";
    connection
        .query_row(count, (), |row| row.get(0))
        .unwrap_or(0)
}

fn end(running: Running) -> Outcome {
    running.signal("TERM");
    running.end().check(0, &[])
}

#[test]
fn a_hang_up_takes_over_a_sound_configuration_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), QUIET);
    post(&address, "/api/ingest", &lines(1..=10));
    write(
        folder.path(),
        &format!("{QUIET}{ARCHIVE}[log]\nlevel = \"debug\"\n"),
    );
    running.signal("HUP");
    let mut posted = 10;
    until("the second sink", || {
        posted += 1;
        let (status, _) = post(&address, "/api/ingest", &lines(posted..=posted));
        assert_eq!(status, 200);
        archived(folder.path()) > 0
    });
    let outcome = end(running);
    assert_eq!(delivered(folder.path()) as u64, posted);
    for says in [
        "sinks.archive.url: not set -> \"sqlite:archive.sqlite\"",
        "log.level: \"info\" -> \"debug\"",
        "the configuration was read again and has changed",
    ] {
        assert!(outcome.stderr.contains(says), "{says} in {outcome:?}");
    }
    assert!(outcome.stdout.contains("main/normal: "), "{outcome:?}");
    assert!(outcome.stdout.contains("archive/normal: "), "{outcome:?}");
}

#[test]
fn a_configuration_with_mistakes_is_refused_as_a_whole_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), QUIET);
    let broken = format!("{QUIET}{ARCHIVE}[buffer]\nmax_size = 0\n[[route]]\nsink = \"nowhere\"\n");
    write(folder.path(), &broken);
    let (status, answer) = reload(folder.path(), &address);
    assert_eq!(status, 422, "{answer}");
    let mistakes = answer["mistakes"].as_array().unwrap();
    let says = |text: &str| {
        mistakes
            .iter()
            .any(|line| line.as_str().unwrap().contains(text))
    };
    assert!(says("f.toml:6: buffer.max_size is 0, expected"), "{answer}");
    assert!(
        says("f.toml:8: route.0.sink is \"nowhere\", which is no sink"),
        "{answer}"
    );
    running.signal("HUP");
    post(&address, "/api/ingest", &lines(1..=5));
    until("the rows", || delivered(folder.path()) == 5);
    let outcome = end(running);
    assert!(!folder.path().join("archive.sqlite").exists());
    assert!(
        outcome.stderr.contains("the configuration is as it was"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("f.toml:6: buffer.max_size is 0"),
        "{outcome:?}"
    );
}

#[test]
fn a_sink_that_cannot_be_opened_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), QUIET);
    let gone = "[sinks.archive]\nurl = \"sqlite:no/such/directory/a.sqlite\"\n";
    write(folder.path(), &format!("{QUIET}{gone}"));
    let (status, answer) = reload(folder.path(), &address);
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer.to_string().contains("the sink `archive`"),
        "{answer}"
    );
    post(&address, "/api/ingest", &lines(1..=5));
    end(running);
    assert_eq!(delivered(folder.path()), 5);
}

#[test]
fn nothing_to_change_is_said_and_what_needs_a_restart_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), QUIET);
    let (status, answer) = reload(folder.path(), &address);
    assert_eq!(
        (status, answer["changes"].as_array().unwrap().len()),
        (200, 0)
    );
    write(
        folder.path(),
        &format!("{QUIET}[history]\ndepth = 5\n[shutdown]\ndeadline = \"9s\"\n"),
    );
    let expected = [
        "history.depth: 3000 -> 5 (needs a restart, and is left as it was)",
        "shutdown.deadline: \"10s\" -> \"9s\"",
    ];
    let (_, answer) = reload(folder.path(), &address);
    assert_eq!(answer["changes"], serde_json::json!(expected));
    // It is said again until somebody does it.
    let (_, answer) = reload(folder.path(), &address);
    assert_eq!(answer["changes"], serde_json::json!(expected[..1]));
    let outcome = end(running);
    assert!(outcome.stderr.contains("nothing to change"), "{outcome:?}");
}

#[test]
fn alerts_change_while_it_runs_and_their_secrets_are_not_said() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), QUIET);
    let alert = "[[alert]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1/hunter2\"\n";
    write(folder.path(), &format!("{QUIET}{alert}"));
    let (status, answer) = reload(folder.path(), &address);
    assert_eq!(status, 200, "{answer}");
    let said = answer["changes"].to_string();
    assert!(said.contains("alert.0.url: not set -> "), "{said}");
    assert!(!said.contains("restart"), "{said}");
    let outcome = end(running);
    assert!(
        !format!("{said}{outcome:?}").contains("hunter2"),
        "{outcome:?}"
    );
}

#[test]
fn a_route_that_changes_is_drained_first_and_every_row_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    let routes = |age: &str| {
        format!(
            "{QUIET}{ARCHIVE}[[route]]\nname = \"all\"\nsink = \"archive\"\n\
             [route.lanes.normal]\nsize = 1000\nage = \"{age}\"\n"
        )
    };
    let (running, address) = serve(folder.path(), &routes("off"));
    post(&address, "/api/ingest", &lines(1..=20));
    assert_eq!(archived(folder.path()), 0);
    write(folder.path(), &routes("10ms"));
    let (status, answer) = reload(folder.path(), &address);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(archived(folder.path()), 20);
    post(&address, "/api/ingest", &lines(21..=30));
    until("the rows", || archived(folder.path()) == 30);
    end(running);
    assert!(
        !common::database(folder.path()).exists(),
        "no route leads there"
    );
}

#[test]
fn lesson_a_process_that_is_stopped_for_a_while_goes_on_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), "[host]\ninterval = \"10ms\"\n");
    post(&address, "/api/ingest", &lines(1..=100));
    running.signal("STOP");
    std::thread::sleep(Duration::from_secs(3));
    running.signal("CONT");
    post(&address, "/api/ingest", &lines(101..=200));
    let rows = "SELECT count(*) FROM tag_values WHERE source = 'PLC01'";
    until("the rows", || common::number(folder.path(), rows) == 200);
    let outcome = end(running);
    let said = "0 dropped by policy, 0 quarantined, 0 undelivered";
    assert!(outcome.stdout.contains(said), "{outcome:?}");
}

#[test]
fn a_file_is_read_from_where_it_was_left_and_its_end_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plant.ndjson");
    let config = format!("{QUIET}[[source]]\nname = \"plant\"\npath = \"plant.ndjson\"\n");
    for (last, what) in [(50, "the first lines"), (80, "those appended")] {
        std::fs::write(&file, lines(1..=last)).unwrap();
        let (running, address) = serve(folder.path(), &config);
        until(what, || delivered(folder.path()) == last as i64);
        until("the end to be said", || {
            let metrics = ureq::get(format!("{address}/api/metrics")).call().unwrap();
            let metrics: serde_json::Value = metrics.into_body().read_json().unwrap();
            metrics["stopped_sources"]
                .to_string()
                .contains("it has ended")
        });
        let outcome = end(running);
        assert!(outcome.stderr.contains("a source has ended"), "{outcome:?}");
    }
    std::fs::remove_file(&file).unwrap();
    let arguments = ["run", "--config", "f.toml", "--listen", "127.0.0.1:0"];
    let outcome = finish(&mut forebay(folder.path(), &arguments));
    outcome.check(1, &["the source plant cannot read plant.ndjson"]);
}

#[test]
fn what_each_sink_did_not_get_is_kept_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        format!("{QUIET}{ARCHIVE}[shutdown]\ndeadline = \"300ms\"\nfallback = \"left/over\"\n");
    let (running, address) = serve(folder.path(), &config);
    post(&address, "/api/ingest", &lines(1..=2));
    until("the archive", || archived(folder.path()) == 2);
    let other = Connection::open(folder.path().join("archive.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    post(&address, "/api/ingest", &lines(3..=7));
    until("the main sink", || delivered(folder.path()) == 7);
    running.signal("TERM");
    let outcome = running.end().check(1, &["not everything was delivered"]);
    other.execute_batch("ROLLBACK").unwrap();
    let (_, command) = outcome.stdout.split_once("`forebay replay ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    assert!(
        command.starts_with("left/over/undelivered-archive-"),
        "{command}"
    );
    assert!(
        command.ends_with(" --sink 'sqlite:archive.sqlite'"),
        "{command}"
    );
    let file = command.split(' ').next().unwrap();
    let arguments = ["replay", file, "--sink", "sqlite:archive.sqlite"];
    finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    assert_eq!(archived(folder.path()), 7);
}
