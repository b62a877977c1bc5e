//! The crates of layers 0 and 1 reach no async runtime and no web stack, however indirectly.
//!
//! Looks at normal dependencies only (tests may use what they like), with all features on, for the
//! platform of this machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata};

/// Names, and families of names, that must not be reached.
const FORBIDDEN: &[&str] = &[
    // Runtimes.
    "tokio",
    "async-std",
    "async-executor",
    "async-global-executor",
    "smol",
    "monoio",
    "glommio",
    "embassy-executor",
    "compio",
    // Web stacks.
    "actix-web",
    "axum",
    "h2",
    "http",
    "hyper",
    "reqwest",
    "rocket",
    "tower",
    "tungstenite",
    "ureq",
    "warp",
];

/// Normal dependencies by package name. Two versions of a package count as one.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The graph of normal dependencies, as cargo resolved it.
pub(super) fn graph(metadata: &Metadata) -> Result<Graph> {
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo metadata resolved nothing")?;
    let mut graph = Graph::new();
    for node in &resolve.nodes {
        let below = graph
            .entry(metadata[&node.id].name.to_string())
            .or_default();
        for dependency in &node.deps {
            if dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal)
            {
                below.insert(metadata[&dependency.pkg].name.to_string());
            }
        }
    }
    Ok(graph)
}

/// One problem per crate and forbidden package that it reaches, with the way there.
pub(super) fn check(graph: &Graph, crates: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    for name in crates.iter().filter(|name| graph.contains_key(**name)) {
        for way in forbidden_ways(graph, name) {
            problems.push(format!("`{name}` must not reach it: {}", way.join(" → ")));
        }
    }
    problems
}

/// The shortest way to each forbidden package; does not look behind one.
fn forbidden_ways<'a>(graph: &'a Graph, start: &'a str) -> Vec<Vec<&'a str>> {
    let mut seen = BTreeSet::from([start]);
    let mut queue = VecDeque::from([vec![start]]);
    let mut found = Vec::new();
    while let Some(way) = queue.pop_front() {
        let last = way[way.len() - 1];
        if is_forbidden(last) {
            found.push(way);
            continue;
        }
        for next in graph.get(last).into_iter().flatten() {
            if seen.insert(next) {
                let mut longer = way.clone();
                longer.push(next);
                queue.push_back(longer);
            }
        }
    }
    found
}

/// A forbidden name, or a member of its family such as `tokio-util`.
fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| {
        name.strip_prefix(forbidden)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph
                .entry((*from).into())
                .or_default()
                .insert((*to).into());
        }
        graph
    }

    #[test]
    fn a_runtime_is_found_through_others_and_the_way_is_shown() {
        let graph = graph_of(&[("record", "a"), ("a", "b"), ("b", "a"), ("b", "tokio-util")]);
        assert_eq!(
            check(&graph, &["record"]),
            ["`record` must not reach it: record → a → b → tokio-util"]
        );
    }

    #[test]
    fn every_forbidden_package_is_named() {
        let graph = graph_of(&[("record", "axum"), ("record", "smol"), ("axum", "tokio")]);
        let problems = check(&graph, &["record"]);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn crates_above_and_names_that_only_look_alike_are_left_alone() {
        let graph = graph_of(&[
            ("sinks", "tokio"),
            ("record", "httparse"),
            ("record", "smol_str"),
        ]);
        assert!(check(&graph, &["record", "journal"]).is_empty());
    }
}
