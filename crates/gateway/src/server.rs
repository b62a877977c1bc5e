//! Binding, serving and closing.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use pipeline::{Intake, Level, LiveData, Pipeline};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::access::{Origins, Scheme};
use crate::admin::{Administration, socket};
use crate::backplane::{Backplane, InProcess};
use crate::cached::Cached;
use crate::connections::Connections;
use crate::error::BindError;
use crate::guard::{Guard, guard};
use crate::listen::Seats;
use crate::options::GatewayOptions;
use crate::prometheus::{self, Scrapes};
use crate::state::{App, Shared};
use crate::{assets, control, error, export, fanout, history, ingest, listen};
use crate::{openapi, past, ready, rest};

/// Bodies that are parsed at the same time.
const PARSING_MAX: usize = 2;
/// How often sessions are told of new keys.
const KEYS_EVERY: Duration = Duration::from_millis(200);

/// A gateway that is bound and not yet serving.
///
/// ```
/// use gateway::{Gateway, GatewayOptions};
/// use pipeline::{LiveData, Pipeline};
/// use sinks::{BoxWriter, MemoryWriter, ScopeName};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
///     .live(LiveData::new())
///     .start()?;
/// let ingest = pipeline.intake(&ScopeName::new("http/normal")).await?;
/// let listen = "127.0.0.1:0".parse()?;
/// let gateway = Gateway::bind(listen, GatewayOptions::default(), pipeline.clone(), ingest).await?;
/// println!("listening on http://{}", gateway.local_addr());
/// gateway.serve(async { /* until something says stop */ }).await?;
/// pipeline.shutdown(None).await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gateway {
    listener: TcpListener,
    local: SocketAddr,
    app: App,
    keys: watch::Sender<usize>,
    closing: watch::Sender<bool>,
}

impl Gateway {
    /// Binds to `listen`; port 0 picks a free one. `ingest` takes what is posted.
    ///
    /// # Errors
    /// When an option is invalid, or the address is in use, cannot be bound, or is not on loopback
    /// while no token is asked for.
    pub async fn bind(
        listen: SocketAddr,
        options: GatewayOptions,
        pipeline: Pipeline,
        ingest: Intake,
    ) -> Result<Self, BindError> {
        options.check()?;
        let fail = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::InUse { listen },
            _ => BindError::Io { listen, source },
        };
        if options.access.is_open() && !options.allow_anonymous && !listen.ip().is_loopback() {
            return Err(BindError::Anonymous { listen });
        }
        let listener = listen::bind(listen).map_err(fail)?;
        let local = listener.local_addr().map_err(fail)?;
        let (keys, keys_seen) = watch::channel(0);
        let (closing, is_closing) = watch::channel(false);
        let backplane: Arc<dyn Backplane> = match options.backplane.clone() {
            Some(backplane) => backplane,
            None => {
                let actions = options.actions.clone();
                Arc::new(InProcess::new(pipeline.clone(), ingest.clone(), actions))
            }
        };
        let live = backplane.live();
        let scheme = Scheme::of(options.tls.as_ref());
        let app = App::new(Shared {
            scrapes: Scrapes::new(pipeline.telemetry()),
            strangers: fanout::upgrade::strangers(options.websockets_max),
            seats: Seats::new(
                listen::within_files(options.connections_max),
                options.connections_per_address_max,
            ),
            guard: Guard::new(Origins::new(local, scheme, &options.allowed_origins)),
            options,
            pipeline,
            backplane,
            live,
            ingest,
            bodies: Semaphore::new(ingest::BODIES_KIBIBYTES_MAX as usize),
            parsing: Semaphore::new(PARSING_MAX),
            buffer_status: Cached::default(),
            health: Cached::default(),
            health_status: Cached::default(),
            keys_of_posts: Arc::default(),
            past_readers: Arc::new(Semaphore::new(past::READERS_MAX)),
            fanout: fanout::Fanout::default(),
            exports: Arc::new(Semaphore::new(export::EXPORTS_MAX)),
            connected: Connections::default(),
            admin: Administration::default(),
            websockets: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            updates: AtomicU64::new(0),
            keys: keys_seen,
            closing: is_closing,
        });
        Ok(Self {
            listener,
            local,
            app,
            keys,
            closing,
        })
    }

    /// The address that was bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Tells everybody who is connected, and whoever connects to another server of the backplane.
    /// A [`Notifier`] does so while the gateway serves.
    pub fn notify(&self, level: Level, message: &str) {
        self.app.backplane.notify(level, message);
    }

    /// What tells clients while the gateway serves.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier(Arc::clone(&self.app.backplane))
    }

    /// Serves until `stop` comes, then closes: clients are told, and connections that do not end
    /// within 3 s are cut off.
    ///
    /// # Errors
    /// When the system no longer accepts connections, or has no thread for the loops that send.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let Self {
            listener,
            app,
            keys,
            closing,
            ..
        } = self;
        let sending = app.fanout.start(&app)?;
        let watcher = tokio::spawn(watch_keys(app.live.clone(), keys));
        let stopping = closing.subscribe();
        tokio::spawn(async move {
            stop.await;
            closing.send_replace(true);
        });
        let serving = listen::Serving {
            tls: app.options.tls.clone(),
            seats: app.seats.clone(),
            router: router(app),
        };
        let served = listen::serve(listener, serving, stopping).await;
        sending.ended().await;
        watcher.abort();
        served
    }
}

/// Tells clients; cheap to clone.
#[derive(Clone)]
pub struct Notifier(Arc<dyn Backplane>);

impl Notifier {
    /// Tells everybody who is connected.
    pub fn notify(&self, level: Level, message: &str) {
        self.0.notify(level, message);
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gateway")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

async fn watch_keys(live: LiveData, keys: watch::Sender<usize>) {
    let mut pulse = tokio::time::interval(KEYS_EVERY);
    loop {
        pulse.tick().await;
        let count = live.keys_len();
        keys.send_if_modified(|known| std::mem::replace(known, count) != count);
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/assets/{name}", get(assets::file))
        .route("/api/buffer/status", get(rest::buffer_status))
        .route("/api/health", get(rest::health))
        .route("/api/metrics", get(rest::metrics))
        .route("/metrics", get(prometheus::prometheus_metrics))
        .route("/api/keys", get(rest::keys))
        .route("/api/history/{source}/{tag}", get(history::history))
        .route("/api/export", get(export::export_many))
        .route("/api/export/{source}/{tag}", get(export::export))
        .route("/api/ingest", post(ingest::ingest))
        .route("/api/flush", post(control::flush))
        .route("/api/purge", post(control::purge))
        .route("/api/breaker/reset", post(control::reset_breakers))
        .route("/api/openapi.json", get(openapi::openapi_json))
        .route("/api/docs", get(openapi::docs))
        .route("/api/reload", post(control::reload))
        .route("/api/notify", post(control::notify))
        .route("/api/connections", get(control::connections))
        .route("/api/connections/{id}", delete(control::disconnect))
        .route("/api/audit", get(control::audit))
        .route("/api/live", get(ready::live))
        .route("/api/ready", get(ready::ready))
        .route("/ws", get(fanout::connect))
        .route("/ws/admin", get(socket::connect))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}
