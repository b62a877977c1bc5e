//! One client, as its loop knows it: who it is, what it subscribed to, and what is on its way.
//!
//! A connection lives on one thread, so nothing of it is locked. It is ended in one place, the
//! task that reads from it: whoever wants its end [says so](Connection::end).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Encoding, Failure, ServerMessage};
use tokio::task::AbortHandle;

use super::account::Account;
use super::frame::Frames;
use super::group::Group;
use super::outgoing::{Broken, Held, Offered, Outgoing};
use super::socket::Socket;
use super::upgrade::{Place, TOO_MANY};
use super::worker::Worker;
use crate::access::Principal;
use crate::connections::Connected;

/// One client.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) encoding: Encoding,
    pub(super) address: IpAddr,
    pub(super) account: Arc<Account>,
    pub(super) socket: Socket,
    out: RefCell<Outgoing>,
    /// The task that writes the rest, while there is one.
    draining: RefCell<Option<AbortHandle>>,
    /// Who it is, once that is known.
    pub(super) principal: RefCell<Option<Principal>>,
    pub(super) subscriptions: RefCell<BTreeMap<String, Rc<RefCell<Group>>>>,
    /// Subscriptions that wait until it can be sent something.
    pub(super) waiting: Cell<usize>,
    /// Actions under way.
    pub(super) acting: Cell<usize>,
    pub(super) since: Instant,
    /// Values that were made ready for it alone, and are not yet charged.
    cost: Cell<u64>,
    /// When something was received of it.
    pub(super) heard: Cell<Instant>,
    /// When it was asked whether it is there.
    pub(super) asked: Cell<Instant>,
    ending: Cell<Option<Ending>>,
    place: RefCell<Place>,
}

/// What a client is closed with for whom there is no place.
pub(super) const TRY_AGAIN: u16 = 1013;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At once.
    Cut,
    /// By a close frame, with a code of RFC 6455 or one of our own.
    Close(u16, &'static str),
}

impl Connection {
    pub(super) fn new(
        (id, encoding, address): (u64, Encoding, IpAddr),
        socket: Socket,
        account: Arc<Account>,
        place: Place,
        now: Instant,
    ) -> Self {
        Self {
            id,
            encoding,
            address,
            account,
            socket,
            out: RefCell::default(),
            draining: RefCell::default(),
            principal: RefCell::default(),
            subscriptions: RefCell::default(),
            waiting: Cell::default(),
            acting: Cell::default(),
            since: now,
            cost: Cell::default(),
            heard: Cell::new(now),
            asked: Cell::new(now),
            ending: Cell::default(),
            place: RefCell::new(place),
        }
    }

    /// Takes a place for clients, now that it is known who it is; false when there is none.
    pub(super) fn settle(&self) -> bool {
        self.place.borrow_mut().settle()
    }

    /// For how long it has not said who it is; it ends here when others need its place.
    pub(super) fn unknown_for(&self, now: Instant) -> Option<Duration> {
        if self.principal.borrow().is_some() {
            return None;
        }
        if self.place.borrow_mut().has_to_go() {
            self.end(Ending::Close(TRY_AGAIN, TOO_MANY));
        }
        Some(now.saturating_duration_since(self.since))
    }

    /// Whether nothing is under way to it.
    pub(super) fn is_clear(&self) -> bool {
        self.ending.get().is_none() && self.out.borrow().is_clear()
    }

    /// Since when it has taken nothing though there is something, as a time that passed.
    pub(super) fn blocked_for(&self, now: Instant) -> Duration {
        self.out.borrow().blocked_for(now)
    }

    /// Sends a frame, unless it is behind.
    pub(super) fn offer(
        self: &Rc<Self>,
        frame: &Bytes,
        worker: &Rc<Worker>,
        now: Instant,
    ) -> Offered {
        if self.ending.get().is_some() {
            return Offered::Behind;
        }
        let mut out = self.out.borrow_mut();
        let offered = out.offer(frame, now, &self.socket);
        match offered {
            Ok(Offered::Taken) => self.account.sent(out.written()),
            Ok(Offered::Behind) => return Offered::Behind,
            Err(Broken) => self.end(Ending::Cut),
        }
        let is_clear = out.is_clear();
        drop(out);
        if !is_clear {
            self.drain(worker);
        }
        Offered::Taken
    }

    /// Sends an answer, after what is under way.
    pub(super) fn say(self: &Rc<Self>, message: &ServerMessage, worker: &Rc<Worker>) {
        self.say_bytes(&Frames::of(self.encoding, message), worker);
    }

    pub(super) fn say_bytes(self: &Rc<Self>, frame: &Bytes, worker: &Rc<Worker>) {
        let now = Instant::now();
        let mut out = self.out.borrow_mut();
        if out.say(frame, now, &self.socket).is_err() {
            self.end(Ending::Cut);
        }
        self.account.wrote(out.written(), out.blocked_since());
        let is_clear = out.is_clear();
        drop(out);
        if !is_clear {
            self.drain(worker);
        }
    }

    /// Sends what may be left out, if there is room.
    pub(super) fn mention(self: &Rc<Self>, frame: &Bytes, worker: &Rc<Worker>) {
        let has_room = self.out.borrow().has_room_for(frame);
        if has_room && self.ending.get().is_none() {
            self.say_bytes(frame, worker);
        }
    }

    pub(super) fn refuse(
        self: &Rc<Self>,
        code: &str,
        message: impl Into<String>,
        id: Option<&str>,
        worker: &Rc<Worker>,
    ) {
        let failure = Failure {
            code: code.to_owned(),
            message: message.into(),
            id: id.map(str::to_owned),
        };
        self.say(&ServerMessage::Error(failure), worker);
    }

    /// What it asked for took so many values, or keys.
    pub(super) fn costs(&self, values: u64) {
        self.cost.set(self.cost.get().saturating_add(values));
    }

    /// What it cost since this was asked last.
    pub(super) fn cost(&self) -> u64 {
        self.cost.take()
    }

    /// The frame that is kept for it, if any.
    pub(super) fn held(&self) -> Option<Held> {
        self.out.borrow().held()
    }

    /// Cuts it off, and keeps nothing for it from now on.
    pub(super) fn cut(&self) {
        self.out.borrow_mut().forget();
        self.end(Ending::Cut);
    }

    /// Has it ended; what was said first holds.
    pub(super) fn end(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
        }
        self.account.end().notify_one();
    }

    /// How it shall end, if it shall.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Its task has ended.
    pub(super) fn gone(&self) {
        if let Some(task) = self.draining.borrow_mut().take() {
            task.abort();
        }
    }

    /// Has the rest written as soon as there is room.
    fn drain(self: &Rc<Self>, worker: &Rc<Worker>) {
        let mut draining = self.draining.borrow_mut();
        if draining.is_some() {
            return;
        }
        let out = self.out.borrow();
        self.account.wrote(out.written(), out.blocked_since());
        drop(out);
        let task = drain(Rc::clone(self), Rc::clone(worker));
        let task = tokio::task::spawn_local(task);
        *draining = Some(task.abort_handle());
    }
}

/// Writes the rest whenever there is room, until nothing is left.
async fn drain(connection: Rc<Connection>, worker: Rc<Worker>) {
    loop {
        let is_writable = connection.socket.writable().await.is_ok();
        let mut out = connection.out.borrow_mut();
        let flushed = out.flush(Instant::now(), &connection.socket);
        connection.account.wrote(out.written(), out.blocked_since());
        match flushed {
            Ok(false) if is_writable => {}
            Ok(true) => break,
            _ => {
                connection.end(Ending::Cut);
                break;
            }
        }
    }
    *connection.draining.borrow_mut() = None;
    if connection.waiting.get() > 0 {
        worker.wake.now();
    }
}
