//! The thread that reads and parses, and hands over what it finds.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use pipeline::{FeedProgress, Intake};
use tokio::sync::oneshot;

use super::Open;

/// A read under way.
pub(crate) struct Reading {
    shared: Arc<Shared>,
    /// Gone when the end was heard of.
    ended: Option<oneshot::Receiver<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    progress: Mutex<FeedProgress>,
}

impl Reading {
    /// Starts to read what stands after the watermark of the intake. The thread is not joined: one
    /// that waits for standard input cannot be woken.
    pub(crate) fn start(
        name: String,
        open: Open,
        intake: Intake,
        future_max: Duration,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("reader".into())
            .spawn(move || {
                // Whoever waited may be gone.
                let _ = end.send(read(&name, open, &intake, future_max, &seen));
            })
            .context("cannot start the reader")?;
        Ok(Self {
            shared,
            ended: Some(ended),
        })
    }

    /// Waits until everything was handed over, or nothing more can be. Says how that went once.
    pub(crate) async fn end(&mut self) -> Result<()> {
        let Some(ended) = &mut self.ended else {
            return Ok(());
        };
        let outcome = ended.await;
        self.ended = None;
        outcome.unwrap_or_else(|_| Err(anyhow!("the reader has panicked")))
    }

    /// Asks it to stop after what it reads now.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> FeedProgress {
        *self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, FeedProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(
    name: &str,
    open: Open,
    intake: &Intake,
    future_max: Duration,
    shared: &Shared,
) -> Result<()> {
    let mut reader = open(intake.watermark())?;
    let report = pipeline::feed(reader.as_mut(), intake, future_max, |progress| {
        *shared.lock() = progress;
        match shared.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    *shared.lock() = report.progress;
    match report.error {
        Some(error) => Err(anyhow!(error).context(name.to_owned())),
        None => Ok(()),
    }
}
