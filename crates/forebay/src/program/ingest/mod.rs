//! `forebay ingest`: one file or stream into the database, each row exactly once.
//!
//! One thread reads and parses, one writes, and a bounded buffer between them makes the faster wait
//! for the slower. Rows and the position of the last one commit together, so that a run that was
//! cut short, by a signal, a full disk or a power cut, is resumed by running the command again.

mod identify;
mod progress;
mod reading;
mod scope;
mod summary;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use buffer_core::{OverflowPolicy, Watermark};
use pipeline::source::Input;
use pipeline::{BufferOptions, Pipeline};
use sinks::{BatchWriter, BoxWriter, RetryPolicy, ScopeName};
use tokio::time::MissedTickBehavior;

use super::arguments::IngestArguments;
use super::signals::Signals;
use super::{logs, storage};
use progress::Bar;
use reading::Reading;
use scope::{Identity, Start};
use summary::{Ending, Summary};

/// Batches that the buffer holds: one under way, and enough behind it to keep the writer busy.
const BATCHES_BUFFERED: usize = 4;
/// Bytes that the buffer holds, however long the rows are.
const BUFFER_BYTES_MAX: usize = 32 << 20;
/// Rows that trickle in are delivered after this time at the latest.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long the reader waits for room: a sink that fails ends the pipeline long before.
const ROOM_WITHIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long the last batches may take; failing attempts end long before.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);
/// How long the last batches may take after a signal, and how long its reader may take to stop.
const DRAIN_AFTER_SIGNAL_WITHIN: Duration = Duration::from_secs(10);
const STOP_READING_WITHIN: Duration = Duration::from_secs(1);
/// The longest delay between two attempts at the same batch.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Loads an input into the database and says what became of it.
pub(crate) fn ingest(arguments: &IngestArguments) -> Result<ExitCode> {
    logs::start(arguments.log, arguments.log_level);
    let started = Instant::now();
    let input = Input::from_argument(&arguments.file);
    // What cannot be read is refused before anything is created.
    let identity = identify::identify(&input, arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let summary = runtime.block_on(load(arguments, input, &identity, started))?;
    summary.print(arguments.json);
    Ok(summary.exit_code())
}

async fn load(
    arguments: &IngestArguments,
    input: Input,
    identity: &Identity,
    started: Instant,
) -> Result<Summary> {
    let mut signals = Signals::listen()?;
    let writer = storage::open(&arguments.data)?;
    let start = match arguments.resume.again {
        true => Start::Again,
        false => Start::Resume,
    };
    let scope = bind(&writer, identity, start).await?;
    let pipeline = pipeline(arguments, writer)?;
    let intake = pipeline.intake(&scope).await?;
    let resumed_after = intake.watermark();
    let bar = Bar::new(&input);
    let mut reading = Reading::start(
        input.clone(),
        arguments.open_options(),
        intake,
        arguments.max_future,
    )?;
    let mut pulse = tokio::time::interval(progress::INTERVAL);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending = loop {
        tokio::select! {
            outcome = reading.end() => break Ending::of(outcome),
            _ = signals.first() => break Ending::Signal,
            () = pipeline.wait_stopped() => break Ending::Read,
            _ = pulse.tick() => bar.show(reading.progress(), &pipeline),
        }
    };
    let mut report = None;
    if !matches!(ending, Ending::Signal) {
        tokio::select! {
            drained = pipeline.shutdown(DRAIN_WITHIN) => report = Some(drained),
            _ = signals.first() => ending = Ending::Signal,
        }
    }
    let report = match report {
        Some(report) => report,
        None => {
            reading.stop();
            // A reader that waits for input that does not come is left where it is.
            let _ = tokio::time::timeout(STOP_READING_WITHIN, reading.end()).await;
            pipeline.shutdown(DRAIN_AFTER_SIGNAL_WITHIN).await
        }
    };
    bar.clear();
    Ok(Summary {
        input,
        scope,
        database: storage::database_in(&arguments.data),
        resumed_after,
        skipped: reading.progress().skipped,
        report,
        ending,
        elapsed: started.elapsed(),
    })
}

/// Finds the scope of the input, and gives it its new name when the file has grown.
async fn bind(writer: &BoxWriter, identity: &Identity, start: Start) -> Result<ScopeName> {
    let known = match identity.prefix() {
        Some(prefix) => writer.scopes(prefix).await?,
        None => Vec::new(),
    };
    let binding = identity.bind(&known, start);
    if let Some(before) = &binding.renamed_from {
        writer.rename_scope(before, &binding.name).await?;
    }
    Ok(binding.name)
}

fn pipeline(arguments: &IngestArguments, writer: BoxWriter) -> Result<Pipeline> {
    let batch = arguments.batch_size as usize;
    let base = Duration::from_millis(100);
    let pipeline = Pipeline::builder(writer)
        .buffer(BufferOptions {
            max_size: batch * BATCHES_BUFFERED,
            max_bytes: BUFFER_BYTES_MAX,
            policy: OverflowPolicy::Block(ROOM_WITHIN),
            watermark: Watermark::default(),
        })
        .flush(batch, AGE_MAX)
        .retry(RetryPolicy::new(
            base,
            RETRY_DELAY_MAX,
            Some(arguments.retries),
        ))
        .seed(u64::from(std::process::id()))
        .start()?;
    Ok(pipeline)
}
