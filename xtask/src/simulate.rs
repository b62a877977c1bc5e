//! `cargo xtask simulate [ARGS…]`: the whole pipeline in virtual time, seed by seed.
//!
//! A seed must take the same course every time, so tokio's own random choices are seeded too, which
//! it offers under `--cfg tokio_unstable` alone. The program is built with that, with optimisation
//! and with every internal assertion, and so it has a target directory of its own.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Builds the program and runs it; its failure is ours.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let target = workspace::target_directory()?.join("simulate");
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["build", "--release"])
        .args(["--package", "benches", "--bin", "simulate"])
        .args(["--no-default-features", "--features", "simulation"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("RUSTFLAGS", "--cfg tokio_unstable");
    process::run(&mut command).context("the simulation does not build")?;
    let mut command = Command::new(target.join("release/simulate"));
    command.args(args);
    process::run(&mut command)
}
