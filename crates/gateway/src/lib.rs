//! REST, WebSocket and the live page over a running pipeline.
//!
//! - [`Gateway`]: binds, serves, and shuts down in a bounded time.
//! - REST: `/api/buffer/status`, `/api/health`, `/api/metrics`, `/metrics`, `/api/keys`,
//!   `/api/history/{source}/{tag}`, `/api/export`, `/api/ingest`, `/api/flush`, `/api/purge`,
//!   `/api/breaker/reset`, `/api/reload`, `/api/live`, `/api/ready`.
//! - WebSocket `/ws`: subscribe by glob, a snapshot, then updates; each client is a set of cursors
//!   on the data service, so one that is slow gets the newest state and costs no memory. Nothing
//!   here keeps a value.
//! - Administrators: `/ws/admin`, `/api/connections`, `/api/notify`, `/api/audit`, and the acts
//!   above; all of it takes a token with the right, and is in an audit.
//! - [`Actions`]: what clients may ask the application to do. [`Notifier`]: what it tells them.
//!   [`Backplane`]: the seam for more than one server.
//! - [`Exporter`]: what `/metrics` is made of, [`described`] in full.
//! - The page at `/`, with its chart library, from the binary itself.
//!
//! What comes from outside is checked first: the `Host` and the exact `Origin`, tokens and the
//! [`Rights`] that they give, sizes, counts and patterns. Administering takes a token, always.

mod access;
mod actions;
mod admin;
mod assets;
mod backplane;
mod cached;
mod connections;
mod control;
mod error;
mod export;
mod exporter;
mod fanout;
mod globs;
mod guard;
mod history;
mod idempotency;
mod ingest;
mod listen;
mod nesting;
mod openapi;
mod options;
mod past;
mod prometheus;
mod query;
mod range;
mod ready;
mod reload;
mod rest;
mod server;
mod state;

pub use access::{Access, AccessError, HashError, Rights, Token, TokenHash};
pub use actions::{ActionError, ActionRequest, Actions};
pub use backplane::{Acting, Backplane, InProcess};
pub use connections::ConnectionStats;
pub use error::{BindError, InvalidOption};
pub use exporter::Exporter;
pub use listen::{Tls, TlsError};
pub use options::{GatewayOptions, Project};
pub use prometheus::described;
pub use ready::Readiness;
pub use reload::{ReloadOutcome, ReloadRequest};
pub use server::{Gateway, Notifier};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/administration.md")]
struct Administration;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/own-page.md")]
struct OwnPage;
