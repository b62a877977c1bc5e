//! The examples run, and assert what they show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs an example, which `cargo test` has built beside the program.
fn run(name: &str, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_forebay"));
    let example = program.with_file_name("examples").join(name);
    assert!(
        example.is_file(),
        "{} is missing: `cargo test` builds it, and so does `cargo build --examples`",
        example.display()
    );
    let output = Command::new(example).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn a_simulated_plc_outlives_its_database() {
    let output = run("plc_to_sql", &["3"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("15000 accepted = "), "{said}");
    assert!(
        said.contains(" is gone") && said.contains(" is back"),
        "{said}"
    );
}

#[test]
fn a_pipeline_is_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let output = run("embed", &[folder.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("20000 accepted = 20000 delivered + 0"),
        "{said}"
    );
}

#[test]
fn evidence_is_merged_and_brought_back_when_its_sink_is_down() {
    let output = run("aggregate", &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("the sink is down") && said.contains("0 are left"),
        "{said}"
    );
}

#[test]
fn alerts_outlive_a_receiver_that_fails() {
    let output = run("alerts", &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let ends = "65 accepted = 65 delivered + 0 dropped + 0 quarantined + 0 pending\n";
    assert!(
        said.ends_with(ends) && said.contains("the breaker is open"),
        "{said}"
    );
}

#[test]
fn predictions_are_merged_into_the_tracker() {
    run("trust", &[]);
}
