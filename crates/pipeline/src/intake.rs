//! Where a source hands over its records.
//!
//! Each intake belongs to one scope and gives its records their positions. A record goes to the
//! ring first, which may refuse it, and what the ring took is then shown in the data service; that
//! step cannot fail, since the keys were registered before. Both happen under the intake's own
//! lock, so that positions reach the ring in order; a push that blocks for room holds it. The
//! wakers of the data service's subscribers run under it too: they must not push here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use buffer_core::{PushedMany, Refusal, Ring};
use dataservice::{KeyId, Transaction};
use parking_lot::Mutex;
use record::{Key, Malformed, Position, Record};
use sinks::{Entry, ScopeIndex, ScopeName};

use crate::account::Account;
use crate::error::IntakeError;
use crate::live::{LiveData, Reading};
use crate::opening::Watermark;
use crate::source::Item;

/// A record, or a piece of input that was none and goes to the quarantine.
pub type Content = Result<Record, Malformed>;

/// What became of records that were handed over.
#[derive(Debug, Default)]
#[must_use]
pub struct Accepted {
    /// How many were accepted, from the front.
    pub accepted: usize,
    /// How many older or newer ones were lost for them, by the buffer's policy.
    pub dropped: usize,
    /// Why those behind them were refused, if any were.
    pub refusal: Option<Refusal>,
}

/// A source's way into a pipeline; see [`Pipeline::intake`](crate::Pipeline::intake).
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    name: ScopeName,
    scope: ScopeIndex,
    watermark: Watermark,
    ring: Ring<Entry>,
    live: Option<LiveData>,
    account: Arc<Account>,
    state: Mutex<State>,
}

struct State {
    /// The highest position ever handed to the ring.
    last: Position,
    /// Ids of the keys seen, by source and then tag, so that a known key costs no allocation.
    ids: HashMap<String, HashMap<String, KeyId>>,
}

/// A value on its way to the data service, with the position of its row.
struct Shown {
    position: Position,
    id: KeyId,
    time_us: i64,
    reading: Reading,
}

impl Intake {
    pub(crate) fn new(
        name: ScopeName,
        scope: ScopeIndex,
        watermark: Watermark,
        ring: Ring<Entry>,
        live: Option<LiveData>,
        account: Arc<Account>,
    ) -> Self {
        let state = Mutex::new(State {
            last: watermark.base(),
            ids: HashMap::new(),
        });
        Self {
            inner: Arc::new(Inner {
                name,
                scope,
                watermark,
                ring,
                live,
                account,
                state,
            }),
        }
    }

    /// The scope's name.
    #[must_use]
    pub fn name(&self) -> &ScopeName {
        &self.inner.name
    }

    /// Says that the source has ended though nobody stopped it, so that health shows it.
    pub fn source_stopped(&self, reason: &str) {
        self.inner
            .account
            .source_stopped(format!("{}: {reason}", self.inner.name));
    }

    /// How far the scope was delivered when it was opened: a source that can be read again begins
    /// after it. [`Position::START`] while the scope of [`Pipeline::intake_at_once`] is not open.
    ///
    /// [`Pipeline::intake_at_once`]: crate::Pipeline::intake_at_once
    #[must_use]
    pub fn watermark(&self) -> Position {
        self.inner.watermark.position().unwrap_or(Position::START)
    }

    /// Leaves out records whose keys are new and cannot be shown any more, and says how many.
    pub fn keep_showable(&self, records: &mut Vec<Record>) -> usize {
        let before = records.len();
        if let Some(live) = &self.inner.live {
            let mut state = self.inner.state.lock();
            records.retain(|record| state.learn(live, std::iter::once(record)).is_ok());
        }
        before - records.len()
    }

    /// Hands over records of a source without positions, by the buffer's policy; they get the
    /// positions after the last one. With a blocking policy this call may wait.
    ///
    /// # Errors
    /// When they have more new keys than may be; then none of them is taken.
    pub fn push(&self, now: Instant, contents: Vec<Content>) -> Result<Accepted, IntakeError> {
        self.inner.accept(now, numbered(contents), Ring::push_many)
    }

    /// Hands over records of a source without positions if there is room for all of them; never
    /// waits and never displaces.
    ///
    /// # Errors
    /// When there is no room, or they have more new keys than may be; then none of them is taken.
    pub fn try_push_all(&self, now: Instant, contents: Vec<Content>) -> Result<(), IntakeError> {
        self.inner.check_room(&contents)?;
        let accepted = self.inner.accept(now, numbered(contents), |ring, rows| {
            let count = rows.len();
            match ring.try_push_all(rows) {
                Ok(()) => PushedMany {
                    accepted: count,
                    ..PushedMany::default()
                },
                Err(refusal) => PushedMany {
                    refusal: Some(refusal),
                    ..PushedMany::default()
                },
            }
        })?;
        match accepted.refusal {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Hands over items of a reader, which bring their positions, by the buffer's policy. What is
    /// refused is lost to this call: a reader reads it again from the watermark.
    ///
    /// # Errors
    /// When they have more new keys than may be; then none of them is taken.
    pub fn push_items(&self, now: Instant, items: Vec<Item>) -> Result<Accepted, IntakeError> {
        let items = items
            .into_iter()
            .map(|item| (Some(item.position), item.content));
        self.inner.accept(now, items, Ring::push_many)
    }
}

fn numbered(contents: Vec<Content>) -> impl ExactSizeIterator<Item = (Option<Position>, Content)> {
    contents.into_iter().map(|content| (None, content))
}

impl Inner {
    /// Refuses before keys are registered: a full buffer must not fill the table of keys.
    fn check_room(&self, contents: &[Content]) -> Result<(), IntakeError> {
        let bytes: usize = contents.iter().map(Entry::size_bytes_with).sum();
        let ring = self.ring.stats();
        let refusal = if contents.len() > ring.max_size || bytes > ring.max_bytes {
            Refusal::TooHeavy
        } else if ring.current_size + contents.len() > ring.max_size
            || ring.current_bytes.saturating_add(bytes) > ring.max_bytes
        {
            Refusal::Full
        } else {
            return Ok(());
        };
        self.account.refuse_early(contents.len());
        Err(refusal.into())
    }

    fn accept(
        &self,
        now: Instant,
        contents: impl ExactSizeIterator<Item = (Option<Position>, Content)>,
        push: impl FnOnce(&Ring<Entry>, &mut Vec<Entry>) -> PushedMany,
    ) -> Result<Accepted, IntakeError> {
        let mut state = self.state.lock();
        state.last = self.watermark.place(state.last);
        let before = state.last;
        let (mut rows, shown) = match self.stage(&mut state, now, contents) {
            Ok(staged) => staged,
            Err((records, error)) => {
                state.last = before;
                drop(state);
                self.account.refuse_early(records);
                return Err(error);
            }
        };
        let pushed = push(&self.ring, &mut rows);
        // What is not in the ring is in `rows` now: displaced, dropped, refused.
        let lost = pushed.displaced + pushed.dropped;
        let refused_from = pushed.refused_of(&rows).first().map(|row| row.position);
        if let Some(refused_from) = refused_from {
            // Refused rows never were: their positions are given again.
            state.last = before.max(previous(refused_from));
        }
        if let Some(live) = &self.live {
            let dropped: HashSet<Position> = pushed
                .dropped_of(&rows)
                .iter()
                .map(|row| row.position)
                .collect();
            let is_taken = |shown: &Shown| {
                refused_from.is_none_or(|refused_from| shown.position < refused_from)
                    && !dropped.contains(&shown.position)
            };
            show(live, shown.into_iter().filter(is_taken));
        }
        drop(state);
        self.account.took(now, pushed.accepted, lost);
        Ok(Accepted {
            accepted: pushed.accepted,
            dropped: lost,
            refusal: pushed.refusal,
        })
    }

    /// Rows for the ring and values for the data service. When the new keys cannot all be
    /// registered, everything is refused: what cannot be shown must not be stored either.
    fn stage(
        &self,
        state: &mut State,
        now: Instant,
        contents: impl ExactSizeIterator<Item = (Option<Position>, Content)>,
    ) -> Result<(Vec<Entry>, Vec<Shown>), (usize, IntakeError)> {
        let mut rows = Vec::with_capacity(contents.len());
        for (position, content) in contents {
            let position = position.unwrap_or_else(|| state.last.next());
            state.last = state.last.max(position);
            rows.push(Entry {
                scope: self.scope,
                position,
                arrival: now,
                content,
            });
        }
        let Some(live) = &self.live else {
            return Ok((rows, Vec::new()));
        };
        if let Err(error) = state.learn(live, records(&rows)) {
            return Err((rows.len(), error));
        }
        let shown = rows.iter().filter_map(|row| {
            let record = row.content.as_ref().ok()?;
            Some(Shown {
                position: row.position,
                id: state.id(record)?,
                time_us: record.timestamp.micros(),
                reading: Reading {
                    value: record.value.clone(),
                    quality: record.quality,
                },
            })
        });
        let shown = shown.collect();
        Ok((rows, shown))
    }
}

impl State {
    fn id(&self, record: &Record) -> Option<KeyId> {
        self.ids
            .get(record.source.as_str())?
            .get(record.tag.as_str())
            .copied()
    }

    /// Registers the keys that are new, all or none.
    fn learn<'a>(
        &mut self,
        live: &LiveData,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), IntakeError> {
        let unknown: HashSet<Key> = records
            .filter(|record| self.id(record).is_none())
            .map(Record::key)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = unknown.into_iter().collect();
        let ids = live
            .register_all(keys.clone())
            .map_err(IntakeError::NewKeys)?;
        for (key, id) in keys.into_iter().zip(ids) {
            self.ids
                .entry(key.source.as_str().to_owned())
                .or_default()
                .insert(key.tag.as_str().to_owned(), id);
        }
        Ok(())
    }
}

fn records(rows: &[Entry]) -> impl Iterator<Item = &Record> {
    rows.iter().filter_map(|row| row.content.as_ref().ok())
}

/// Makes the values visible in one commit.
fn show(live: &LiveData, values: impl Iterator<Item = Shown>) {
    let mut transaction = live.begin();
    for Shown {
        id,
        time_us,
        reading,
        ..
    } in values
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
}

/// The rows are in the ring, whether they can be shown or not; the service counts what it refuses.
fn commit(transaction: Transaction<Reading>) {
    drop(transaction.commit());
}

fn previous(position: Position) -> Position {
    Position::new(position.number().saturating_sub(1))
}
