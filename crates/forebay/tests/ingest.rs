//! `forebay ingest`: what arrives in the database, and that a second run repeats nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Outcome, Running, delivered, finish, forebay, lines, number, query, until};

fn ingest(directory: &Path, arguments: &[&str]) -> Outcome {
    finish(forebay(directory, &["ingest", "--json"]).args(arguments)).check(0, &[])
}

#[test]
fn every_type_arrives_in_order_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"timestamp":"2024-05-01T12:00:00+02:00","source":"s","tag":"float","value":1.5}
{"timestamp":5,"source":"s","tag":"whole","value":7,"quality":"UNCERTAIN"}

{"timestamp":5,"plc_code":"s","tag_address":"text","tag_value":"007"}
{"timestamp":5,"source":"s","tag":"truth","value":true}
{"timestamp":5,"source":"s","tag":"nothing","value":null}
{"timestamp":5,"source":"s","tag":"json","value":{"a":[1]}}"#;
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let outcome = ingest(folder.path(), &["a.ndjson"]);
    assert_eq!(outcome.counts(), [6, 6, 0, 0, 0]);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    assert!(outcome.json()["rows_per_s"].as_f64().unwrap() > 0.0);
    assert!(outcome.json()["elapsed_s"].as_f64().unwrap() > 0.0);
    let rows = query(
        folder.path(),
        "SELECT position, timestamp, source, tag, typeof(value), value, quality FROM tag_values",
    );
    assert_eq!(
        rows,
        [
            "1|1714557600000000|s|float|real|1.5|good",
            "2|5|s|whole|integer|7|uncertain",
            "4|5|s|text|text|007|good",
            "5|5|s|truth|integer|1|good",
            "6|5|s|nothing|null|null|bad",
            "7|5|s|json|text|{\"a\":[1]}|good",
        ]
    );
}

#[test]
fn law_8_a_second_run_writes_nothing_and_a_grown_file_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ndjson");
    // Below and above 64 KiB, where the length ends to be part of a file's name.
    for (from, to) in [(1, 10), (11, 12), (13, 2_000), (2_001, 2_100)] {
        std::fs::write(&file, lines(1..=to)).unwrap();
        let new = to - from + 1;
        let size = format!("{}", 3 + from % 7);
        let outcome = ingest(folder.path(), &["a.ndjson", "--batch-size", &size]);
        assert_eq!(outcome.counts(), [to, new, 0, from - 1, 0], "{outcome:?}");
        let outcome = ingest(folder.path(), &["a.ndjson"]);
        assert_eq!(outcome.counts(), [to, 0, 0, to, 0]);
    }
    assert_eq!(number(folder.path(), "SELECT count(*) FROM scopes"), 1);
    let positions = "SELECT group_concat(position) = group_concat(value) FROM tag_values";
    assert_eq!(number(folder.path(), positions), 1);
    // Another name does not make it another file.
    std::fs::rename(&file, folder.path().join("b.ndjson")).unwrap();
    assert_eq!(
        ingest(folder.path(), &["b.ndjson"]).counts(),
        [2_100, 0, 0, 2_100, 0]
    );
}

#[test]
fn again_loads_it_once_more_and_is_resumed_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ndjson");
    std::fs::write(&file, lines(1..=5)).unwrap();
    assert_eq!(
        ingest(folder.path(), &["a.ndjson", "--again"]).counts(),
        [5, 5, 0, 0, 0]
    );
    assert_eq!(
        ingest(folder.path(), &["a.ndjson", "--again"]).counts(),
        [5, 5, 0, 0, 0]
    );
    std::fs::write(&file, lines(1..=7)).unwrap();
    let outcome = ingest(folder.path(), &["a.ndjson"]);
    assert_eq!(outcome.counts(), [7, 2, 0, 5, 0]);
    let scope = outcome.json()["scope"].as_str().unwrap().to_owned();
    assert!(scope.ends_with("#2"), "{scope}");
    assert_eq!(number(folder.path(), "SELECT count(*) FROM tag_values"), 12);
}

#[test]
fn a_named_scope_is_resumed_by_line_whatever_the_content() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), lines(1..=5)).unwrap();
    std::fs::write(folder.path().join("b"), lines(101..=108)).unwrap();
    let named = ["--scope", "line 3"];
    assert_eq!(
        ingest(folder.path(), &[&["a"], &named[..]].concat()).counts(),
        [5, 5, 0, 0, 0]
    );
    assert_eq!(
        ingest(folder.path(), &[&["b"], &named[..]].concat()).counts(),
        [8, 3, 0, 5, 0]
    );
    let again = [&["b", "--again"], &named[..]].concat();
    let outcome = ingest(folder.path(), &again);
    assert_eq!(outcome.counts(), [8, 8, 0, 0, 0]);
    assert_eq!(outcome.json()["scope"], "named:line 3#2");
}

/// Runs with this text on standard input.
fn ingest_text(directory: &Path, text: &str, arguments: &[&str]) -> Outcome {
    let mut command = forebay(directory, &["ingest", "--json"]);
    let mut running = Running::start(command.args(arguments).stdin(Stdio::piped()));
    running
        .child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    running.end().check(0, &[])
}

#[test]
fn standard_input_is_new_each_time_unless_it_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["-", "-", "/dev/stdin"] {
        let outcome = ingest_text(folder.path(), &lines(1..=3), &[file]);
        assert_eq!(outcome.counts(), [3, 3, 0, 0, 0], "{file}");
    }
    let named = ["-", "--scope", "feed"];
    assert_eq!(
        ingest_text(folder.path(), &lines(1..=3), &named).counts(),
        [3, 3, 0, 0, 0]
    );
    assert_eq!(
        ingest_text(folder.path(), &lines(1..=4), &named).counts(),
        [4, 1, 0, 3, 0]
    );
    assert_eq!(ingest_text(folder.path(), "", &["-"]).counts(), [0; 5]);
}

#[test]
fn law_5_lines_that_trickle_in_are_delivered_and_a_signal_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = forebay(folder.path(), &["ingest", "-"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut input = running.child.stdin.take().unwrap();
    input.write_all(lines(1..=2).as_bytes()).unwrap();
    until("two rows", || delivered(folder.path()) == 2);
    input.write_all(lines(3..=3).as_bytes()).unwrap();
    running.signal("INT");
    let outcome = running
        .end()
        .check(0, &["stopped by a signal", "--scope NAME"]);
    assert_eq!(outcome.stdout, "");
    drop(input);
}

#[test]
fn a_table_is_told_by_its_content_and_mapped_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = "datetime;reading;unit\n2024-05-01 12:00:00;1,5;bar\n2024-05-01 12:00:01;;bar\n";
    std::fs::write(folder.path().join("export"), text).unwrap();
    let outcome = ingest(
        folder.path(),
        &[
            "export",
            "--map",
            "timestamp=datetime,value=reading",
            "--source",
            "PLC01",
            "--tag",
            "pressure",
            "--decimal-comma",
            "--timezone",
            "Europe/Berlin",
        ],
    );
    assert_eq!(outcome.counts(), [2, 2, 0, 0, 0]);
    let rows = query(
        folder.path(),
        "SELECT timestamp, source, tag, value, quality FROM tag_values",
    );
    assert_eq!(
        rows,
        [
            "1714557600000000|PLC01|pressure|1.5|good",
            "1714557601000000|PLC01|pressure|null|bad",
        ]
    );
}

#[test]
fn a_wide_table_has_a_tag_per_column_and_a_scope_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let text = "timestamp,source,tag,value\n1700000000,s,t,1\n1700000001,s,t,2\n";
    std::fs::write(folder.path().join("a.csv"), text).unwrap();
    let unit = ["--time-unit", "s"];
    let long = ingest(folder.path(), &[&["a.csv"], &unit[..]].concat());
    assert_eq!(long.counts(), [2, 2, 0, 0, 0]);
    let wide = ingest(folder.path(), &[&["a.csv", "--wide"], &unit[..]].concat());
    assert_eq!(wide.counts(), [4, 4, 0, 0, 0]);
    assert!(wide.json()["scope"].as_str().unwrap().ends_with(":wide"));
    let wide = ingest(folder.path(), &[&["a.csv", "--wide"], &unit[..]].concat());
    assert_eq!(wide.counts(), [4, 0, 0, 4, 0]);
    let values = query(
        folder.path(),
        "SELECT tag, value FROM tag_values WHERE scope = 2",
    );
    assert_eq!(values, ["tag|t", "value|1", "tag|t", "value|2"]);
}

#[test]
fn the_summary_for_people_says_what_to_know() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), lines(1..=1_000) + "{}\n").unwrap();
    let run = || finish(&mut forebay(folder.path(), &["ingest", "a"])).check(0, &[]);
    let first = run();
    assert_eq!(first.stdout, "");
    for part in [
        "a: 1,000 rows delivered in ",
        "1 quarantined",
        "forebay-data/forebay.sqlite",
    ] {
        assert!(first.stderr.contains(part), "{first:?}");
    }
    assert!(!first.stderr.contains("skipped"), "{first:?}");
    assert!(run().stderr.contains("1,001 skipped"));
}
