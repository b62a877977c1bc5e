//! How clients come into a cohort, and how cohorts become one.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use dataservice::{CommitSeq, Resumed, Subscription};
use pipeline::Reading;

use super::{Group, POLLS_MAX, RETRY_AFTER, Start};
use crate::fanout::cohort::{Cohort, Purpose, Seen};
use crate::fanout::connection::Connection;
use crate::fanout::extract::CHOSEN_FROM_MAX;
use crate::fanout::obey::Refusal;
use crate::fanout::worker::Worker;

/// After a frame of so many bytes it is looked at once what all of them hold.
const LARGE_BYTES: usize = 64 << 10;

impl Group {
    /// Lets in who waited and has taken what was under way. Those who stopped at the same commit
    /// enter together.
    pub(super) fn admit(&mut self, worker: &Rc<Worker>, now: Instant) {
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
            let begun = self.begin(members.clone(), Start::Seen(at), worker, now);
            let Err(refusal) = begun else { continue };
            for member in members {
                if refusal.code == "too_many_subscribers" {
                    self.wait(member, Start::Seen(at), Some(now + RETRY_AFTER));
                } else {
                    worker.subscription_failed(&member, &self.asked.id, &refusal);
                }
            }
        }
    }

    /// A cohort of clients that all begin at the same point, and its first frame.
    pub(super) fn begin(
        &mut self,
        members: Vec<Rc<Connection>>,
        start: Start,
        worker: &Rc<Worker>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (before, point) = match start {
            Start::Seen(seen) => (seen, None),
            Start::Fresh => (Seen::default(), None),
            Start::Since(point) => (Seen::default(), Some(point)),
        };
        let mut polls = 0;
        let (mut cohort, polled, is_continued) = loop {
            let (subscription, is_continued) = self.subscribe(start, worker)?;
            let mut cohort = Cohort::new(subscription, before, &self.asked, worker);
            let snapshot = match is_continued {
                true => cohort.poll(&worker.waker),
                false => Some(cohort.subscription.snapshot()),
            };
            polls += 1;
            // The frame says that it shows a commit, with all keys that came until then.
            if !self.find_keys(worker) || polls >= POLLS_MAX {
                break (cohort, Vec::from_iter(snapshot), is_continued);
            }
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
        let composed = cohort.compose(&polled, &purpose, &self.keys, &self.asked, worker)?;
        if !matches!(start, Start::Seen(_)) {
            for member in &members {
                member.costs(composed.values + self.keys.len() as u64);
            }
        }
        self.note(&polled);
        cohort.subscription.set_waker(worker.waker.clone());
        if let Some(frame) = composed.frame {
            cohort.not_before = self.aligned(now);
            for member in &members {
                // Nothing is under way to them, so they take it or are gone.
                member.offer(&frame, worker, now);
                member.account.missed(composed.missed);
            }
            worker.sent(members.len());
            if frame.len() > LARGE_BYTES {
                worker.relieve();
            }
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
    pub(super) fn merge(&mut self, polled: &[bool], worker: &Worker) {
        if self.cohorts.len() < 2 {
            return;
        }
        let is_lenient = !self.asked.extract.is_since_last() && !self.asked.deltas;
        let mut cohorts = std::mem::take(&mut self.cohorts).into_iter().enumerate();
        let Some((_, mut first)) = cohorts.next() else {
            return;
        };
        let is_polled = |at: usize| polled.get(at).copied().unwrap_or(false);
        let mut others = Vec::new();
        for (at, mut other) in cohorts {
            let polled_together = is_polled(0) && is_polled(at);
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
