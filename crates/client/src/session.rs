//! What a client does while it is connected: one loop over the socket, the program and the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use protocol::{
    Action, ActionResult, ClientMessage, Encoding, Failure, Level, Notification, Pong,
    ServerMessage,
};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::deltas::UnknownBase;
use crate::error::{ActError, ConnectError};
use crate::link::{Command, Link};
use crate::liveness::{Due, Liveness};
use crate::socket::{self, Connection, Received, Socket, Unreadable};
use crate::subscribed::Subscribed;

/// Actions, and pings, that wait for an answer.
const ASKED_MAX: usize = 256;
/// How long saying farewell may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Answers who asked for an action.
type ActAnswer = oneshot::Sender<Result<Value, ActError>>;

/// Serves the program until the connection is lost, and says why; nothing when the client is to
/// end.
pub(crate) async fn serve(link: &mut Link, connection: Connection) -> Option<ConnectError> {
    let Connection {
        mut socket,
        encoding,
        welcome,
    } = connection;
    let options = &link.options;
    let mut session = Session {
        encoding,
        instance: welcome.instance,
        send_within: options.pong_within,
        liveness: Liveness::new(Instant::now(), options.ping_every, options.pong_within),
        outbox: Vec::new(),
        actions: HashMap::new(),
        pings: HashMap::new(),
        asked: 0,
        own_ping: 0,
    };
    session.resubscribe(link);
    let mut closing = link.closing();
    loop {
        if let Err(cause) = session.send(&mut socket).await {
            return Some(cause);
        }
        let look = session.liveness.next_look();
        let done = tokio::select! {
            // The program comes first, so that a flood of updates cannot keep it from being heard.
            biased;
            () = Link::closed(&mut closing) => {
                farewell(&mut socket).await;
                return None;
            }
            Some(command) = link.commands.recv() => {
                session.obey(link, command);
                Ok(())
            }
            () = link.attention.notified() => {
                session.attend(link);
                Ok(())
            }
            () = tokio::time::sleep_until(look.into()) => session.look(),
            received = socket.next() => {
                session.liveness.heard(Instant::now());
                match socket::receive(received, session.encoding) {
                    Ok(Received::Message(message)) => session.hear(link, message),
                    Ok(Received::Unreadable(message)) => {
                        session.pass_over(link, message);
                        Ok(())
                    }
                    Ok(Received::Nothing) => Ok(()),
                    Err(cause) => Err(cause),
                }
            }
        };
        if let Err(cause) = done {
            return Some(cause);
        }
    }
}

/// What holds for one connection. What waits for an answer is told by being dropped with it.
struct Session {
    encoding: Encoding,
    instance: String,
    send_within: Duration,
    liveness: Liveness,
    /// What is said next; sent before anything else is looked at, so that it stays short.
    outbox: Vec<ClientMessage>,
    actions: HashMap<String, ActAnswer>,
    pings: HashMap<u64, oneshot::Sender<Pong>>,
    asked: u64,
    /// The last ping that nobody asked for but this session.
    own_ping: u64,
}

impl Session {
    /// Asks for all subscriptions, and pauses those that are paused.
    fn resubscribe(&mut self, link: &mut Link) {
        link.subscriptions
            .retain(|_, subscribed| !subscribed.is_dropped());
        for subscribed in link.subscriptions.values_mut() {
            self.ask(subscribed);
        }
    }

    fn ask(&mut self, subscribed: &mut Subscribed) {
        self.outbox.push(subscribed.request());
        self.outbox.extend(subscribed.pause_request());
    }

    async fn send(&mut self, socket: &mut Socket) -> Result<(), ConnectError> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let mut frames = Vec::with_capacity(self.outbox.len());
        for message in self.outbox.drain(..) {
            let frame = encode(self.encoding, &message)?;
            frames.push(Ok(frame));
        }
        let mut frames = futures_util::stream::iter(frames);
        let sent = tokio::time::timeout(self.send_within, socket.send_all(&mut frames)).await;
        match sent {
            Ok(sent) => sent.map_err(|error| socket::network(&error)),
            Err(_) => Err(socket::silent(self.send_within)),
        }
    }

    fn obey(&mut self, link: &mut Link, command: Command) {
        match command {
            Command::Subscribe(subscribe, answer) => {
                if let Some(id) = link.subscribe(*subscribe, answer)
                    && let Some(subscribed) = link.subscriptions.get_mut(&id)
                {
                    self.ask(subscribed);
                }
            }
            Command::Act {
                name,
                target,
                params,
                answer,
            } => {
                self.actions.retain(|_, answer| !answer.is_closed());
                if self.actions.len() >= ASKED_MAX {
                    // Who asked may have gone.
                    let _ = answer.send(Err(ActError::TooMany { limit: ASKED_MAX }));
                    return;
                }
                let id = format!("action/{}", self.next_number());
                self.actions.insert(id.clone(), answer);
                self.outbox.push(ClientMessage::Action(Action {
                    id,
                    name,
                    target,
                    params,
                }));
            }
            Command::Ping(answer) => {
                self.pings.retain(|_, answer| !answer.is_closed());
                if self.pings.len() < ASKED_MAX {
                    let number = self.next_number();
                    self.pings.insert(number, answer);
                    self.ping(number);
                }
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    fn ping(&mut self, number: u64) {
        self.outbox.push(ClientMessage::Ping {
            echo: Value::from(number),
        });
    }

    /// A subscription was dropped, paused or unpaused.
    fn attend(&mut self, link: &mut Link) {
        link.subscriptions.retain(|id, subscribed| {
            if subscribed.is_dropped() {
                let id = id.clone();
                self.outbox.push(ClientMessage::Unsubscribe { id });
                return false;
            }
            self.outbox.extend(subscribed.pause_request());
            true
        });
    }

    fn look(&mut self) -> Result<(), ConnectError> {
        match self.liveness.poll(Instant::now()) {
            Due::Nothing => Ok(()),
            Due::Ping => {
                self.own_ping = self.next_number();
                self.ping(self.own_ping);
                Ok(())
            }
            Due::Dead => Err(socket::silent(self.send_within)),
        }
    }

    fn hear(&mut self, link: &mut Link, message: ServerMessage) -> Result<(), ConnectError> {
        match message {
            ServerMessage::Snapshot(changes) => {
                if let Some(subscribed) = link.subscriptions.get_mut(&changes.id)
                    && let Err(UnknownBase) = subscribed.snapshot(&self.instance, changes)
                {
                    return self.ask_for_base(subscribed);
                }
            }
            ServerMessage::Update(changes) => {
                if let Some(subscribed) = link.subscriptions.get_mut(&changes.id)
                    && let Err(UnknownBase) = subscribed.update(&self.instance, changes)
                {
                    return self.ask_for_base(subscribed);
                }
            }
            ServerMessage::Removed(removed) => {
                if let Some(subscribed) = link.subscriptions.get_mut(&removed.id) {
                    subscribed.removed(removed);
                }
            }
            ServerMessage::Reset(reset) => {
                if let Some(subscribed) = link.subscriptions.get_mut(&reset.id) {
                    subscribed.reset(reset);
                }
            }
            ServerMessage::Notification(notification) => {
                // Nobody may be listening.
                let _ = link.notifications.send(notification);
            }
            ServerMessage::ActionResult(result) => self.acted(result),
            ServerMessage::Pong(pong) => self.pong(link, pong),
            ServerMessage::Error(failure) => return self.refused(link, failure),
            // Rights may have changed, which needs nothing here.
            ServerMessage::Welcome(_) => {}
            // One that this version does not know.
            _ => {}
        }
        Ok(())
    }

    /// A patch of a value that is not known is asked for again, once: an answer has none.
    fn ask_for_base(&mut self, subscribed: &mut Subscribed) -> Result<(), ConnectError> {
        if subscribed.awaits_answer() {
            return Err(ConnectError::Malformed {
                reason: "the first frame of a subscription has a patch".to_owned(),
            });
        }
        self.ask(subscribed);
        Ok(())
    }

    fn acted(&mut self, result: ActionResult) {
        if let Some(answer) = self.actions.remove(&result.id) {
            let outcome = if result.ok {
                Ok(result.value)
            } else {
                Err(ActError::Failed {
                    message: result.error.unwrap_or_default(),
                })
            };
            // Who asked may have gone.
            let _ = answer.send(outcome);
        }
    }

    fn pong(&mut self, link: &mut Link, pong: Pong) {
        self.liveness.answered();
        let now = Instant::now();
        let number = pong.echo.as_u64();
        let is_own = number == Some(self.own_ping);
        for subscribed in link.subscriptions.values_mut() {
            if subscribed.pong(now, pong.seq) || (is_own && subscribed.is_unanswered()) {
                self.ask(subscribed);
            }
        }
        if let Some(answer) = number.and_then(|number| self.pings.remove(&number)) {
            // Who asked may have gone.
            let _ = answer.send(pong);
        }
    }

    fn refused(&mut self, link: &mut Link, failure: Failure) -> Result<(), ConnectError> {
        let Failure { code, message, id } = failure;
        if code == "unauthorized" && id.is_none() {
            return Err(ConnectError::Unauthorized { message });
        }
        let Some(id) = id else {
            // Nobody may be listening.
            let _ = link.notifications.send(Notification {
                level: Level::Error,
                message: format!("{code}: {message}"),
                timestamp: 0,
            });
            return Ok(());
        };
        if let Some(answer) = self.actions.remove(&id) {
            // Who asked may have gone.
            let _ = answer.send(Err(ActError::Refused { code, message }));
        } else if let Some(subscribed) = link.subscriptions.get_mut(&id) {
            subscribed.failed(Failure {
                code,
                message,
                id: Some(id),
            });
        }
        Ok(())
    }

    /// A message that cannot be read concerns nobody but whom it is for: another connection would
    /// bring the same one.
    fn pass_over(&mut self, link: &mut Link, message: Unreadable) {
        let Unreadable { id, reason, .. } = &message;
        let known = id
            .as_ref()
            .and_then(|id| link.subscriptions.get_mut(id.as_str()));
        if let Some(subscribed) = known {
            subscribed.unreadable(&self.instance, message);
            return;
        }
        // Nobody may be listening.
        let _ = link.notifications.send(Notification {
            level: Level::Error,
            message: format!("unreadable: {reason}"),
            timestamp: 0,
        });
        // Who waits for it learns that the answer is lost.
        if let Some(id) = id {
            self.actions.remove(id);
        }
    }
}

fn encode(encoding: Encoding, message: &ClientMessage) -> Result<Message, ConnectError> {
    let malformed = |reason: String| ConnectError::Malformed { reason };
    let bytes = encoding
        .encode(message)
        .map_err(|error| malformed(error.to_string()))?;
    if !encoding.is_text() {
        return Ok(Message::binary(bytes));
    }
    let text = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    Ok(Message::text(text))
}

async fn farewell(socket: &mut Socket) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "the client ends".into(),
    };
    // It is closed either way.
    let _ = tokio::time::timeout(CLOSE_WITHIN, socket.close(Some(frame))).await;
}
