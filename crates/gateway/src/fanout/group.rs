//! Clients with equal subscriptions, and the cohorts into which they fall by what they have seen.
//!
//! - A client enters with a cursor of its own, which begins with a snapshot or where it stopped
//!   before. Once two cohorts have seen the same they become one, and share their frames.
//! - A client that is behind leaves its cohort. All that is kept of it is the commit that its last
//!   frame showed; when it has taken what is under way it enters again from there, and gets the
//!   newest state in one frame.
//! - Who pauses keeps a cursor of its own, which wakes nobody.
//!
//! The keys are those of the group, so cohorts differ in nothing but how far they have come.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataservice::{CommitSeq, KeyId, ResumePoint, Resumed, Subscription};
use pipeline::{LiveData, Reading};
use protocol::{Encoding, Subscribe};
use record::Key;

use super::cohort::{Cohort, Composed, Polled, Purpose, Seen};
use super::connection::Connection;
use super::extract::{CHOSEN_FROM_MAX, Extract};
use super::obey::Refusal;
use super::outgoing::Offered;
use super::worker::Worker;
use crate::access::Rights;
use crate::globs::Globs;

/// How long a client waits that the service has no room for.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the members of a group have in common.
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) globs: Globs,
    pub(super) extract: Extract,
    pub(super) keys_max: usize,
    pub(super) interval: Duration,
    pub(super) fields: Vec<String>,
    pub(super) deltas: bool,
    pub(super) rights: Arc<Rights>,
    pub(super) encoding: Encoding,
}

/// What makes subscriptions equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    asked: String,
    /// The rights are the same object, which the group keeps alive.
    rights: usize,
    is_text: bool,
}

impl GroupKey {
    pub(super) fn new(asked: &Subscribe, rights: &Arc<Rights>, encoding: Encoding) -> Self {
        let asked = Subscribe {
            since: None,
            ..asked.clone()
        };
        Self {
            asked: serde_json::to_string(&asked).unwrap_or_default(),
            rights: Arc::as_ptr(rights).addr(),
            is_text: encoding.is_text(),
        }
    }
}

/// Clients with equal subscriptions.
pub(super) struct Group {
    pub(super) key: GroupKey,
    asked: Asked,
    keys: HashMap<KeyId, Key>,
    /// The first key that was not yet looked at.
    next_key: KeyId,
    /// How many values the points of a frame may be chosen from.
    chosen_from: usize,
    is_leaving_out: bool,
    /// The first is the one that others join.
    cohorts: Vec<Cohort>,
    waiting: Vec<Waiting>,
    /// Of one client each.
    paused: Vec<Cohort>,
    shown: HashMap<KeyId, Shown>,
    /// Frames of the first cohort.
    frames: u64,
}

/// What was last shown of a key, and when.
#[derive(Clone, Copy, Debug)]
struct Shown {
    end: u64,
    seq: CommitSeq,
}

/// A client that is not in a cohort.
struct Waiting {
    connection: Rc<Connection>,
    start: Start,
    not_before: Option<Instant>,
    is_paused: bool,
    /// The frames of the group when it began to wait.
    frames: u64,
}

/// Where a client begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// With the newest state.
    Fresh,
    /// After what it saw on another connection.
    Since(ResumePoint),
    /// After the last frame that it was sent.
    Seen(Seen),
}

impl Group {
    /// A group without members.
    ///
    /// # Errors
    /// When more keys match than a frame may have.
    pub(super) fn new(key: GroupKey, asked: Asked, live: &LiveData) -> Result<Self, Refusal> {
        let mut group = Self {
            key,
            asked,
            keys: HashMap::new(),
            next_key: KeyId::FIRST,
            chosen_from: 0,
            is_leaving_out: false,
            cohorts: Vec::new(),
            waiting: Vec::new(),
            paused: Vec::new(),
            shown: HashMap::new(),
            frames: 0,
        };
        let keys = group.new_keys(live);
        if keys.len() > group.asked.keys_max {
            let message = format!(
                "{} keys match, and with this `extract` a subscription may have {}",
                keys.len(),
                group.asked.keys_max
            );
            return Err(Refusal::new("bad_extract", message));
        }
        group.keys.extend(keys);
        Ok(group)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cohorts.is_empty() && self.waiting.is_empty() && self.paused.is_empty()
    }

    /// Takes in a client, which gets its first frame at once if nothing is under way to it.
    ///
    /// # Errors
    /// When the service takes no more subscribers, or the keys have too many values.
    pub(super) fn enter(
        &mut self,
        connection: &Rc<Connection>,
        start: Start,
        worker: &Rc<Worker>,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.find_keys(worker);
        if connection.is_clear() {
            let members = vec![Rc::clone(connection)];
            self.begin(members, start, worker, now)?;
            self.merge(&[], worker);
        } else {
            self.wait(Rc::clone(connection), start, None);
        }
        if self.is_leaving_out {
            self.tell_left_out(connection, worker);
        }
        Ok(())
    }

    /// Lets go of a client; whether it was here.
    pub(super) fn leave(&mut self, connection: &Rc<Connection>) -> bool {
        let is_it = |member: &Rc<Connection>| Rc::ptr_eq(member, connection);
        if let Some(at) = self.waiting.iter().position(|it| is_it(&it.connection)) {
            let waiting = self.waiting.swap_remove(at);
            waiting.is_over();
            return true;
        }
        if let Some(at) = self
            .paused
            .iter()
            .position(|it| it.members.iter().any(is_it))
        {
            self.paused.swap_remove(at);
            return true;
        }
        for cohort in &mut self.cohorts {
            if let Some(at) = cohort.members.iter().position(is_it) {
                cohort.members.swap_remove(at);
                self.cohorts.retain(|cohort| !cohort.members.is_empty());
                return true;
            }
        }
        false
    }

    /// Nobody looks: nothing wakes this client, and nothing is sent to it.
    pub(super) fn pause(&mut self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        let is_it = |member: &Rc<Connection>| Rc::ptr_eq(member, connection);
        let waiting = self.waiting.iter_mut();
        if let Some(waiting) = waiting.into_iter().find(|it| is_it(&it.connection)) {
            waiting.is_paused = true;
            return;
        }
        let in_cohort = |cohort: &Cohort| cohort.members.iter().any(is_it);
        let Some(at) = self.cohorts.iter().position(in_cohort) else {
            return;
        };
        if self.cohorts[at].members.len() == 1 {
            let mut cohort = self.cohorts.remove(at);
            cohort.subscription.pause();
            self.paused.push(cohort);
            return;
        }
        self.cohorts[at].members.retain(|member| !is_it(member));
        let seen = self.cohorts[at].seen;
        let point = worker.point(seen.seq);
        let spec = self.asked.extract.spec(self.keys.keys().copied());
        if let Ok(Resumed::Continued(mut subscription)) = worker.app.live.resume(spec, point) {
            subscription.pause();
            let mut cohort = Cohort::new(subscription, seen, &self.asked, worker);
            cohort.members.push(Rc::clone(connection));
            self.paused.push(cohort);
        } else {
            self.wait(Rc::clone(connection), Start::Seen(seen), None);
            if let Some(waiting) = self.waiting.last_mut() {
                waiting.is_paused = true;
            }
        }
    }

    /// Somebody looks again: what changed meanwhile is sent with the next turn.
    pub(super) fn unpause(&mut self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        let is_it = |member: &Rc<Connection>| Rc::ptr_eq(member, connection);
        let paused = self.paused.iter();
        let at = paused
            .into_iter()
            .position(|it| it.members.iter().any(is_it));
        if let Some(at) = at {
            let mut cohort = self.paused.swap_remove(at);
            cohort.subscription.unpause();
            self.add_missing_keys(&mut cohort);
            self.cohorts.push(cohort);
        }
        for waiting in &mut self.waiting {
            waiting.is_paused &= !is_it(&waiting.connection);
        }
        self.find_keys(worker);
        worker.wake.now();
    }

    /// One turn: what changed is sent to whoever may be sent something. When the next turn is due
    /// though nothing changes.
    pub(super) fn turn(&mut self, worker: &Rc<Worker>, now: Instant) -> Option<Instant> {
        self.admit(worker, now);
        // All are polled before anything is made of it, so that most have seen the same.
        let mut polled = Vec::new();
        for (at, cohort) in self.cohorts.iter_mut().enumerate() {
            if cohort.may_send(now)
                && let Some(snapshot) = cohort.poll(&worker.waker)
            {
                polled.push((at, snapshot));
            }
        }
        for (at, snapshot) in &polled {
            self.send(*at, snapshot, worker, now);
        }
        let polled: Vec<usize> = polled.into_iter().map(|(at, _)| at).collect();
        self.merge(&polled, worker);
        self.cohorts.retain(|cohort| !cohort.members.is_empty());
        let moments = self.cohorts.iter().map(|cohort| cohort.not_before);
        let waiting = self.waiting.iter().map(|waiting| waiting.not_before);
        let moments = moments.chain(waiting).flatten();
        moments.filter(|moment| *moment > now).min()
    }

    /// Sends a cohort what it polled; who is behind leaves it.
    fn send(&mut self, at: usize, snapshot: &Polled, worker: &Rc<Worker>, now: Instant) {
        self.note(snapshot);
        let cohort = &mut self.cohorts[at];
        let before = cohort.seen;
        let composed = cohort.compose(
            Some(snapshot),
            &Purpose::GoOn,
            &self.keys,
            &self.asked,
            worker,
        );
        let Composed { frame, missed } = composed;
        let Some(frame) = frame else { return };
        cohort.not_before = self.asked.next_moment(now);
        let not_before = cohort.not_before;
        let mut behind = Vec::new();
        let members = cohort.members.len();
        cohort
            .members
            .retain(|member| match member.offer(&frame, worker, now) {
                Offered::Taken => {
                    member.account.missed(missed);
                    true
                }
                Offered::Behind => {
                    behind.push(Rc::clone(member));
                    false
                }
            });
        worker.sent(members - behind.len());
        for connection in behind {
            self.wait(connection, Start::Seen(before), not_before);
        }
        if at == 0 {
            self.frames += 1;
        }
    }

    /// Lets in who waited and has taken what was under way. Those who stopped at the same commit
    /// enter together.
    fn admit(&mut self, worker: &Rc<Worker>, now: Instant) {
        if !self.waiting.iter().any(|waiting| waiting.may_enter(now)) {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.may_enter(now));
        self.waiting = waiting;
        let mut seen: BTreeMap<CommitSeq, (Seen, Vec<Rc<Connection>>)> = BTreeMap::new();
        for waiting in ready {
            let missed_frames = self.frames.saturating_sub(waiting.frames);
            waiting.is_over();
            let connection = waiting.connection;
            connection.account.conflated(missed_frames);
            match waiting.start {
                Start::Seen(at) => {
                    let (_, members) = seen.entry(at.seq).or_insert((at, Vec::new()));
                    members.push(connection);
                }
                start => {
                    let members = vec![Rc::clone(&connection)];
                    if let Err(refusal) = self.begin(members, start, worker, now) {
                        worker.subscription_failed(&connection, &self.asked.id, &refusal);
                    }
                }
            }
        }
        for (at, members) in seen.into_values() {
            if self
                .begin(members.clone(), Start::Seen(at), worker, now)
                .is_err()
            {
                for member in members {
                    self.wait(member, Start::Seen(at), Some(now + RETRY_AFTER));
                }
            }
        }
    }

    /// A cohort of clients that all begin at the same point, and its first frame.
    fn begin(
        &mut self,
        members: Vec<Rc<Connection>>,
        start: Start,
        worker: &Rc<Worker>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (subscription, is_continued) = self.subscribe(start, worker)?;
        let (before, point) = match start {
            Start::Seen(seen) => (seen, None),
            Start::Fresh => (Seen::default(), None),
            Start::Since(point) => (Seen::default(), Some(point)),
        };
        let mut cohort = Cohort::new(subscription, before, &self.asked, worker);
        let snapshot = match is_continued {
            true => cohort.poll(&worker.waker),
            false => Some(cohort.subscription.snapshot()),
        };
        let other_server = point.is_some_and(|point| point.instance != worker.app.live.instance());
        let reset = match other_server {
            true => "the server is another one, or was started anew",
            false => "the server no longer knows what came since",
        };
        let shown = &self.shown;
        let may_have_changed = |update: &dataservice::KeyUpdate<_>| {
            let known = shown.get(&update.id());
            known.is_none_or(|known| {
                known.end != update.range().end.number() || known.seq > before.seq
            })
        };
        let purpose = match (start, is_continued) {
            (Start::Fresh, _) => Purpose::Begin { reset: None },
            (Start::Since(_), true) => Purpose::Resume,
            (Start::Since(_), false) => Purpose::Begin { reset: Some(reset) },
            (Start::Seen(_), true) => Purpose::GoOn,
            // What cannot be counted is not passed off as complete.
            (Start::Seen(Seen { updates: None, .. }), false)
                if self.asked.extract.is_since_last() =>
            {
                Purpose::Begin { reset: Some(reset) }
            }
            (Start::Seen(_), false) => Purpose::CatchUp {
                may_have_changed: &may_have_changed,
            },
        };
        let composed = cohort.compose(snapshot.as_ref(), &purpose, &self.keys, &self.asked, worker);
        if let Some(snapshot) = &snapshot {
            self.note(snapshot);
        }
        cohort.subscription.set_waker(worker.waker.clone());
        if let Some(frame) = composed.frame {
            cohort.not_before = self.aligned(now);
            for member in &members {
                // Nothing is under way to them, so they take it or are gone.
                member.offer(&frame, worker, now);
                member.account.missed(composed.missed);
            }
            worker.sent(members.len());
        }
        cohort.members = members;
        self.cohorts.push(cohort);
        Ok(())
    }

    /// A subscription to the keys of the group, and whether it continues what was seen.
    fn subscribe(
        &mut self,
        start: Start,
        worker: &Worker,
    ) -> Result<(Subscription<Reading>, bool), Refusal> {
        let live = &worker.app.live;
        let spec = self.asked.extract.spec(self.keys.keys().copied());
        let point = match start {
            Start::Fresh => None,
            Start::Since(point) => Some(point),
            Start::Seen(seen) => Some(worker.point(seen.seq)),
        };
        let refuse = |error: dataservice::SubscribeError| {
            Refusal::new("too_many_subscribers", error.to_string())
        };
        let (subscription, is_continued) = match point {
            None => (live.subscribe(spec).map_err(refuse)?, false),
            Some(point) => match live.resume(spec, point).map_err(refuse)? {
                Resumed::Continued(subscription) => (subscription, true),
                Resumed::Reset(subscription) => (subscription, false),
            },
        };
        if self.cohorts.is_empty() {
            let grants = self.keys.keys().filter_map(|id| subscription.granted(*id));
            let extract = self.asked.extract;
            self.chosen_from = grants.map(|grant| extract.chosen_from(grant)).sum();
            // Of one key there may always be a curve, however deep its history is.
            if self.chosen_from > CHOSEN_FROM_MAX && self.keys.len() > 1 {
                let message = format!(
                    "the {} keys that match may have {} values in this range, and the points of \
                    a subscription are chosen from {CHOSEN_FROM_MAX} at most",
                    self.keys.len(),
                    self.chosen_from
                );
                return Err(Refusal::new("bad_extract", message));
            }
        }
        Ok((subscription, is_continued))
    }

    /// Cohorts that have seen the same become one: those that stand at the same commit, and those
    /// of whose keys nothing changed since. Where a value may be seen twice, also those that were
    /// polled in the same turn.
    fn merge(&mut self, polled: &[usize], worker: &Worker) {
        if self.cohorts.len() < 2 {
            return;
        }
        let is_lenient = !self.asked.extract.is_since_last() && !self.asked.deltas;
        let mut cohorts = std::mem::take(&mut self.cohorts).into_iter().enumerate();
        let Some((_, mut first)) = cohorts.next() else {
            return;
        };
        let first_polled = polled.contains(&0);
        let mut others = Vec::new();
        for (at, mut other) in cohorts {
            let polled_together = first_polled && polled.contains(&at);
            let is_equal = first.seen.seq == other.seen.seq
                || (is_lenient && polled_together)
                || (!other.is_pending(&worker.waker) && !first.is_pending(&worker.waker));
            if is_equal && first.unshown == other.unshown {
                first.members.append(&mut other.members);
                first.not_before = first.not_before.max(other.not_before);
            } else {
                others.push(other);
            }
        }
        self.cohorts.push(first);
        self.cohorts.append(&mut others);
    }

    fn wait(&mut self, connection: Rc<Connection>, start: Start, not_before: Option<Instant>) {
        connection.waiting.set(connection.waiting.get() + 1);
        if let Start::Seen(seen) = start {
            connection.account.fell_behind(seen.seq);
        }
        self.waiting.push(Waiting {
            connection,
            start,
            not_before,
            is_paused: false,
            frames: self.frames,
        });
    }

    /// Looks for keys that came since, and takes in those that match.
    pub(super) fn find_keys(&mut self, worker: &Rc<Worker>) {
        let mut left_out = false;
        for (id, key) in self.new_keys(&worker.app.live) {
            left_out |= !self.take_in(id, key);
        }
        if left_out && !std::mem::replace(&mut self.is_leaving_out, true) {
            let members = self.cohorts.iter().flat_map(|cohort| &cohort.members);
            let waiting = self.waiting.iter().map(|waiting| &waiting.connection);
            for connection in members.chain(waiting) {
                self.tell_left_out(connection, worker);
            }
        }
    }

    fn tell_left_out(&self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        let message = format!(
            "new keys match, but with this `extract` the subscription may have no more than its {}",
            self.keys.len()
        );
        connection.refuse("too_many_keys", message, Some(&self.asked.id), worker);
    }

    /// The keys that match and were not yet looked at.
    fn new_keys(&mut self, live: &LiveData) -> Vec<(KeyId, Key)> {
        let new = live.keys_from(self.next_key);
        if let Some((id, _)) = new.last() {
            self.next_key = id.next();
        }
        let asked = &self.asked;
        new.into_iter()
            .filter(|(_, key)| asked.globs.matches(key) && asked.rights.reads(key))
            .collect()
    }

    /// Adds a new key to all cohorts, if the limits of a frame allow it.
    fn take_in(&mut self, id: KeyId, key: Key) -> bool {
        if self.keys.len() >= self.asked.keys_max {
            return false;
        }
        let extract = self.asked.extract;
        for at in 0..self.cohorts.len() {
            // The id came from the service itself, so it is known there.
            let Ok(grant) = extract.add(&mut self.cohorts[at].subscription, id) else {
                continue;
            };
            if at == 0 {
                let chosen_from = self.chosen_from + extract.chosen_from(grant);
                if chosen_from > CHOSEN_FROM_MAX && !self.keys.is_empty() {
                    self.cohorts[at].subscription.remove(id);
                    return false;
                }
                self.chosen_from = chosen_from;
            }
            if extract.is_since_last() {
                self.cohorts[at].unshown.insert(id);
            }
        }
        self.keys.insert(id, key);
        true
    }

    /// Adds the keys that came while a client was paused.
    fn add_missing_keys(&self, cohort: &mut Cohort) {
        let known: std::collections::HashSet<KeyId> = cohort.subscription.ids().collect();
        for id in self.keys.keys().filter(|id| !known.contains(id)) {
            let added = self.asked.extract.add(&mut cohort.subscription, *id);
            if added.is_ok() && self.asked.extract.is_since_last() {
                cohort.unshown.insert(*id);
            }
        }
    }

    fn note(&mut self, snapshot: &Polled) {
        for update in snapshot.updates() {
            let shown = Shown {
                end: update.range().end.number(),
                seq: snapshot.commit_seq(),
            };
            self.shown.insert(update.id(), shown);
        }
    }

    /// When a cohort that is sent its first frame now is sent the next: in the rhythm of the one
    /// that it is going to join.
    fn aligned(&self, now: Instant) -> Option<Instant> {
        let first = self.cohorts.first().and_then(|cohort| cohort.not_before);
        match first.filter(|moment| *moment > now) {
            Some(moment) => Some(moment + self.asked.interval),
            None => self.asked.next_moment(now),
        }
    }
}

impl Asked {
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        (!self.interval.is_zero()).then(|| now + self.interval)
    }
}

impl Waiting {
    fn may_enter(&self, now: Instant) -> bool {
        !self.is_paused
            && self.connection.is_clear()
            && self.not_before.is_none_or(|moment| now >= moment)
    }

    /// It waits no more.
    fn is_over(&self) {
        let left = self.connection.waiting.get().saturating_sub(1);
        self.connection.waiting.set(left);
        if left == 0 {
            self.connection.account.caught_up();
        }
    }
}
