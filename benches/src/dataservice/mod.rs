//! `dataservice`: commits, readers and memory of the data service, side by side with other ways to
//! share values by key inside a process.
//!
//! The peers are what one would write or take instead: the algorithm that the data service comes
//! from, ported plainly and in Python; the same map with one lock per transaction; a map of
//! sharded locks; a channel per key or for all. Each is used in the best way of its kind. Updates
//! are numbered, so that one that is lost, doubled, out of order or under another key is noticed; a
//! contender that does not promise to show everything is not refused but counted.

mod callback;
mod commit;
mod every_update;
mod frames;
pub(crate) mod memory;
mod ours;
mod peers;
mod python;
mod snapshot;
mod store;
mod stream;
mod windows;

use std::path::Path;

use anyhow::Result;

use crate::measure::case::Case;
use crate::measure::{Options, Suite, Tables};

const REPETITIONS: u32 = 5;
/// Updates of a transaction, unless the case says otherwise.
const TRANSACTION: u64 = 1_024;

/// The origin's algorithm: a lock per put, and a set of the keys that changed.
const PORT: &str = "Mutex<HashMap<VecDeque>>, callbacks";
const ONE_LOCK: &str = "the same, foldhash, a lock per transaction";
const DASHMAP: &str = "DashMap of VecDeque, foldhash";
const WATCH: &str = "tokio watch per key";
const OBSERVABLE: &str = "eyeball observable per key";

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    let suite = Suite {
        cases: cases(),
        repetitions: REPETITIONS,
        file: "dataservice.json",
        tables: Tables::default(),
    };
    suite.run(options, results)
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        commit::case(TRANSACTION),
        commit::case(16),
        every_update::case(),
        snapshot::case(),
        callback::case(),
        memory::case(),
        python::case(),
    ];
    cases.extend(windows::cases());
    cases.extend(frames::cases());
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::laws;

    #[test]
    fn every_case_has_ours_and_peers_and_a_name_of_its_own() {
        let mut cases = cases();
        laws::check_cases(&cases, 1);
        cases.retain(|case| !case.name.starts_with("python"));
        laws::check_cases(&cases, 2);
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
