//! Kills servers and clients at random points, and compares what arrived with what was accepted.
//!
//! A client process delivers an endless source to a private server in batches of random sizes. Each
//! round lets it run for a moment and then strikes: the client is killed, the server is killed, or
//! both; the server hangs for longer than the client waits; or the client hangs, another takes
//! over, and the first comes back to life; the line between them is cut. The next client goes on
//! where the ledger says. Every now and then, and in the end, the table is read: it must hold
//! exactly the rows of the source, in order, each once, and the quarantine exactly the bad ones;
//! and whatever a client was told is delivered must be there.
//!
//! Start it as `cargo xtask chaos --rounds 1000`. A failure prints the seed, which repeats the
//! choices, though not the moments at which they strike.

mod child;
mod client;
mod relay;
mod source;
mod strike;
mod table;
mod target;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use child::{Child, Told};
use strike::Strike;
use table::Verified;
use target::{Kind, Target};

/// Rounds between two readings of the table.
const ROUNDS_PER_READING: u32 = 25;

#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
enum Arguments {
    /// Strikes, and reads what is left.
    #[command(name = "run")]
    Run(RunArguments),
    /// The client that is killed; started by `run`.
    #[command(name = "client", hide = true)]
    Client(client::ClientArguments),
}

#[derive(clap::Args)]
struct RunArguments {
    /// How often each database or its client is struck.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// The seed of the choices; random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this database.
    #[arg(long, value_enum)]
    only: Option<Kind>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments::Run(arguments) => run(&arguments),
        Arguments::Client(arguments) => return client::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("chaos: seed {seed}");
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::Mariadb] {
        if arguments.only.is_some_and(|only| only != kind) {
            continue;
        }
        strike_at(kind, arguments.rounds, seed)
            .with_context(|| format!("{kind:?}, seed {seed}"))?;
    }
    Ok(())
}

fn strike_at(kind: Kind, rounds: u32, seed: u64) -> Result<()> {
    let Some(mut target) = Target::start(kind)? else {
        return Ok(()); // It is not installed, and that was said.
    };
    let outcome = strike_again_and_again(&mut target, rounds, seed);
    if outcome.is_err() && kind == Kind::Sqlite {
        eprintln!("chaos: the file is kept in {}", target.keep().display());
    }
    outcome
}

fn strike_again_and_again(target: &mut Target, rounds: u32, seed: u64) -> Result<()> {
    let kind = target.kind();
    let mut random = fastrand::Rng::with_seed(seed);
    let started = Instant::now();
    let mut verified = Verified::default();
    let mut counts = strike::Counts::default();
    for round in 1..=rounds {
        let strike = Strike::choose(&mut random, kind);
        let acked = strike
            .carry_out(target, &mut random)
            .with_context(|| format!("round {round}, {strike:?}"))?;
        verified.acked(acked)?;
        counts.add(strike);
        if round % ROUNDS_PER_READING == 0 || round == rounds {
            verified.acked(vec![settle(target, &mut random)?])?;
            target
                .verify(&mut verified)
                .with_context(|| format!("after round {round}"))?;
            println!(
                "chaos: {} round {round} of {rounds}: {} rows and {} in quarantine, each once and \
                 in order ({:.0} s)",
                kind.name(),
                verified.rows(),
                verified.quarantined(),
                started.elapsed().as_secs_f64()
            );
        }
    }
    ensure!(verified.rows() > 0, "nothing was ever delivered");
    println!("chaos: {} {counts}", kind.name());
    Ok(())
}

/// Lets a last client deliver something undisturbed, so that what is read is no ruin: after
/// whatever happened, delivery goes on.
fn settle(target: &Target, random: &mut fastrand::Rng) -> Result<Told> {
    let mut child = Child::start(target, random.u64(..))?;
    child.wait_acked(2, Duration::from_secs(60))?;
    Ok(child.kill())
}
