//! Who may depend on whom. Arrows point down only, and siblings do not know each other.
//!
//! Normal and build dependencies must be in the table. A dev-dependency is not linked into anything
//! that ships, so any crate of a lower layer is allowed; one that points up or sideways is not.
//! A crate or an edge that the table does not know fails: the table is the architecture. It changes
//! together with ARCHITECTURE.md.

use cargo_metadata::{DependencyKind, Metadata};

/// One row: the crate, its layer, and the crates of the workspace that it may depend on.
type Row = (&'static str, u8, &'static [&'static str]);

/// The first layer that may know an async runtime.
const ASYNC_FROM_LAYER: u8 = 2;

/// The crates that are published, from the bottom up.
#[rustfmt::skip]
const PUBLISHED: &[&str] = &[
    "record", "buffer-core", "flush-policy", "trust", "coalesce", "dataservice", "journal", "sinks",
    "pipeline", "protocol", "client", "gateway", "forebay",
];
/// The same and what starts servers for tests.
#[rustfmt::skip]
const ALL_AND_SERVICES: &[&str] = &[
    "record", "buffer-core", "flush-policy", "trust", "coalesce", "dataservice", "journal", "sinks",
    "pipeline", "protocol", "client", "gateway", "forebay", "test-services",
];
const BELOW_PIPELINE: &[&str] = PUBLISHED.split_at(8).0;
const BELOW_FOREBAY: &[&str] = PUBLISHED.split_at(12).0;

const TABLE: &[Row] = &[
    ("record", 0, &[]),
    ("buffer-core", 0, &[]),
    ("flush-policy", 0, &[]),
    ("trust", 0, &[]),
    ("test-services", 0, &[]),
    ("coalesce", 1, &["buffer-core"]),
    ("dataservice", 1, &["buffer-core"]),
    ("journal", 1, &[]),
    ("sinks", 2, &["record", "trust"]),
    ("pipeline", 3, BELOW_PIPELINE),
    ("protocol", 1, &["record"]),
    ("client", 2, &["protocol", "record"]),
    (
        "gateway",
        4,
        &["pipeline", "dataservice", "protocol", "record", "sinks"],
    ),
    ("forebay", 5, BELOW_FOREBAY),
    // Unpublished packages that use the crates from outside, as a user would.
    ("benches", 6, ALL_AND_SERVICES),
    ("fuzz", 6, PUBLISHED),
    // The checks must run when nothing else compiles.
    ("xtask", 6, &[]),
];

/// A dependency between two packages of the workspace.
#[derive(Debug)]
pub(super) struct Edge {
    from: String,
    to: String,
    linked: Linked,
}

/// Whether the dependency is part of what ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    Shipped,
    TestsOnly,
}

/// All edges inside the workspace; a package without one is an edge to itself, so that its name is
/// checked too.
pub(super) fn edges(metadata: &Metadata) -> Vec<Edge> {
    let packages = metadata.workspace_packages();
    let mut edges = Vec::new();
    for package in &packages {
        let from = package.name.to_string();
        edges.push(Edge {
            from: from.clone(),
            to: from.clone(),
            linked: Linked::TestsOnly,
        });
        for dependency in &package.dependencies {
            if !packages
                .iter()
                .any(|other| other.name.as_str() == dependency.name)
            {
                continue;
            }
            let linked = match dependency.kind {
                DependencyKind::Development => Linked::TestsOnly,
                _ => Linked::Shipped,
            };
            edges.push(Edge {
                from: from.clone(),
                to: dependency.name.clone(),
                linked,
            });
        }
    }
    edges
}

/// The crates that must not reach an async runtime.
pub(super) fn below_async() -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|row| row.1 < ASYNC_FROM_LAYER)
        .map(|row| row.0)
        .collect()
}

/// One problem per edge that the table does not allow.
pub(super) fn check(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(problem).collect()
}

fn problem(edge: &Edge) -> Option<String> {
    let Edge { from, to, linked } = edge;
    let Some(&(_, layer, allowed)) = row(from) else {
        return Some(format!(
            "`{from}` is not in the layer table of xtask/src/tidy/layers.rs"
        ));
    };
    let Some(&(_, layer_below, _)) = row(to) else {
        return Some(format!(
            "`{from}` depends on `{to}`, which the layer table does not know"
        ));
    };
    match linked {
        // A package may name itself to switch its own features on in tests.
        Linked::TestsOnly if from == to || layer_below < layer => None,
        Linked::TestsOnly => Some(format!(
            "tests of `{from}` (layer {layer}) depend on `{to}` (layer {layer_below}); \
             a dev-dependency points to a lower layer"
        )),
        Linked::Shipped if allowed.contains(&to.as_str()) => None,
        Linked::Shipped => Some(format!(
            "`{from}` depends on `{to}`; allowed are {}",
            list(allowed)
        )),
    }
}

fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.0 == name)
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none of the workspace".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(from: &str, to: &str, linked: Linked, part_of_problem: Option<&str>) {
        let edge = Edge {
            from: from.into(),
            to: to.into(),
            linked,
        };
        let problems = check(&[edge]);
        match part_of_problem {
            None => assert!(problems.is_empty(), "{problems:?}"),
            Some(part) => assert!(
                problems.len() == 1 && problems[0].contains(part),
                "{problems:?}"
            ),
        }
    }

    #[test]
    fn arrows_of_the_table_are_allowed() {
        for (from, to) in [
            ("coalesce", "buffer-core"),
            ("dataservice", "buffer-core"),
            ("sinks", "record"),
            ("pipeline", "dataservice"),
            ("gateway", "pipeline"),
            ("forebay", "gateway"),
            ("benches", "forebay"),
        ] {
            expect(from, to, Linked::Shipped, None);
        }
    }

    #[test]
    fn arrows_up_and_sideways_fail() {
        for (from, to) in [
            ("buffer-core", "record"),
            ("record", "buffer-core"),
            ("dataservice", "coalesce"),
            ("dataservice", "record"),
            ("sinks", "pipeline"),
            ("sinks", "buffer-core"),
            ("gateway", "coalesce"),
            ("pipeline", "gateway"),
            ("forebay", "benches"),
            ("xtask", "record"),
        ] {
            expect(from, to, Linked::Shipped, Some("allowed are"));
        }
    }

    #[test]
    fn dev_dependencies_point_down_too() {
        expect("gateway", "sinks", Linked::TestsOnly, None);
        expect("record", "record", Linked::TestsOnly, None);
        expect(
            "dataservice",
            "coalesce",
            Linked::TestsOnly,
            Some("points to a lower layer"),
        );
        expect(
            "buffer-core",
            "pipeline",
            Linked::TestsOnly,
            Some("points to a lower layer"),
        );
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_fails() {
        expect(
            "newcomer",
            "newcomer",
            Linked::TestsOnly,
            Some("not in the layer table"),
        );
        expect(
            "forebay",
            "newcomer",
            Linked::Shipped,
            Some("does not know"),
        );
    }

    #[test]
    fn the_table_itself_points_down() {
        for &(from, layer, allowed) in TABLE {
            for to in allowed {
                let below = row(to)
                    .unwrap_or_else(|| panic!("{from} may use unknown {to}"))
                    .1;
                assert!(below < layer, "{from} may use {to}");
            }
        }
    }

    #[test]
    fn layers_0_and_1_are_below_async() {
        let crates = below_async();
        assert!(crates.contains(&"record") && crates.contains(&"journal"));
        assert!(!crates.contains(&"sinks") && !crates.contains(&"xtask"));
    }
}
