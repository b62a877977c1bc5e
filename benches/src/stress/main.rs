//! Stress in real time: rings, histories, coalescers and data services under threads that do what a
//! program might, in an order chosen by a seed.
//!
//! Each scenario runs in short rounds. A round builds a structure with random settings, lets
//! threads loose on it, and accounts for every item in the end; while it runs, one thread checks
//! again and again that the structure's own counts add up. The first thing that does not add up
//! ends the run with the seed of the round. A seed repeats the choices of each thread and not how
//! threads interleave, so a failure may take a few runs to come again.
//!
//! Start it as `cargo xtask stress`, or with `--tsan` under `ThreadSanitizer`.

mod arrays;
mod coalescer;
mod dataservice;
mod history;
mod ledger;
mod ring;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;

use ledger::Report;

/// How long a round may take before it counts as stuck.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// Runs the core's data structures hard and accounts for every item.
#[derive(Parser)]
#[command(name = "cargo xtask stress")]
struct Arguments {
    /// How long all scenarios run together, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The seed of the first round; random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only scenarios whose name begins so.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Leaves out what a thread sanitizer without fences mistakes for a race: memory that the last
    /// owner of an `Arc` hands on through a pool instead of freeing it.
    #[arg(long)]
    sanitized: bool,
    /// Ends after so many rounds of each scenario, whatever the time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

/// Name, and a round of it with a seed.
type Scenario = (&'static str, fn(u64) -> Result<Report>);

const SCENARIOS: &[Scenario] = &[
    ("ring", ring::round),
    ("history", history::round),
    ("arrays", arrays::round),
    ("coalescer", coalescer::round),
    ("dataservice", dataservice::round),
];

/// Whether a thread sanitizer looks on.
static SANITIZED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    SANITIZED.store(arguments.sanitized, Ordering::Relaxed);
    let prefix = arguments.only.as_deref().unwrap_or("");
    let scenarios: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    if scenarios.is_empty() {
        eprintln!("no scenario begins with `{prefix}`");
        return ExitCode::from(2);
    }
    let first_seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("stress: first seed {first_seed}");
    let share = Duration::from_secs(arguments.seconds) / scenarios.len() as u32;
    for (name, round) in scenarios {
        let rounds_max = arguments.rounds.unwrap_or(u64::MAX);
        if !run(name, *round, first_seed, share, rounds_max) {
            return ExitCode::FAILURE;
        }
    }
    println!("stress: everything is accounted for");
    ExitCode::SUCCESS
}

/// Rounds of one scenario until its time is over; false as soon as one fails, which is reported.
fn run(
    name: &str,
    round: fn(u64) -> Result<Report>,
    first_seed: u64,
    share: Duration,
    rounds_max: u64,
) -> bool {
    let started = Instant::now();
    let mut total = Report::default();
    let mut rounds = 0;
    while started.elapsed() < share && rounds < rounds_max {
        let seed = first_seed.wrapping_add(rounds);
        match watched(round, seed) {
            Ok(report) => total.add(&report),
            Err(failure) => {
                eprintln!("stress: {name} FAILED: {failure}");
                eprintln!("stress: repeat with `--only {name} --rounds 20 --seed {seed}`");
                return false;
            }
        }
        rounds += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("stress: {name}: {rounds} rounds in {seconds:.1} s\n{total}");
    true
}

/// Runs a round on a thread of its own, so that one that is stuck can be reported. Its threads then
/// stay behind: the program ends.
fn watched(round: fn(u64) -> Result<Report>, seed: u64) -> Result<Report, String> {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let outcome = round(seed);
        // Nobody listens any more if the round was given up as stuck.
        let _ = done.send(());
        outcome
    });
    match ended.recv_timeout(ROUND_MAX) {
        Err(RecvTimeoutError::Timeout) => Err(format!("stuck for {ROUND_MAX:?}")),
        // Disconnected without a word means that it panicked, which `join` tells.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(outcome) => outcome.map_err(|error| format!("{error:#}")),
            Err(_) => Err("a thread panicked, see above".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_survives_a_few_rounds() {
        for (name, round) in SCENARIOS {
            for seed in 0..3 {
                let report = watched(*round, seed).unwrap();
                assert!(report.counted(), "{name}, seed {seed}");
            }
        }
    }

    #[test]
    fn errors_and_panics_of_a_round_are_failures() {
        assert_eq!(
            watched(|_| anyhow::bail!("two items are lost"), 1).unwrap_err(),
            "two items are lost"
        );
        assert!(
            watched(|_| std::panic::resume_unwind(Box::new(())), 1)
                .unwrap_err()
                .contains("panicked")
        );
    }
}
