//! What comparisons of data structures share: cases of contenders, repetitions in turns, aims, and
//! how quiet the machine was.
//!
//! Repetitions are short and interleaved, so that a disturbance meets all contenders. One that
//! fails a check ends the run as an error. A run on a machine that was not quiet says so, and then
//! its ratios prove nothing.

pub(crate) mod affinity;
pub(crate) mod case;
mod machine;
mod outcome;
pub(crate) mod pace;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::report::{self, Comparison};
use case::Case;

const REPETITIONS_QUICK: u32 = 3;
/// What measures for so long runs once: its length makes up for the repetitions.
const ONCE_FROM: Duration = Duration::from_secs(10);
/// A quick run measures for a fraction of the time.
const QUICK_DIVISOR: u32 = 4;

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only cases whose name begins so, for example `ring` or `commit/16`.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Only the contender of that name, or those whose names begin so; to profile one alone.
    #[arg(long, value_name = "NAME")]
    contender: Option<String>,
    /// How often each contender runs; depends on the benchmark unless given.
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

/// A set of cases that are run together.
pub(crate) struct Suite {
    pub(crate) cases: Vec<Case>,
    /// How often each contender runs, unless options say otherwise.
    pub(crate) repetitions: u32,
    /// The name of the file with the results.
    pub(crate) file: &'static str,
    pub(crate) tables: Tables,
}

/// What is printed of a case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tables {
    /// A table for each metric, with how far repetitions spread.
    #[default]
    OfMetrics,
    /// One table, with a column for each metric.
    OfCases,
}

impl Suite {
    /// Runs the selected cases, prints tables and aims, and writes the comparison.
    pub(crate) fn run(self, options: &Options, results: &Path) -> Result<()> {
        let repetitions = options.repetitions(self.repetitions);
        let cases = options.select(self.cases);
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
            let repetitions = if case.duration < ONCE_FROM {
                repetitions
            } else {
                1
            };
            let lanes = case.measure(repetitions, options.duration(case), |repetition| {
                eprintln!("{}: repetition {}", case.name, repetition + 1);
            })?;
            if self.tables == Tables::OfCases {
                println!("## `{}`\n", case.name);
                println!("{}", outcome::case_table(&case.metrics, &lanes));
            }
            for (index, metric) in case.metrics.iter().enumerate() {
                if self.tables == Tables::OfMetrics {
                    println!("## {} (`{}`)\n", metric.title, case.name);
                    println!("{}", outcome::table(metric, index, &lanes));
                }
                let comparisons = outcome::comparisons(metric, index, &lanes);
                verdicts.extend(outcome::verdicts(metric, &comparisons));
                rows.extend(comparisons);
            }
        }
        if !verdicts.is_empty() {
            println!("## Aims\n\n{}", outcome::summary(&verdicts));
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{repetitions} repetitions each, one of long cases, in turns, in {seconds:.0} s");
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
        report::write(&results.join(self.file), &rows)
    }
}

impl Options {
    /// Whether it is only to be seen that everything works.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    fn repetitions(&self, usual: u32) -> u32 {
        let quick = REPETITIONS_QUICK.min(usual);
        let unless_given = if self.quick { quick } else { usual };
        self.repetitions.unwrap_or(unless_given)
    }

    fn duration(&self, case: &Case) -> Duration {
        match self.duration_ms {
            Some(duration_ms) => Duration::from_millis(duration_ms),
            None if self.quick => case.duration / QUICK_DIVISOR,
            None => case.duration,
        }
    }

    /// The cases and contenders that were asked for.
    fn select(&self, mut cases: Vec<Case>) -> Vec<Case> {
        if let Some(prefix) = &self.only {
            cases.retain(|case| case.name.starts_with(prefix));
        }
        if let Some(name) = &self.contender {
            for case in &mut cases {
                // `ours` is one contender, though others begin so.
                let is_whole = case.contenders.iter().any(|one| one.name == name);
                case.contenders.retain(|one| {
                    one.name == name || !is_whole && one.name.starts_with(name.as_str())
                });
            }
        }
        cases.retain(|case| !case.contenders.is_empty());
        cases
    }
}

/// What holds for every suite; for their tests.
#[cfg(test)]
pub(crate) mod laws {
    use super::case::{Against, Kind};
    use super::*;

    /// Each case has a name of its own, one contender of ours, and so many peers at least.
    #[track_caller]
    pub(crate) fn check_cases(cases: &[Case], peers_min: usize) {
        for (index, case) in cases.iter().enumerate() {
            let count = |kind| case.contenders.iter().filter(|c| c.kind == kind).count();
            assert_eq!(count(Kind::Ours), 1, "{}", case.name);
            assert!(count(Kind::Peer) >= peers_min, "{}", case.name);
            assert!(cases[..index].iter().all(|other| other.name != case.name));
        }
    }

    /// Each aim is against a peer that takes part.
    #[track_caller]
    pub(crate) fn check_aims(cases: &[Case]) {
        for case in cases {
            for aim in case.metrics.iter().flat_map(|metric| &metric.aims) {
                if let Against::BestOf(names) = aim.against {
                    for name in names {
                        let peers = case.contenders.iter().filter(|c| c.kind == Kind::Peer);
                        assert!(peers.map(|c| c.name).any(|peer| peer == *name), "{name}");
                    }
                }
            }
        }
    }

    /// Every contender passes its own checks.
    #[track_caller]
    pub(crate) fn check_contenders(cases: &[Case]) {
        for case in cases {
            case.measure(1, Duration::from_millis(2), |_| {}).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::case::{Contender, Kind, Metric};
    use super::*;
    use crate::report::Better;

    #[test]
    fn one_contender_of_one_case_can_be_chosen() {
        let contender = |kind, name| Contender::new(kind, name, |_| Ok(vec![1.0]));
        let case = |name: &str| Case {
            name: name.to_owned(),
            metrics: vec![Metric::new("speed", "M/s", Better::Higher)],
            contenders: vec![
                contender(Kind::Ours, "ours"),
                contender(Kind::Variant, "ours, otherwise"),
                contender(Kind::Peer, "other"),
            ],
            duration: Duration::ZERO,
        };
        let options = Options {
            only: Some("push/4".into()),
            contender: Some("ours".into()),
            ..Options::default()
        };
        let cases = options.select(vec![case("push/1"), case("push/4")]);
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].contenders.len(), 1);
        assert_eq!(cases[0].contenders[0].kind, Kind::Ours);
    }
}
