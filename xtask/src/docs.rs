//! `cargo xtask docs`: the API documentation of the workspace, with warnings denied.

use anyhow::Result;

use crate::{process, workspace};

/// Builds the documentation without that of the dependencies.
pub(crate) fn run() -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["doc", "--workspace", "--all-features", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut command)
}
