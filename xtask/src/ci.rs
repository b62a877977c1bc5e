//! `cargo xtask ci`: all checks in the order in which they are cheap to fail.
//!
//! Debug builds, checks and documentation share one feature set, so each dependency is compiled
//! once for testing and checked once for clippy and rustdoc. Only the benchmarks are built in
//! release, and only the loom models, the simulation and the stress program have target directories
//! of their own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{bench, chaos, docs, e2e, loom, process, simulate, stress, test, tidy, workspace};

/// Whether the tests are a step: a caller that has just run them leaves them out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    Run,
    Skip,
}

type Step = (&'static str, fn() -> Result<()>);

/// Runs the steps up to the first failure.
pub(crate) fn run(tests: Tests) -> Result<()> {
    let steps: Vec<Step> = steps()
        .into_iter()
        .filter(|step| keeps(tests, step.0))
        .collect();
    run_steps(&steps)
}

fn steps() -> Vec<Step> {
    vec![
        ("fmt", fmt),
        ("clippy", clippy),
        ("tidy", tidy::run),
        ("test", || test::run(&[])),
        ("docs", docs::run),
        ("benches", bench::build_all),
        ("chaos", || {
            chaos::run(&["--rounds", "50"].map(str::to_owned))
        }),
        ("loom", loom::run),
        ("simulate", || {
            simulate::run(&["--seeds", "200"].map(str::to_owned))
        }),
        ("stress", || {
            stress::run(&["--seconds", "5"].map(str::to_owned))
        }),
        ("e2e", e2e::run),
    ]
}

fn keeps(tests: Tests, name: &str) -> bool {
    tests == Tests::Run || name != "test"
}

fn fmt() -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["fmt", "--all", "--check"]);
    process::run(&mut command)
}

fn clippy() -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["clippy", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"]);
    process::run(&mut command)
}

fn run_steps(steps: &[Step]) -> Result<()> {
    let mut lines = Vec::new();
    for (name, step) in steps {
        println!("ci: {name} …");
        let started = Instant::now();
        let outcome = step();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        let line = format!("ci: {name:<8} {word:<6} {:>8}", seconds(started.elapsed()));
        println!("{line}");
        lines.push(line);
        if outcome.is_err() {
            println!("\n{}", lines.join("\n"));
        }
        outcome.with_context(|| format!("step `{name}`"))?;
    }
    println!(
        "\n{}\nci: all {} steps passed",
        lines.join("\n"),
        lines.len()
    );
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stops_the_rest_and_is_named() {
        let steps: [Step; 3] = [
            ("good", || Ok(())),
            ("bad", || anyhow::bail!("it broke")),
            ("never", || panic!("a step ran after a failed one")),
        ];
        let error = run_steps(&steps).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `bad`: it broke");
    }

    #[test]
    fn only_the_tests_can_be_left_out() {
        let names = |tests| {
            steps()
                .into_iter()
                .map(|s| s.0)
                .filter(|n| keeps(tests, n))
                .count()
        };
        assert_eq!(names(Tests::Run), 11);
        assert_eq!(names(Tests::Skip), 10);
        assert!(!keeps(Tests::Skip, "test"));
    }
}
