//! The page `docs/operations.md` lists every metric as the tables in the code describe it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use gateway::described;
use pipeline::MetricKind;

const PAGE: &str = include_str!("../../../docs/operations.md");

/// The first four cells of every row of a table whose first cell is a metric.
fn rows() -> BTreeMap<String, [String; 3]> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `forebay_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "six cells: {line}");
        let name = cells[1].trim_matches('`').to_owned();
        assert!(!cells[5].is_empty(), "a meaning: {line}");
        let rest = [cells[2], cells[3], cells[4]].map(str::to_owned);
        assert!(rows.insert(name, rest).is_none(), "twice: {line}");
    }
    rows
}

#[test]
fn the_operations_page_lists_every_metric_and_no_other() {
    let rows = rows();
    let described: BTreeMap<String, [String; 3]> = described()
        .map(|metric| {
            let kind = match metric.kind {
                MetricKind::Histogram => "summary",
                kind => kind.as_str(),
            };
            let unit = metric.unit.as_str().to_owned();
            let row = [kind.to_owned(), unit, metric.labels.join(", ")];
            (metric.name.to_owned(), row)
        })
        .collect();
    for (name, row) in &described {
        assert_eq!(rows.get(name), Some(row), "{name}");
    }
    for name in rows.keys() {
        assert!(described.contains_key(name), "{name} is not exported");
    }
}

#[test]
fn whatever_else_the_page_names_is_a_metric() {
    let known: Vec<&str> = described().map(|metric| metric.name).collect();
    let is_part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    for word in PAGE
        .split(is_part)
        .filter(|word| word.starts_with("forebay_"))
    {
        assert!(known.contains(&word), "{word}");
    }
}

#[test]
fn the_page_explains_every_policy_by_which_an_update_is_lost() {
    for policy in [
        "drop_oldest",
        "drop_newest",
        "resize",
        "rejected",
        "lower_priority",
        "expired",
        "purged",
    ] {
        let explained = |line: &str| line.starts_with("| `") && line.contains(policy);
        assert!(PAGE.lines().any(explained), "{policy}");
    }
}
