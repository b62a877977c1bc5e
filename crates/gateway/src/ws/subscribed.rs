//! One subscription of a client: a subscription to the data service, the globs by which it takes
//! in keys, and the frames that it makes of what it polls. It keeps no values.

use std::collections::{HashMap, HashSet};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dataservice::{
    CommitSeq, Instance, KeyId, KeyUpdate, ResumePoint, Resumed, Snapshot, SubscribeError,
    Subscription,
};
use pipeline::{LiveData, Reading};
use record::Key;

use super::extract::{CHOSEN_FROM_MAX, Extract};
use super::protocol::{Change, Changes, Plot, Since, Subscribe, ToClient};
use super::session::{Refused, encode, refuse};
use crate::globs::Globs;

type Polled = Snapshot<dataservice::Extract<Reading>>;

pub(super) struct Subscribed {
    globs: Globs,
    extract: Extract,
    keys_max: usize,
    /// How many values the points of a frame may be chosen from.
    chosen_from: usize,
    subscription: Subscription<Reading>,
    keys: HashMap<KeyId, Key>,
    /// Keys younger than the subscription of which nothing was shown yet: all their updates are
    /// its own, also those that were displaced before it found them.
    unshown: HashSet<KeyId>,
    /// The first key that was not yet looked at.
    next_key: KeyId,
    /// Nothing is sent before this moment.
    not_before: Option<Instant>,
    paused: bool,
    /// The client knows that keys were left out.
    told_left_out: bool,
}

impl Subscribed {
    /// The subscription, and the frame that answers: a snapshot, or what came since.
    pub(super) fn new(
        live: &LiveData,
        globs: Globs,
        asked: &Subscribe,
        now: Instant,
    ) -> Result<(Self, String), Refused> {
        let (extract, keys_max) =
            Extract::check(asked.extract).map_err(|message| Refused("bad_extract", message))?;
        let since = asked.since.as_ref();
        let point = since
            .map(|since| resume_point(since, extract))
            .transpose()?;
        let all = live.keys_from(KeyId::FIRST);
        let next_key = all.last().map_or(KeyId::FIRST, |(id, _)| id.next());
        let keys = all.into_iter().filter(|(_, key)| globs.matches(key));
        let keys: HashMap<KeyId, Key> = keys.collect();
        if keys.len() > keys_max {
            let message = format!(
                "{} keys match, and with this `extract` a subscription may have {keys_max}",
                keys.len()
            );
            return Err(Refused("bad_extract", message));
        }
        let min_interval = Duration::from_millis(asked.min_interval_ms);
        let spec = extract.spec(keys.keys().copied());
        let spec = spec.min_interval(min_interval.max(extract.interval_min()));
        let refuse = |error: SubscribeError| Refused("too_many_subscribers", error.to_string());
        let (subscription, resumed) = match point {
            None => (live.subscribe(spec).map_err(refuse)?, None),
            Some(point) => match live.resume(spec, point).map_err(refuse)? {
                Resumed::Continued(subscription) => (subscription, Some(true)),
                Resumed::Reset(subscription) => (subscription, Some(false)),
            },
        };
        let grants = keys.keys().filter_map(|id| subscription.granted(*id));
        let chosen_from = grants.map(|grant| extract.chosen_from(grant)).sum();
        // Of one key there may always be a curve, however deep its history is.
        if chosen_from > CHOSEN_FROM_MAX && keys.len() > 1 {
            let message = format!(
                "the {} keys that match may have {chosen_from} values in this range, and the \
                points of a subscription are chosen from {CHOSEN_FROM_MAX} at most",
                keys.len()
            );
            return Err(Refused("bad_extract", message));
        }
        let mut subscribed = Self {
            globs,
            extract,
            keys_max,
            chosen_from,
            subscription,
            keys,
            unshown: HashSet::new(),
            next_key,
            not_before: None,
            paused: false,
            told_left_out: false,
        };
        let frame = subscribed.first(&asked.id, now, resumed);
        Ok((subscribed, frame))
    }

    /// Looks for keys that came since, and takes in those that match. When one of them is left
    /// out, the client is told so once.
    pub(super) fn find_keys(&mut self, id: &str, live: &LiveData) -> Option<String> {
        // A key that is added would be something to poll.
        if self.paused {
            return None;
        }
        let mut left_out = false;
        for (number, key) in live.keys_from(self.next_key) {
            self.next_key = number.next();
            if self.globs.matches(&key) {
                left_out |= !self.take_in(number, key);
            }
        }
        if !left_out || std::mem::replace(&mut self.told_left_out, true) {
            return None;
        }
        let message = format!(
            "new keys match, but with this `extract` the subscription may have no more than its {}",
            self.keys.len()
        );
        Some(refuse("too_many_keys", message, Some(id)))
    }

    /// Adds a new key, if the limits of a frame allow it.
    fn take_in(&mut self, id: KeyId, key: Key) -> bool {
        if self.keys.len() >= self.keys_max {
            return false;
        }
        // The id came from the service itself, so it is known there.
        let Ok(grant) = self.extract.add(&mut self.subscription, id) else {
            return false;
        };
        let chosen_from = self.chosen_from + self.extract.chosen_from(grant);
        if chosen_from > CHOSEN_FROM_MAX && !self.keys.is_empty() {
            self.subscription.remove(id);
            return false;
        }
        self.chosen_from = chosen_from;
        self.keys.insert(id, key);
        if self.extract.is_since_last() {
            self.unshown.insert(id);
        }
        true
    }

    /// Nobody looks: nothing wakes it, and nothing is sent.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.subscription.pause();
    }

    /// Somebody looks again: what changed is there to poll.
    pub(super) fn unpause(&mut self, id: &str, live: &LiveData) -> Option<String> {
        self.paused = false;
        self.subscription.unpause();
        self.find_keys(id, live)
    }

    fn may_send(&self, now: Instant) -> bool {
        !self.paused && self.not_before.is_none_or(|moment| now >= moment)
    }

    /// Ready when there is something to send that may be sent now.
    pub(super) fn poll_changed(&self, now: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.may_send(now) {
            self.subscription.poll_changed(context)
        } else {
            Poll::Pending
        }
    }

    /// When its interval has passed.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.paused)
    }

    /// What came since, or the state of all keys. A subscription to every update starts with the
    /// newest of each: what came before it is history.
    fn first(&mut self, id: &str, now: Instant, resumed: Option<bool>) -> String {
        self.not_before = Some(now + self.subscription.min_interval());
        if resumed == Some(true) {
            let snapshot = self.subscription.poll();
            let missed = self.missed(snapshot.as_ref());
            let mut changes = self.changes(id, snapshot.as_ref(), Part::All);
            (changes.resumed, changes.missed) = (resumed, missed);
            return encode(&ToClient::Update(changes));
        }
        let snapshot = self.subscription.snapshot();
        let part = match self.extract {
            Extract::SinceLast => Part::Newest,
            _ => Part::All,
        };
        let mut changes = self.changes(id, Some(&snapshot), part);
        changes.resumed = resumed;
        changes.cleared.clear();
        encode(&ToClient::Snapshot(changes))
    }

    /// The next frame, if it may be sent now.
    pub(super) fn update(&mut self, id: &str, now: Instant) -> Option<String> {
        if !self.may_send(now) {
            return None;
        }
        let snapshot = self.subscription.poll()?;
        self.not_before = Some(now + self.subscription.min_interval());
        let missed = self.missed(Some(&snapshot));
        let mut changes = self.changes(id, Some(&snapshot), Part::All);
        changes.missed = missed;
        (!changes.is_empty()).then(|| encode(&ToClient::Update(changes)))
    }

    /// How many updates a subscription to every one of them did not get.
    fn missed(&mut self, snapshot: Option<&Polled>) -> u64 {
        if !self.extract.is_since_last() {
            return 0;
        }
        let updates = snapshot.map_or(&[][..], Snapshot::updates);
        let missed = updates.iter().map(|update| {
            if self.unshown.remove(&update.id()) {
                update.range().start.number() - 1
            } else {
                update.missed()
            }
        });
        missed.sum()
    }

    fn changes<'a>(&'a self, id: &'a str, snapshot: Option<&'a Polled>, part: Part) -> Changes<'a> {
        let seq = self.subscription.commit_seq().number();
        let mut changes = Changes {
            id,
            seq,
            resumed: None,
            missed: 0,
            changes: Vec::new(),
            plots: Vec::new(),
            cleared: Vec::new(),
        };
        for update in snapshot.map_or(&[][..], Snapshot::updates) {
            let Some(key) = self.keys.get(&update.id()) else {
                continue;
            };
            if update.is_cleared() {
                changes.cleared.push(key);
            }
            match update.extract() {
                Some(dataservice::Extract::Plot(points)) => changes.plots.push(Plot {
                    key,
                    points_in: update.range().end.number() - update.range().start.number(),
                    timestamps: points.times_us(),
                    values: points.values(),
                }),
                _ => changes.changes.extend(part.of(key, update)),
            }
        }
        changes
    }
}

/// Which values of a key are told.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    All,
    Newest,
}

impl Part {
    fn of<'a>(
        self,
        key: &'a Key,
        update: &'a KeyUpdate<dataservice::Extract<Reading>>,
    ) -> impl Iterator<Item = Change<'a>> {
        let (times, values) = (update.times_us(), update.values());
        let first = match self {
            Self::All => 0,
            Self::Newest => values.len().saturating_sub(1),
        };
        let values = times.iter().zip(values).skip(first);
        values.map(move |(timestamp, reading)| Change {
            key,
            timestamp: *timestamp,
            reading,
        })
    }
}

/// Where a client that lost its connection stopped.
fn resume_point(since: &Since, extract: Extract) -> Result<ResumePoint, Refused> {
    if !extract.is_since_last() {
        let message = "`since` needs `extract` to be `since_last`: of the other kinds the newest \
            state is all there is";
        return Err(Refused("bad_since", message.to_owned()));
    }
    let digits = since.instance.as_str();
    // The parser of the standard library would take a sign too.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let instance = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    let instance = instance.ok_or_else(|| {
        let message = "`since.instance` is not the `instance` of a `welcome`";
        Refused("bad_since", message.to_owned())
    })?;
    Ok(ResumePoint {
        instance: Instance::from_number(instance),
        commit_seq: CommitSeq::from_number(since.seq),
    })
}
