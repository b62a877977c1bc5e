//! What stands in a coalescing lane in the place of a ring.
//!
//! One lock guards the counts and the writer of a [`coalesce::Coalescer`], so that updates have one
//! order, and a take holds a prefix of each scope's positions, provided that rows of a scope are
//! pushed in order. Keys are expanded and values checked before the lock is taken; a push costs two
//! look-ups per row under it, and a take time in proportion to the keys. Under the lock values may
//! be freed that newer ones displaced; wakers run outside of it.
//!
//! At every moment `offered == accepted + refused` and
//! `accepted == acked + purged + buffered_updates + leased_updates`. What is on loan counts towards
//! both caps. There is no cap on bytes: a value has at most 1 MiB, and there are `keys_max` of
//! them, each up to [`APPENDED_VALUES_MAX`](super::APPENDED_VALUES_MAX) times where values are
//! appended.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use buffer_core::{PushedMany, Refusal};
use coalesce::{Added, Coalescer};
use parking_lot::{Condvar, Mutex, MutexGuard};
use sinks::Entry;

use super::aggregate::{Merging, Partial};
use super::counts::{Drained, MergerLoad, MergerStats};
use super::lease::MergedLease;
use super::plan::Plans;
use super::row::row;
use super::slots::MergeKey;
use super::state::{Aside, State, earlier, wake};
use super::{CoalesceAggregate, CoalesceError, CoalesceSpec};
use crate::opening::order_of;

pub(super) type Part = coalesce::Entry<MergeKey, Partial>;
pub(super) type Parts = Vec<Part>;

/// What happens to updates for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MergePolicy {
    /// They are refused.
    Reject,
    /// The caller waits for room, for so long at the most, and is refused then.
    Block(Duration),
}

/// The store of a coalescing lane; a clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct Merger {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    spec: CoalesceSpec,
    coalescer: Coalescer<MergeKey, Merging>,
    state: Mutex<State>,
    /// Notified when there may be room, and at the end.
    room: Condvar,
}

/// More updates than are ever added: the caps are kept here, not in the coalescer.
const NO_CAP: u64 = 1 << 62;
/// The longest that a push waits: longer than anybody wants, and short enough to be added to now.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Merger {
    /// An empty store.
    ///
    /// # Errors
    /// As [`CoalesceSpec::check`].
    pub(crate) fn new(spec: &CoalesceSpec) -> Result<Self, CoalesceError> {
        spec.check()?;
        let coalescer = Coalescer::builder(Merging)
            .updates_max(NO_CAP, coalesce::WhenFull::Reject)
            .flush_at(None)
            .build()
            .expect("the settings are constant and good");
        let state = State::new(coalescer.writer(), spec.keys_max, spec.updates_max);
        Ok(Self {
            inner: Arc::new(Inner {
                spec: spec.clone(),
                coalescer,
                state: Mutex::new(state),
                room: Condvar::new(),
            }),
        })
    }

    /// Merges rows from the front, as many as there is room for; those that are refused stay in
    /// `rows`. The position of a row for which `is_tracked` is true is kept. Rows of a scope have
    /// to come in the order of their positions.
    pub(crate) fn push_many(
        &self,
        rows: &mut Vec<Entry>,
        policy: MergePolicy,
        is_tracked: &dyn Fn(&Entry) -> bool,
    ) -> PushedMany {
        let mut plans = Plans::of(&self.inner.spec, rows, is_tracked);
        let deadline = match policy {
            MergePolicy::Reject => None,
            MergePolicy::Block(within) => Some(Instant::now() + within.min(WAIT_MAX)),
        };
        let mut is_late = false;
        let mut accepted = 0;
        let mut state = self.inner.state.lock();
        let refusal = loop {
            if accepted == rows.len() {
                break None;
            }
            if state.is_closed {
                break Some(Refusal::Closed);
            }
            accepted += self.inner.fill(&mut state, &mut plans, rows, accepted);
            if accepted == rows.len() {
                break None;
            }
            let Some(deadline) = deadline else {
                break Some(Refusal::Full);
            };
            if is_late {
                break Some(Refusal::TimedOut);
            }
            state.waiting += 1;
            let woken = state.met();
            if woken.is_empty() {
                is_late = self.inner.room.wait_until(&mut state, deadline).timed_out();
            } else {
                // Room may come meanwhile, so it is looked again.
                MutexGuard::unlocked(&mut state, || wake(woken));
            }
            state.waiting -= 1;
        };
        state.refuse(rows.len() - accepted, refusal);
        let woken = state.met();
        drop(state);
        wake(woken);
        // What was taken apart is freed here.
        drop(rows.drain(..accepted));
        PushedMany {
            accepted,
            refusal,
            ..PushedMany::default()
        }
    }

    /// Merges all rows or none, and never waits. As [`push_many`](Self::push_many) otherwise.
    ///
    /// # Errors
    /// If there is no room for all of them, then or ever, or the merger is closed; they are all in
    /// `rows` still.
    pub(crate) fn try_push_all(
        &self,
        rows: &mut Vec<Entry>,
        is_tracked: &dyn Fn(&Entry) -> bool,
    ) -> Result<(), Refusal> {
        let mut plans = Plans::of(&self.inner.spec, rows, is_tracked);
        let mut state = self.inner.state.lock();
        let refusal = match self.inner.room_for_all(&mut state, &plans, rows) {
            None => {
                let accepted = self.inner.fill(&mut state, &mut plans, rows, 0);
                debug_assert_eq!(accepted, rows.len(), "there was room for all");
                None
            }
            refusal => {
                state.refuse(rows.len(), refusal);
                refusal
            }
        };
        let woken = state.met();
        drop(state);
        wake(woken);
        match refusal {
            None => {
                rows.clear();
                Ok(())
            }
            Some(Refusal::Full) if self.inner.is_too_heavy(&plans, rows) => Err(Refusal::TooHeavy),
            Some(refusal) => Err(refusal),
        }
    }

    /// What waits.
    pub(crate) fn load(&self) -> MergerLoad {
        let state = self.inner.state.lock();
        MergerLoad {
            updates: state.buffered,
            keys: state.slots.buffered(),
            oldest: state.oldest(),
        }
    }

    /// All counts, of one moment.
    pub(crate) fn stats(&self) -> MergerStats {
        self.inner.state.lock().stats()
    }

    /// Ready when so many updates wait, when some do and there was no room for others, and always
    /// once the merger is closed; wakes the task once when that comes.
    ///
    /// A task that is dropped leaves its waker until its demand is met. At most 64 tasks wait: one
    /// more wakes the one that has waited the longest, which then asks again.
    pub(crate) fn poll_queued(&self, context: &mut Context<'_>, updates: usize) -> Poll<()> {
        // Cloning and dropping a waker is foreign code.
        let waker = context.waker().clone();
        let mut state = self.inner.state.lock();
        if state.meets(updates) {
            return Poll::Ready(());
        }
        let (own, oldest) = state.watch(waker, updates);
        drop(state);
        drop(own);
        wake(oldest.into_iter().collect());
        Poll::Pending
    }

    /// Copies of all rows that wait, those that were sent first; what is on loan is not among them.
    /// Nothing comes or goes meanwhile.
    pub(crate) fn waiting(&self) -> Vec<Entry> {
        let state = self.inner.state.lock();
        let sent = state.aside.as_ref();
        let mut rows = sent.map_or_else(Vec::new, |aside| self.inner.rows(&state, &aside.parts));
        let merged = self.inner.coalescer.take();
        rows.extend(self.inner.rows(&state, merged.entries()));
        self.inner.coalescer.restore(merged);
        rows
    }

    /// Everything that waits, as one batch, sorted by position; `None` if nothing waits, or a batch
    /// is on loan. A batch that came back after it was [sent](MergedLease::mark_sent) comes first,
    /// by itself and as it was.
    pub(crate) fn lease(&self) -> Option<MergedLease> {
        let mut state = self.inner.state.lock();
        if state.is_lent || state.buffered == 0 {
            return None;
        }
        let aside = state.aside.take();
        let is_sent = aside.is_some();
        let parts = match aside {
            Some(aside) => aside.parts,
            None => {
                state.oldest = None;
                self.inner.coalescer.take().into_entries()
            }
        };
        if parts.is_empty() {
            return None;
        }
        let updates = state.lend(&parts);
        state.is_lent = true;
        state.was_refused = false;
        let keyed: Vec<_> = parts
            .into_iter()
            .map(|part| (state.slots.name(part.key.slot), part))
            .collect();
        drop(state);
        let inner = Arc::clone(&self.inner);
        Some(MergedLease::new(inner, keyed, updates, is_sent))
    }

    /// Throws away what waits; what is on loan stays.
    pub(crate) fn drain(&self) -> Drained {
        let mut state = self.inner.state.lock();
        let mut parts = self.inner.coalescer.take().into_entries();
        parts.extend(state.aside.take().into_iter().flat_map(|aside| aside.parts));
        let updates = state.lend(&parts);
        state.settle(&parts, updates);
        state.purged += updates;
        state.oldest = None;
        state.was_refused = false;
        drop(state);
        self.inner.room.notify_all();
        let tracked = parts.iter().flat_map(|part| {
            let Partial { meta, tracked, .. } = &part.partial;
            tracked.iter().map(|position| (meta.scope, *position))
        });
        let mut tracked: Vec<_> = tracked.collect();
        tracked.sort_unstable();
        Drained { updates, tracked }
    }

    /// Refuses everything from now on; what is there can still be leased.
    pub(crate) fn close(&self) {
        let mut state = self.inner.state.lock();
        state.is_closed = true;
        let woken = state.met();
        drop(state);
        wake(woken);
        self.inner.room.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.state.lock().is_closed
    }

    /// Whether nothing waits and nothing is on loan.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.inner.state.lock();
        state.buffered + state.leased == 0
    }
}

impl Inner {
    pub(super) fn aggregate(&self) -> CoalesceAggregate {
        self.spec.aggregate
    }

    /// What these parts look like as rows, sorted by position.
    fn rows(&self, state: &State, parts: &[Part]) -> Vec<Entry> {
        let row_of = |part: &Part| {
            let key = state.slots.name(part.key.slot);
            row(
                self.spec.aggregate,
                key.as_deref(),
                part.key.side,
                &part.partial,
            )
        };
        let mut rows: Vec<_> = parts.iter().map(row_of).collect();
        rows.sort_by_key(|row| (order_of(row.position), row.scope));
        rows
    }

    /// Merges rows from `start` on for as long as there is room, and says how many those were.
    fn fill(
        &self,
        state: &mut State,
        plans: &mut Plans,
        rows: &mut [Entry],
        start: usize,
    ) -> usize {
        for (index, row) in rows.iter_mut().enumerate().skip(start) {
            if state.is_full() {
                return index - start;
            }
            let Some(slot) = state.slots.slot(row.scope, plans.key(index)) else {
                return index - start;
            };
            let (side, update) = plans.take(self.spec.aggregate, index, row);
            let added = state.writer.add(MergeKey { slot, side }, update);
            let Ok(Added::Buffered | Added::FlushDue) = added else {
                unreachable!("the coalescer has no cap of its own");
            };
            state.slots.add(slot);
            state.accepted += 1;
            state.buffered += 1;
            let oldest = state.oldest.get_or_insert(row.arrival);
            *oldest = row.arrival.min(*oldest);
        }
        rows.len() - start
    }

    /// Why the rows do not all fit now.
    fn room_for_all(&self, state: &mut State, plans: &Plans, rows: &[Entry]) -> Option<Refusal> {
        if state.is_closed && !rows.is_empty() {
            return Some(Refusal::Closed);
        }
        if state.buffered + state.leased + rows.len() > self.spec.updates_max {
            return Some(Refusal::Full);
        }
        let mut places = Vec::with_capacity(rows.len());
        places.extend(
            rows.iter()
                .enumerate()
                .map_while(|(index, row)| state.slots.slot(row.scope, plans.key(index))),
        );
        let refusal = (places.len() < rows.len()).then_some(Refusal::Full);
        for (index, place) in places.into_iter().enumerate() {
            // A place that is found by its key again stays; nobody comes between.
            if refusal.is_some() || plans.key(index).is_none() {
                state.slots.release(place);
            }
        }
        refusal
    }

    /// Whether the rows would not even fit if there was nothing else.
    fn is_too_heavy(&self, plans: &Plans, rows: &[Entry]) -> bool {
        let keys: HashSet<_> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| match plans.key(index) {
                Some(key) => (row.scope, Ok(key)),
                None => (row.scope, Err(index)),
            })
            .collect();
        rows.len() > self.spec.updates_max || keys.len() > self.spec.keys_max
    }

    /// The batch is delivered.
    pub(super) fn ack(&self, parts: &Parts, updates: u64) {
        let mut state = self.state.lock();
        state.settle(parts, updates);
        state.acked += updates;
        state.is_lent = false;
        drop(state);
        self.room.notify_all();
    }

    /// The batch comes back: as it is if it was sent, or else to be merged with what has come.
    pub(super) fn restore(&self, parts: Parts, updates: u64, is_sent: bool) {
        let oldest = parts.iter().map(|part| part.partial.meta.arrival).min();
        let mut state = self.state.lock();
        for part in &parts {
            state.slots.restore(part.key.slot, part.updates);
        }
        state.leased -= updates as usize;
        state.buffered += updates as usize;
        state.is_lent = false;
        if is_sent {
            state.aside = Some(Aside { parts, oldest });
        } else {
            state.oldest = earlier(state.oldest, oldest);
            self.coalescer.restore(parts.into_iter().collect());
        }
        let woken = state.met();
        drop(state);
        wake(woken);
    }
}
