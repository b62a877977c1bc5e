//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::SystemTime;

use pipeline::{Intake, LiveData, Pipeline};
use record::Timestamp;
use tokio::sync::{Semaphore, watch};

use crate::admin::Administration;
use crate::backplane::Backplane;
use crate::cached::Cached;
use crate::connections::Connections;
use crate::fanout::Fanout;
use crate::guard::Guard;
use crate::idempotency;
use crate::listen::{Seats, Strangers};
use crate::options::GatewayOptions;
use crate::prometheus::Scrapes;

/// What all requests share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) options: GatewayOptions,
    pub(crate) guard: Guard,
    /// Room for connections.
    pub(crate) seats: Seats,
    /// Room for clients that have not said yet who they are.
    pub(crate) strangers: Strangers,
    pub(crate) pipeline: Pipeline,
    /// What is shown, said and asked for goes through it.
    pub(crate) backplane: Arc<dyn Backplane>,
    /// What the pages read; a gateway over a pipeline without live data shows no keys.
    pub(crate) live: LiveData,
    pub(crate) ingest: Intake,
    /// What `GET /metrics` shows.
    pub(crate) scrapes: Scrapes,
    /// Room for bodies that are received, in KiB.
    pub(crate) bodies: Semaphore,
    /// Places for bodies that are parsed at the same time.
    pub(crate) parsing: Semaphore,
    /// The last answers to what is asked for most often.
    pub(crate) buffer_status: Cached,
    pub(crate) health: Cached,
    pub(crate) health_status: Cached,
    /// What posts with an `Idempotency-Key` were answered.
    pub(crate) keys_of_posts: Arc<idempotency::Keys>,
    /// Places for those who read further back than memory.
    pub(crate) past_readers: Arc<Semaphore>,
    /// The loops that send.
    pub(crate) fanout: Fanout,
    /// Places for exports.
    pub(crate) exports: Arc<Semaphore>,
    /// What administrators share, and have done.
    pub(crate) admin: Administration,
    /// Who is connected.
    pub(crate) connected: Connections,
    pub(crate) websockets: AtomicUsize,
    pub(crate) connections: AtomicU64,
    /// Updates that were sent to clients, in frames.
    pub(crate) updates: AtomicU64,
    /// How many keys there are; sessions look for new ones that they match when it changes.
    pub(crate) keys: watch::Receiver<usize>,
    /// Turns true when the gateway closes.
    pub(crate) closing: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The wall clock, as data for people.
pub(crate) fn wall_time() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
