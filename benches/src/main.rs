//! Benchmarks of the whole program and of its data structures, side by side with other ways to do
//! the same work.
//!
//! All contenders run in one session, in turns, programs as processes of their own, and each result
//! is checked before its time counts. Absolute figures belong to the machine; what is reported and
//! compared is the ratio. Start it as `cargo xtask bench CASE`, which builds in release first.

mod dataservice;
mod fanout;
mod host;
mod ingest;
mod measure;
mod pipeline;
mod process;
mod report;
mod sinks;
mod spread;
mod structures;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures the program against peers and limits.
#[derive(Parser)]
#[command(name = "cargo xtask bench", arg_required_else_help = true)]
struct Arguments {
    /// The `forebay` program to measure.
    #[arg(long, global = true, default_value = "target/release/forebay")]
    program: PathBuf,
    /// Where results go, and databases while a benchmark runs.
    #[arg(long, global = true, default_value = "target/bench")]
    results: PathBuf,
    #[command(subcommand)]
    case: Case,
}

#[derive(Subcommand)]
enum Case {
    /// Loads a file of readings into SQLite: the program, a Python script, a bare Rust loop.
    Ingest(ingest::Options),
    /// Runs the program on this host's own metrics: processor time and memory.
    Run(host::Options),
    /// Rings, histories and keyed aggregation against other crates.
    Core(measure::Options),
    /// The data service: commits, readers and memory beside other ways to share values.
    Dataservice(measure::Options),
    /// Sinks beside the bare drivers, and the tracker beside its original in Python.
    Sinks(measure::Options),
    /// Pipelines beside a batcher by hand, under overload, through an outage, and idle.
    Pipeline(measure::Options),
    /// Live updates to many clients beside other servers, and REST beside a bare handler.
    Fanout(fanout::Options),
    /// A server that publishes; `fanout` starts it as a process of its own.
    #[command(hide = true)]
    FanoutServer {
        /// Which one.
        kind: fanout::ServerKind,
        /// The length of a constant answer.
        #[arg(long, default_value_t = 100)]
        body_bytes: usize,
    },
    /// The clients of `fanout`, in a process of their own.
    #[command(hide = true)]
    FanoutLoad,
    /// The bare Rust loop; `ingest` starts it as a process of its own.
    #[command(hide = true)]
    PeerIngest {
        /// NDJSON to read.
        source: PathBuf,
        /// SQLite file to create.
        database: PathBuf,
    },
    /// One contender with a million keys; `dataservice` starts it as a process of its own.
    #[command(hide = true)]
    KeyMemory {
        /// The name of the contender.
        contender: String,
    },
}

fn main() -> Result<()> {
    let Arguments {
        program,
        results,
        case,
    } = Arguments::parse();
    match case {
        Case::PeerIngest { source, database } => ingest::peer::load(&source, &database),
        Case::KeyMemory { contender } => dataservice::memory::print(&contender),
        Case::Ingest(options) => ingest::run(&options, &program, &results),
        Case::Core(options) => structures::run(&options, &results),
        Case::Dataservice(options) => dataservice::run(&options, &results),
        Case::Sinks(options) => sinks::run(&options, &results),
        Case::Pipeline(options) => pipeline::run(&options, &results),
        Case::Fanout(options) => fanout::run(&options, &results),
        Case::FanoutServer { kind, body_bytes } => fanout::serve(kind, body_bytes),
        Case::FanoutLoad => fanout::load(),
        Case::Run(options) => host::run(&options, &program, &results),
    }
}
