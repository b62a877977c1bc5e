//! The choices a gateway is built from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::Reading;
use record::Key;
use serde_json::Value;
use sinks::HistoryReader;
use tokio::sync::{mpsc, watch};

use crate::access::Access;
use crate::actions::Actions;
use crate::assets;
use crate::backplane::Backplane;
use crate::error::InvalidOption;
use crate::globs::Globs;
use crate::listen::Tls;
use crate::ready::Readiness;
use crate::reload::ReloadRequest;

/// Bytes that the name of a channel may have.
const CHANNEL_NAME_BYTES_MAX: usize = 64;

/// What a record is made into before it goes to a client: see [`Project::new`].
#[derive(Clone)]
pub struct Project(pub(crate) Arc<Projection>);

type Projection = dyn Fn(&Key, &Reading) -> Option<Value> + Send + Sync;

impl Project {
    /// From a key and its reading to what clients are sent as its value; `None` leaves it out.
    ///
    /// It has to be pure: the same reading always gives the same value. It is asked once for each
    /// frame and not for each client, so one that depends on anything else shows clients different
    /// values of the same revision, and merge patches on them are wrong.
    pub fn new(project: impl Fn(&Key, &Reading) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self(Arc::new(project))
    }
}

impl std::fmt::Debug for Project {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Project").finish_non_exhaustive()
    }
}

/// What a gateway lets in, how much of it, and whom it asks.
#[derive(Clone)]
pub struct GatewayOptions {
    /// Origins, such as `https://plant.example`, whose pages may connect and change state, beside
    /// the gateway's own. Compared exactly.
    pub allowed_origins: Vec<String>,
    /// Bytes that the body of a request may have.
    pub body_bytes_max: usize,
    /// WebSocket clients at a time.
    pub websockets_max: usize,
    /// How far in the future the timestamp of an ingested record may lie.
    pub future_max: Duration,
    /// Who reads the configuration again when `POST /api/reload` asks; without, it answers 501.
    /// A channel with room for one is enough: while it is full, more requests are told to wait.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// How far the program is, for `GET /api/ready`; without, it is ready from the start.
    pub readiness: Option<watch::Receiver<Readiness>>,
    /// Whom it lets in, and what each may do.
    pub access: Access,
    /// Whether it may listen elsewhere than on loopback although somebody without a token may do
    /// something there.
    pub allow_anonymous: bool,
    /// The certificate and the key for `https`; plain `http` without.
    pub tls: Option<Tls>,
    /// Connections at a time, those of the socket among them. The process has to be allowed so many
    /// files; where it is not, fewer are taken.
    pub connections_max: usize,
    /// Connections at a time from one address, or from one IPv6 network of 64 bits; as high as
    /// `connections_max` behind a proxy.
    pub connections_per_address_max: usize,
    /// What clients may ask for.
    pub actions: Actions,
    /// Names for globs that clients may subscribe to: a name has 1 to 64 bytes, and 1 to 512 globs.
    pub channels: BTreeMap<String, Vec<String>>,
    /// What records are made into for clients of the WebSocket.
    pub project: Option<Project>,
    /// The least time between two frames of a subscription; what is critical does not wait for it.
    pub tick: Duration,
    /// Loops that send to clients, a thread each; 0 takes one on up to three cores, then half of
    /// them, four at most.
    pub loops: usize,
    /// A client that takes nothing for so long, though there is something for it, is cut off.
    pub stalled_max: Duration,
    /// Answers for ranges that are older than memory.
    pub history: Option<Arc<dyn HistoryReader>>,
    /// Files of an application's own page, by their names, served under `/assets/` to everybody
    /// beside those of the gateway. Their type is told by the end of the name; scripts and styles
    /// have to be files, since the policy of the pages allows no inline script.
    pub assets: BTreeMap<String, Cow<'static, [u8]>>,
    /// What joins it with other servers, in the place of `actions` and the pipeline's live data.
    pub backplane: Option<Arc<dyn Backplane>>,
}

impl GatewayOptions {
    /// Whether its actions and channels are possible.
    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        if let Some(invalid) = self.actions.invalid() {
            return Err(invalid.clone());
        }
        assets::check(self)?;
        for (name, patterns) in &self.channels {
            let named = |wrong: &dyn std::fmt::Display| {
                InvalidOption::new(format!("the channel {name:?}: {wrong}"))
            };
            if !(1..=CHANNEL_NAME_BYTES_MAX).contains(&name.len()) {
                let length = name.len();
                return Err(named(&format_args!(
                    "its name has {length} bytes, expected 1 to {CHANNEL_NAME_BYTES_MAX}"
                )));
            }
            Globs::new(patterns).map_err(|error| named(&error))?;
        }
        Ok(())
    }
}

impl Default for GatewayOptions {
    /// No foreign origins, bodies of 8 MiB, 1,000 clients, timestamps up to a day ahead, no
    /// reloading, no TLS, 20,000 connections, 256 of one address, and everybody on this machine
    /// may do everything but administer.
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            body_bytes_max: 8 << 20,
            websockets_max: 1000,
            future_max: Duration::from_secs(24 * 60 * 60),
            reload: None,
            readiness: None,
            access: Access::open(),
            allow_anonymous: false,
            tls: None,
            connections_max: 20_000,
            connections_per_address_max: 256,
            actions: Actions::new(),
            channels: BTreeMap::new(),
            project: None,
            tick: Duration::from_millis(10),
            loops: 0,
            stalled_max: Duration::from_secs(10),
            history: None,
            assets: BTreeMap::new(),
            backplane: None,
        }
    }
}

impl std::fmt::Debug for GatewayOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("GatewayOptions")
            .field("allowed_origins", &self.allowed_origins)
            .field("access", &self.access)
            .field("actions", &self.actions)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}
