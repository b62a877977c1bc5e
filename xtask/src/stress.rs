//! `cargo xtask stress [--tsan] [ARGS…]`: the data structures under threads in real time.
//!
//! The program is built with optimisation and with every internal assertion, and so it has a target
//! directory of its own. With `--tsan` it runs under `ThreadSanitizer`, which the compiler offers
//! to nightly toolchains only; `RUSTC_BOOTSTRAP` lets a stable one have it, and nothing but this
//! check depends on it. The standard library is not instrumented, so what is checked uses none of
//! its locks, and one report about `Arc` is suppressed: see `tsan-suppressions.txt`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// The last tells what keeps memory for later that it has to free it: see `Pool::put` in
/// `buffer-core`.
const SANITIZER_FLAGS: &str =
    "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg thread_sanitizer";

/// Builds the program and runs it; its failure is ours.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (sanitize, args) = split(args);
    let name = if sanitize { "tsan" } else { "stress" };
    let target = workspace::target_directory()?.join(name);
    let platform = workspace::host_platform()?;
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        // A platform that is named keeps the flags away from build scripts.
        .args(["build", "--release", "--target", &platform])
        .args(["--package", "benches", "--bin", "stress"])
        .arg("--no-default-features")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    if sanitize {
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", SANITIZER_FLAGS);
    }
    process::run(&mut command).context("the stress program does not build")?;
    let mut command = Command::new(target.join(platform).join("release/stress"));
    command.args(args);
    if sanitize {
        // The first race ends the run, as a failed check does.
        let suppressions = workspace::root().join("xtask/tsan-suppressions.txt");
        let options = format!("halt_on_error=1 suppressions={}", suppressions.display());
        command.arg("--sanitized").env("TSAN_OPTIONS", options);
    }
    process::run(&mut command)
}

/// Whether to sanitize, and the arguments of the program itself.
fn split(args: &[String]) -> (bool, Vec<&String>) {
    let rest: Vec<&String> = args.iter().filter(|arg| *arg != "--tsan").collect();
    (rest.len() < args.len(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_gets_every_argument_but_ours() {
        let args = ["--seconds", "5", "--tsan"].map(str::to_owned);
        let (sanitize, rest) = split(&args);
        assert!(sanitize);
        assert_eq!(rest, ["--seconds", "5"]);
        assert!(!split(&args[..2]).0);
    }
}
