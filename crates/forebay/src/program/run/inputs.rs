//! The sources of `[[source]]`: files and standard input, each read on a thread of its own.
//!
//! A file goes on behind its last line in the sinks, also after a restart; one that begins with
//! another line is another file. What cannot be read again, such as standard input, is on its own
//! in each run. A source that ends is named in the health, and the others go on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use pipeline::source::{Fingerprint, NdjsonReader};
use pipeline::{Intake, Pipeline};
use record::Timestamp;
use sinks::ScopeName;
use tokio::task::JoinHandle;

use crate::program::config::Config;

/// How long to wait before a sink is asked again where a file was left.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How much of the first line tells a file from others.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 10;
/// Digits of its hash that stand in the name of a scope.
const HASH_DIGITS: usize = 12;
/// The path that means standard input.
const STANDARD_INPUT: &str = "-";

/// The inputs that are being read.
pub(super) struct Inputs {
    stop: Arc<AtomicBool>,
    opening: Vec<JoinHandle<()>>,
}

/// One of them.
struct Input {
    name: String,
    path: PathBuf,
    future_max: Duration,
    stop: Arc<AtomicBool>,
}

impl Inputs {
    /// Starts to read them all; to be called in a runtime. Sinks that cannot be reached are waited
    /// for in the background.
    ///
    /// # Errors
    /// When a file is not there or cannot be read.
    pub(super) fn start(config: &Config, pipeline: &Pipeline) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut scopes = Vec::new();
        for source in &config.source {
            let (Some(name), Some(path)) = (&source.name, &source.path) else {
                continue;
            };
            let scope = scope_of(name, path)
                .with_context(|| format!("the source {name} cannot read {}", path.display()))?;
            let input = Input {
                name: name.clone(),
                path: path.clone(),
                future_max: config.input.max_future,
                stop: Arc::clone(&stop),
            };
            scopes.push((scope, input));
        }
        let opening = scopes
            .into_iter()
            .map(|(scope, input)| tokio::spawn(input.open(scope, pipeline.clone())))
            .collect();
        Ok(Self { stop, opening })
    }

    /// Asks them to stop after what they read now. One that waits for standard input is left where
    /// it is, and hands nothing over any more.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.opening.iter().for_each(JoinHandle::abort);
    }
}

impl Input {
    /// Finds out where to go on, and starts the thread that reads.
    async fn open(self, scope: ScopeName, pipeline: Pipeline) {
        let mut is_said = false;
        let intake = loop {
            match pipeline.intake(&scope).await {
                Ok(intake) => break intake,
                Err(error) => {
                    if !std::mem::replace(&mut is_said, true) {
                        let name = &self.name;
                        tracing::warn!(source = name, %error, "waiting for where to go on reading");
                    }
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
            }
        };
        let name = self.name.clone();
        let started = std::thread::Builder::new()
            .name(format!("source {name}"))
            .spawn(move || self.read(&intake));
        if let Err(error) = started {
            tracing::error!(source = name, %error, "cannot start the thread of a source");
        }
    }

    fn read(self, intake: &Intake) {
        let mut pause = PAUSE_MIN;
        let reason = loop {
            // The intake knows what it has, so that nothing is handed over twice.
            match catch_unwind(AssertUnwindSafe(|| self.feed(intake))) {
                Ok(Ok(items)) => break format!("it has ended after {items} lines"),
                Ok(Err(error)) => break format!("{error:#}"),
                Err(_) if is_standard(&self.path) => {
                    break "it has panicked, and cannot be read again".to_owned();
                }
                Err(_) => {
                    tracing::error!(source = self.name, ?pause, "reading has panicked");
                    intake.source_stopped("it has panicked, and is started again");
                    std::thread::sleep(pause);
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                    intake.source_resumed();
                }
            }
        };
        if !self.stop.load(Ordering::Relaxed) {
            tracing::warn!(source = self.name, reason, "a source has ended");
            intake.source_stopped(&reason);
        }
    }

    fn feed(&self, intake: &Intake) -> Result<u64> {
        let input: Box<dyn Read + Send> = match is_standard(&self.path) {
            true => Box::new(std::io::stdin()),
            false => Box::new(File::open(&self.path).context("cannot be opened")?),
        };
        let mut reader = NdjsonReader::new(input, intake.watermark());
        let report = pipeline::feed(&mut reader, intake, self.future_max, |_| {
            match self.stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match report.error {
            None => Ok(report.progress.items + report.progress.skipped),
            Some(error) => Err(error.into()),
        }
    }
}

/// How long a reader that panicked rests, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// The scope that remembers how far an input has come.
fn scope_of(name: &str, path: &Path) -> std::io::Result<ScopeName> {
    if is_standard(path) || !std::fs::metadata(path)?.is_file() {
        let micros = Timestamp::from_system(SystemTime::now()).micros();
        return Ok(ScopeName::new(format!("{name}:{micros}")));
    }
    let mut line = Vec::new();
    let file = BufReader::new(File::open(path)?);
    file.take(FIRST_LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)?;
    let hash = Fingerprint::of(&line).to_hex();
    Ok(ScopeName::new(format!("{name}:{}", &hash[..HASH_DIGITS])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_line_however_long_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        let scope = |text: &str| {
            std::fs::write(&path, text).unwrap();
            scope_of("plant", &path).unwrap().to_string()
        };
        let first = scope("one\n");
        assert!(first.starts_with("plant:"), "{first}");
        assert_eq!(scope("one\ntwo\n"), first);
        assert_ne!(scope("other\ntwo\n"), first);
        std::fs::remove_file(&path).unwrap();
        assert!(scope_of("plant", &path).is_err());
    }
}
