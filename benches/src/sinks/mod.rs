//! `sinks`: what writing costs beside the bare drivers and beside Python, and the tracker beside
//! its original. The same rows, the same durability, one connection, in the same run.
//!
//! The bare driver writes the columns that our table has, without ledger and quarantine; so the
//! ratio is the price of exactly-once. Connecting and creating tables is not measured.

mod mariadb;
mod ours;
mod postgres;
mod python;
mod rows;
mod sqlite;
mod tracker;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use test_services::Service;

use crate::measure::case::{Against, Case, Contender, Metric};
use crate::measure::{Options, Suite, Tables};
use crate::report::Better;

/// The peers, as the results call them.
pub(crate) const BARE: &str = "bare driver";
pub(crate) const PYTHON: &str = "Python";

const BATCHES: [usize; 2] = [500, 5_000];

/// Runs all cases, or those that were asked for.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    std::fs::create_dir_all(results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    // Beside the results, not in memory: a sync has to cost what it costs.
    let folder = tempfile::tempdir_in(results)?;
    let postgres = Service::start(test_services::Kind::Postgres).map(Rc::new);
    let mariadb = Service::start(test_services::Kind::MariaDb).map(Rc::new);
    let mut cases = tracker::cases();
    for rows in BATCHES {
        cases.push(case(
            "sqlite",
            rows,
            1.5,
            sqlite::contenders(folder.path(), rows),
        ));
        if let Some(service) = &postgres {
            cases.push(case(
                "postgres",
                rows,
                5.0,
                postgres::contenders(service, rows),
            ));
        }
        if let Some(service) = &mariadb {
            cases.push(case(
                "mariadb",
                rows,
                0.0,
                mariadb::contenders(service, rows),
            ));
        }
    }
    let suite = Suite {
        cases,
        repetitions: 5,
        file: "sinks.json",
        tables: Tables::default(),
    };
    suite.run(options, results)
}

/// The aim against Python is for small batches, where a driver's own costs count most.
fn case(database: &str, rows: usize, than_python: f64, contenders: Vec<Contender>) -> Case {
    let title = format!("{database}, batches of {rows}");
    let mut metric =
        Metric::new(title, "rows/s", Better::Higher).aim(0.9, Against::BestOf(&[BARE]));
    let has_python = contenders.iter().any(|contender| contender.name == PYTHON);
    if rows == BATCHES[0] && has_python {
        metric = metric.aim(than_python, Against::BestOf(&[PYTHON]));
    }
    Case {
        name: format!("{database}/{rows}"),
        metrics: vec![metric],
        contenders,
        // Each repetition writes the same rows, however long that takes.
        duration: Duration::ZERO,
    }
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
        laws::check_cases(&tracker::cases(), 0);
    }

    #[test]
    fn every_aim_names_contenders_that_take_part() {
        laws::check_aims(&tracker::cases());
        let folder = tempfile::tempdir().unwrap();
        let case = case("sqlite", 500, 1.5, sqlite::contenders(folder.path(), 500));
        laws::check_aims(&[case]);
    }
}
