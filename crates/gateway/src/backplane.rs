//! The seam between a gateway and everything that it shows, says and is asked to do.
//!
//! A gateway reads its keys from one data service, hears of notifications, and hands on actions:
//! all of it through a [`Backplane`]. [`InProcess`] is the one of a single server. One that joins
//! several servers fills a data service of its own from the others, and passes on what is said
//! here; sending to clients does not know the difference.

use std::future::Future;
use std::pin::Pin;

use pipeline::{Level, LiveData, Notification, Pipeline};
use tokio::sync::{broadcast, watch};

use crate::actions::{ActionError, ActionRequest, Actions};

/// An action under way.
pub type Acting = Pin<Box<dyn Future<Output = Result<serde_json::Value, ActionError>> + Send>>;

/// What a gateway shows, says and is asked to do.
pub trait Backplane: Send + Sync + 'static {
    /// The histories that clients read.
    fn live(&self) -> LiveData;

    /// Changes whenever something critical has been shown, which does not wait for the next turn.
    fn urgent(&self) -> watch::Receiver<u64>;

    /// Tells the clients of all servers.
    fn notify(&self, level: Level, message: &str);

    /// What clients are told, from now on.
    fn notifications(&self) -> broadcast::Receiver<Notification>;

    /// Does what a client asks for, wherever that is done.
    fn act(&self, request: ActionRequest) -> Acting;
}

/// The backplane of a single server: its own pipeline, its own actions.
#[derive(Clone, Debug)]
pub struct InProcess {
    pipeline: Pipeline,
    live: LiveData,
    actions: Actions,
}

impl InProcess {
    /// One over a pipeline; without live data in it, no keys are shown.
    #[must_use]
    pub fn new(pipeline: Pipeline, actions: Actions) -> Self {
        let live = pipeline.live().cloned().unwrap_or_else(LiveData::new);
        Self {
            pipeline,
            live,
            actions,
        }
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
        self.actions.act(request)
    }
}
