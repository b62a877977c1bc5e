//! `forebay run`: this host's metrics and what is posted, into a sink and onto the page.
//!
//! A sink that fails, or cannot be reached at the start, is tried again without end, while the
//! buffer's policy decides what becomes of new records. A signal ends it: the sources stop, the
//! buffer is drained within a deadline, and what is not delivered by then is written to a file that
//! can be replayed later.

mod summary;
mod undelivered;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway::{BindError, Gateway, GatewayOptions};
use pipeline::source::HostConfig;
use pipeline::{LiveData, Pipeline, Poller, PollerOptions, Reading, Report};
use record::Name;
use sinks::ScopeName;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::arguments::RunArguments;
use super::config::Config;
use super::output::say;
use super::signals::{Signal, Signals};
use super::storage::{Place, SinkUrl};
use super::{logs, storage};
use summary::{Ending, Summary};

/// The scopes of the two sources.
const HOST_SCOPE: &str = "host/normal";
const HTTP_SCOPE: &str = "http/normal";
/// How long the poll under way may take to end.
const STOP_POLLING_WITHIN: Duration = Duration::from_secs(2);
/// The least that a key keeps when a subscriber asks for more than the default.
const DEPTH_MAX: usize = 100_000;

/// Runs until told to stop.
pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let config = configure(arguments)?;
    logs::start(
        arguments.log.unwrap_or(config.log_format()),
        arguments.log_level.unwrap_or(config.log_level()),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let summary = runtime.block_on(serve(&config, arguments.duration))?;
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

async fn serve(config: &Config, duration: Option<Duration>) -> Result<Summary> {
    let started = Instant::now();
    let mut signals = Signals::listen()?;
    // Before a scope is opened, which shuts out whoever had it: most likely it is the program that
    // has the port, and it shall go on.
    check_free(config.gateway.listen)?;
    let sink = &config.sink;
    let (writer, place) = storage::open(&config.data, sink.url.as_ref(), &sink.patience)?;
    let pipeline = start_pipeline(config, writer)?;
    let (poller, site) = match start_sources(config, &pipeline).await {
        Ok(sources) => sources,
        Err(error) => {
            pipeline.shutdown(Duration::ZERO).await;
            return Err(error);
        }
    };
    welcome(&place, &pipeline, site.address, duration);
    let mut ending = tokio::select! {
        signal = signals.first() => Ending::Signal(signal),
        () = elapsed(duration) => Ending::Elapsed,
        () = pipeline.wait_stopped() => Ending::SinkLost,
    };
    if let Ending::Signal(Signal::Interrupt) = ending {
        tracing::info!("stopping; press Ctrl-C again to end at once");
    }
    let report = stop(config, &pipeline, poller, site).await;
    if report.error.is_some() {
        ending = Ending::SinkLost;
    }
    let kept = match report.undelivered.as_slice() {
        [] => None,
        rows => Some(undelivered::keep(&config.data, rows)),
    };
    Ok(Summary {
        place,
        report,
        ending,
        kept,
        uptime: started.elapsed(),
    })
}

fn start_pipeline(config: &Config, writer: sinks::BoxWriter) -> Result<Pipeline> {
    let history = &config.history;
    let live: LiveData = LiveData::builder()
        .keys_max(history.max_keys)
        .depth_default(history.depth)
        .depth_max(history.depth.max(DEPTH_MAX))
        // A page that looks back by time sees what is there: it makes no history deeper.
        .span_count_max(history.depth)
        .memory_max(history.memory_bytes_max())
        .weigh(Reading::heap_bytes)
        .resume_updates(history.resume_updates)
        .idle_after(history.idle_after())
        .build()?;
    let pipeline = Pipeline::builder(writer).live(live).start()?;
    Ok(pipeline)
}

/// The page and the API, while they are served.
struct Site {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

async fn start_sources(config: &Config, pipeline: &Pipeline) -> Result<(Option<Poller>, Site)> {
    let ingest = pipeline.intake_at_once(&ScopeName::new(HTTP_SCOPE)).await?;
    let options = GatewayOptions {
        allowed_origins: config.gateway.allowed_origins.clone(),
        body_bytes_max: config.gateway.max_body,
        websockets_max: config.gateway.max_websockets,
        future_max: config.input.max_future,
    };
    let listen = config.gateway.listen;
    let gateway = Gateway::bind(listen, options, pipeline.clone(), ingest).await?;
    let address = gateway.local_addr();
    let poller = match config.host.enabled {
        true => Some(start_poller(config, pipeline).await?),
        false => None,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(gateway.serve(async {
        // Whoever would stop it being gone is a stop too.
        let _ = stopped.await;
    }));
    let site = Site {
        address,
        stop,
        served,
    };
    Ok((poller, site))
}

async fn start_poller(config: &Config, pipeline: &Pipeline) -> Result<Poller> {
    let intake = pipeline.intake_at_once(&ScopeName::new(HOST_SCOPE)).await?;
    let options = PollerOptions {
        interval: config.host.interval,
        host: HostConfig {
            source: Name::new("source", &config.host.source)?,
            slow_every: config.host.slow_interval,
            top: config.host.top,
        },
    };
    Poller::start(options, intake).context("cannot poll this host")
}

/// Stops the sources, and delivers what is buffered within the deadline.
async fn stop(config: &Config, pipeline: &Pipeline, poller: Option<Poller>, site: Site) -> Report {
    let _ = site.stop.send(());
    let polling = tokio::task::spawn_blocking(move || {
        if let Some(poller) = poller {
            poller.stop();
        }
    });
    // A poll that hangs, or waits for room, is shut out by the drain.
    let _ = tokio::time::timeout(STOP_POLLING_WITHIN, polling).await;
    let report = pipeline.shutdown(config.shutdown.deadline).await;
    match tokio::time::timeout(config.shutdown.deadline, site.served).await {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the page ended with an error"),
        Ok(Err(error)) => tracing::warn!(%error, "the page has panicked"),
        Ok(Ok(Ok(()))) | Err(_) => {}
    }
    report
}

/// Fails when somebody listens there already.
fn check_free(listen: SocketAddr) -> Result<(), BindError> {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(BindError::InUse { listen })
        }
        // The gateway binds again, and says what else is wrong.
        _ => Ok(()),
    }
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn welcome(place: &Place, pipeline: &Pipeline, address: SocketAddr, duration: Option<Duration>) {
    say(&format!("listening on http://{address}"));
    say(&format!("  page      open http://{address} in a browser"));
    say(&format!("  {:<8}  {place}", place.word()));
    let sink = pipeline.stats().sink;
    if let (true, Some(error)) = (sink.failing_for_s > 0.0, sink.last_error) {
        say(&format!(
            "  waiting   {error}; records are buffered meanwhile"
        ));
    }
    match duration {
        Some(duration) => say(&format!(
            "  stop      by itself after {duration:?}, or Ctrl-C"
        )),
        None => say("  stop      Ctrl-C"),
    }
}
