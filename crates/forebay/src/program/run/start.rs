//! Starts the pipeline, the sources and the page.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::{BindError, Gateway, GatewayOptions, Readiness, ReloadRequest, Rights};
#[cfg(feature = "alerts")]
use pipeline::PipelineBuilder;
use pipeline::source::HostConfig;
use pipeline::{LiveData, Pipeline, Plan, Poller, PollerOptions, Reading};
use record::Name;
use sinks::{HistoryReader, ScopeName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::admin_token::AdminToken;
use super::inputs::Inputs;
use crate::program::config::{ADMIN_OF_RUN, Config};
use crate::program::output::say;
use crate::program::storage::{self, Place};

/// The names of the program's own sources.
const HOST: &str = "host";
const HTTP: &str = "http";
/// The least that a key keeps when a subscriber asks for more than the default.
const DEPTH_MAX: usize = 100_000;

/// A pipeline with what live views see of it.
pub(super) fn pipeline(config: &Config, plan: Plan) -> Result<Pipeline> {
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
    let builder = Pipeline::builder()
        .plan(plan)
        .live(live)
        .seed(u64::from(std::process::id()));
    #[cfg(feature = "alerts")]
    let builder = config
        .alerts()
        .into_iter()
        .fold(builder, PipelineBuilder::alert);
    Ok(builder.start()?)
}

/// What brings records, and the page, while they run.
pub(super) struct Sources {
    poller: Option<Poller>,
    inputs: Inputs,
    site: Site,
}

/// The page and the API, while they are served.
struct Site {
    url: String,
    /// Where the configuration knows no administrator.
    admin: Option<AdminToken>,
    readiness: watch::Sender<Readiness>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Sources {
    /// Starts them all. `reload` hears of wishes for another configuration.
    pub(super) async fn start(
        config: &Config,
        pipeline: &Pipeline,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Result<Self> {
        let ingest = pipeline.intake_at_once(&ScopeName::new(HTTP)).await?;
        let readiness = watch::Sender::new(Readiness::Starting);
        let admin = admin_of_run(config);
        let mut options = GatewayOptions {
            reload: Some(reload),
            readiness: Some(readiness.subscribe()),
            history: history(config)?,
            ..config.gateway_options()?
        };
        if let Some(admin) = &admin {
            let all = Rights::none().read_all().ingest().act().admin();
            let access = options.access;
            options.access = access.token(ADMIN_OF_RUN, admin.token().hash(), all)?;
        }
        let listen = config.gateway.listen;
        let gateway = Gateway::bind(listen, options, pipeline.clone(), ingest).await?;
        let address = gateway.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(gateway.serve(async {
            // Whoever would stop it being gone is a stop too.
            let _ = stopped.await;
        }));
        let poller = match config.host.enabled {
            true => Some(poller(config, pipeline).await?),
            false => None,
        };
        let inputs = Inputs::start(config, pipeline)?;
        readiness.send_replace(Readiness::Ready);
        Ok(Self {
            poller,
            inputs,
            site: Site {
                url: format!("{}://{address}", config.scheme()),
                admin,
                readiness,
                stop,
                served,
            },
        })
    }

    /// Stops them; the page may take longer to end. A poll that hangs, or waits for room, is left
    /// behind, and the drain shuts it out.
    pub(super) async fn stop(self, within: Duration) -> JoinHandle<std::io::Result<()>> {
        self.site.readiness.send_replace(Readiness::Draining);
        let _ = self.site.stop.send(());
        self.inputs.stop();
        let poller = self.poller;
        let polling = tokio::task::spawn_blocking(move || {
            if let Some(poller) = poller {
                poller.stop();
            }
        });
        let _ = tokio::time::timeout(within, polling).await;
        self.site.served
    }
}

/// The token for administering this run, where the configuration has none. Without it the run goes
/// on, and nobody administers it.
fn admin_of_run(config: &Config) -> Option<AdminToken> {
    if config.knows_admin() {
        return None;
    }
    match AdminToken::write(&config.data) {
        Ok(admin) => Some(admin),
        Err(error) => {
            let data = config.data.display();
            tracing::warn!(%data, %error, "there is no admin token: it cannot be written");
            None
        }
    }
}

/// What answers for the time before memory: the first sink that can be read.
fn history(config: &Config) -> Result<Option<Arc<dyn HistoryReader>>> {
    for (_, sink) in config.all_sinks() {
        let reader = storage::open_reader(&config.data, sink.url.as_ref())?;
        if reader.is_some() {
            return Ok(reader);
        }
    }
    Ok(None)
}

async fn poller(config: &Config, pipeline: &Pipeline) -> Result<Poller> {
    let intake = pipeline.intake_at_once(&ScopeName::new(HOST)).await?;
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

/// Fails when somebody listens there already.
pub(super) fn check_free(listen: SocketAddr) -> Result<(), BindError> {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(BindError::InUse { listen })
        }
        // The gateway binds again, and says what else is wrong.
        _ => Ok(()),
    }
}

/// Says where everything is.
pub(super) fn welcome(
    places: &BTreeMap<String, Place>,
    pipeline: &Pipeline,
    sources: &Sources,
    duration: Option<Duration>,
) {
    let Site { url, admin, .. } = &sources.site;
    say(&format!("listening on {url}"));
    say(&format!("  page      open {url} in a browser"));
    if let Some(admin) = admin {
        let path = admin.path().display();
        say(&format!("  admin     with the token in {path}"));
    }
    for (name, place) in places {
        match places.len() {
            1 => say(&format!("  {:<8}  {place}", place.word())),
            _ => say(&format!("  {:<8}  {name}: {place}", place.word())),
        }
    }
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
