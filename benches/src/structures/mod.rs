//! `core`: rings, histories and keyed aggregation, side by side with the crates that one would use
//! instead.
//!
//! Every contender of a case does the same work under the same checks: nothing lost, nothing twice;
//! one that fails a check ends the run as an error. The aims are those of the project.

mod histories;
mod item;
mod keyed;
mod ours;
mod rings;

use std::path::Path;

use anyhow::Result;

use crate::measure::case::Case;
use crate::measure::{Options, Suite, Tables};

const REPETITIONS: u32 = 7;

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    let suite = Suite {
        cases: cases(),
        repetitions: REPETITIONS,
        file: "core.json",
        tables: Tables::default(),
    };
    suite.run(options, results)
}

fn cases() -> Vec<Case> {
    [rings::cases(), histories::cases(), keyed::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::laws;

    #[test]
    fn every_case_has_ours_and_peers_and_a_name_of_its_own() {
        laws::check_cases(&cases(), 2);
    }

    #[test]
    fn every_aim_names_contenders_that_take_part() {
        laws::check_aims(&cases());
    }

    #[test]
    fn every_contender_passes_its_checks() {
        laws::check_contenders(&cases());
    }
}
