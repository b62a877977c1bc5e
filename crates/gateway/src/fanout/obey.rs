//! What a client says, and what is done about it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataservice::{CommitSeq, Instance, ResumePoint};
use protocol::{ClientMessage, Hello, Pong, ServerMessage, Since, Subscribe, VERSION, Welcome};

use super::act::act;
use super::connection::{Connection, Ending, TRY_AGAIN};
use super::extract::Extract;
use super::group::{Asked, Group, GroupKey, Start};
use super::upgrade::TOO_MANY;
use super::worker::Worker;
use crate::access::Principal;
use crate::globs::Globs;
use crate::state::wall_time;

/// Subscriptions that one client may have, and what each may ask for.
const SUBSCRIPTIONS_MAX: usize = 32;
pub(super) const ID_BYTES_MAX: usize = 64;
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const FIELDS_MAX: usize = 256;
const FIELD_BYTES_MAX: usize = 1024;
/// What a client is closed with that does not say who it is, as a code of our own.
pub(super) const UNAUTHORIZED: u16 = 4401;

/// Why something is refused; the code is for programs.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Welcomes a client whose request said who it is, or for whom nobody asks.
pub(super) fn welcome(connection: &Rc<Connection>, principal: Principal, worker: &Rc<Worker>) {
    connection.account.named(Arc::clone(&principal.name));
    *connection.principal.borrow_mut() = Some(principal);
    let welcome = Welcome {
        protocol: VERSION,
        instance: worker.app.live.instance().to_string(),
        connection_id: connection.id,
        timestamp: wall_time().micros(),
    };
    connection.say(&ServerMessage::Welcome(welcome), worker);
}

/// Whether somebody may do anything here.
pub(super) fn is_welcome(principal: &Principal) -> bool {
    principal.rights.reads_something() || principal.rights.acts()
}

/// Obeys one message.
pub(super) fn obey(connection: &Rc<Connection>, bytes: &[u8], worker: &Rc<Worker>) {
    let message: ClientMessage = match connection.encoding.decode(bytes) {
        Ok(message) => message,
        Err(error) => return connection.refuse("malformed", error.to_string(), None, worker),
    };
    let principal = connection.principal.borrow().clone();
    let (message, principal) = match (message, principal) {
        (ClientMessage::Hello(hello), principal) => {
            return greet(connection, hello, principal, worker);
        }
        (message, Some(principal)) => (message, principal),
        (_, None) => {
            let message = "say `hello` with a token first";
            return connection.refuse("unauthorized", message, None, worker);
        }
    };
    match message {
        ClientMessage::Ping { echo } => {
            let pong = Pong {
                seq: worker.app.live.commit_seq().number(),
                echo,
                timestamp: wall_time().micros(),
            };
            connection.say(&ServerMessage::Pong(pong), worker);
        }
        ClientMessage::Subscribe(asked) => {
            let id = asked.id.clone();
            if let Err(refusal) = subscribe(connection, asked, &principal, worker) {
                connection.refuse(refusal.code, refusal.message, Some(&id), worker);
            }
        }
        ClientMessage::Unsubscribe { id } => {
            if !worker.unsubscribe(connection, &id, None) {
                unknown(connection, &id, worker);
            }
        }
        ClientMessage::Pause { id } => match group(connection, &id) {
            Some(group) => group.borrow_mut().pause(connection, worker),
            None => unknown(connection, &id, worker),
        },
        ClientMessage::Unpause { id } => match group(connection, &id) {
            Some(group) => group.borrow_mut().unpause(connection, worker),
            None => unknown(connection, &id, worker),
        },
        ClientMessage::Action(asked) => {
            let id = asked.id.clone();
            if let Err(refusal) = act(connection, asked, &principal, worker) {
                connection.refuse(refusal.code, refusal.message, Some(&id), worker);
            }
        }
        _ => connection.refuse("malformed", "this server does not know it", None, worker),
    }
}

/// Says that messages are passed over, and what this one was for, so that it is asked again.
pub(super) fn too_fast(connection: &Rc<Connection>, bytes: &[u8], worker: &Rc<Worker>) {
    let id = match connection.encoding.decode(bytes) {
        Ok(ClientMessage::Subscribe(asked)) => Some(asked.id),
        Ok(ClientMessage::Action(asked)) => Some(asked.id),
        _ => None,
    };
    // One that is too long is nobody's.
    let id = id.filter(|id| check_id(id).is_ok());
    let message = "more than 100 messages a second: they are passed over";
    connection.refuse("too_fast", message, id.as_deref(), worker);
}

fn greet(connection: &Rc<Connection>, hello: Hello, known: Option<Principal>, worker: &Rc<Worker>) {
    if let Some(protocol) = hello.protocol.filter(|protocol| *protocol != VERSION) {
        let message = format!("`protocol` is {protocol}, this server speaks {VERSION}");
        return connection.refuse("bad_protocol", message, None, worker);
    }
    let principal = match (hello.token, known) {
        (Some(token), _) => worker
            .app
            .recognize(Instant::now(), connection.address, &token)
            .map_err(|refused| refused.message),
        (None, Some(known)) => Ok(known),
        (None, None) => Err("a token is needed".to_owned()),
    };
    match principal {
        Ok(principal) if is_welcome(&principal) => {
            if !connection.settle() {
                return connection.end(Ending::Close(TRY_AGAIN, TOO_MANY));
            }
            welcome(connection, principal, worker);
        }
        Ok(_) => {
            let message = "this token may neither read nor act";
            connection.refuse("forbidden", message, None, worker);
            connection.end(Ending::Close(UNAUTHORIZED, "the token may nothing here"));
        }
        Err(message) => {
            connection.refuse("unauthorized", message, None, worker);
            connection.end(Ending::Close(UNAUTHORIZED, "a token is needed"));
        }
    }
}

fn group(connection: &Connection, id: &str) -> Option<Rc<RefCell<Group>>> {
    connection.subscriptions.borrow().get(id).cloned()
}

fn unknown(connection: &Rc<Connection>, id: &str, worker: &Rc<Worker>) {
    let message = "there is no such id";
    connection.refuse("unknown_subscription", message, Some(id), worker);
}

fn subscribe(
    connection: &Rc<Connection>,
    asked: Subscribe,
    principal: &Principal,
    worker: &Rc<Worker>,
) -> Result<(), Refusal> {
    let subscribed = connection.subscriptions.borrow();
    check_id(&asked.id)?;
    if !subscribed.contains_key(&asked.id) && subscribed.len() >= SUBSCRIPTIONS_MAX {
        let message = format!("a client may have {SUBSCRIPTIONS_MAX} subscriptions");
        return Err(Refusal::new("too_many_subscriptions", message));
    }
    drop(subscribed);
    let start = match &asked.since {
        None => Start::Fresh,
        Some(since) => Start::Since(resume_point(since)?),
    };
    let key = GroupKey::new(&asked, &principal.rights, connection.encoding);
    let known = worker.groups.borrow().get(&key).cloned();
    let group = match known {
        Some(group) => group,
        None => {
            let asked = check(asked.clone(), principal, connection, worker)?;
            let group = Group::new(key, asked, &worker.app.live)?;
            Rc::new(RefCell::new(group))
        }
    };
    // What it replaces ends only once nothing is refused any more, but for one that is equal: its
    // place in the group is needed.
    let replaced = connection.subscriptions.borrow().get(&asked.id).cloned();
    let is_equal = replaced.is_some_and(|replaced| Rc::ptr_eq(&replaced, &group));
    if is_equal {
        group.borrow_mut().leave(connection);
    }
    let now = Instant::now();
    let entered = group.borrow_mut().enter(connection, start, worker, now);
    if entered.is_ok() || is_equal {
        worker.unsubscribe(connection, &asked.id, Some(&group));
    }
    entered?;
    worker.subscribed(connection, asked.id, group);
    Ok(())
}

/// What is asked for, once it is within its limits.
fn check(
    asked: Subscribe,
    principal: &Principal,
    connection: &Connection,
    worker: &Worker,
) -> Result<Asked, Refusal> {
    let interval = Duration::from_millis(asked.min_interval_ms);
    if interval > INTERVAL_MAX {
        let message = format!(
            "`min_interval_ms` is {}, the limit is {}",
            asked.min_interval_ms,
            INTERVAL_MAX.as_millis()
        );
        return Err(Refusal::new("bad_interval", message));
    }
    let keys = match asked.channel {
        None => asked.keys,
        Some(_) if !asked.keys.is_empty() => {
            let message = "give either `keys` or `channel`, not both";
            return Err(Refusal::new("bad_keys", message));
        }
        Some(channel) => {
            let known = worker.app.options.channels.get(&channel).cloned();
            known.ok_or_else(|| {
                let message = format!("there is no channel {channel:?}");
                Refusal::new("unknown_channel", message)
            })?
        }
    };
    let fields = asked.fields.len();
    if fields > FIELDS_MAX || asked.fields.iter().any(|name| name.len() > FIELD_BYTES_MAX) {
        let message = format!(
            "`fields` has {fields} names, expected {FIELDS_MAX} at most, of {FIELD_BYTES_MAX} \
            bytes each"
        );
        return Err(Refusal::new("bad_fields", message));
    }
    let bad_keys = |error| Refusal::new("bad_keys", format!("`keys`: {error}"));
    let globs = Globs::new(&keys).map_err(bad_keys)?;
    let (extract, keys_max) =
        Extract::check(asked.extract).map_err(|message| Refusal::new("bad_extract", message))?;
    Ok(Asked {
        id: asked.id,
        globs,
        extract,
        keys_max,
        interval: interval.max(extract.interval_min()),
        fields: asked.fields,
        deltas: asked.deltas,
        rights: Arc::clone(&principal.rights),
        encoding: connection.encoding,
    })
}

pub(super) fn check_id(id: &str) -> Result<(), Refusal> {
    if (1..=ID_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    let message = format!("`id` has {} bytes, expected 1 to {ID_BYTES_MAX}", id.len());
    Err(Refusal::new("bad_id", message))
}

/// Where a client that lost its connection stopped.
fn resume_point(since: &Since) -> Result<ResumePoint, Refusal> {
    let digits = since.instance.as_str();
    // The parser of the standard library would take a sign too.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let instance = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    let instance = instance.ok_or_else(|| {
        let message = "`since.instance` is not the `instance` of a `welcome`";
        Refusal::new("bad_since", message)
    })?;
    Ok(ResumePoint {
        instance: Instance::from_number(instance),
        commit_seq: CommitSeq::from_number(since.seq),
    })
}
