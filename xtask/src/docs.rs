//! `cargo xtask docs`: the API documentation of the workspace, with warnings denied.

use anyhow::Result;

use crate::{process, workspace};

/// What is documented: the libraries, and the two packages without one.
///
/// `--examples` makes cargo resolve features with the dev-dependencies, as clippy and the tests do.
/// Without it the dependencies have other features, and all of them are checked a second time.
const TARGETS: &[&str] = &["--lib", "--bin", "xtask", "--bin", "benches", "--examples"];

/// Builds the documentation without that of the dependencies.
pub(crate) fn run() -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["doc", "--workspace", "--all-features", "--no-deps"])
        .args(TARGETS)
        .env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut command)
}
