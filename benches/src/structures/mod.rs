//! `core`: rings, histories and keyed aggregation, side by side with the crates that one would use
//! instead.
//!
//! Every contender of a case does the same work under the same checks: nothing lost, nothing twice;
//! one that fails a check ends the run as an error. Repetitions are short and interleaved, so that
//! a disturbance meets all contenders. The aims are those of the project; a run on a machine that
//! was not quiet says so, and then they prove nothing.

mod affinity;
mod case;
mod histories;
mod item;
mod keyed;
mod machine;
mod ours;
mod outcome;
mod pace;
mod rings;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::report::{self, Comparison};
use case::Case;

const REPETITIONS: u32 = 7;
const REPETITIONS_QUICK: u32 = 3;
/// A quick run measures for a fraction of the time.
const QUICK_DIVISOR: u32 = 4;

#[derive(Args)]
pub(crate) struct Options {
    /// Only cases whose name begins so, for example `ring` or `coalesce-zipf`.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Only the contender of that name, or those whose names begin so; to profile one alone.
    #[arg(long, value_name = "NAME")]
    contender: Option<String>,
    /// How often each contender runs; 7 unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: Option<u32>,
    /// How long one repetition measures, in milliseconds; depends on the case unless given.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    duration_ms: Option<u64>,
    /// Fewer and shorter repetitions: to see that everything works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Lists the names of the cases, and runs none.
    #[arg(long)]
    list: bool,
}

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    let cases = selected(options);
    ensure!(!cases.is_empty(), "no case and contender of that name");
    if options.list {
        for case in cases {
            println!("{}", case.name);
        }
        return Ok(());
    }
    let started = Instant::now();
    let watch = machine::Watch::start();
    let (mut rows, mut verdicts) = (Vec::<Comparison>::new(), Vec::new());
    for case in &cases {
        let lanes = case.measure(
            repetitions(options),
            duration(options, case),
            |repetition| {
                eprintln!("{}: repetition {}", case.name, repetition + 1);
            },
        )?;
        for (index, metric) in case.metrics.iter().enumerate() {
            println!("## {} (`{}`)\n", metric.title, case.name);
            println!("{}", outcome::table(metric, index, &lanes));
            let comparisons = outcome::comparisons(metric, index, &lanes);
            verdicts.extend(outcome::verdicts(metric, &comparisons));
            rows.extend(comparisons);
        }
    }
    if !verdicts.is_empty() {
        println!("## Aims\n\n{}", outcome::summary(&verdicts));
    }
    println!(
        "{} repetitions each, in turns, in {:.0} s",
        repetitions(options),
        started.elapsed().as_secs_f64()
    );
    match watch.finish() {
        Some(quietness) => println!("{quietness}"),
        None => println!("WARNING: this system does not say how busy it was"),
    }
    if options.only.is_some() || options.contender.is_some() {
        println!("a part of the cases or contenders: no results were written");
        return Ok(());
    }
    std::fs::create_dir_all(results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    report::write(&results.join("core.json"), &rows)
}

fn repetitions(options: &Options) -> u32 {
    let usual = if options.quick {
        REPETITIONS_QUICK
    } else {
        REPETITIONS
    };
    options.repetitions.unwrap_or(usual)
}

fn duration(options: &Options, case: &Case) -> Duration {
    match options.duration_ms {
        Some(duration_ms) => Duration::from_millis(duration_ms),
        None if options.quick => case.duration / QUICK_DIVISOR,
        None => case.duration,
    }
}

/// The cases and contenders that were asked for.
fn selected(options: &Options) -> Vec<Case> {
    let mut cases: Vec<Case> = [rings::cases(), histories::cases(), keyed::cases()]
        .into_iter()
        .flatten()
        .collect();
    if let Some(prefix) = &options.only {
        cases.retain(|case| case.name.starts_with(prefix));
    }
    if let Some(name) = &options.contender {
        for case in &mut cases {
            // `ours` is one contender, though others begin so.
            let is_whole = case.contenders.iter().any(|one| one.name == name);
            case.contenders
                .retain(|one| one.name == name || !is_whole && one.name.starts_with(name.as_str()));
        }
    }
    cases.retain(|case| !case.contenders.is_empty());
    cases
}

#[cfg(test)]
mod tests {
    use super::case::Kind;
    use super::*;

    fn options() -> Options {
        Options {
            only: None,
            contender: None,
            repetitions: None,
            duration_ms: None,
            quick: false,
            list: false,
        }
    }

    #[test]
    fn every_case_has_ours_and_peers_and_a_name_of_its_own() {
        let cases = selected(&options());
        for (index, case) in cases.iter().enumerate() {
            let count = |kind| case.contenders.iter().filter(|c| c.kind == kind).count();
            assert_eq!(count(Kind::Ours), 1, "{}", case.name);
            assert!(count(Kind::Peer) >= 2, "{}", case.name);
            assert!(cases[..index].iter().all(|other| other.name != case.name));
        }
    }

    #[test]
    fn every_aim_names_contenders_that_take_part() {
        for case in selected(&options()) {
            for aim in case.metrics.iter().flat_map(|metric| &metric.aims) {
                if let case::Against::BestOf(names) = aim.against {
                    for name in names {
                        let peers = case.contenders.iter().filter(|c| c.kind == Kind::Peer);
                        assert!(peers.map(|c| c.name).any(|peer| peer == *name), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_contender_of_one_case_can_be_chosen() {
        let only = Options {
            only: Some("ring-overwrite/4".into()),
            contender: Some("ours".into()),
            ..options()
        };
        let cases = selected(&only);
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].contenders.len(), 1);
        assert_eq!(cases[0].contenders[0].kind, Kind::Ours);
    }

    #[test]
    fn every_contender_passes_its_checks() {
        for case in selected(&options()) {
            let values = case.measure(1, Duration::from_millis(2), |_| {});
            values.unwrap();
        }
    }
}
