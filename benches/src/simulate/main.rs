//! The whole pipeline in virtual time: a seed decides what is built, what is offered, what fails
//! and when, and after every step the laws are checked against a naive model.
//!
//! Each seed makes sinks, routes, lanes and sources, and then takes steps: bursts and trickles,
//! pauses of virtual minutes, sinks that are slow, hang, panic, lose answers or are dead, flushes,
//! kills, take-overs, shutdowns, and a clock that jumps. Stores outlive kills. The first thing that
//! contradicts a law ends the run with the seed and the command that replays it; a seed takes the
//! same course every time, which is checked as well.
//!
//! What it does not do: real threads, real sinks and real files. `cargo xtask chaos` kills real
//! databases, and `cargo xtask stress` lets threads loose. Start it as `cargo xtask simulate`.

mod attempts;
mod check;
mod end;
mod lanes;
mod life;
mod offer;
mod shape;
mod sink;
mod source;
mod trace;
mod weather;
mod witness;
mod workers;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use trace::Lines;
use world::Outcome;

/// Simulates the whole pipeline in virtual time, seed by seed.
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Replays this seed alone, and prints its last steps.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Runs all seeds whatever fails, and lists those that did.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    workers::hush_injected_panics();
    if let Some(seed) = arguments.seed {
        let outcome = workers::run(seed, Lines::Said);
        println!("{}", outcome.shape);
        println!("trace {:016x}\n{}", outcome.hash, outcome.tally);
        return verdict(seed, &outcome);
    }
    let began = Instant::now();
    let seeds = arguments.first..arguments.first.saturating_add(arguments.seeds);
    if let Err(complaint) = workers::check_that_seeds_replay(seeds.start) {
        eprintln!("simulate: FAILED: {complaint}");
        return ExitCode::FAILURE;
    }
    let done = workers::run_all(seeds, arguments.keep_going);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "simulate: {} seeds in {seconds:.1} s\n{}",
        done.seeds, done.tally
    );
    match done.failed.first_key_value() {
        None => {
            println!("simulate: every law held");
            ExitCode::SUCCESS
        }
        Some((seed, _)) => verdict(*seed, &workers::run(*seed, Lines::Kept)),
    }
}

/// Says how a seed ended, and how to see it again.
fn verdict(seed: u64, outcome: &Outcome) -> ExitCode {
    let Err(why) = &outcome.result else {
        println!("simulate: every law held");
        return ExitCode::SUCCESS;
    };
    let lines = &outcome.lines;
    eprintln!("the last steps:");
    lines[lines.len().saturating_sub(30)..]
        .iter()
        .for_each(|line| eprintln!("{line}"));
    eprintln!("simulate: seed {seed} FAILED: {why:#}");
    eprintln!("simulate: replay it with `cargo xtask simulate --seed {seed}`");
    ExitCode::FAILURE
}
