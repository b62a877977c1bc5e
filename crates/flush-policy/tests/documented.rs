//! The tables and pictures in the documentation are what the simulator makes of them today.
//!
//! After a change that is meant: `cargo run --release -p flush-policy --example simulate` with
//! `--svg` and `--sizes-svg` writes the pictures and prints the table to paste.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/simulate/plot.rs"]
mod plot;
#[path = "../examples/simulate/scenario.rs"]
mod scenario;
mod sim;
#[path = "../examples/simulate/table.rs"]
mod table;

use std::path::Path;

const SEED: u64 = 1;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path);
    // A checkout may have turned the ends of lines.
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("\r\n", "\n")
}

#[test]
fn tables_and_pictures_are_not_stale() {
    let patterns = scenario::patterns(SEED);
    let rows = table::rows(&patterns, &scenario::contenders()).unwrap();
    let page = read("../../docs/flushing.md");
    assert!(
        page.contains(&table::markdown(&rows)),
        "docs/flushing.md has another table"
    );
    let pictures = [
        ("flush-policies", plot::waits(&patterns, &rows)),
        (
            "adaptive-size",
            plot::sizes(&patterns, &rows, scenario::SIZES_SHOWN),
        ),
    ];
    for (name, picture) in pictures {
        assert!(
            page.contains(&format!("images/{name}.svg")),
            "{name} is not shown"
        );
        let committed = read(&format!("../../docs/images/{name}.svg"));
        assert!(
            committed == picture,
            "docs/images/{name}.svg is another picture"
        );
    }
    let bursts: Vec<_> = rows
        .into_iter()
        .filter(|row| row.pattern == "bursts")
        .collect();
    let readme = read("README.md");
    assert!(
        readme.contains(&table::markdown(&bursts)),
        "README.md has another table"
    );
    // One line per row and one above.
    assert_eq!(table::csv(&bursts).lines().count(), bursts.len() + 1);
}
