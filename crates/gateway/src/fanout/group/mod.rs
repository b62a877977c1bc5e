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

mod entry;
mod keys;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataservice::{CommitSeq, KeyId, ResumePoint, Resumed};
use pipeline::LiveData;
use protocol::{Encoding, Subscribe};
use record::Key;

use super::cohort::{Cohort, Composed, Polled, Purpose, Seen};
use super::connection::Connection;
use super::extract::Extract;
use super::obey::Refusal;
use super::outgoing::Offered;
use super::worker::Worker;
use crate::access::Rights;
use crate::globs::{GlobError, Globs, LOOK_STEPS_MAX};

/// How often a cohort is polled for one frame, while keys keep coming.
const POLLS_MAX: usize = 4;
/// How long a client waits that the service has no room for.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the members of a group have in common.
pub(in crate::fanout) struct Asked {
    pub(in crate::fanout) id: String,
    pub(in crate::fanout) globs: Globs,
    pub(in crate::fanout) extract: Extract,
    pub(in crate::fanout) keys_max: usize,
    pub(in crate::fanout) interval: Duration,
    pub(in crate::fanout) fields: Vec<String>,
    pub(in crate::fanout) deltas: bool,
    pub(in crate::fanout) rights: Arc<Rights>,
    pub(in crate::fanout) encoding: Encoding,
}

/// What makes subscriptions equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::fanout) struct GroupKey {
    asked: String,
    /// The rights are the same object, which the group keeps alive.
    rights: usize,
    is_text: bool,
}

impl GroupKey {
    pub(in crate::fanout) fn new(
        asked: &Subscribe,
        rights: &Arc<Rights>,
        encoding: Encoding,
    ) -> Self {
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
pub(in crate::fanout) struct Group {
    pub(in crate::fanout) key: GroupKey,
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
pub(in crate::fanout) enum Start {
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
    /// When more keys match than a frame may have, or to find them would take too long.
    pub(in crate::fanout) fn new(
        key: GroupKey,
        asked: Asked,
        live: &LiveData,
    ) -> Result<Self, Refusal> {
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
        let (keys, is_all) = group.new_keys(live, LOOK_STEPS_MAX);
        if !is_all {
            let slow = GlobError::Slow {
                keys: live.keys_len(),
            };
            return Err(Refusal::new("bad_keys", format!("`keys`: {slow}")));
        }
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

    pub(in crate::fanout) fn is_empty(&self) -> bool {
        self.cohorts.is_empty() && self.waiting.is_empty() && self.paused.is_empty()
    }

    /// Takes in a client, which gets its first frame at once if nothing is under way to it.
    ///
    /// # Errors
    /// When the service takes no more subscribers, or the keys have too many values.
    pub(in crate::fanout) fn enter(
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
    pub(in crate::fanout) fn leave(&mut self, connection: &Rc<Connection>) -> bool {
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
    pub(in crate::fanout) fn pause(&mut self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        connection.costs(self.keys.len() as u64);
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
    pub(in crate::fanout) fn unpause(&mut self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        connection.costs(self.keys.len() as u64);
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
    pub(in crate::fanout) fn turn(&mut self, worker: &Rc<Worker>, now: Instant) -> Option<Instant> {
        self.find_keys(worker);
        self.admit(worker, now);
        // All are polled before anything is made of it, so that most have seen the same.
        let mut polled: Vec<Vec<Polled>> = Vec::new();
        polled.resize_with(self.cohorts.len(), Vec::new);
        for _ in 0..POLLS_MAX {
            for (cohort, polled) in self.cohorts.iter_mut().zip(&mut polled) {
                if cohort.may_send(now) {
                    polled.extend(cohort.poll(&worker.waker));
                }
            }
            // A frame says that it shows a commit, so it has to show the keys that came with it.
            if !self.find_keys(worker) {
                break;
            }
        }
        for (at, polled) in polled.iter().enumerate() {
            if !polled.is_empty() {
                self.send(at, polled, worker, now);
            }
        }
        let polled: Vec<bool> = polled.iter().map(|polled| !polled.is_empty()).collect();
        self.merge(&polled, worker);
        self.cohorts.retain(|cohort| !cohort.members.is_empty());
        let moments = self.cohorts.iter().map(|cohort| cohort.not_before);
        let waiting = self.waiting.iter().map(|waiting| waiting.not_before);
        let moments = moments.chain(waiting).flatten();
        moments.filter(|moment| *moment > now).min()
    }

    /// Sends a cohort what it polled; who is behind leaves it.
    fn send(&mut self, at: usize, polled: &[Polled], worker: &Rc<Worker>, now: Instant) {
        self.note(polled);
        let cohort = &mut self.cohorts[at];
        let before = cohort.seen;
        let composed = cohort.compose(polled, &Purpose::GoOn, &self.keys, &self.asked, worker);
        let Composed { frame, missed, .. } = match composed {
            Ok(composed) => composed,
            Err(too_large) => {
                let refusal = Refusal::from(too_large);
                for member in std::mem::take(&mut cohort.members) {
                    worker.subscription_failed(&member, &self.asked.id, &refusal);
                }
                return;
            }
        };
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

    /// Notes what of each key was shown, and when it was first. Who begins is shown also what did
    /// not change, and that is nothing new for those who are behind.
    fn note(&mut self, polled: &[Polled]) {
        for snapshot in polled {
            for update in snapshot.updates() {
                let end = update.range().end.number();
                let known = self.shown.get(&update.id());
                if known.is_some_and(|known| known.end == end) {
                    continue;
                }
                let seq = snapshot.commit_seq();
                self.shown.insert(update.id(), Shown { end, seq });
            }
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
