//! `cargo xtask tidy`: what the compiler and clippy do not check.
//!
//! Each check is a pure function from plain data (files, packages, edges) to a list of problems, so
//! that its unit tests can show that it fails. A problem is one line that names the place, what was
//! found and what is allowed.

mod forbidden_text;
mod layers;
mod lengths;
mod links;
mod named_targets;
mod package_files;
mod runtimes;
mod sizes;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Runs every check, prints all problems, and fails if there is one.
pub(crate) fn run() -> Result<()> {
    let metadata = workspace::metadata()?;
    let files = workspace::tracked_files()?;
    let baseline = baseline()?;
    let checks: [(&str, Vec<String>); 8] = [
        ("layers", layers::check(&layers::edges(&metadata))),
        (
            "runtimes",
            runtimes::check(&runtimes::graph(&metadata)?, &layers::below_async()),
        ),
        ("lengths", lengths::check(&files, &baseline)),
        (
            "package files",
            package_files::check(&package_files::packages(&metadata), &files),
        ),
        ("forbidden text", forbidden_text::check(&files)),
        ("sizes", sizes::check(&files)),
        ("links", links::check(&files)),
        (
            "named targets",
            named_targets::check(&named_targets::known(&metadata), &files),
        ),
    ];
    let mut count = 0;
    for (name, problems) in &checks {
        for problem in problems {
            println!("tidy: {name}: {problem}");
        }
        count += problems.len();
    }
    if count > 0 {
        bail!("{count} problem{}", if count == 1 { "" } else { "s" });
    }
    println!(
        "tidy: {} checks over {} files passed",
        checks.len(),
        files.len()
    );
    Ok(())
}

/// The exceptions to the length limits, as committed.
fn baseline() -> Result<lengths::Baseline> {
    let path = workspace::root().join("xtask").join("tidy-baseline.txt");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    lengths::Baseline::parse(&text)
}

#[cfg(test)]
fn file(path: &str, text: &str) -> workspace::TrackedFile {
    workspace::TrackedFile {
        path: path.to_owned(),
        size_bytes: text.len() as u64,
        text: Some(text.to_owned()),
    }
}
