//! What one client subscribed to, and the frames that it gets for it. Knows no socket and no
//! clock.

use std::collections::{BTreeMap, HashMap};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dataservice::{KeyId, LatestValue, SinceLast, Snapshot, Spec, Subscription, WindowByCount};
use pipeline::{LiveData, Reading};
use record::Key;

use super::globs::Globs;
use super::protocol::{Change, Changes, Extract, FromClient, ToClient};
use crate::state::wall_time;

/// Subscriptions that one client may have, and what each may ask for.
const SUBSCRIPTIONS_MAX: usize = 32;
const ID_BYTES_MAX: usize = 64;
const WINDOW_MAX: usize = 10_000;
/// Values that one frame of windows may have, over all its keys.
const WINDOW_VALUES_MAX: usize = 200_000;
const INTERVAL_MS_MAX: u64 = 60_000;

/// A client's subscriptions.
pub(super) struct Session {
    live: LiveData,
    subscriptions: BTreeMap<String, Subscribed>,
}

struct Subscribed {
    globs: Globs,
    extract: Extract,
    min_interval: Duration,
    subscription: Subscription<Reading>,
    keys: HashMap<KeyId, Key>,
    /// Whether a key was left out because the windows would be too much for one frame.
    keys_left_out: bool,
    /// The first key that was not yet looked at.
    next_key: KeyId,
    /// Nothing is sent before this moment.
    not_before: Option<Instant>,
}

/// Why a subscription is refused; the code is for programs.
struct Refused(&'static str, String);

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
                let unknown = self.subscriptions.remove(&id).is_none();
                unknown.then(|| {
                    refuse(
                        "unknown_subscription",
                        "there is no such id".to_owned(),
                        Some(&id),
                    )
                })
            }
            FromClient::Subscribe {
                id,
                keys,
                extract,
                min_interval_ms,
            } => {
                let interval = Duration::from_millis(min_interval_ms);
                match self.subscribe(&id, &keys, extract, interval) {
                    Ok(mut subscribed) => {
                        let frame = subscribed.snapshot(&id, now);
                        self.subscriptions.insert(id, subscribed);
                        Some(frame)
                    }
                    Err(Refused(code, message)) => Some(refuse(code, message, Some(&id))),
                }
            }
        }
    }

    fn subscribe(
        &self,
        id: &str,
        patterns: &[String],
        extract: Extract,
        min_interval: Duration,
    ) -> Result<Subscribed, Refused> {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            let message = format!("`id` has {} bytes, expected 1 to {ID_BYTES_MAX}", id.len());
            return Err(Refused("bad_id", message));
        }
        if !self.subscriptions.contains_key(id) && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let message = format!("a client may have {SUBSCRIPTIONS_MAX} subscriptions");
            return Err(Refused("too_many_subscriptions", message));
        }
        if let Extract::Window { count } = extract
            && !(1..=WINDOW_MAX).contains(&count)
        {
            let message = format!("`extract.count` is {count}, expected 1 to {WINDOW_MAX}");
            return Err(Refused("bad_extract", message));
        }
        if min_interval.as_millis() > u128::from(INTERVAL_MS_MAX) {
            let message = format!("`min_interval_ms` is more than {INTERVAL_MS_MAX}");
            return Err(Refused("bad_interval", message));
        }
        let globs = Globs::new(patterns)
            .map_err(|error| Refused("bad_keys", format!("`keys`: {error}")))?;
        let subscription = self
            .live
            .subscribe(Spec::new())
            .map_err(|error| Refused("too_many_subscribers", error.to_string()))?;
        let mut subscribed = Subscribed {
            globs,
            extract,
            min_interval,
            subscription,
            keys: HashMap::new(),
            keys_left_out: false,
            next_key: KeyId::FIRST,
            not_before: None,
        };
        subscribed.find_keys(&self.live);
        if let Extract::Window { count } = extract
            && subscribed.keys_left_out
        {
            let message = format!(
                "windows of {count} values of so many keys are more than {WINDOW_VALUES_MAX} values"
            );
            return Err(Refused("bad_extract", message));
        }
        Ok(subscribed)
    }

    /// Looks for keys that came since, and adds those that match.
    pub(super) fn find_keys(&mut self) {
        for subscribed in self.subscriptions.values_mut() {
            subscribed.find_keys(&self.live);
        }
    }

    /// Ready when a subscription has something to send and its interval has passed.
    pub(super) fn poll_changed(&self, now: Instant, context: &mut Context<'_>) -> Poll<()> {
        // All are polled, so that each knows whom to wake.
        let mut ready = Poll::Pending;
        for subscribed in self.subscriptions.values() {
            if subscribed.may_send(now) && subscribed.subscription.poll_changed(context).is_ready()
            {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// When the next interval passes that something may be waiting for.
    pub(super) fn next_moment(&self, now: Instant) -> Option<Instant> {
        let moments = self
            .subscriptions
            .values()
            .filter_map(|subscribed| subscribed.not_before);
        moments.filter(|moment| *moment > now).min()
    }

    /// The frames that may be sent now.
    pub(super) fn updates(&mut self, now: Instant) -> Vec<String> {
        let subscriptions = self.subscriptions.iter_mut();
        subscriptions
            .filter_map(|(id, subscribed)| subscribed.update(id, now))
            .collect()
    }
}

impl Subscribed {
    fn find_keys(&mut self, live: &LiveData) {
        for (id, key) in live.keys_from(self.next_key) {
            self.next_key = id.next();
            if !self.globs.matches(&key) {
                continue;
            }
            if let Extract::Window { count } = self.extract
                && (self.keys.len() + 1) * count > WINDOW_VALUES_MAX
            {
                self.keys_left_out = true;
                continue;
            }
            let added = match self.extract {
                Extract::Latest => self.subscription.add(id, LatestValue),
                Extract::Window { count } => self.subscription.add(id, WindowByCount::new(count)),
                Extract::SinceLast => self.subscription.add(id, SinceLast::default()),
            };
            // The id came from the service itself, so it is known there.
            if added.is_ok() {
                self.keys.insert(id, key);
            }
        }
    }

    fn may_send(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|moment| now >= moment)
    }

    /// The state of all keys. A subscription to every update starts with the newest of each: what
    /// came before it is history.
    fn snapshot(&mut self, id: &str, now: Instant) -> String {
        self.not_before = Some(now + self.min_interval);
        let snapshot = self.subscription.snapshot();
        let newest_only = self.extract == Extract::SinceLast;
        let mut changes = self.changes(id, &snapshot, newest_only);
        changes.missed = 0;
        encode(&ToClient::Snapshot(changes))
    }

    fn update(&mut self, id: &str, now: Instant) -> Option<String> {
        if !self.may_send(now) {
            return None;
        }
        let snapshot = self.subscription.poll()?;
        self.not_before = Some(now + self.min_interval);
        let changes = self.changes(id, &snapshot, false);
        (!changes.changes.is_empty()).then(|| encode(&ToClient::Update(changes)))
    }

    fn changes<'a>(
        &'a self,
        id: &'a str,
        snapshot: &'a Snapshot<dataservice::Extract<Reading>>,
        newest_only: bool,
    ) -> Changes<'a> {
        let mut changes = Vec::new();
        let mut missed = 0;
        for update in snapshot.updates() {
            let Some(key) = self.keys.get(&update.id()) else {
                continue;
            };
            if self.extract == Extract::SinceLast {
                missed += update.missed();
            }
            let (times, values) = (update.times_us(), update.values());
            let first = if newest_only {
                values.len().saturating_sub(1)
            } else {
                0
            };
            let values = times.iter().zip(values).skip(first);
            changes.extend(values.map(|(timestamp, reading)| Change {
                key,
                timestamp: *timestamp,
                reading,
            }));
        }
        Changes {
            id,
            seq: snapshot.commit_seq().number(),
            missed,
            changes,
        }
    }
}

pub(super) fn encode(message: &ToClient<'_>) -> String {
    serde_json::to_string(message).expect("messages have text keys and finite numbers only")
}

pub(super) fn refuse(code: &'static str, message: String, id: Option<&str>) -> String {
    encode(&ToClient::Error { code, message, id })
}
