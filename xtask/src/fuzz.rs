//! `cargo xtask fuzz [--seconds N] [TARGET…]`: the parsers of what comes from strangers, under
//! libFuzzer.
//!
//! The package `fuzz` is a workspace of its own, built with counters of coverage by options that
//! the stable compiler has; libFuzzer comes as a crate and needs a C++ compiler and nothing else.
//! Where it does not build, this says so and ends well: a machine without that compiler has not
//! found anything. What libFuzzer learned stays in `target/fuzz/corpus`, so that runs continue one
//! another; a finding is kept in `target/fuzz/findings`, and ends the run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// The targets, with the features that each needs.
const TARGETS: &[(&str, &str)] = &[
    ("protocol", ""),
    ("websocket_frames", "gateway"),
    ("ingest", "gateway"),
];
/// How long each runs when nobody says.
const SECONDS: u64 = 60;
/// What counts which edges an input reaches, and shows the fuzzer what was compared. Dead code
/// stays, since its counters would miss it.
const COVERAGE_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code";
/// An input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 60;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    seconds: u64,
    targets: Vec<(&'static str, &'static str)>,
}

/// Builds the targets and runs one after the other; a finding is a failure.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let asked = parse(args)?;
    let target = workspace::target_directory()?.join("fuzz");
    let platform = workspace::host_platform()?;
    if !has_cxx() {
        println!(
            "fuzz: SKIPPED, nothing was run: libFuzzer needs a C++ compiler, and there is none"
        );
        return Ok(());
    }
    for (name, features) in asked.targets {
        let mut build = process::cargo();
        build
            .current_dir(workspace::root().join("fuzz"))
            // A platform that is named keeps the flags away from build scripts.
            .args(["build", "--release", "--target", &platform])
            .args(["--bin", name, "--features", features])
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", COVERAGE_FLAGS);
        process::run(&mut build).with_context(|| format!("the target {name} does not build"))?;
        let program = target.join(&platform).join("release").join(name);
        fuzz(&program, name, asked.seconds, &target)?;
    }
    Ok(())
}

/// Runs one target for so long.
fn fuzz(program: &Path, name: &str, seconds: u64, target: &Path) -> Result<()> {
    let corpus = target.join("corpus").join(name);
    let findings = target.join("findings").join(name);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    println!("fuzz: {name} for {seconds} s");
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .arg(&corpus)
        .arg(workspace::root().join("fuzz/seeds").join(name));
    process::run(&mut command).with_context(|| {
        let folder = findings.display();
        format!("{name} has a finding, in {folder}: give the file to the program to see it again")
    })
}

fn has_cxx() -> bool {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let asked = Command::new(compiler).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

fn parse(args: &[String]) -> Result<Asked> {
    let mut asked = Asked {
        seconds: SECONDS,
        targets: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let seconds = args.next().and_then(|seconds| seconds.parse().ok());
            // For libFuzzer, none means for ever.
            asked.seconds = seconds
                .filter(|seconds| *seconds > 0)
                .context("`--seconds` needs a whole number above 0")?;
            continue;
        }
        match TARGETS.iter().find(|(name, _)| name == arg) {
            Some(target) => asked.targets.push(*target),
            None => {
                let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
                bail!("there is no target `{arg}`, only {}", names.join(", "));
            }
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.to_vec();
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Asked> {
        parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn every_target_runs_unless_some_are_named() {
        let all = parsed(&[]).unwrap();
        assert_eq!((all.seconds, all.targets.len()), (SECONDS, TARGETS.len()));
        let one = parsed(&["ingest", "--seconds", "600"]).unwrap();
        assert_eq!(
            (one.seconds, one.targets),
            (600, vec![("ingest", "gateway")])
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for args in [&["ingst"][..], &["--seconds"], &["--seconds", "0"]] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn each_target_has_a_program_and_seeds() {
        let folder = workspace::root().join("fuzz");
        for (name, _) in TARGETS {
            let program = folder.join(format!("fuzz_targets/{name}.rs"));
            assert!(program.is_file(), "{}", program.display());
            let mut seeds = fs::read_dir(folder.join("seeds").join(name)).unwrap();
            assert!(seeds.next().is_some(), "{name} has no seeds");
        }
    }
}
