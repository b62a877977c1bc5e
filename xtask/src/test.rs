//! `cargo xtask test`: every test of the workspace, doc tests included.
//!
//! Needs a Rust toolchain and a C compiler, and nothing else: a test that needs a service (a
//! browser, a database server) says loudly that it skips itself, unless `FOREBAY_REQUIRE_SERVICES`
//! is set, which makes the absence a failure.

use anyhow::Result;

use crate::{process, workspace};

/// Runs `cargo test` with the extra arguments; cargo prints its own summaries.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .arg("test")
        .args(feature_set(args))
        .args(args);
    process::run(&mut command)
}

/// The whole workspace, unless the arguments choose packages themselves.
fn feature_set(args: &[String]) -> &'static [&'static str] {
    let before_separator = args.iter().take_while(|arg| *arg != "--");
    let mut chosen = before_separator.filter(|arg| arg.starts_with("-p") || *arg == "--package");
    if chosen.next().is_some() {
        &["--all-features"]
    } else {
        &["--workspace", "--all-features"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_chosen_by_hand_replace_the_workspace() {
        let args = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(feature_set(&args(&[])), ["--workspace", "--all-features"]);
        assert_eq!(
            feature_set(&args(&["--", "-p"])),
            ["--workspace", "--all-features"]
        );
        assert_eq!(feature_set(&args(&["-p", "record"])), ["--all-features"]);
        assert_eq!(
            feature_set(&args(&["--package", "record"])),
            ["--all-features"]
        );
    }
}
