//! The seam between a gateway and everything that it shows, says and is asked to do.
//!
//! A gateway reads its keys from one data service, hears of notifications, hands on actions, and
//! says how many clients it has: all of it through a [`Backplane`]. [`InProcess`] is the one of a
//! single server. One that joins several servers has an [`InProcess`] inside, and adds to it:
//!
//! - **updates**: it fills a data service of its own, from the server's pipeline and from the
//!   others, and answers [`live`](Backplane::live) with that one. Its instance is what clients
//!   resume by: they begin anew at another server.
//! - **notifications**: [`notify`](Backplane::notify) also goes to the others; what comes from them
//!   goes to [`InProcess::notify`] alone, so that nothing goes round.
//! - **actions**: one that this server [`has`](InProcess::has) is done here, others where they are.
//!   It becomes a record where it is done, once.
//! - **connections**: the count that [`connected`](Backplane::connected) is given is told to the
//!   others, and theirs is added.
//!
//! Sending to clients knows none of this. A backplane never blocks: all but [`act`](Backplane::act)
//! are answered from memory, and what is on its way to other servers waits in the backplane, under
//! a bound of its own.

use std::future::Future;
use std::pin::Pin;

use pipeline::{Intake, Level, LiveData, Notification, Pipeline};
use tokio::sync::{broadcast, watch};

use crate::actions::{ActionError, ActionRequest, Actions};

/// An action under way.
pub type Acting = Pin<Box<dyn Future<Output = Result<serde_json::Value, ActionError>> + Send>>;

/// What a gateway shows, says and is asked to do.
pub trait Backplane: Send + Sync + 'static {
    /// The histories that clients read. Asked once, when the gateway is bound.
    fn live(&self) -> LiveData;

    /// Changes whenever something critical has been shown, which does not wait for the next turn.
    fn urgent(&self) -> watch::Receiver<u64>;

    /// Tells the clients of all servers. Never waits; a client that is far behind misses some.
    fn notify(&self, level: Level, message: &str);

    /// What clients are told, from now on, whichever server said it.
    fn notifications(&self) -> broadcast::Receiver<Notification>;

    /// Does what a client asks for, wherever that is done, and makes it a record there.
    ///
    /// # Cancellation
    /// What has begun goes on though the future is dropped.
    fn act(&self, request: ActionRequest) -> Acting;

    /// How many clients all servers have, where this one has `here`. Asked again and again.
    fn connected(&self, here: usize) -> usize {
        here
    }
}

/// The backplane of a single server: its own pipeline, its own actions.
#[derive(Clone, Debug)]
pub struct InProcess {
    pipeline: Pipeline,
    live: LiveData,
    intake: Intake,
    actions: Actions,
}

impl InProcess {
    /// One over a pipeline, into which actions go through `intake`; without live data in it, no
    /// keys are shown.
    #[must_use]
    pub fn new(pipeline: Pipeline, intake: Intake, actions: Actions) -> Self {
        let live = pipeline.live().cloned().unwrap_or_else(LiveData::new);
        Self {
            pipeline,
            live,
            intake,
            actions,
        }
    }

    /// Whether this action is done here.
    #[must_use]
    pub fn has(&self, action: &str) -> bool {
        self.actions.has(action)
    }
}

impl Backplane for InProcess {
    fn live(&self) -> LiveData {
        self.live.clone()
    }

    fn urgent(&self) -> watch::Receiver<u64> {
        self.pipeline.urgent()
    }

    fn notify(&self, level: Level, message: &str) {
        self.pipeline.notify(level, message);
    }

    fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.pipeline.notifications()
    }

    fn act(&self, request: ActionRequest) -> Acting {
        self.actions.act(request, &self.intake)
    }
}
