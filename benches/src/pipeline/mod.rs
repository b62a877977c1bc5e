//! `pipeline`: accepting and delivering beside what one writes by hand, and what a pipeline does
//! under load that such a loop cannot.
//!
//! The same records, runtime, batch size and writer for all. A run that loses a record, or
//! delivers one twice or out of order, ends as an error.

mod accept;
mod batcher;
mod counting;
mod delivered;
mod offer;
mod probe;
mod quiet;
mod recorder;
mod rows;
mod slow;
mod strain;

use std::path::Path;

use anyhow::{Context, Result};

use crate::measure::case::Case;
use crate::measure::{Options, Suite, Tables};

/// The peers, as the results call them.
const HAND_WRITTEN: &str = "tokio batcher by hand";
const CHUNKS_TIMEOUT: &str = "tokio-stream chunks_timeout";

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    std::fs::create_dir_all(results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    // Beside the results, not in memory: a sync has to cost what it costs.
    let folder = tempfile::tempdir_in(results)?;
    let suite = Suite {
        cases: cases(folder.path()),
        repetitions: 5,
        file: "pipeline.json",
        tables: Tables::default(),
    };
    suite.run(options, results)
}

fn cases(folder: &Path) -> Vec<Case> {
    vec![
        accept::case(1, 3.0),
        accept::case(4, 6.0),
        delivered::case(folder),
        strain::overload(),
        strain::outage(),
        quiet::metrics(),
        quiet::idle(),
    ]
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::laws;

    #[test]
    fn every_case_has_ours_and_a_name_of_its_own() {
        laws::check_cases(&cases(Path::new("anywhere")), 0);
    }

    #[test]
    fn every_aim_names_contenders_that_take_part() {
        laws::check_aims(&cases(Path::new("anywhere")));
    }

    #[test]
    fn every_contender_passes_its_checks() {
        let folder = tempfile::tempdir().unwrap();
        laws::check_contenders(&cases(folder.path()));
    }
}
