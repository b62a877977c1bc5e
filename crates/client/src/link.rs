//! The task of a client: connects, hands over to the session, and connects again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use protocol::{Notification, Pong, Subscribe};
use serde_json::Value;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use crate::builder::Options;
use crate::error::{ActError, ConnectError, SubscribeError};
use crate::event::State;
use crate::handle::{self, Client};
use crate::retry::{Decision, Retry};
use crate::session;
use crate::socket::{self, Connection};
use crate::subscribed::Subscribed;
use crate::subscription::Subscription;

/// What waits to be done; who asks for more has to wait.
const COMMANDS_MAX: usize = 64;
/// Messages for people that nobody has taken.
const NOTIFICATIONS_MAX: usize = 64;

/// Answers a request for a subscription, which is dropped when nobody waits for it any more.
type SubscribeAnswer = oneshot::Sender<Result<Subscription, SubscribeError>>;

/// What a program asks the task to do. An answer that is dropped says that it was lost.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe(Box<Subscribe>, SubscribeAnswer),
    Act {
        name: String,
        target: String,
        params: Value,
        answer: oneshot::Sender<Result<Value, ActError>>,
    },
    Ping(oneshot::Sender<Pong>),
}

/// The task of a client, whether it is connected or not.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) options: Options,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) attention: Arc<Notify>,
    pub(crate) subscriptions: BTreeMap<String, Subscribed>,
    pub(crate) notifications: broadcast::Sender<Notification>,
    closing: watch::Receiver<bool>,
    state: watch::Sender<State>,
    retry: Retry,
}

/// Starts the task on this runtime.
pub(crate) fn start(options: Options, connection: Option<Connection>) -> Client {
    let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
    let (closing, closed) = watch::channel(false);
    let (state, state_seen) = watch::channel(State::Connecting);
    let (notifications, notified) = broadcast::channel(NOTIFICATIONS_MAX);
    let shared = handle::Shared {
        commands,
        closing,
        state: state_seen,
        notifications: notified,
        act_within: options.act_within,
    };
    let link = Link {
        retry: Retry::new(options.wait),
        options,
        commands: commanded,
        attention: Arc::new(Notify::new()),
        subscriptions: BTreeMap::new(),
        notifications,
        closing: closed,
        state,
    };
    if let Some(connection) = &connection {
        link.say_connected(connection);
    }
    tokio::spawn(link.run(connection));
    Client::new(shared)
}

impl Link {
    async fn run(mut self, mut connection: Option<Connection>) {
        let cause = loop {
            let lost = match connection.take() {
                Some(connection) => {
                    self.retry.connected(Instant::now());
                    self.say_connected(&connection);
                    session::serve(&mut self, connection).await
                }
                None => {
                    self.state.send_replace(State::Connecting);
                    let options = self.options.clone();
                    match self.meanwhile(socket::open(&options)).await {
                        Some(Ok(opened)) => {
                            connection = Some(opened);
                            continue;
                        }
                        Some(Err(cause)) => Some(cause),
                        None => None,
                    }
                }
            };
            // Nothing was lost when it is closed.
            let Some(cause) = lost else { break None };
            match self.retry.lost(Instant::now(), &cause, fastrand::f64()) {
                Decision::Never => break Some(cause),
                Decision::After(delay) => {
                    self.state.send_replace(State::Waiting { cause, delay });
                    if self.meanwhile(tokio::time::sleep(delay)).await.is_none() {
                        break None;
                    }
                }
            }
        };
        self.end(cause);
    }

    fn say_connected(&self, connection: &Connection) {
        self.state.send_replace(State::Connected {
            instance: connection.welcome.instance.clone(),
            connection_id: connection.welcome.connection_id,
        });
    }

    /// Comes when the client is to end.
    pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
        // An error says that the last handle was dropped.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// Does something that takes its time, and obeys meanwhile as far as that goes without a
    /// connection. None when the client is to end.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut closing = self.closing();
        loop {
            tokio::select! {
                biased;
                () = Self::closed(&mut closing) => return None,
                done = &mut work => return Some(done),
                Some(command) = self.commands.recv() => match command {
                    Command::Subscribe(subscribe, answer) => {
                        self.subscribe(*subscribe, answer);
                    }
                    Command::Act { answer, .. } => {
                        // Who asked may have gone.
                        let _ = answer.send(Err(ActError::NotConnected));
                    }
                    // A dropped answer says that there is no connection.
                    Command::Ping(_) => {}
                },
                () = self.attention.notified() => {
                    self.subscriptions.retain(|_, subscribed| !subscribed.is_dropped());
                }
            }
        }
    }

    /// Adds a subscription, and gives its id when it is a new one.
    pub(crate) fn subscribe(
        &mut self,
        subscribe: Subscribe,
        answer: SubscribeAnswer,
    ) -> Option<String> {
        let id = subscribe.id.clone();
        let before = self.subscriptions.get(&id);
        if before.is_some_and(|subscribed| !subscribed.is_dropped()) {
            // Who asked may have gone.
            let _ = answer.send(Err(SubscribeError::IdTaken { id }));
            return None;
        }
        let Options {
            values_max,
            ping_every,
            ..
        } = self.options;
        let subscribed = Subscribed::new(subscribe, values_max, ping_every);
        let shared = Arc::clone(subscribed.shared());
        let handle = Subscription::new(id.clone(), shared, Arc::clone(&self.attention));
        // One that nobody waits for is dropped here, and taken out with the others that are.
        let _ = answer.send(Ok(handle));
        self.subscriptions.insert(id.clone(), subscribed);
        Some(id)
    }

    fn end(mut self, cause: Option<ConnectError>) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            // The others learn it from the answer that is dropped.
            if let Command::Act { answer, .. } = command {
                let _ = answer.send(Err(ActError::NotConnected));
            }
        }
        for subscribed in self.subscriptions.values() {
            subscribed.shared().inbox.put(crate::inbox::Pending::end);
        }
        self.state.send_replace(State::Ended { cause });
    }
}
