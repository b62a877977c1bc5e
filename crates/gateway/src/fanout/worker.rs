//! A loop: one thread that serves its share of the connections, and sends to them in turns.
//!
//! Everything of a connection happens on the thread of its loop, so nothing is locked on the way
//! of a frame. A turn comes when something changed, at the earliest a tick after the one before;
//! while nothing changes nothing runs. What is critical has its turn at once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use dataservice::{CommitSeq, ResumePoint};
use protocol::{Encoding, Notification, ServerMessage};
use record::Key;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

use super::account::Account;
use super::care::{Care, State};
use super::connection::{Connection, Ending};
use super::frame::{Frames, ping};
use super::group::{Group, GroupKey};
use super::held::{supervised, too_much};
use super::obey::{Refusal, UNAUTHORIZED, is_welcome, welcome};
use super::reader;
use super::socket::Socket;
use super::turns::Turning;
use super::upgrade::Newcomer;
use crate::state::App;

/// How often connections are looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long connections may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What a loop is told from outside.
pub(super) enum Command {
    Connect(Box<Newcomer>),
    /// The answer to a client, which may be gone.
    Answer(u64, Box<ServerMessage>),
}

/// What all of a loop share.
pub(super) struct Worker {
    pub(super) app: App,
    /// The runtime of the server, for what is not sending.
    pub(super) server: Handle,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) wake: Arc<Turn>,
    pub(super) waker: Waker,
    pub(super) groups: RefCell<BTreeMap<GroupKey, Rc<RefCell<Group>>>>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    /// What the bases of all cohorts have.
    pub(super) bases_bytes: Rc<Cell<usize>>,
    /// When it was last said that the application's projection panics.
    projection_told: Cell<Option<Instant>>,
    left: Notify,
}

/// Asks for a turn.
pub(super) struct Turn(pub(super) Notify);

impl Turn {
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Worker {
    pub(super) fn new(app: App, server: Handle, commands: mpsc::UnboundedSender<Command>) -> Self {
        let wake = Arc::new(Turn(Notify::new()));
        Self {
            app,
            server,
            commands,
            waker: Waker::from(Arc::clone(&wake)),
            wake,
            groups: RefCell::default(),
            connections: RefCell::default(),
            bases_bytes: Rc::default(),
            projection_told: Cell::default(),
            left: Notify::new(),
        }
    }

    /// Serves until the gateway closes, and has then closed its connections.
    async fn serve(self: &Rc<Self>, commands: &mut mpsc::UnboundedReceiver<Command>) {
        let mut turning = Turning::begin(self);
        let mut closing = self.app.closing.clone();
        let mut keys = self.app.keys.clone();
        let mut notifications = self.app.backplane.notifications();
        let mut are_notifications_over = false;
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => break,
                command = commands.recv() => match command {
                    Some(Command::Connect(newcomer)) => self.connect(*newcomer),
                    Some(Command::Answer(id, message)) => self.answer(id, &message),
                    None => break,
                },
                _ = &mut turning.0 => {
                    self.give_up();
                    turning = Turning::begin(self);
                }
                _ = sweep.tick() => self.sweep(Instant::now()),
                heard = notifications.recv(), if !are_notifications_over => match heard {
                    Ok(notification) => self.notify(notification),
                    // Missed ones are only news of old.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => are_notifications_over = true,
                },
                changed = keys.changed() => match changed {
                    Ok(()) => self.find_keys(),
                    Err(_) => break,
                },
            }
        }
        drop(turning);
        // Those that come now are dropped.
        commands.close();
        while commands.try_recv().is_ok() {}
        for connection in self.all() {
            connection.end(Ending::Close(1001, "the server stops"));
        }
        let all_left = async {
            while !self.connections.borrow().is_empty() {
                self.left.notified().await;
            }
        };
        // Those that do not close are cut off.
        let _ = tokio::time::timeout(CLOSE_WITHIN, all_left).await;
    }

    /// Cuts off who has held a frame for longest, while all of them hold too much.
    pub(super) fn relieve(&self) {
        let connections = self.connections.borrow();
        let held = connections.values();
        let held = held.filter_map(|it| Some((it.id, it.held()?))).collect();
        for id in too_much(held) {
            if let Some(connection) = connections.get(&id) {
                connection.cut();
            }
        }
    }

    /// A turn panicked, and nobody knows whom it has not reached: all begin anew.
    fn give_up(&self) {
        tracing::error!("a loop of sending panicked: its clients have to connect again");
        for connection in self.all() {
            connection.end(Ending::Close(1011, "the server failed"));
        }
    }

    fn connect(self: &Rc<Self>, newcomer: Newcomer) {
        // A client that is gone already is no matter of ours.
        let Ok(socket) = Socket::new(newcomer.passing) else {
            return;
        };
        let now = Instant::now();
        let (id, encoding) = (newcomer.id, newcomer.encoding);
        let account = Arc::new(Account::new(
            id,
            newcomer.address.to_string(),
            encoding,
            Arc::clone(&newcomer.principal.name),
            self.app.live.clone(),
            now,
        ));
        self.app.connected.enter(id, Arc::clone(&account) as _);
        let connection = Connection::new(
            (id, encoding, newcomer.address.ip()),
            socket,
            account,
            newcomer.place,
            now,
        );
        let connection = Rc::new(connection);
        self.connections
            .borrow_mut()
            .insert(id, Rc::clone(&connection));
        if is_welcome(&newcomer.principal) {
            welcome(&connection, newcomer.principal, self);
        }
        spawn_local(reader::serve(connection, newcomer.first, Rc::clone(self)));
    }

    fn answer(self: &Rc<Self>, id: u64, message: &ServerMessage) {
        let connection = self.connections.borrow().get(&id).cloned();
        if let Some(connection) = connection {
            connection
                .acting
                .set(connection.acting.get().saturating_sub(1));
            connection.say(message, self);
        }
    }

    /// Ends what is silent, stalled, or does not say who it is.
    fn sweep(self: &Rc<Self>, now: Instant) {
        self.relieve();
        for connection in self.all() {
            let since = |moment: Instant| now.saturating_duration_since(moment);
            let state = State {
                silent: since(connection.heard.get()),
                unasked: since(connection.asked.get()),
                blocked: connection.blocked_for(now),
                unknown: connection.unknown_for(now),
            };
            match state.care(self.app.options.stalled_max) {
                Care::Nothing => {}
                Care::CutOff => connection.end(Ending::Cut),
                Care::Close => connection.end(Ending::Close(UNAUTHORIZED, "a token is needed")),
                Care::Ask => {
                    connection.asked.set(now);
                    connection.mention(&ping(), self);
                }
            }
        }
    }

    fn notify(self: &Rc<Self>, notification: pipeline::Notification) {
        let message = ServerMessage::Notification(Notification {
            level: match notification.level {
                pipeline::Level::Info => protocol::Level::Info,
                pipeline::Level::Warning => protocol::Level::Warning,
                pipeline::Level::Error => protocol::Level::Error,
            },
            message: notification.message,
            timestamp: notification.timestamp.micros(),
        });
        let frames = Encoding::ALL.map(|encoding| (encoding, Frames::of(encoding, &message)));
        for connection in self.all() {
            if connection.principal.borrow().is_none() {
                continue;
            }
            let mut frames = frames.iter();
            if let Some((_, frame)) = frames.find(|(it, _)| *it == connection.encoding) {
                connection.mention(frame, self);
            }
        }
    }

    fn find_keys(self: &Rc<Self>) {
        for group in self.groups.borrow().values() {
            group.borrow_mut().find_keys(self);
        }
        self.wake.now();
    }

    fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Where a client of this server stopped.
    pub(super) fn point(&self, seq: CommitSeq) -> ResumePoint {
        ResumePoint {
            instance: self.app.live.instance(),
            commit_seq: seq,
        }
    }

    /// So many clients were sent a frame.
    pub(super) fn sent(&self, clients: usize) {
        self.app
            .updates
            .fetch_add(clients as u64, Ordering::Relaxed);
    }

    /// A client is in a group by this id.
    pub(super) fn subscribed(
        &self,
        connection: &Connection,
        id: String,
        group: Rc<RefCell<Group>>,
    ) {
        let key = group.borrow().key.clone();
        self.groups
            .borrow_mut()
            .entry(key)
            .or_insert_with(|| Rc::clone(&group));
        let mut subscriptions = connection.subscriptions.borrow_mut();
        subscriptions.insert(id, group);
        connection.account.subscriptions(subscriptions.len());
    }

    /// Ends a subscription, unless its place is in this group now; whether there was one.
    pub(super) fn unsubscribe(
        &self,
        connection: &Rc<Connection>,
        id: &str,
        stays_in: Option<&Rc<RefCell<Group>>>,
    ) -> bool {
        let mut subscriptions = connection.subscriptions.borrow_mut();
        let Some(group) = subscriptions.remove(id) else {
            return false;
        };
        connection.account.subscriptions(subscriptions.len());
        drop(subscriptions);
        if stays_in.is_none_or(|stays_in| !Rc::ptr_eq(stays_in, &group)) {
            self.leave_group(connection, &group);
        }
        true
    }

    /// A subscription that was to begin is refused after all.
    pub(super) fn subscription_failed(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: &str,
        refusal: &Refusal,
    ) {
        connection.subscriptions.borrow_mut().remove(id);
        connection.refuse(refusal.code, refusal.message.clone(), Some(id), self);
    }

    fn leave_group(&self, connection: &Rc<Connection>, group: &Rc<RefCell<Group>>) {
        let mut left = group.borrow_mut();
        left.leave(connection);
        if left.is_empty() {
            self.groups.borrow_mut().remove(&left.key);
        }
    }

    /// Nothing is sent to it any more.
    pub(super) fn let_go(&self, connection: &Rc<Connection>) {
        let subscriptions = std::mem::take(&mut *connection.subscriptions.borrow_mut());
        for group in subscriptions.values() {
            self.leave_group(connection, group);
        }
    }

    /// Its task has ended.
    pub(super) fn leave(&self, connection: &Rc<Connection>) {
        connection.gone();
        self.app.connected.leave(connection.id);
        self.connections.borrow_mut().remove(&connection.id);
        self.left.notify_one();
    }

    /// Says so at most once a second: it may happen with each value.
    pub(super) fn projection_failed(&self, key: &Key) {
        let now = Instant::now();
        let told = self.projection_told.get();
        if told.is_none_or(|told| now.saturating_duration_since(told) >= Duration::from_secs(1)) {
            self.projection_told.set(Some(now));
            tracing::error!(%key, "the projection panicked: the change is left out");
        }
    }

    /// Sends what changed; when the next turn is due though nothing changes.
    pub(super) fn turn(self: &Rc<Self>, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut is_any_empty = false;
        for group in self.groups.borrow().values() {
            let mut group = group.borrow_mut();
            let moment = group.turn(self, now);
            next = next.into_iter().chain(moment).min();
            is_any_empty |= group.is_empty();
        }
        if is_any_empty {
            let mut groups = self.groups.borrow_mut();
            groups.retain(|_, group| !group.borrow().is_empty());
        }
        next
    }
}

/// Runs a loop on this thread until the gateway closes.
pub(super) fn run(
    app: App,
    server: Handle,
    (commands, mut received): (
        mpsc::UnboundedSender<Command>,
        mpsc::UnboundedReceiver<Command>,
    ),
    _running: mpsc::Sender<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a loop that sends cannot start");
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let worker = Rc::new(Worker::new(app, server, commands));
        // A panic ends its connections, not the loop; the next one begins after a moment.
        while supervised(worker.serve(&mut received)).await.is_err() {
            worker.give_up();
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    });
}
