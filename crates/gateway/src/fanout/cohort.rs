//! Clients with equal subscriptions that have seen the same: one cursor on the data service, and
//! one frame for all of them.
//!
//! A cohort keeps no values but the [bases](super::bases) of merge patches. What it polls it makes
//! a frame of at once.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use dataservice::{CommitSeq, KeyId, KeyUpdate, Snapshot, Subscription};
use pipeline::Reading;
use protocol::{Plot, Removed, Reset, ServerMessage};
use record::Key;
use serde_json::Value;

use super::bases::Bases;
use super::connection::Connection;
use super::frame::{Change, Changes, Content, Frames, Told, Whole, as_json, key_name};
use super::group::Asked;
use super::obey::Refusal;
use super::worker::Worker;
use crate::nesting;
use crate::state::wall_time;

/// Bytes that a frame may have: clients do not take more than twice as many.
const FRAME_BYTES_MAX: usize = 32 << 20;
/// Above so many, a frame of every value has the newest of each key, and says how many it lacks.
const EVERY_VALUE_BYTES_MAX: usize = 16 << 20;
/// Bytes that a value has beside itself, about: its key, its timestamp, and names.
const BESIDE_VALUE_BYTES: usize = 96;

pub(super) type Polled = Snapshot<dataservice::Extract<Reading>>;
type Update = KeyUpdate<dataservice::Extract<Reading>>;

/// How far the clients of a cohort have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The commit that their last frame showed.
    pub(super) seq: CommitSeq,
    /// How many updates of their keys there were up to then, where every update is wanted and it is
    /// known.
    pub(super) updates: Option<u64>,
}

/// Clients that have seen the same.
pub(super) struct Cohort {
    pub(super) subscription: Subscription<Reading>,
    pub(super) members: Vec<Rc<Connection>>,
    pub(super) seen: Seen,
    /// Nothing is sent before this moment.
    pub(super) not_before: Option<Instant>,
    /// Keys younger than the subscription of which nothing was shown yet: all their updates are
    /// its own, also those that were displaced before it found them.
    pub(super) unshown: HashSet<KeyId>,
    bases: Option<Bases>,
}

/// What a frame is for.
pub(super) enum Purpose<'a> {
    /// The state of all keys; after a word why it begins anew, if it does.
    Begin { reset: Option<&'a str> },
    /// What came since a commit that the client named.
    Resume,
    /// What came since the last frame.
    GoOn,
    /// The newest state for clients that were behind for longer than anybody remembers: of the
    /// keys that may have changed since.
    CatchUp {
        may_have_changed: &'a dyn Fn(&Update) -> bool,
    },
}

/// A frame, and how many updates it lacks.
pub(super) struct Composed {
    /// None when there is nothing to say.
    pub(super) frame: Option<Bytes>,
    pub(super) missed: u64,
    /// How many values it shows.
    pub(super) values: u64,
}

/// A frame would have more bytes than anybody takes.
#[derive(Debug)]
pub(super) struct TooLarge;

impl From<TooLarge> for Refusal {
    fn from(_: TooLarge) -> Self {
        let message = format!(
            "a frame would have more than {FRAME_BYTES_MAX} bytes: ask for fewer keys or values"
        );
        Self::new("frame_too_large", message)
    }
}

impl Cohort {
    pub(super) fn new(
        subscription: Subscription<Reading>,
        seen: Seen,
        asked: &Asked,
        worker: &Worker,
    ) -> Self {
        let bases = asked
            .deltas
            .then(|| Bases::new(Rc::clone(&worker.bases_bytes)));
        Self {
            subscription,
            members: Vec::new(),
            seen,
            not_before: None,
            unshown: HashSet::new(),
            bases,
        }
    }

    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|moment| now >= moment)
    }

    /// Whether something changed since the last poll. If not, the waker is called once it does.
    pub(super) fn is_pending(&self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        self.subscription.poll_changed(&mut context).is_ready()
    }

    /// What changed since the last poll.
    pub(super) fn poll(&mut self, waker: &Waker) -> Option<Polled> {
        if !self.is_pending(waker) {
            return None;
        }
        let polled = self.subscription.poll();
        self.subscription.set_waker(waker.clone());
        polled
    }

    /// The frame of what was polled, mostly once. From then on its clients have seen that.
    pub(super) fn compose(
        &mut self,
        polled: &[Polled],
        purpose: &Purpose<'_>,
        keys: &HashMap<KeyId, Key>,
        asked: &Asked,
        worker: &Worker,
    ) -> Result<Composed, TooLarge> {
        let seq = self.subscription.commit_seq();
        let mut changes = Changes {
            id: &asked.id,
            seq: seq.number(),
            timestamp: wall_time().micros(),
            resumed: matches!(purpose, Purpose::Resume),
            ..Changes::default()
        };
        let (every_bytes, newest_bytes) = weigh(polled);
        let is_newest_only = asked.extract.is_since_last()
            && (matches!(purpose, Purpose::Begin { .. } | Purpose::CatchUp { .. })
                || every_bytes > EVERY_VALUE_BYTES_MAX);
        let bytes = if is_newest_only {
            newest_bytes
        } else {
            every_bytes
        };
        // What the application or the client leaves out is not known before.
        let is_whole = worker.app.options.project.is_none() && asked.fields.is_empty();
        if is_whole && bytes > FRAME_BYTES_MAX {
            return Err(TooLarge);
        }
        let mut removed = Vec::new();
        let (mut values, mut left_out) = (0, 0);
        for update in polled.iter().flat_map(Snapshot::updates) {
            let Some(key) = keys.get(&update.id()) else {
                continue;
            };
            if update.is_cleared() {
                if let Some(bases) = &mut self.bases {
                    bases.remove(update.id());
                }
                removed.push(key_name(key));
            } else if !removed.is_empty() {
                // It was removed before, and has a value again.
                let name = key_name(key);
                removed.retain(|removed| *removed != name);
            }
            if let Purpose::CatchUp { may_have_changed } = purpose
                && !may_have_changed(update)
            {
                continue;
            }
            if let Some(dataservice::Extract::Plot(points)) = update.extract() {
                changes.plots.push(plot(key, update, points));
                continue;
            }
            let all = update.values().len();
            let first = if is_newest_only {
                all.saturating_sub(1)
            } else {
                0
            };
            values += (all - first) as u64;
            left_out += first as u64;
            for at in first..all {
                let change = self.change(update, at, key, asked, worker);
                changes.changes.extend(change);
            }
        }
        let seen_before = self.seen;
        self.seen.seq = seq;
        if asked.extract.is_since_last() {
            changes.missed = self.count(polled, purpose, seen_before, (values, left_out));
        }
        let missed = changes.missed;
        let frame = frames(changes, removed, purpose, asked);
        if frame.as_ref().is_some_and(|it| it.len() > FRAME_BYTES_MAX) {
            return Err(TooLarge);
        }
        Ok(Composed {
            frame,
            missed,
            values,
        })
    }

    /// Counts the updates of every key, and those that a frame with so many values lacks, where so
    /// many were polled and left out.
    fn count(
        &mut self,
        polled: &[Polled],
        purpose: &Purpose<'_>,
        before: Seen,
        (values, left_out): (u64, u64),
    ) -> u64 {
        let updates = polled.iter().flat_map(Snapshot::updates);
        match purpose {
            Purpose::Begin { .. } | Purpose::CatchUp { .. } => {
                let all = updates.map(|update| update.range().end.number() - 1);
                let all = all.sum();
                self.seen.updates = Some(all);
                self.unshown.clear();
                match (purpose, before.updates) {
                    (Purpose::CatchUp { .. }, Some(before)) => {
                        all.saturating_sub(before).saturating_sub(values)
                    }
                    _ => 0,
                }
            }
            Purpose::Resume | Purpose::GoOn => {
                let mut missed = left_out;
                for update in updates {
                    missed += if self.unshown.remove(&update.id()) {
                        update.range().start.number() - 1
                    } else {
                        update.missed()
                    };
                }
                self.seen.updates = before.updates.map(|before| before + values + missed);
                missed
            }
        }
    }

    /// One value as it is told; none when the application leaves it out.
    fn change<'a>(
        &mut self,
        update: &'a Update,
        at: usize,
        key: &'a Key,
        asked: &Asked,
        worker: &Worker,
    ) -> Option<Change<'a>> {
        let (timestamp, reading) = (*update.times_us().get(at)?, update.values().get(at)?);
        let project = worker.app.options.project.as_ref();
        let is_as_read = project.is_none() && asked.fields.is_empty() && self.bases.is_none();
        if is_as_read {
            let content = Content::Whole(Whole::AsRead(&reading.value));
            return Some(Change::new(key, timestamp, reading, content, None));
        }
        let mut value = match project {
            None => as_json(&reading.value),
            Some(project) => {
                // What is the application's own may panic, and costs others nothing.
                let made = catch_unwind(AssertUnwindSafe(|| (project.0)(key, reading)));
                let made = made.unwrap_or_else(|_| {
                    worker.projection_failed(key);
                    None
                });
                nesting::shallow(made?)
            }
        };
        if let (Value::Object(members), false) = (&mut value, asked.fields.is_empty()) {
            members.retain(|name, _| asked.fields.contains(name));
        }
        let later = (update.values().len() - at) as u64;
        let rev = update.range().end.number() - later;
        let (content, rev) = match &mut self.bases {
            None => (Content::Whole(Whole::Made(value)), None),
            Some(bases) => (bases.content(update.id(), rev, value), Some(rev)),
        };
        Some(Change::new(key, timestamp, reading, content, rev))
    }
}

/// Bytes of what was polled, about: of every value, and of the newest of each key.
fn weigh(polled: &[Polled]) -> (usize, usize) {
    let (mut every, mut newest) = (0, 0);
    for update in polled.iter().flat_map(Snapshot::updates) {
        let mut last = 0;
        for reading in update.values() {
            last = BESIDE_VALUE_BYTES
                + match &reading.value {
                    record::Value::Text(text) | record::Value::Json(text) => text.as_str().len(),
                    _ => 0,
                };
            every += last;
        }
        newest += last;
    }
    (every, newest)
}

fn plot(key: &Key, update: &Update, points: &dataservice::Series<f64>) -> Plot {
    let values = points.values().iter();
    Plot {
        source: key.source.clone(),
        tag: key.tag.clone(),
        points_in: update.range().end.number() - update.range().start.number(),
        timestamps: points.times_us().to_vec(),
        values: values
            .map(|value| value.is_finite().then_some(*value))
            .collect(),
    }
}

fn frames(
    changes: Changes<'_>,
    removed: Vec<protocol::KeyName>,
    purpose: &Purpose<'_>,
    asked: &Asked,
) -> Option<Bytes> {
    let mut frames = Frames::new(asked.encoding);
    let (id, seq) = (asked.id.clone(), changes.seq);
    match purpose {
        Purpose::Begin { reset } => {
            if let Some(reason) = reset {
                let reason = (*reason).to_owned();
                let id = id.clone();
                frames.push(&ServerMessage::Reset(Reset { id, reason }));
            }
            frames.push(&Told::Snapshot(changes));
            // Of a key without a value there is nothing to begin with.
            return Some(frames.into_bytes());
        }
        Purpose::Resume => frames.push(&Told::Update(changes)),
        _ if changes.is_empty() => {}
        _ => frames.push(&Told::Update(changes)),
    }
    if !removed.is_empty() {
        let keys = removed;
        frames.push(&ServerMessage::Removed(Removed { id, seq, keys }));
    }
    let bytes = frames.into_bytes();
    (!bytes.is_empty()).then_some(bytes)
}
