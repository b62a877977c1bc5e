//! Files stay short enough to be read in one go, lines short enough for two panes.
//!
//! The limits are a ratchet: `xtask/tidy-baseline.txt` lists the exceptions with what each may
//! measure. A file over its allowance fails, and so does one that got shorter than it, so that the
//! allowance follows down and never lets the file grow back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::TrackedFile;

const RUST_LINES_MAX: usize = 450;
const WEB_LINES_MAX: usize = 500;
const RUST_COLUMNS_MAX: usize = 100;

/// What is measured of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    /// Number of lines.
    Lines,
    /// Characters in the longest line.
    Columns,
}

/// What a file measures, and where.
struct Measured {
    value: usize,
    limit: usize,
    /// Number of the longest line, counted from 1; 0 for the length of the file.
    line: usize,
}

/// The committed exceptions: what each file may measure.
#[derive(Debug, Default)]
pub(super) struct Baseline(BTreeMap<(String, Measure), usize>);

impl Baseline {
    /// Reads lines of the form `path lines|columns allowance`; `#` starts a comment line.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, allowance) =
                entry(line).with_context(|| format!("tidy-baseline.txt, line {}", index + 1))?;
            let double = entries.insert(key, allowance).is_some();
            ensure!(
                !double,
                "tidy-baseline.txt, line {}: a second entry for it",
                index + 1
            );
        }
        Ok(Self(entries))
    }
}

fn entry(line: &str) -> Result<((String, Measure), usize)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[path, measure, allowance] = fields.as_slice() else {
        bail!("expected `path lines|columns allowance`, found `{line}`");
    };
    let measure = match measure {
        "lines" => Measure::Lines,
        "columns" => Measure::Columns,
        other => bail!("measure `{other}`; allowed are lines, columns"),
    };
    let allowance = allowance
        .parse()
        .with_context(|| format!("allowance `{allowance}`"))?;
    Ok(((path.to_owned(), measure), allowance))
}

/// One problem per measure that is out of line with its limit or its allowance.
pub(super) fn check(files: &[TrackedFile], baseline: &Baseline) -> Vec<String> {
    let mut problems = Vec::new();
    let mut unused = baseline.0.clone();
    for file in files {
        for (measure, measured) in measures(file) {
            let allowance = unused.remove(&(file.path.clone(), measure));
            problems.extend(problem(&file.path, measure, &measured, allowance));
        }
    }
    problems.extend(unused.into_keys().map(|(path, _)| {
        format!("xtask/tidy-baseline.txt has an entry for {path}, which is not measured; remove it")
    }));
    problems
}

fn measures(file: &TrackedFile) -> Vec<(Measure, Measured)> {
    let Some(text) = &file.text else {
        return Vec::new();
    };
    let extension = file
        .path
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    let length = |limit| Measured {
        value: text.lines().count(),
        limit,
        line: 0,
    };
    match extension {
        "rs" => vec![
            (Measure::Lines, length(RUST_LINES_MAX)),
            (Measure::Columns, longest_line(text, RUST_COLUMNS_MAX)),
        ],
        "js" | "mjs" | "ts" | "css" | "html" => vec![(Measure::Lines, length(WEB_LINES_MAX))],
        _ => Vec::new(),
    }
}

fn longest_line(text: &str, limit: usize) -> Measured {
    let mut longest = Measured {
        value: 0,
        limit,
        line: 1,
    };
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > longest.value {
            longest.value = columns;
            longest.line = index + 1;
        }
    }
    longest
}

fn problem(
    path: &str,
    measure: Measure,
    measured: &Measured,
    allowance: Option<usize>,
) -> Option<String> {
    let &Measured { value, limit, line } = measured;
    let (place, unit) = match measure {
        Measure::Lines => (path.to_owned(), "lines"),
        Measure::Columns => (format!("{path}:{line}"), "columns"),
    };
    match allowance {
        None if value <= limit => None,
        None => Some(format!("{place}: {value} {unit}; the limit is {limit}")),
        Some(_) if value <= limit => Some(format!(
            "{place}: {value} {unit} is within the limit of {limit}; remove its entry from \
             xtask/tidy-baseline.txt"
        )),
        Some(allowance) if value < allowance => Some(format!(
            "{place}: {value} {unit} is less than its allowance of {allowance}; lower it to \
             {value} in xtask/tidy-baseline.txt"
        )),
        Some(allowance) if value > allowance => Some(format!(
            "{place}: {value} {unit}; its allowance is {allowance}, which may only shrink"
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[track_caller]
    fn expect(path: &str, text: &str, baseline: &str, part_of_problem: Option<&str>) {
        let baseline = Baseline::parse(baseline).unwrap();
        let problems = check(&[file(path, text)], &baseline);
        match part_of_problem {
            None => assert!(problems.is_empty(), "{problems:?}"),
            Some(part) => assert!(
                problems.len() == 1 && problems[0].contains(part),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn a_file_over_its_limit_fails() {
        expect("a.rs", &"x\n".repeat(450), "", None);
        expect(
            "a.rs",
            &"x\n".repeat(451),
            "",
            Some("451 lines; the limit is 450"),
        );
        expect("a.css", &"x\n".repeat(500), "", None);
        expect("a.css", &"x\n".repeat(501), "", Some("the limit is 500"));
        expect("a.md", &"x\n".repeat(900), "", None);
    }

    #[test]
    fn a_line_over_its_limit_fails_by_characters_not_bytes() {
        expect("a.rs", &"é".repeat(100), "", None);
        expect(
            "a.rs",
            &format!("\n{}", "é".repeat(101)),
            "",
            Some("a.rs:2: 101 columns"),
        );
    }

    #[test]
    fn an_allowance_may_only_shrink() {
        let text = "x\n".repeat(460);
        expect("a.rs", &text, "# why\n\na.rs lines 460\n", None);
        expect("a.rs", &text, "a.rs lines 459", Some("may only shrink"));
        expect("a.rs", &text, "a.rs lines 461", Some("lower it to 460"));
        expect("a.rs", "x\n", "a.rs lines 461", Some("remove its entry"));
        expect(
            "a.rs",
            "x\n",
            "gone.rs lines 461",
            Some("which is not measured; remove it"),
        );
    }

    #[test]
    fn a_damaged_baseline_names_its_line() {
        for (text, part) in [
            ("a.rs lines", "line 1"),
            ("# x\na.rs rows 3", "line 2"),
            ("a.rs lines many", "line 1"),
            ("a.rs lines 1\na.rs lines 2", "line 2: a second entry"),
        ] {
            let error = format!("{:#}", Baseline::parse(text).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
