//! The servers under test, each a process of its own that publishes by itself.
//!
//! A server says where it listens, then publishes what it is told, on a thread of its own that
//! keeps the schedule; behind schedule, it publishes all that is due. It ends with its input.

mod bare;
mod broadcast;
mod ours;

use std::io::{BufRead, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::plan::{Due, Listening, Schedule};

/// Which server of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A pipeline and its gateway.
    Ours,
    /// axum, a tokio broadcast channel, and a task for each client.
    Broadcast,
    /// One axum handler with a constant answer.
    Bare,
}

/// Serves until the input ends. `body_bytes` is the length of the constant answer.
pub(crate) fn run(
    kind: Kind,
    body_bytes: usize,
    input: impl BufRead,
    output: impl Write,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    match kind {
        Kind::Ours => {
            let server = runtime.block_on(ours::start())?;
            follow(server.port(), input, output, |schedule, due| {
                server.publish(schedule, due)
            })
        }
        Kind::Broadcast => {
            let server = runtime.block_on(broadcast::start())?;
            follow(server.port(), input, output, |schedule, due| {
                server.publish(schedule, due)
            })
        }
        Kind::Bare => {
            let port = runtime.block_on(bare::start(body_bytes))?;
            follow(port, input, output, |_, _| Ok(()))
        }
    }
}

/// Says where it listens, and publishes schedule by schedule.
fn follow(
    port: u16,
    input: impl BufRead,
    mut output: impl Write,
    publish: impl Fn(&Schedule, &[Due]) -> Result<()>,
) -> Result<()> {
    writeln!(output, "{}", serde_json::to_string(&Listening { port })?)?;
    output.flush()?;
    for line in input.lines() {
        let schedule: Schedule = serde_json::from_str(&line?)?;
        let mut result = Ok(());
        schedule.pace(|due| {
            if result.is_ok() {
                result = publish(&schedule, due);
            }
        });
        result?;
    }
    Ok(())
}

/// Microseconds since 1970.
fn timestamp() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(0))
}
