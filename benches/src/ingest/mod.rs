//! `ingest`: one file of readings into SQLite, by the program and by two peers.
//!
//! Every contender writes the same table with the same promises: write-ahead log, and
//! `synchronous=FULL`, so that a committed batch survives a power cut. Each starts from an empty
//! directory with nothing left to write back, in turns, and the order turns too. After each run the
//! database is compared with what the file holds; a contender that lost or changed a row fails.
//! Only the program also keeps a ledger, a quarantine and statistics; the peers do the bare work.

mod contender;
mod data;
pub(crate) mod peer;
mod verify;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::process::Finished;
use crate::report::{self, Better, Comparison};
use crate::spread::Spread;
use contender::Contender;

/// What the project promises: times faster than the Python script, and than the bare loop.
const GOAL_PYTHON: f64 = 4.0;
const GOAL_BARE_LOOP: f64 = 0.8;
const PEAK_MEMORY_LIMIT_MB: f64 = 100.0;

#[derive(Args)]
pub(crate) struct Options {
    /// Lines in the generated file.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// How often each contender runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
}

/// A contender and what was measured of it so far.
struct Lane {
    contender: Contender,
    rows_per_s: Vec<f64>,
    peak_memory_mb: f64,
}

/// Generates the file, runs all contenders in turns, prints and writes the comparison.
pub(crate) fn run(options: &Options, program: &Path, results: &Path) -> Result<()> {
    std::fs::create_dir_all(results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    // Below the results, so that the databases are on the disk that the user chose for building.
    let scratch = tempfile::Builder::new()
        .prefix("ingest-")
        .tempdir_in(results)?;
    let source = scratch.path().join("readings.ndjson");
    let expected = data::generate(&source, options.rows)?;
    let contenders = contender::all(program, scratch.path())?;
    let mut lanes: Vec<Lane> = contenders
        .into_iter()
        .map(|contender| Lane {
            contender,
            rows_per_s: Vec::new(),
            peak_memory_mb: 0.0,
        })
        .collect();

    let load_before = report::load_average();
    for repetition in 0..options.repetitions {
        let turn = repetition as usize % lanes.len();
        lanes.rotate_left(turn);
        for lane in &mut lanes {
            run_once(lane, &source, scratch.path(), &expected)?;
        }
        lanes.rotate_right(turn);
    }
    let load_after = report::load_average();

    let comparisons = compare(&lanes, options.rows);
    print!("{}", table(&lanes));
    println!(
        "\n{} rows, {} runs each, in turns",
        options.rows, options.repetitions
    );
    println!("all with WAL and synchronous=FULL; every database was compared with the file");
    println!("load average before: {load_before}, after: {load_after}");
    for (comparison, goal) in &comparisons {
        println!("{}", comparison.goal(*goal));
    }
    let comparisons: Vec<Comparison> = comparisons.into_iter().map(|(row, _)| row).collect();
    report::write(&results.join("ingest.json"), &comparisons)
}

/// One run of one contender into a fresh directory, checked afterwards.
fn run_once(
    lane: &mut Lane,
    source: &Path,
    scratch: &Path,
    expected: &data::Content,
) -> Result<()> {
    let directory = scratch.join("database");
    std::fs::create_dir(&directory)?;
    settle();
    let name = lane.contender.name();
    let finished = lane.contender.load(source, &directory)?;
    let database = directory.join("forebay.sqlite");
    let loaded = verify::content(&database).with_context(|| format!("the database of {name}"))?;
    loaded
        .compare(expected)
        .with_context(|| format!("{name} did other work"))?;
    std::fs::remove_dir_all(&directory)?;

    let Finished {
        elapsed,
        peak_memory_mb,
        ..
    } = finished;
    lane.rows_per_s
        .push(expected.rows as f64 / elapsed.as_secs_f64());
    lane.peak_memory_mb = lane.peak_memory_mb.max(peak_memory_mb.unwrap_or(0.0));
    eprintln!("{name}: {:.2} s", elapsed.as_secs_f64());
    Ok(())
}

/// Lets the disk finish what the last run left, which the next would otherwise pay for.
fn settle() {
    if let Err(error) = Command::new("sync").status() {
        eprintln!("cannot start `sync`: {error}; runs may pay for each other's writes");
    }
}

/// Each figure of ours against a peer or a limit, with the ratio that is promised.
fn compare(lanes: &[Lane], rows: u64) -> Vec<(Comparison, f64)> {
    let median = |lane: &Lane| Spread::of(lane.rows_per_s.iter().copied()).map(|s| s.median);
    let Some(ours) = lanes.iter().find(|lane| lane.contender.is_ours()) else {
        return Vec::new();
    };
    let mut comparisons = Vec::new();
    for peer in lanes {
        let goal = match peer.contender {
            Contender::Forebay { .. } => continue,
            Contender::Python { .. } => GOAL_PYTHON,
            Contender::BareLoop { .. } => GOAL_BARE_LOOP,
        };
        if let (Some(ours), Some(theirs)) = (median(ours), median(peer)) {
            let case = format!("ingest of {rows} rows");
            let what = (case.as_str(), "rows/s", Better::Higher);
            comparisons.push((
                Comparison::new(what, ours, (peer.contender.name(), theirs)),
                goal,
            ));
        }
    }
    let what = ("ingest peak memory", "MB", Better::Lower);
    let limit = (report::LIMIT, PEAK_MEMORY_LIMIT_MB);
    comparisons.push((Comparison::new(what, ours.peak_memory_mb, limit), 1.0));
    comparisons
}

/// The comparison as a Markdown table.
fn table(lanes: &[Lane]) -> String {
    let spread = |lane: &Lane| Spread::of(lane.rows_per_s.iter().copied());
    let ours = lanes
        .iter()
        .find(|lane| lane.contender.is_ours())
        .and_then(spread);
    let mut text = String::from(
        "| contender | rows/s, median | min–max | ours / peer | peak MB |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for lane in lanes {
        let Some(Spread { min, median, max }) = spread(lane) else {
            continue;
        };
        let ratio = match ours {
            Some(ours) if !lane.contender.is_ours() => format!("{:.2}", ours.median / median),
            _ => "–".to_owned(),
        };
        let [median, min, max] = [median, min, max].map(report::thousands);
        let (name, peak) = (lane.contender.name(), lane.peak_memory_mb);
        text.push_str(&format!(
            "| {name} | {median} | {min}–{max} | {ratio} | {peak:.1} |\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(contender: Contender, rows_per_s: &[f64]) -> Lane {
        Lane {
            contender,
            rows_per_s: rows_per_s.to_vec(),
            peak_memory_mb: 50.0,
        }
    }

    fn lanes() -> Vec<Lane> {
        let path = std::path::PathBuf::new;
        vec![
            lane(
                Contender::Forebay { program: path() },
                &[400.0, 300.0, 500.0],
            ),
            lane(
                Contender::BareLoop { program: path() },
                &[500.0, 800.0, 400.0],
            ),
        ]
    }

    #[test]
    fn medians_are_compared_and_the_spread_is_shown() {
        let table = table(&lanes());
        assert!(table.contains("| 400 | 300–500 | – | 50.0 |"), "{table}");
        assert!(table.contains("| 500 | 400–800 | 0.80 | 50.0 |"), "{table}");
    }

    #[test]
    fn each_peer_and_the_memory_limit_become_a_comparison() {
        let comparisons = compare(&lanes(), 10);
        let ratios: Vec<(f64, f64)> = comparisons
            .iter()
            .map(|(row, goal)| (row.ratio, *goal))
            .collect();
        assert_eq!(ratios, [(0.8, GOAL_BARE_LOOP), (2.0, 1.0)]);
    }
}
