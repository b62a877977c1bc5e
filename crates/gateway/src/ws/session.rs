//! What one client subscribed to, and the frames that it gets for it. Knows no socket and no
//! clock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::task::{Context, Poll};
use std::time::Instant;

use pipeline::LiveData;

use super::protocol::{FromClient, Subscribe, ToClient};
use super::subscribed::Subscribed;
use crate::globs::Globs;
use crate::state::wall_time;

/// Subscriptions that one client may have, and what each may ask for.
const SUBSCRIPTIONS_MAX: usize = 32;
const ID_BYTES_MAX: usize = 64;
const INTERVAL_MS_MAX: u64 = 60_000;

/// A client's subscriptions.
pub(super) struct Session {
    live: LiveData,
    subscriptions: BTreeMap<String, Subscribed>,
}

/// Why a subscription is refused; the code is for programs.
pub(super) struct Refused(pub(super) &'static str, pub(super) String);

impl Session {
    pub(super) fn new(live: LiveData) -> Self {
        Self {
            live,
            subscriptions: BTreeMap::new(),
        }
    }

    /// Obeys one message and gives the frame that answers it, if there is one.
    pub(super) fn obey(&mut self, now: Instant, text: &str) -> Option<String> {
        let message: FromClient = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => return Some(refuse("malformed", error.to_string(), None)),
        };
        match message {
            FromClient::Ping { echo } => Some(encode(&ToClient::Pong {
                seq: self.live.commit_seq().number(),
                echo,
                timestamp: wall_time(),
            })),
            FromClient::Unsubscribe { id } => {
                let known = self.subscriptions.remove(&id).is_some();
                (!known).then(|| unknown(&id))
            }
            FromClient::Pause { id } => match self.subscriptions.get_mut(&id) {
                Some(subscribed) => {
                    subscribed.pause();
                    None
                }
                None => Some(unknown(&id)),
            },
            FromClient::Unpause { id } => match self.subscriptions.get_mut(&id) {
                Some(subscribed) => subscribed.unpause(&id, &self.live),
                None => Some(unknown(&id)),
            },
            FromClient::Subscribe(asked) => Some(match self.subscribe(&asked, now) {
                Ok((subscribed, frame)) => {
                    self.subscriptions.insert(asked.id, subscribed);
                    frame
                }
                Err(Refused(code, message)) => refuse(code, message, Some(&asked.id)),
            }),
        }
    }

    fn subscribe(&self, asked: &Subscribe, now: Instant) -> Result<(Subscribed, String), Refused> {
        let id = asked.id.as_str();
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            let message = format!("`id` has {} bytes, expected 1 to {ID_BYTES_MAX}", id.len());
            return Err(Refused("bad_id", message));
        }
        if !self.subscriptions.contains_key(id) && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let message = format!("a client may have {SUBSCRIPTIONS_MAX} subscriptions");
            return Err(Refused("too_many_subscriptions", message));
        }
        if asked.min_interval_ms > INTERVAL_MS_MAX {
            let message = format!("`min_interval_ms` is more than {INTERVAL_MS_MAX}");
            return Err(Refused("bad_interval", message));
        }
        let globs = Globs::new(&asked.keys)
            .map_err(|error| Refused("bad_keys", format!("`keys`: {error}")))?;
        Subscribed::new(&self.live, globs, asked, now)
    }

    /// Looks for keys that came since, and adds those that match. What is to be said when some
    /// had to be left out.
    pub(super) fn find_keys(&mut self) -> Vec<String> {
        let Self {
            live,
            subscriptions,
        } = self;
        let subscriptions = subscriptions.iter_mut();
        subscriptions
            .filter_map(|(id, subscribed)| subscribed.find_keys(id, live))
            .collect()
    }

    /// Ready when a subscription has something to send and its interval has passed.
    pub(super) fn poll_changed(&self, now: Instant, context: &mut Context<'_>) -> Poll<()> {
        // All are polled, so that each knows whom to wake.
        let mut ready = Poll::Pending;
        for subscribed in self.subscriptions.values() {
            if subscribed.poll_changed(now, context).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// When the next interval passes that something may be waiting for.
    pub(super) fn next_moment(&self, now: Instant) -> Option<Instant> {
        let subscribed = self.subscriptions.values();
        let moments = subscribed.filter_map(Subscribed::not_before);
        moments.filter(|moment| *moment > now).min()
    }

    /// The next frame that may be sent now, of the subscriptions after this one, and whose it is:
    /// one is made when the one before it is sent, so that they do not pile up in memory.
    pub(super) fn update_after(
        &mut self,
        last: Option<&str>,
        now: Instant,
    ) -> Option<(String, String)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self
            .subscriptions
            .range_mut::<str, _>((from, Bound::Unbounded));
        rest.find_map(|(id, subscribed)| Some((id.clone(), subscribed.update(id, now)?)))
    }
}

pub(super) fn encode(message: &ToClient<'_>) -> String {
    serde_json::to_string(message).expect("messages have text keys and finite numbers only")
}

pub(super) fn refuse(code: &'static str, message: String, id: Option<&str>) -> String {
    encode(&ToClient::Error { code, message, id })
}

fn unknown(id: &str) -> String {
    let message = "there is no such id".to_owned();
    refuse("unknown_subscription", message, Some(id))
}
