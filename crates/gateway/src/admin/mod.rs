//! What administrators may do, by REST and on `/ws/admin`: one implementation behind both.
//!
//! - [`acts`]: carries out an order of anybody who may give it, to its end though they hang up.
//! - [`audit`]: who did what, from where, and what came of it; also what was refused.
//! - [`socket`]: the socket; [`upgrade`]: how a request becomes one.
//!
//! Nothing here is open: it takes a token with the right to administer, also on loopback.

pub(crate) mod acts;
pub(crate) mod audit;
mod pace;
pub(crate) mod socket;
mod undone;
mod upgrade;
mod who;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use tokio::sync::Semaphore;

use crate::listen::Strangers;
use audit::Audit;
pub(crate) use undone::Undone;
pub(crate) use who::Who;

/// Sockets of administrators at a time.
const SOCKETS_MAX: usize = 16;
/// Sockets at a time that have not said yet who they are, and of one address. They have places of
/// their own, so that strangers cannot take those of administrators.
const WAITING_MAX: usize = 16;
const WAITING_PER_ADDRESS_MAX: usize = 8;
/// Acts at a time, of all administrators.
const ACTS_MAX: usize = 16;

/// What all administrators share.
#[derive(Debug)]
pub(crate) struct Administration {
    pub(crate) audit: Audit,
    sockets: Arc<Semaphore>,
    waiting: Strangers,
    acts: Arc<Semaphore>,
}

impl Default for Administration {
    fn default() -> Self {
        Self {
            audit: Audit::default(),
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
            waiting: Strangers::new(WAITING_MAX, WAITING_PER_ADDRESS_MAX),
            acts: Arc::new(Semaphore::new(ACTS_MAX)),
        }
    }
}

impl Administration {
    /// Enters a request that takes the right to administer, of somebody who does not have it.
    pub(crate) fn refused(&self, by: &str, request: &Request) {
        let asked = format!("{} {}", request.method(), request.uri().path());
        let peer = who::peer(request.extensions());
        self.audit.refused(Instant::now(), by, peer, &asked);
    }
}
