//! Text that must not be committed: paths of somebody's machine, and code that is not finished.

use crate::workspace::TrackedFile;

/// Directories that exist on the author's machine only. Split, so that this file passes itself.
const MACHINE_DIRECTORIES: &[&str] = &[concat!("/", "work/"), concat!("/", "root/")];
const TEMPORARY_DIRECTORY: &str = concat!("/", "tmp/");
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[", "ignore"),
];

/// One problem per line and text found.
pub(super) fn check(files: &[TrackedFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let Some(text) = &file.text else { continue };
        let forbidden = forbidden_in(&file.path);
        for (index, line) in text.lines().enumerate() {
            for found in forbidden.iter().filter(|part| stands_in(line, part)) {
                problems.push(format!("{}:{}: contains `{found}`", file.path, index + 1));
            }
        }
    }
    problems
}

fn forbidden_in(path: &str) -> Vec<&'static str> {
    let mut forbidden = MACHINE_DIRECTORIES.to_vec();
    // Where a reader needs some directory as an example, the temporary one is the usual choice.
    let example = path.ends_with(".md") || path.split('/').any(|part| part == "tests");
    if !example {
        forbidden.push(TEMPORARY_DIRECTORY);
    }
    if path.ends_with(".rs") {
        forbidden.extend(UNFINISHED);
    }
    forbidden
}

/// Whether `part` stands in the line and does not merely end a longer word or path there.
fn stands_in(line: &str, part: &str) -> bool {
    line.match_indices(part).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~})*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[track_caller]
    fn expect(path: &str, text: &str, count: usize) {
        let problems = check(&[file(path, text)]);
        assert_eq!(problems.len(), count, "{problems:?}");
    }

    #[test]
    fn machine_paths_fail_everywhere() {
        for directory in MACHINE_DIRECTORIES {
            expect("a.md", &format!("see {directory}x"), 1);
            expect("crates/a/tests/b.rs", &format!("\"{directory}x\""), 1);
            expect("a.md", &format!("see https://example.org{directory}x"), 0);
            expect("a.md", &format!("see .{directory}x"), 0);
        }
    }

    #[test]
    fn the_temporary_directory_is_for_tests_and_documents() {
        let line = format!("let path = \"{TEMPORARY_DIRECTORY}x\";");
        expect("crates/a/src/lib.rs", &line, 1);
        expect("crates/a/tests/b.rs", &line, 0);
        expect("README.md", &line, 0);
    }

    #[test]
    fn unfinished_code_fails_in_rust_files() {
        for text in UNFINISHED {
            expect("crates/a/tests/b.rs", text, 1);
            expect("CONTRIBUTING.md", text, 0);
            expect("a.rs", &format!("my_{text}"), 0);
        }
    }

    #[test]
    fn the_line_is_named() {
        let text = format!("fn a() {{\n    {})\n}}", UNFINISHED[0]);
        assert_eq!(
            check(&[file("a.rs", &text)]),
            [format!("a.rs:2: contains `{}`", UNFINISHED[0])]
        );
    }
}
