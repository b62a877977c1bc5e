//! `cargo xtask bench CASE [ARGS…]`: builds in release, then hands over to the package `benches`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// The cases that need the crates and not the program.
const CASES_WITHOUT_PROGRAM: [&str; 5] = ["core", "dataservice", "fanout", "pipeline", "sinks"];

/// Builds the program and the benchmarks, and runs one case; results go to `target/bench`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    build_programs(programs_of(args))?;
    let target = workspace::target_directory()?;
    let results = target.join("bench");
    std::fs::create_dir_all(&results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    let mut command = Command::new(target.join("release/benches"));
    command.arg("--program").arg(target.join("release/forebay"));
    command.arg("--results").arg(&results).args(args);
    process::run(&mut command)
}

/// Builds, and does not run, everything that a benchmark needs.
pub(crate) fn build_all() -> Result<()> {
    build_programs(&["forebay", "benches"])?;
    let packages = packages_with_bench_targets()?;
    if packages.is_empty() {
        return Ok(());
    }
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["bench", "--no-run", "--bench", "*"]);
    for package in &packages {
        command.args(["--package", package]);
    }
    process::run(&mut command)
}

/// The packages to build: who works on a data structure does not wait for the whole program.
fn programs_of(args: &[String]) -> &'static [&'static str] {
    let needs_no_program = |arg: &String| CASES_WITHOUT_PROGRAM.contains(&arg.as_str());
    if args.iter().any(needs_no_program) {
        &["benches"]
    } else {
        &["forebay", "benches"]
    }
}

pub(crate) fn build_programs(packages: &[&str]) -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["build", "--release", "--bins"]);
    for package in packages {
        command.args(["--package", package]);
    }
    process::run(&mut command)
}

/// Packages with a `benches/*.rs`, which cargo makes bench targets of.
fn packages_with_bench_targets() -> Result<Vec<String>> {
    let mut names: Vec<String> = workspace::metadata()?
        .workspace_packages()
        .into_iter()
        .filter(|package| package.targets.iter().any(cargo_metadata::Target::is_bench))
        .map(|package| package.name.to_string())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_structures_are_measured_without_the_program() {
        let args = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(programs_of(&args(&["core", "--quick"])), ["benches"]);
        assert_eq!(programs_of(&args(&["dataservice"])), ["benches"]);
        assert_eq!(programs_of(&args(&["ingest"])), ["forebay", "benches"]);
        assert_eq!(programs_of(&args(&[])), ["forebay", "benches"]);
    }
}
