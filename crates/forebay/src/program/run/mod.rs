//! `forebay run`: this host's metrics, what is posted and what is read, into sinks and onto the
//! page.
//!
//! A sink that fails, or cannot be reached at the start, is tried again without end, while the
//! policy of its lanes decides what becomes of new records. SIGHUP and `POST /api/reload` read the
//! configuration again. A signal ends it: the sources stop, the lanes are drained within a
//! deadline, and what is not delivered by then is written to files that can be replayed later.

mod admin_token;
mod inputs;
mod reload;
mod start;
mod summary;
mod undelivered;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway::ReloadRequest;
use pipeline::{Pipeline, Report};
use tokio::sync::mpsc;

use super::arguments::RunArguments;
use super::config::{Config, Planned};
use super::logs::{self, LevelHandle};
use super::signals::{HangUp, Signal, Signals};
use super::storage::SinkUrl;
use reload::Current;
use start::Sources;
use summary::{Ending, Summary};

/// How long the poll under way may take to end.
const STOP_POLLING_WITHIN: Duration = Duration::from_secs(2);
/// Wishes for another configuration that wait while one is taken over.
const RELOADS_WAITING: usize = 1;

/// Runs until told to stop.
pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let config = configure(arguments)?;
    let level = logs::start(
        arguments.log.unwrap_or(config.log_format()),
        arguments.log_level.unwrap_or(config.log_level()),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let summary = runtime.block_on(serve(config, arguments, level))?;
    // What still blocks a thread, such as a file system that hangs, is not waited for.
    runtime.shutdown_background();
    summary.print();
    Ok(summary.exit_code())
}

fn configure(arguments: &RunArguments) -> Result<Config> {
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(data) = &arguments.data {
        config.data.clone_from(data);
    }
    if let Some(url) = &arguments.sink {
        config.sink.url = Some(SinkUrl::new(url).context("--sink")?);
    }
    if let Some(listen) = arguments.listen {
        config.gateway.listen = listen;
    }
    Ok(config)
}

async fn serve(config: Config, arguments: &RunArguments, level: LevelHandle) -> Result<Summary> {
    let started = Instant::now();
    let hang_up = match arguments.config {
        Some(_) => HangUp::Reloads,
        // There is nothing to read again.
        None => HangUp::Ends,
    };
    let mut signals = Signals::listen(hang_up)?;
    // Before a scope is opened, which shuts out whoever had it: most likely it is the program that
    // has the port, and it shall go on.
    start::check_free(config.gateway.listen)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let Planned { plan, opened } = config.plan(None)?;
    let pipeline = start::pipeline(&config, plan)?;
    let (reload, mut wishes) = mpsc::channel(RELOADS_WAITING);
    let sources = match Sources::start(&config, &pipeline, reload).await {
        Ok(sources) => sources,
        Err(error) => {
            pipeline.shutdown(Duration::ZERO).await;
            return Err(error);
        }
    };
    start::welcome(&opened, &pipeline, &sources, arguments.duration);
    let current = Current::new(config, arguments.clone(), level, opened);
    let current = Arc::new(current);
    let mut ends = signals.clone();
    let mut ending = tokio::select! {
        signal = ends.first() => Ending::Signal(signal),
        () = elapsed(arguments.duration) => Ending::Elapsed,
        () = pipeline.wait_stopped() => Ending::SinkLost,
        never = take_wishes(&current, &pipeline, &mut signals, &mut wishes) => match never {},
    };
    if let Ending::Signal(Signal::Interrupt) = ending {
        tracing::info!("stopping; press Ctrl-C again to end at once");
    }
    let report = stop(&current, &pipeline, sources).await;
    if report.error.is_some() {
        ending = Ending::SinkLost;
    }
    let places = current.places();
    let directory = current.config().fallback().to_owned();
    let mut kept = current.take_kept();
    kept.extend(undelivered::keep_all(
        &directory,
        &report.sinks,
        &report.undelivered,
        &places,
    ));
    Ok(Summary {
        places,
        report,
        ending,
        kept,
        uptime: started.elapsed(),
    })
}

/// Reads the configuration again whenever somebody wishes that.
async fn take_wishes(
    current: &Arc<Current>,
    pipeline: &Pipeline,
    signals: &mut Signals,
    wishes: &mut mpsc::Receiver<ReloadRequest>,
) -> std::convert::Infallible {
    loop {
        let request = tokio::select! {
            () = signals.reload_wished() => None,
            Some(request) = wishes.recv() => Some(request),
        };
        let (current, pipeline) = (Arc::clone(current), pipeline.clone());
        // On a task of its own: what was begun goes on though the program is told to end.
        let change = tokio::spawn(async move { current.reload(&pipeline).await });
        match (change.await, request) {
            (Ok(outcome), Some(request)) => request.answer(outcome),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::error!(%error, "reading the configuration has panicked"),
        }
    }
}

/// Stops the sources, and delivers what is buffered within the deadline.
async fn stop(current: &Current, pipeline: &Pipeline, sources: Sources) -> Report {
    let deadline = current.config().shutdown.deadline;
    // A change that is under way has to end first, which its own deadline sees to.
    let _ = tokio::time::timeout(deadline, current.settled()).await;
    let site = sources.stop(STOP_POLLING_WITHIN).await;
    let report = pipeline.shutdown(deadline).await;
    match tokio::time::timeout(deadline, site).await {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the page ended with an error"),
        Ok(Err(error)) => tracing::warn!(%error, "the page has panicked"),
        Ok(Ok(Ok(()))) | Err(_) => {}
    }
    report
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
