//! `cargo xtask loom`: the models of shared atomics and locks, in `tests/loom_*.rs`.
//!
//! A model is found by its file name. `--cfg loom` changes what every dependency is compiled to, so
//! the models have a target directory of their own; they run in release, since loom tries thousands
//! of interleavings. At most three preemptions per interleaving unless `LOOM_MAX_PREEMPTIONS` says
//! otherwise: loom's authors found that nearly all bugs show with two or three.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// A package and the names of its model tests, sorted.
#[derive(Debug, PartialEq, Eq)]
struct Models {
    package: String,
    tests: Vec<String>,
}

/// Runs the models of all crates that have any.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let target = workspace::target_directory()?.join("loom");
    let found = find_models(&root.join("crates"))?;
    if found.is_empty() {
        println!("loom: no crate has a tests/loom_*.rs");
    }
    for models in found {
        let mut command = process::cargo();
        command
            .current_dir(&root)
            .args(["test", "--release", "--package", &models.package])
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", &target)
            // Models are small: optimising across crates costs more than it saves.
            .env("CARGO_PROFILE_RELEASE_LTO", "off");
        for test in &models.tests {
            command.args(["--test", test]);
        }
        if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", "3");
        }
        process::run(&mut command)?;
    }
    Ok(())
}

/// Looks for `<crate>/tests/loom_*.rs`; a crate's directory bears the crate's name.
fn find_models(crates: &Path) -> Result<Vec<Models>> {
    let mut found = Vec::new();
    for package in entries(crates)? {
        let tests: Vec<String> = entries(&crates.join(&package).join("tests"))?
            .into_iter()
            .filter_map(|file| file.strip_suffix(".rs").map(str::to_owned))
            .filter(|test| test.starts_with("loom_"))
            .collect();
        if !tests.is_empty() {
            found.push(Models { package, tests });
        }
    }
    Ok(found)
}

/// The names in a directory, sorted; none if there is no such directory.
fn entries(directory: &Path) -> Result<Vec<String>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let listing = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in listing {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn models_are_found_by_file_name() {
        let crates = std::env::temp_dir().join(format!("xtask-loom-{}", std::process::id()));
        for file in [
            "ring/tests/loom_handover.rs",
            "ring/tests/order.rs",
            "plain/src/loom_no.rs",
        ] {
            let path = crates.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = find_models(&crates);
        fs::remove_dir_all(&crates).unwrap();
        let expected = Models {
            package: "ring".into(),
            tests: vec!["loom_handover".into()],
        };
        assert_eq!(found.unwrap(), [expected]);
    }
}
