//! Commands in the documents name things that exist: packages, tests, benches, examples, programs,
//! and the commands of xtask.

use std::collections::BTreeSet;

use cargo_metadata::{Metadata, Target};

use crate::workspace::TrackedFile;

/// What a command may name, as `(flag, name)`, for example `("--test", "browser")`.
pub(super) type Known = BTreeSet<(&'static str, String)>;

const FLAGS: &[&str] = &["--package", "--test", "--bench", "--example", "--bin"];

/// The packages and targets of the workspace, and the commands of this program.
pub(super) fn known(metadata: &Metadata) -> Known {
    let mut known = Known::new();
    for package in metadata.workspace_packages() {
        known.insert(("--package", package.name.to_string()));
        for target in &package.targets {
            if let Some(flag) = flag_for(target) {
                known.insert((flag, target.name.clone()));
            }
        }
    }
    known.extend(
        crate::COMMANDS
            .iter()
            .map(|(name, _)| ("xtask", (*name).to_owned())),
    );
    known
}

fn flag_for(target: &Target) -> Option<&'static str> {
    let kinds = [
        (target.is_test(), "--test"),
        (target.is_bench(), "--bench"),
        (target.is_example(), "--example"),
        (target.is_bin(), "--bin"),
    ];
    kinds
        .into_iter()
        .find(|(is_kind, _)| *is_kind)
        .map(|(_, flag)| flag)
}

/// One problem per name in a Markdown file that is not known.
pub(super) fn check(known: &Known, files: &[TrackedFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
            for (flag, name) in names(line) {
                if !known.contains(&(flag, name.to_owned())) {
                    problems.push(format!("{}:{}: no `{flag} {name}`", file.path, index + 1));
                }
            }
        }
    }
    problems
}

/// What the cargo commands in a line name; placeholders such as `<crate>` and `loom_*` are none.
fn names(line: &str) -> Vec<(&'static str, &str)> {
    let words: Vec<&str> = line
        .split([' ', '`', '\t', '(', ')', ',', ';', '|'])
        .collect();
    let Some(start) = words.iter().position(|word| *word == "cargo") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for pair in words[start..].windows(2) {
        let flag = match pair[0] {
            "-p" => Some("--package"),
            "xtask" => Some("xtask"),
            word => FLAGS.iter().copied().find(|flag| *flag == word),
        };
        let name = pair[1].trim_end_matches(['.', ':']);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_name = !name.is_empty() && !name.starts_with('-') && name.chars().all(plain);
        // A command ends where the next one starts.
        let is_placeholder = name.chars().all(|c| c.is_ascii_uppercase());
        if let Some(flag) = flag.filter(|_| is_name && !is_placeholder) {
            found.push((flag, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn problems(line: &str) -> Vec<String> {
        let known = [
            ("--package", "record"),
            ("--test", "browser"),
            ("xtask", "ci"),
        ];
        let known = known
            .into_iter()
            .map(|(flag, name)| (flag, name.to_owned()))
            .collect();
        check(&known, &[file("README.md", line)])
    }

    #[test]
    fn names_that_exist_pass() {
        for line in [
            "Run `cargo test -p record --test browser`.",
            "`cargo xtask ci`, or `cargo xtask ci --no-test`",
            "cargo test --package <crate> --test loom_*",
            "cargo test -p CRATE",
            "the --test flag nothing",
        ] {
            assert!(problems(line).is_empty(), "{line}: {:?}", problems(line));
        }
    }

    #[test]
    fn names_that_do_not_exist_fail() {
        for line in [
            "cargo test -p recrod",
            "`cargo test --test borwser`",
            "cargo bench --bench ring",
            "cargo run --example hello",
            "cargo run --release --bin tool",
            "see `cargo xtask frobnicate`.",
        ] {
            assert_eq!(problems(line).len(), 1, "{line}");
        }
    }
}
