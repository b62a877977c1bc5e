//! The way of records: to the scopes they belong to, into the buffers, and into the data service.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Instant;

use buffer_core::{PushedMany, Refusal};
use dataservice::{KeyId, Transaction};
use parking_lot::MutexGuard;
use record::{Position, Priority, Record};
use sinks::Entry;

use super::pushed::Pushed;
use super::room::check;
use super::{Accepted, Content, Inner, State};
use crate::error::IntakeError;
use crate::live::{LiveData, Reading};
use crate::spec::WhenFull;
use crate::tracked::Tracked;

/// How buffers without room are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As their lanes say.
    ByPolicy,
    /// As their lanes say, but nobody waits.
    NoWait,
    /// Nothing is displaced, nobody waits, and it is all or nothing.
    AllOrNone,
}

/// The records that go to one scope.
#[derive(Default)]
pub(super) struct Part {
    target: usize,
    rows: Vec<Entry>,
    /// Where each row stands, and which of the records it is.
    places: Vec<(Position, usize)>,
    /// The highest position before them.
    before: Position,
}

/// Records on their way; the vectors are used again and again.
#[derive(Default)]
pub(super) struct Staged {
    parts: Vec<Part>,
    used: usize,
    /// Those that no route matches.
    unrouted: Vec<(usize, Record)>,
    count: usize,
    /// Rows that their scopes had before they were opened.
    skipped: usize,
}

/// A value on its way to the data service, with the number of its record.
struct Shown {
    index: usize,
    id: KeyId,
    time_us: i64,
    reading: Reading,
}

impl Inner {
    /// Takes records under the lock that is given, which is released before anything is dropped.
    pub(super) fn accept_with(
        &self,
        mut guard: MutexGuard<'_, State>,
        now: Instant,
        contents: impl Iterator<Item = (Option<Position>, Content)>,
        mode: Mode,
        tracked: Option<&mut Tracked>,
    ) -> Result<Accepted, IntakeError> {
        let state = &mut *guard;
        let mut staged = std::mem::take(&mut state.staged);
        staged.stage(state, now, contents);
        let checked = match mode {
            Mode::ByPolicy | Mode::NoWait => Ok(()),
            Mode::AllOrNone => staged.check_room(state),
        };
        let learnt = checked.and_then(|()| match &self.live {
            Some(live) => state.keys.learn(live, staged.records()),
            None => Ok(()),
        });
        if let Err(error) = learnt {
            staged.refuse_all(state);
            // The records are dropped after unlocking.
            drop(guard);
            return Err(error);
        }
        let shown = match &self.live {
            Some(_) => staged.shown(state),
            None => Vec::new(),
        };
        let unrouted = std::mem::take(&mut staged.unrouted);
        let mut lost = Vec::new();
        let outcome = staged.push(state, mode, tracked, &mut lost);
        let is_urgent = match &self.live {
            Some(live) => show(live, shown, &outcome),
            None => false,
        };
        let (count, skipped) = (staged.count, staged.skipped);
        staged.clear();
        state.staged = staged;
        drop(guard);
        if is_urgent {
            self.sources.urgent.send_modify(|count| *count += 1);
        }
        if !unrouted.is_empty() {
            self.sources.unrouted(unrouted.len() as u64);
        }
        // What was displaced or refused is dropped here.
        drop((lost, unrouted));
        Ok(outcome.accepted(count, skipped))
    }
}

impl Staged {
    /// Makes rows of records, each with its place in its scopes.
    fn stage(
        &mut self,
        state: &mut State,
        now: Instant,
        contents: impl Iterator<Item = (Option<Position>, Content)>,
    ) {
        let State { targets, keys, .. } = state;
        for target in &mut targets.all {
            target.last = target.watermark.place(target.last);
        }
        for (index, (position, content)) in contents.enumerate() {
            self.count = index + 1;
            let record = match &content {
                Ok(record) if !targets.is_single => record,
                // What is no record goes to the first route, to be quarantined once.
                _ => {
                    let priority = content.as_ref().ok().and_then(|record| record.priority);
                    let target = targets.of(0, priority);
                    self.add(&mut targets.all, target, index, now, position, content);
                    continue;
                }
            };
            let routes = keys.routes(&targets.shape, record);
            let priority = record.priority;
            let Some((last, others)) = routes.split_last() else {
                self.unrouted
                    .extend(content.ok().map(|record| (index, record)));
                continue;
            };
            for route in others {
                let target = targets.of(*route, priority);
                self.add(
                    &mut targets.all,
                    target,
                    index,
                    now,
                    position,
                    content.clone(),
                );
            }
            let target = targets.of(*last, priority);
            self.add(&mut targets.all, target, index, now, position, content);
        }
    }

    fn add(
        &mut self,
        targets: &mut [super::targets::Target],
        target: usize,
        index: usize,
        now: Instant,
        position: Option<Position>,
        content: Content,
    ) {
        let goal = &mut targets[target];
        if position.is_some_and(|position| goal.has(position)) {
            // A source that is read again, since another lane needs it.
            self.skipped += 1;
            return;
        }
        let part = match self.parts[..self.used]
            .iter()
            .position(|part| part.target == target)
        {
            Some(part) => part,
            None => {
                if self.used == self.parts.len() {
                    self.parts.push(Part::default());
                }
                let part = &mut self.parts[self.used];
                (part.target, part.before) = (target, goal.last);
                self.used += 1;
                self.used - 1
            }
        };
        let position = position.unwrap_or_else(|| goal.last.next());
        goal.last = goal.last.max(position);
        let part = &mut self.parts[part];
        part.places.push((position, index));
        part.rows.push(Entry {
            scope: goal.scope,
            position,
            arrival: now,
            content,
        });
    }

    /// Refuses before keys are registered: a full buffer must not fill the table of keys.
    fn check_room(&self, state: &State) -> Result<(), IntakeError> {
        let mut lost = Vec::new();
        for part in &self.parts[..self.used] {
            let queue = &state.targets.all[part.target].queue;
            if queue.is_lost() {
                lost.push(part.target);
                continue;
            }
            let bytes: usize = part.rows.iter().map(Entry::size_bytes).sum();
            check(queue, part.rows.len(), bytes)?;
        }
        match !lost.is_empty() && self.belongs_only_to(&lost) {
            true => Err(Refusal::Closed.into()),
            false => Ok(()),
        }
    }

    /// Whether a record goes to these targets and to no other.
    fn belongs_only_to(&self, targets: &[usize]) -> bool {
        let is_one = |part: &&Part| targets.contains(&part.target);
        let index = |(_, index): &(Position, usize)| *index;
        let parts = &self.parts[..self.used];
        let others = parts.iter().filter(|part| !is_one(part));
        let others: HashSet<usize> = others
            .flat_map(|part| part.places.iter().map(index))
            .collect();
        let mut own = parts.iter().filter(is_one).flat_map(|part| &part.places);
        own.any(|(_, index)| !others.contains(index))
    }

    /// Nothing of this was: positions are given again.
    fn refuse_all(&mut self, state: &mut State) {
        for part in &self.parts[..self.used] {
            let target = &mut state.targets.all[part.target];
            target.last = part.before;
            target.queue.account.refuse_early(part.rows.len());
        }
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        let rows = self.parts[..self.used].iter().flat_map(|part| &part.rows);
        let routed = rows.filter_map(|row| row.content.as_ref().ok());
        routed.chain(self.unrouted.iter().map(|(_, record)| record))
    }

    /// The values to be shown: each record once, in their order.
    fn shown(&self, state: &State) -> Vec<Shown> {
        let of = |index, record: &Record, priority: Priority| {
            Some(Shown {
                index,
                id: state.keys.id(record)?,
                time_us: record.timestamp.micros(),
                reading: Reading {
                    value: record.value.clone(),
                    quality: record.quality,
                    priority: record.priority.unwrap_or(priority),
                },
            })
        };
        let mut shown = Vec::with_capacity(self.count);
        for part in &self.parts[..self.used] {
            let priority = state.targets.all[part.target].queue.priority;
            let rows = part.rows.iter().zip(&part.places);
            shown.extend(
                rows.filter_map(|(row, (_, index))| {
                    of(*index, row.content.as_ref().ok()?, priority)
                }),
            );
        }
        let unrouted = self.unrouted.iter();
        let usual = Priority::default();
        shown.extend(unrouted.filter_map(|(index, record)| of(*index, record, usual)));
        if self.used + usize::from(!self.unrouted.is_empty()) > 1 {
            shown.sort_by_key(|shown| shown.index);
            shown.dedup_by_key(|shown| shown.index);
        }
        shown
    }

    /// Into the buffers, the most urgent first, and where it may have to wait for room at the end.
    /// What is not in them afterwards is in `lost`.
    fn push(
        &mut self,
        state: &mut State,
        mode: Mode,
        mut tracked: Option<&mut Tracked>,
        lost: &mut Vec<Vec<Entry>>,
    ) -> Pushed {
        let mut outcome = Pushed {
            again: self.again(),
            ..Pushed::default()
        };
        self.parts[..self.used].sort_by_key(|part| {
            let queue = &state.targets.all[part.target].queue;
            let may_wait = matches!(queue.spec.buffer.policy, WhenFull::Block(_));
            (may_wait, Reverse(queue.priority))
        });
        for part in &mut self.parts[..self.used] {
            let target = &mut state.targets.all[part.target];
            let queue = &target.queue;
            if let Some(tracked) = tracked.as_deref_mut() {
                for row in &part.rows {
                    let receiver = queue.tracking.begin(row.scope, row.position);
                    tracked.waiting.push((queue.sink.name.clone(), receiver));
                }
            }
            let pushed = match mode {
                Mode::ByPolicy => target.route.push(queue, &mut part.rows),
                Mode::NoWait => target.route.push_at_once(queue, &mut part.rows),
                Mode::AllOrNone => {
                    let tracks = |row: &Entry| queue.tracking.tracks(row.scope, row.position);
                    let outcome = queue.buffer.try_push_all(&mut part.rows, &tracks);
                    all_or_none(outcome, part)
                }
            };
            outcome.dropped += pushed.displaced + pushed.dropped;
            if let Some((taken, _)) = part.places[..pushed.accepted].last() {
                target.taken = target.taken.max(*taken);
            }
            let refused = pushed.refused_of(&part.rows);
            if let Some(first) = refused.first() {
                // Refused rows never were: their positions are given again.
                target.last = part.before.max(previous(first.position));
                let places = &part.places[part.places.len() - refused.len()..];
                let places = places.iter().map(|(_, index)| *index);
                outcome.missing.extend(places.clone());
                if pushed.refusal == Some(Refusal::Closed) && queue.is_lost() {
                    outcome.unreachable.extend(places);
                } else {
                    outcome.refusal = outcome.refusal.or(pushed.refusal);
                    outcome.refused.extend(places);
                }
                if let Some(tracked) = tracked.as_deref_mut() {
                    refused
                        .iter()
                        .for_each(|row| queue.tracking.forget(row.scope, row.position));
                    tracked
                        .waiting
                        .truncate(tracked.waiting.len() - refused.len());
                }
            }
            for row in pushed.dropped_of(&part.rows) {
                let place = part
                    .places
                    .binary_search_by_key(&row.position, |place| place.0);
                outcome
                    .missing
                    .extend(place.ok().map(|place| part.places[place].1));
            }
            if !part.rows.is_empty() {
                lost.push(std::mem::take(&mut part.rows));
            }
        }
        outcome
    }

    /// Records that are in several parts, once for each part but the first.
    fn again(&self) -> Vec<usize> {
        if self.used < 2 {
            return Vec::new();
        }
        let parts = self.parts[..self.used].iter();
        let mut all: Vec<usize> = parts
            .flat_map(|part| part.places.iter().map(|(_, index)| *index))
            .collect();
        all.sort_unstable();
        let pairs = all.windows(2).filter(|pair| pair[0] == pair[1]);
        pairs.map(|pair| pair[0]).collect()
    }

    fn clear(&mut self) {
        for part in &mut self.parts[..self.used] {
            part.rows.clear();
            part.places.clear();
        }
        self.used = 0;
        self.count = 0;
        self.skipped = 0;
    }
}

fn all_or_none(outcome: Result<(), Refusal>, part: &Part) -> PushedMany {
    match outcome {
        Ok(()) => PushedMany {
            accepted: part.places.len(),
            ..PushedMany::default()
        },
        Err(refusal) => PushedMany {
            refusal: Some(refusal),
            ..PushedMany::default()
        },
    }
}

/// Makes the values visible in one commit: those that one buffer at least has taken, and those
/// that have no route. Gives whether something critical is among them.
fn show(live: &LiveData, mut shown: Vec<Shown>, pushed: &Pushed) -> bool {
    if !pushed.missing.is_empty() {
        // A record that is missing from all of its parts is not shown.
        let mut missing = pushed.missing.clone();
        missing.sort_unstable();
        shown.retain(|shown| !pushed.is_gone(&missing, shown.index));
    }
    let is_urgent = shown
        .iter()
        .any(|shown| shown.reading.priority == Priority::Critical);
    let mut transaction = live.begin();
    for Shown {
        id,
        time_us,
        reading,
        ..
    } in shown
    {
        // The ids are registered, so the only refusal is a full transaction.
        if let Err(full) = transaction.put(id, time_us, reading) {
            commit(std::mem::replace(&mut transaction, live.begin()));
            let _ = transaction.put(id, time_us, full.value);
        }
    }
    if !transaction.is_empty() {
        commit(transaction);
    }
    is_urgent
}

/// The rows are in the buffers, whether they can be shown or not; the service counts what it
/// refuses.
fn commit(transaction: Transaction<Reading>) {
    drop(transaction.commit());
}

fn previous(position: Position) -> Position {
    Position::new(position.number().saturating_sub(1))
}
