//! Inputs into a sink, each row exactly once: what `ingest` and `replay` have in common.
//!
//! One thread reads and parses, one writes, and a bounded buffer between them makes the faster wait
//! for the slower. Rows and the position of the last one commit together, so that a run that was
//! cut short, by a signal, a full disk or a power cut, is resumed by running the command again.
//! Several inputs are read one after the other, each in a scope of its own.

mod connecting;
mod progress;
mod reading;
mod scope;
mod summary;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use buffer_core::Watermark;
use pipeline::source::Reader;
use pipeline::{BufferOptions, Intake, Pipeline, WhenFull};
use record::Position;
use sinks::{BatchWriter, BoxWriter, RetryPolicy};
use tokio::time::MissedTickBehavior;

use super::arguments::LoadArguments;
use super::signals::{HangUp, Signals};
use super::storage::{self, Patience, SinkUrl};
use connecting::Connecting;
use progress::Bar;
use reading::Reading;
pub(crate) use scope::{Identity, Shape, Start};
pub(crate) use summary::Naming;
use summary::{Ending, Part, Summary};

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
/// The delays between two attempts at the same batch.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Gives the rows of an input that stand after a position.
pub(crate) type Open = Box<dyn FnOnce(Position) -> Result<Box<dyn Reader>> + Send>;

/// Something to load.
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) name: String,
    /// What tells it from others.
    pub(crate) identity: Identity,
    /// Its bytes, where they are known.
    pub(crate) length: Option<u64>,
    /// Opens it.
    pub(crate) open: Open,
}

/// Loads the sources, one after the other, and says what became of them.
pub(crate) fn load(
    arguments: &LoadArguments,
    max_future: Duration,
    naming: Naming,
    sources: Vec<Source>,
) -> Result<ExitCode> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let load = async {
        let mut load = Load::start(arguments, max_future)?;
        let (parts, ending) = load.read(arguments, sources).await?;
        let (report, ending) = load.drain(ending).await;
        anyhow::Ok(Summary {
            naming,
            parts,
            place: load.place,
            report,
            ending,
            elapsed: started.elapsed(),
        })
    };
    let summary = runtime.block_on(load);
    // What still blocks a thread, such as a host name that is not resolved, is not waited for.
    runtime.shutdown_background();
    let summary = summary?;
    summary.print(arguments.json);
    Ok(summary.exit_code())
}

/// A load under way.
struct Load {
    signals: Signals,
    writer: BoxWriter,
    place: storage::Place,
    pipeline: Pipeline,
    retry: RetryPolicy,
    max_future: Duration,
    /// The reader that was begun last.
    reading: Option<Reading>,
}

impl Load {
    fn start(arguments: &LoadArguments, max_future: Duration) -> Result<Self> {
        let signals = Signals::listen(HangUp::Ends)?;
        let url = SinkUrl::from_argument(arguments.sink.as_deref())?;
        let patience = Patience::default();
        let (writer, place) = storage::open(&arguments.data, url.as_ref(), &patience)?;
        let retry = RetryPolicy::new(RETRY_DELAY, RETRY_DELAY_MAX, Some(arguments.retries));
        let batch = arguments.batch_size as usize;
        let pipeline = Pipeline::to(writer.clone())
            .buffer(BufferOptions {
                max_size: batch * BATCHES_BUFFERED,
                max_bytes: BUFFER_BYTES_MAX,
                policy: WhenFull::Block(ROOM_WITHIN),
                watermark: Watermark::default(),
            })
            .flush(batch, AGE_MAX)
            .retry(retry)
            .seed(u64::from(std::process::id()))
            .start()?;
        Ok(Self {
            signals,
            writer,
            place,
            pipeline,
            retry,
            max_future,
            reading: None,
        })
    }

    /// Reads source after source, until the last has ended, or one cannot be read on.
    async fn read(
        &mut self,
        arguments: &LoadArguments,
        sources: Vec<Source>,
    ) -> Result<(Vec<Part>, Ending)> {
        let start = match arguments.again {
            true => Start::Again,
            false => Start::Resume,
        };
        let bar = Bar::new(sources.iter().map(|source| source.length).sum());
        let mut parts: Vec<Part> = Vec::new();
        let mut ending = Ending::Read;
        let mut signals = self.signals.clone();
        for source in sources {
            let opened = tokio::select! {
                opened = self.connect(&source.identity, start) => opened,
                _ = signals.first() => {
                    if parts.is_empty() {
                        bail!("stopped by a signal before {} could be used", self.place);
                    }
                    ending = Ending::Signal;
                    break;
                }
            };
            let intake = match opened {
                Ok(intake) => intake,
                // What was read of earlier sources is still to be delivered and told.
                Err(error) if !parts.is_empty() => {
                    ending = Ending::Failed(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            let mut part = Part::new(source.name.clone(), &intake);
            let reading = Reading::start(source.name, source.open, intake, self.max_future)?;
            let reading = self.reading.insert(reading);
            let mut pulse = tokio::time::interval(progress::INTERVAL);
            pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ending = loop {
                tokio::select! {
                    outcome = reading.end() => break Ending::of(outcome),
                    _ = signals.first() => break Ending::Signal,
                    () = self.pipeline.wait_stopped() => break Ending::Read,
                    _ = pulse.tick() => {
                        let before = parts.iter().map(|part| part.progress.bytes).sum();
                        bar.show(before, reading.progress(), &self.pipeline);
                    }
                }
            };
            if let Ending::Signal = ending {
                reading.stop();
                // A reader that waits for input that does not come is left where it is.
                let _ = tokio::time::timeout(STOP_READING_WITHIN, reading.end()).await;
            }
            part.progress = reading.progress();
            parts.push(part);
            if !matches!(ending, Ending::Read) || self.pipeline.stopped().is_some() {
                break;
            }
        }
        bar.clear();
        Ok((parts, ending))
    }

    /// Opens the scope of an input, after which its rows can be read.
    async fn connect(&self, identity: &Identity, start: Start) -> Result<Intake> {
        let mut connecting = Connecting::new(self.retry, &self.place);
        loop {
            match self.try_connect(identity, start).await {
                Ok(intake) => return Ok(intake),
                Err(error) => connecting.rest(error).await?,
            }
        }
    }

    /// Finds the scope of the input, gives it its new name when the file has grown, and opens it.
    async fn try_connect(
        &self,
        identity: &Identity,
        start: Start,
    ) -> Result<Intake, pipeline::PipelineError> {
        let known = match identity.prefix() {
            Some(prefix) => self.writer.scopes(prefix).await?,
            None => Vec::new(),
        };
        let binding = identity.bind(&known, start);
        if let Some(before) = &binding.renamed_from {
            self.writer.rename_scope(before, &binding.name).await?;
        }
        self.pipeline.intake(&binding.name).await
    }

    /// Delivers what was read. A signal shortens the time for it.
    async fn drain(&mut self, mut ending: Ending) -> (pipeline::Report, Ending) {
        if !matches!(ending, Ending::Signal) {
            tokio::select! {
                report = self.pipeline.shutdown(DRAIN_WITHIN) => return (report, ending),
                _ = self.signals.first() => ending = Ending::Signal,
            }
        }
        let report = self.pipeline.shutdown(DRAIN_AFTER_SIGNAL_WITHIN).await;
        (report, ending)
    }
}
