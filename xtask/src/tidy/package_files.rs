//! What every package of the workspace has: a README, a module doc at its root, the shared lints.

use cargo_metadata::Metadata;

use crate::workspace::TrackedFile;

/// A package by the directory it lives in, from the root of the workspace.
pub(super) struct Package {
    directory: String,
    /// `lib.rs`, or `main.rs` where there is no library.
    root_source: String,
}

/// The packages of the workspace.
pub(super) fn packages(metadata: &Metadata) -> Vec<Package> {
    let root = &metadata.workspace_root;
    let relative = |path: &cargo_metadata::camino::Utf8Path| {
        path.strip_prefix(root)
            .unwrap_or(path)
            .as_str()
            .replace('\\', "/")
    };
    let mut packages = Vec::new();
    for package in metadata.workspace_packages() {
        let library = package.targets.iter().find(|target| target.is_lib());
        let program = package.targets.iter().find(|target| target.is_bin());
        let directory = package
            .manifest_path
            .parent()
            .map(relative)
            .unwrap_or_default();
        let root_source = library.or(program).map(|target| relative(&target.src_path));
        packages.push(Package {
            directory,
            root_source: root_source.unwrap_or_default(),
        });
    }
    packages
}

/// One problem per file or line that is missing.
pub(super) fn check(packages: &[Package], files: &[TrackedFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for Package {
        directory,
        root_source,
    } in packages
    {
        match text_of(files, &format!("{directory}/README.md")) {
            Some(text) if !text.trim().is_empty() => {}
            _ => problems.push(format!("{directory} has no README.md that git tracks")),
        }
        match text_of(files, root_source) {
            Some(text) if text.starts_with("//!") => {}
            _ => problems.push(format!(
                "{root_source} must begin with its module doc, `//!`"
            )),
        }
        match text_of(files, &format!("{directory}/Cargo.toml")) {
            Some(manifest) if has_workspace_lints(manifest) => {}
            _ => problems.push(format!(
                "{directory}/Cargo.toml lacks [lints] workspace = true"
            )),
        }
    }
    problems
}

fn text_of<'a>(files: &'a [TrackedFile], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path)?.text.as_deref()
}

fn has_workspace_lints(manifest: &str) -> bool {
    let mut table = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line;
        }
        let setting = line.replace(' ', "");
        if (table == "[lints]" && setting == "workspace=true") || setting == "lints.workspace=true"
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";

    fn problems(files: &[TrackedFile]) -> Vec<String> {
        let package = Package {
            directory: "crates/a".into(),
            root_source: "crates/a/src/lib.rs".into(),
        };
        check(&[package], files)
    }

    #[test]
    fn a_complete_package_passes() {
        let files = [
            file("crates/a/README.md", "# a"),
            file("crates/a/src/lib.rs", "//! A.\n"),
            file("crates/a/Cargo.toml", MANIFEST),
        ];
        assert!(problems(&files).is_empty());
    }

    #[test]
    fn each_missing_part_is_a_problem() {
        assert_eq!(problems(&[]).len(), 3);
        let files = [
            file("crates/a/README.md", " \n"),
            file("crates/a/src/lib.rs", "// A.\n"),
            file(
                "crates/a/Cargo.toml",
                "[package]\nworkspace = true\n[lints.rust]\n",
            ),
        ];
        assert_eq!(problems(&files).len(), 3);
    }

    #[test]
    fn both_ways_to_write_the_lints_count() {
        assert!(has_workspace_lints(MANIFEST));
        assert!(has_workspace_lints("lints.workspace = true"));
        assert!(!has_workspace_lints(
            "[lints]\nworkspace = false\n[other]\nworkspace = true"
        ));
    }
}
