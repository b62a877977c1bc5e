//! The choices a gateway is built from.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::ready::Readiness;
use crate::reload::ReloadRequest;

/// What a gateway lets in, how much of it, and whom it asks.
#[derive(Clone, Debug)]
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
}

impl Default for GatewayOptions {
    /// No foreign origins, bodies of 8 MiB, 1,000 clients, timestamps up to a day ahead, no
    /// reloading.
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            body_bytes_max: 8 << 20,
            websockets_max: 1000,
            future_max: Duration::from_secs(24 * 60 * 60),
            reload: None,
            readiness: None,
        }
    }
}
