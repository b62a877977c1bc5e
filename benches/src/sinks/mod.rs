//! `sinks`: what writing costs beside the bare drivers and beside Python.

mod tracker;

use std::path::Path;

use anyhow::Result;

use crate::measure::case::Case;
use crate::measure::{Options, Suite};

const REPETITIONS: u32 = 5;

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    let suite = Suite {
        cases: cases(),
        repetitions: REPETITIONS,
        file: "sinks.json",
    };
    suite.run(options, results)
}

fn cases() -> Vec<Case> {
    tracker::cases()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::laws;

    #[test]
    fn every_case_has_ours_and_a_name_of_its_own() {
        laws::check_cases(&cases(), 0);
    }

    #[test]
    fn every_aim_names_contenders_that_take_part() {
        laws::check_aims(&cases());
    }
}
