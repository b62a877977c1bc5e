//! The program: arguments and configuration to a running pipeline, and its outcome to an exit code.
//!
//! - [`arguments`]: the command line; [`config`]: the file and the environment.
//! - [`run`]: this host's metrics, the database, the page, until told to stop.
//! - [`ingest`]: one file or stream into a sink, exactly once.
//! - [`replay`]: files of sinks and quarantines into a sink, exactly once.
//! - [`list_sinks`]: what this build can write to.
//! - [`token`]: a token for the gateway.
//!
//! Exit codes: 0 when everything is accounted for, 1 when something failed, 2 for a mistake on the
//! command line, 130 and 143 when a second signal ended the work at once.

mod arguments;
mod check_config;
mod config;
mod ingest;
mod list_sinks;
mod loading;
mod logs;
mod output;
mod replay;
mod run;
mod signals;
mod storage;
mod token;
mod units;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// Runs the program with the arguments of this process.
pub(crate) fn main() -> ExitCode {
    let Arguments { command, run } = Arguments::parse();
    let outcome = match command.unwrap_or(Command::Run(Box::new(run))) {
        Command::Run(arguments) => run::run(&arguments),
        Command::Ingest(arguments) => ingest::ingest(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Sinks { json } => Ok(list_sinks::list_sinks(json)),
        Command::Token(arguments) => token::token(&arguments),
        Command::CheckConfig { file } => check_config::check_config(&file),
    };
    outcome.unwrap_or_else(|error| {
        output::complain(&output::with_causes(&error));
        ExitCode::FAILURE
    })
}
