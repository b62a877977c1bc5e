//! `cargo xtask chaos [--rounds N] [ARGS…]`: servers and clients killed at random points.

use std::process::Command;

use anyhow::Result;

use crate::{bench, process, workspace};

/// Builds what the benchmarks need too, and runs the program; its failure is ours.
pub(crate) fn run(args: &[String]) -> Result<()> {
    bench::build_programs(&["forebay", "benches"])?;
    let program = workspace::target_directory()?.join("release/chaos");
    let mut command = Command::new(program);
    command.arg("run").args(args);
    process::run(&mut command)
}
