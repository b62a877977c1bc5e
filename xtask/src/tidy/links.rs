//! Links between documents resolve: `[text](path)`, `![text](path)`, `[name]: path`, and the `src`
//! and `srcset` of a picture, in Markdown, name a file, or a directory with files, that git tracks.
//!
//! Knows as much Markdown as the documents use. Addresses on the web and anchors are not followed.

use std::collections::BTreeSet;

use crate::workspace::TrackedFile;

/// One problem per link to a file that is not there.
pub(super) fn check(files: &[TrackedFile]) -> Vec<String> {
    let known = known_paths(files);
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let text = file.text.as_deref().unwrap_or_default();
        for (line, target) in targets(text) {
            let Some(path) = local_path(&file.path, target) else {
                continue;
            };
            if !known.contains(path.as_str()) {
                problems.push(format!(
                    "{}:{line}: link to `{target}`, which is not tracked",
                    file.path
                ));
            }
        }
    }
    problems
}

/// Tracked files and the directories above them; the root is the empty path.
fn known_paths(files: &[TrackedFile]) -> BTreeSet<&str> {
    let mut known = BTreeSet::from([""]);
    for file in files {
        known.insert(file.path.as_str());
        known.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    known
}

/// Link targets outside code, with their line numbers from 1.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
            continue;
        }
        if in_code_block {
            continue;
        }
        let code_spans = code_spans(line);
        let in_code = |at: usize| code_spans.iter().any(|span| span.contains(&at));
        for (at, _) in line.match_indices("](").filter(|(at, _)| !in_code(*at)) {
            if let Some((target, _)) = line[at + 2..].split_once(')') {
                found.push((index + 1, target));
            }
        }
        // Pictures for light and dark pages are HTML.
        for attribute in ["src=\"", "srcset=\""] {
            for (at, _) in line
                .match_indices(attribute)
                .filter(|(at, _)| !in_code(*at))
            {
                if let Some((target, _)) = line[at + attribute.len()..].split_once('"') {
                    found.push((index + 1, target));
                }
            }
        }
        if let Some(target) = definition(line) {
            found.push((index + 1, target));
        }
    }
    found
}

/// The byte ranges between backticks, in pairs.
fn code_spans(line: &str) -> Vec<std::ops::Range<usize>> {
    let ticks: Vec<usize> = line.match_indices('`').map(|(at, _)| at).collect();
    ticks.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
}

/// The target of a line such as `[name]: path`.
fn definition(line: &str) -> Option<&str> {
    let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some(target)
}

/// The path from the root that a link means; `None` if it does not name a file here.
fn local_path(document: &str, target: &str) -> Option<String> {
    let target = target.trim().trim_start_matches('<');
    let target = target.split([' ', '>']).next().unwrap_or_default();
    let target = target.split(['#', '?']).next().unwrap_or_default();
    // A Rust path is an intra-doc link, in a README that is also a crate's documentation.
    if target.is_empty() || target.contains(':') {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    // Above the root: keep the target, which no tracked path equals.
                    return Some(target.to_owned());
                }
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[track_caller]
    fn expect(text: &str, part_of_problem: Option<&str>) {
        let files = [
            file("docs/a.md", text),
            file("docs/b.md", ""),
            file("src/lib.rs", ""),
        ];
        let problems = check(&files);
        match part_of_problem {
            None => assert!(problems.is_empty(), "{problems:?}"),
            Some(part) => assert!(
                problems.len() == 1 && problems[0].contains(part),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn links_to_tracked_files_and_directories_resolve() {
        for text in [
            "[b](b.md)",
            "[b](./b.md#part)",
            "[s](../src)",
            "[l](../src/lib.rs \"title\")",
            "![p](../src/lib.rs)",
            "[b]: b.md",
            "<img src=\"b.md\">",
            "[w](https://example.org/x.md)",
            "[h](#part)",
            "[r](crate::Ring)",
            "[root](..)",
            "`[x](no.md)`",
            "```\n[x](no.md)\n```",
        ] {
            expect(text, None);
        }
    }

    #[test]
    fn links_to_nothing_fail() {
        expect("[x](no.md)", Some("docs/a.md:1: link to `no.md`"));
        expect("\n![x](no.png)", Some("docs/a.md:2"));
        expect(
            "<img src=\"no.png\">",
            Some("docs/a.md:1: link to `no.png`"),
        );
        expect(
            "<source srcset=\"no.png\">",
            Some("docs/a.md:1: link to `no.png`"),
        );
        expect("[x]: no.md", Some("no.md"));
        expect("[x](/docs/b.md)", Some("/docs/b.md"));
        expect("[x](../../docs/b.md)", Some("../../docs/b.md"));
        expect("`code` and [x](no.md)", Some("no.md"));
    }
}
