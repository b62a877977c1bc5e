//! A client, as the program sees it.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Notification, Pong, Subscribe};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::builder::ClientBuilder;
use crate::error::{ActError, NotConnected, SubscribeError};
use crate::event::State;
use crate::link::Command;
use crate::subscription::Subscription;

/// A connection to a gateway that comes back by itself. Cloning it is cheap, and gives another
/// handle of the same; the connection ends with the last.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What the handles of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) commands: mpsc::Sender<Command>,
    /// True when it is to end; it ends too when this is dropped.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) notifications: broadcast::Receiver<Notification>,
    pub(crate) act_within: Duration,
}

impl Client {
    /// A client of the gateway at this address, such as `ws://127.0.0.1:8000/ws`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks to be told of keys. The answer, also a refusal, is an event of the subscription; while
    /// there is no connection it is asked for with the next one.
    ///
    /// `since` goes on where a `since_last` subscription of an earlier run of the program stopped.
    ///
    /// # Errors
    /// When the client has ended, or has a subscription with this id.
    ///
    /// Cancellation: it may have been subscribed, and is unsubscribed then.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription, SubscribeError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Subscribe(Box::new(subscribe), answer);
        let sent = self.shared.commands.send(command).await;
        sent.map_err(|_| SubscribeError::Ended)?;
        answered.await.map_err(|_| SubscribeError::Ended)?
    }

    /// Asks the application to do something, and waits for what it answers. It is sent at most
    /// once, and not at all without a connection.
    ///
    /// # Errors
    /// When it was not done, or when that is not known: see [`ActError`].
    ///
    /// Cancellation: it may be done all the same.
    pub async fn act(&self, name: &str, target: &str, params: Value) -> Result<Value, ActError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Act {
            name: name.to_owned(),
            target: target.to_owned(),
            params,
            answer,
        };
        let sent = self.shared.commands.send(command).await;
        sent.map_err(|_| ActError::NotConnected)?;
        let within = self.shared.act_within;
        match tokio::time::timeout(within, answered).await {
            Ok(answer) => answer.unwrap_or(Err(ActError::Lost)),
            Err(_) => Err(ActError::TimedOut {
                within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }

    /// Asks whether the server is there, and for its newest commit.
    ///
    /// # Errors
    /// When there is no connection, or it breaks before the answer comes.
    pub async fn ping(&self) -> Result<Pong, NotConnected> {
        let (answer, answered) = oneshot::channel();
        let sent = self.shared.commands.send(Command::Ping(answer)).await;
        sent.map_err(|_| NotConnected)?;
        answered.await.map_err(|_| NotConnected)
    }

    /// The messages for people that come from now on. What the server refuses without saying of
    /// what is among them, as an error.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        Notifications {
            receiver: self.shared.notifications.resubscribe(),
        }
    }

    /// What it is in.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// Waits until it is in a state that `is_wanted`, and gives that; or the last state, when no
    /// other follows.
    ///
    /// ```no_run
    /// # async fn run(client: client::Client) {
    /// let ended = client.state_when(client::State::has_ended).await;
    /// # }
    /// ```
    pub async fn state_when(&self, is_wanted: impl FnMut(&State) -> bool) -> State {
        let mut state = self.shared.state.clone();
        if let Ok(state) = state.wait_for(is_wanted).await {
            return state.clone();
        }
        self.state()
    }

    /// Ends it: says so to the server, and waits until its task has ended. What it was asked for
    /// is answered with errors, and its subscriptions end.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        self.state_when(State::has_ended).await;
    }
}

/// Messages for people.
#[derive(Debug)]
pub struct Notifications {
    receiver: broadcast::Receiver<Notification>,
}

impl Notifications {
    /// The next one; none when the client has ended. When more than 64 were not taken, the oldest
    /// are passed over.
    ///
    /// Cancellation: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Notification> {
        loop {
            match self.receiver.recv().await {
                Ok(notification) => return Some(notification),
                // They are only news of old.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
