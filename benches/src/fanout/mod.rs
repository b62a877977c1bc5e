//! `fanout`: live updates to many clients, beside Node's `ws`, Socket.IO, and axum with a broadcast
//! channel, and on request beside Django Channels; and a REST answer beside that of a bare handler.
//!
//! Server and load client are processes of their own on the same processors. Updates are published
//! inside of the server by a schedule, each bears the moment when it is due, and its latency counts
//! from then: a server that falls behind cannot hide it. Each client has to hear each update once.
//! Processor time and memory are those of the server process while updates count, after a warm-up.

mod aims;
mod cases;
mod child;
mod clock;
mod django;
mod load;
mod node;
mod plan;
mod run;
mod server;
mod update;

use std::io::{BufReader, stdin, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::cases::{BROADCAST, DJANGO, Peer, SOCKET_IO, WS};
use self::plan::Dialect;
use self::run::Target;
use crate::measure::{self, Suite, Tables};

pub(crate) use self::server::Kind as ServerKind;

const REPETITIONS: u32 = 3;
const REPETITIONS_QUICK: u32 = 1;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    measure: measure::Options,
    /// With Django Channels among the peers of the smaller cases; it is installed for that.
    #[arg(long)]
    django: bool,
}

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    allow_many_files()?;
    let suite = Suite {
        cases: cases::all(&peers(results, options.django)?),
        repetitions: if options.measure.is_quick() {
            REPETITIONS_QUICK
        } else {
            REPETITIONS
        },
        file: "fanout.json",
        tables: Tables::OfCases,
    };
    suite.run(&options.measure, results)
}

/// A server under test, as a process of its own.
pub(crate) fn serve(kind: ServerKind, body_bytes: usize) -> Result<()> {
    server::run(kind, body_bytes, stdin().lock(), stdout().lock())
}

/// The load client, as a process of its own.
pub(crate) fn load() -> Result<()> {
    load::run(BufReader::new(stdin()), stdout().lock())
}

fn peers(results: &Path, with_django: bool) -> Result<Vec<Peer>> {
    let mut peers = vec![Peer {
        name: BROADCAST,
        target: Target::Own("broadcast", Dialect::Plain),
        is_quick: true,
    }];
    match node::install(results)? {
        Some(node) => {
            let peer = |name, argument, dialect| Peer {
                name,
                target: Target::Script {
                    interpreter: node.interpreter.clone(),
                    script: node.script.clone(),
                    argument,
                    dialect,
                },
                is_quick: true,
            };
            peers.push(peer(WS, "ws", Dialect::Plain));
            peers.push(peer(SOCKET_IO, "socketio", Dialect::SocketIo));
        }
        None => println!("SKIPPED: {WS} and {SOCKET_IO}, because there is no node and npm here\n"),
    }
    if with_django {
        match django::install(results)? {
            Some(django) => peers.push(Peer {
                name: DJANGO,
                target: Target::Script {
                    interpreter: django.interpreter,
                    script: django.script,
                    argument: "",
                    dialect: Dialect::Plain,
                },
                is_quick: false,
            }),
            None => println!("SKIPPED: {DJANGO}, because there is no python3 here\n"),
        }
    }
    Ok(peers)
}

/// Ten thousand sockets are more files than most shells allow; children inherit the limit.
fn allow_many_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests;
