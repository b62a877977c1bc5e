//! The process that delivers until it is killed.
//!
//! It says on standard output where it begins, `open A B`, and after each batch how far it was told
//! that each scope is delivered, `acked A B`. A write that takes too long is dropped where it is,
//! as a caller with a deadline would, and offered again.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use record::Position;
use sinks::{Batch, BatchId, BatchWriter, BoxWriter, ErrorKind, ScopeIndex, WriteError};

use crate::source::{self, SCOPES};
use crate::target::Kind;

/// How long a write may take before it is dropped.
pub(crate) const WRITE_WITHIN: Duration = Duration::from_millis(300);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);
const ROWS_MAX: u64 = 60;
/// The exit code of a client that was shut out by another one.
pub(crate) const FENCED: u8 = 3;

#[derive(clap::Args)]
pub(crate) struct ClientArguments {
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) seed: u64,
}

pub(crate) fn main(arguments: &ClientArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let error = runtime.block_on(deliver(arguments));
    if error.kind() == ErrorKind::Fenced {
        return ExitCode::from(FENCED); // As it should be, for one that was shut out.
    }
    eprintln!("chaos client: {error}");
    ExitCode::FAILURE
}

/// Delivers without end; what ends it is an error that no retry can mend.
async fn deliver(arguments: &ClientArguments) -> WriteError {
    let writer = match arguments.kind.writer(&arguments.url) {
        Ok(writer) => writer,
        Err(error) => return WriteError::new(ErrorKind::Fatal, format!("{error:#}")),
    };
    match deliver_to(&writer, arguments.seed).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn deliver_to(writer: &BoxWriter, seed: u64) -> Result<std::convert::Infallible, WriteError> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = [0_u64; SCOPES.len()];
    for (scope, next) in next.iter_mut().enumerate() {
        let index = u16::try_from(scope).expect("there are two");
        let name = source::scope_name(index);
        let opened = patiently(|| writer.open_scope(ScopeIndex(index), &name)).await?;
        *next = opened.watermark.number() + 1;
    }
    say("open", next);
    let mut id = random.u64(..);
    loop {
        let mut rows = Vec::new();
        for _ in 0..random.u64(1..=ROWS_MAX) {
            let scope = random.usize(..SCOPES.len());
            let index = u16::try_from(scope).expect("there are two");
            rows.push(source::entry(index, next[scope]));
            next[scope] = Position::new(next[scope]).next().number();
        }
        id = id.wrapping_add(1);
        let batch = Batch::new(BatchId(id), rows);
        patiently(|| writer.write(&batch)).await?;
        say("acked", next);
    }
}

/// Tries until it works, or never can.
async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, WriteError>
where
    F: Future<Output = Result<T, WriteError>>,
{
    loop {
        match tokio::time::timeout(WRITE_WITHIN, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) if error.kind() == ErrorKind::Transient => {
                tokio::time::sleep(error.retry_after().unwrap_or(PAUSE_AFTER_ERROR)).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
}

/// Says up to where each scope is done.
fn say(word: &str, next: [u64; SCOPES.len()]) {
    let line = format!("{word} {} {}\n", next[0] - 1, next[1] - 1);
    // A parent that is gone has killed us, or will not mind.
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}
