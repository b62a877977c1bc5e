//! What the service's one lock protects: every history, and what each subscriber has not seen.
//!
//! Since a commit, a poll and a read each hold the lock once, each of them is atomic to the
//! others, and what a poll copies out is one commit prefix across all its keys. What has to happen
//! after unlocking (wakes, destructors of displaced values) is handed back to the caller.

use std::sync::Arc;
use std::time::Instant;

use buffer_core::{Cursor, Displaced, History};

use crate::builder::Limits;
use crate::signal::Signal;
use crate::slot::{Slot, Verdict, Watched, Watcher};
use crate::{CommitSeq, KeyId, Requirement, View};

#[derive(Debug)]
pub(crate) struct State<V> {
    pub(crate) slots: Vec<Slot<V>>,
    subscribers: Vec<Option<Subscriber>>,
    vacant: Vec<u32>,
    too_deep: Vec<KeyId>,
    pub(crate) commit_seq: CommitSeq,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Keys that hold a value.
    pub(crate) values: usize,
    pub(crate) updates: u64,
    pub(crate) displaced: u64,
    pub(crate) wakes: u64,
}

/// An update on its way in; after the commit, the value it displaced on its way out.
#[derive(Debug)]
pub(crate) struct Staged<V> {
    pub(crate) id: KeyId,
    pub(crate) time_us: i64,
    pub(crate) value: Option<V>,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) signal: Arc<Signal>,
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    /// Entries whose key changed, in the order in which they did. At most one per entry, so that a
    /// slow subscriber costs no memory.
    dirty: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: KeyId,
    requirement: Requirement,
    need: usize,
    cursor: Cursor,
    dirty: bool,
}

/// Which keys a poll reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Changed,
    All,
}

/// What [`DataService::maintain`](crate::DataService::maintain) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// How many histories shrank.
    pub histories: usize,
    /// How many values were displaced by that.
    pub displaced: u64,
}

/// Subscribers to wake after unlocking.
pub(crate) type Wakes = Vec<Arc<Signal>>;

impl<V: Clone> State<V> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            subscribers: Vec::new(),
            vacant: Vec::new(),
            too_deep: Vec::new(),
            commit_seq: CommitSeq::START,
            counts: Counts::default(),
        }
    }

    pub(crate) fn subscribers_len(&self) -> usize {
        self.subscribers.len() - self.vacant.len()
    }

    /// Makes all staged updates visible. What they displaced takes their place.
    pub(crate) fn commit(&mut self, staged: &mut [Staged<V>]) -> Wakes {
        let mut wakes = Wakes::new();
        for update in &mut *staged {
            let slot = &mut self.slots[update.id.index()];
            let Some(value) = update.value.take() else {
                continue;
            };
            self.counts.values += usize::from(slot.history.is_empty());
            let displaced = slot.history.append(value, update.time_us).displaced;
            self.counts.displaced += displaced.len() as u64;
            // No history has readers of its own, so that what it displaced is a value.
            update.value = displaced.into_newest();
            if let Some(watched) = &mut slot.watched
                && !watched.all_dirty
            {
                tell(watched, &mut self.subscribers, &mut wakes);
            }
        }
        self.counts.updates += staged.len() as u64;
        self.counts.wakes += wakes.len() as u64;
        self.commit_seq = CommitSeq::from_number(self.commit_seq.number() + 1);
        wakes
    }

    /// Takes away every value of a key. It is a commit, so that who watches the key learns of it.
    pub(crate) fn clear(&mut self, id: KeyId) -> (Displaced<V>, Wakes) {
        let slot = &mut self.slots[id.index()];
        let values = slot.history.clear();
        let mut wakes = Wakes::new();
        if !values.is_empty() {
            if let Some(watched) = &mut slot.watched {
                tell(watched, &mut self.subscribers, &mut wakes);
            }
            self.counts.values -= 1;
            self.counts.displaced += values.len() as u64;
            self.counts.wakes += wakes.len() as u64;
            self.commit_seq = CommitSeq::from_number(self.commit_seq.number() + 1);
        }
        (values, wakes)
    }

    pub(crate) fn enter(&mut self, signal: Arc<Signal>) -> u32 {
        let subscriber = Subscriber {
            signal,
            entries: Vec::new(),
            vacant: Vec::new(),
            dirty: Vec::new(),
        };
        match self.vacant.pop() {
            Some(number) => {
                self.subscribers[number as usize] = Some(subscriber);
                number
            }
            None => {
                self.subscribers.push(Some(subscriber));
                as_number(self.subscribers.len() - 1)
            }
        }
    }

    pub(crate) fn leave(&mut self, number: u32, limits: &Limits) {
        let Some(subscriber) = self.subscribers[number as usize].take() else {
            return;
        };
        self.vacant.push(number);
        for (entry, watched) in subscriber.entries.iter().enumerate() {
            if let Some(Entry { id, need, .. }) = *watched {
                let watcher = Watcher {
                    subscriber: number,
                    entry: as_number(entry),
                };
                self.detach(watcher, id, need, limits);
            }
        }
    }

    /// Begins to watch a key. What it holds now is unseen, and nothing before that is missed.
    pub(crate) fn watch(
        &mut self,
        number: u32,
        id: KeyId,
        requirement: Requirement,
        need: usize,
    ) -> u32 {
        let slot = &mut self.slots[id.index()];
        let dirty = !slot.history.is_empty();
        let cursor = Cursor::before(slot.history.retained().start);
        let subscriber = present(&mut self.subscribers, number);
        let entry = Some(Entry {
            id,
            requirement,
            need,
            cursor,
            dirty,
        });
        let at = match subscriber.vacant.pop() {
            Some(at) => {
                subscriber.entries[at as usize] = entry;
                at
            }
            None => {
                subscriber.entries.push(entry);
                as_number(subscriber.entries.len() - 1)
            }
        };
        if dirty {
            subscriber.dirty.push(at);
            subscriber.signal.mark();
        }
        slot.attach(
            Watcher {
                subscriber: number,
                entry: at,
            },
            need,
        );
        at
    }

    /// Reads a key another way from now on; the cursor stays where it is.
    pub(crate) fn rewatch(
        &mut self,
        number: u32,
        at: u32,
        requirement: Requirement,
        need: usize,
        limits: &Limits,
    ) {
        let subscriber = present(&mut self.subscribers, number);
        let Some(entry) = &mut subscriber.entries[at as usize] else {
            return;
        };
        let before = std::mem::replace(&mut entry.need, need);
        entry.requirement = requirement;
        let id = entry.id;
        let slot = &mut self.slots[id.index()];
        slot.need(need);
        if let Some(watched) = &mut slot.watched {
            watched.forget(before);
        }
        if slot.list_if_too_deep(limits.depth_default) {
            self.too_deep.push(id);
        }
    }

    pub(crate) fn unwatch(&mut self, number: u32, at: u32, limits: &Limits) {
        let subscriber = present(&mut self.subscribers, number);
        let Some(entry) = subscriber.entries[at as usize].take() else {
            return;
        };
        subscriber.vacant.push(at);
        if entry.dirty {
            subscriber.dirty.retain(|other| *other != at);
            if subscriber.dirty.is_empty() {
                subscriber.signal.clear();
            }
        }
        let watcher = Watcher {
            subscriber: number,
            entry: at,
        };
        self.detach(watcher, entry.id, entry.need, limits);
    }

    fn detach(&mut self, watcher: Watcher, id: KeyId, need: usize, limits: &Limits) {
        let slot = &mut self.slots[id.index()];
        slot.detach(watcher, need);
        if slot.list_if_too_deep(limits.depth_default) {
            self.too_deep.push(id);
        }
    }

    /// Copies out what a subscriber has not seen, or all it watches, with the number of each
    /// entry; then it has seen it. `None` if there is nothing unseen to copy.
    pub(crate) fn poll(&mut self, number: u32, scope: Scope) -> Option<Vec<(u32, View<V>)>> {
        let Self {
            slots,
            subscribers,
            commit_seq,
            ..
        } = self;
        let subscriber = present(subscribers, number);
        let view = |at: u32| {
            let entry = subscriber.entries[at as usize].as_ref()?;
            Some((at, slots[entry.id.index()].view(entry, *commit_seq)))
        };
        // Copying comes first: if a value's `Clone` panics, nothing counts as seen.
        let views: Vec<_> = match scope {
            Scope::Changed if subscriber.dirty.is_empty() => return None,
            Scope::Changed => subscriber.dirty.iter().filter_map(|at| view(*at)).collect(),
            Scope::All => (0..as_number(subscriber.entries.len()))
                .filter_map(view)
                .collect(),
        };
        subscriber.signal.clear();
        for at in subscriber.dirty.drain(..) {
            let Some(entry) = &mut subscriber.entries[at as usize] else {
                continue;
            };
            let slot = &mut slots[entry.id.index()];
            entry.dirty = false;
            entry.cursor = Cursor::from_number(slot.history.appended());
            if let Some(watched) = &mut slot.watched {
                watched.all_dirty = false;
            }
        }
        Some(views)
    }

    /// Copies out what a requirement names, without a cursor.
    pub(crate) fn read(&self, id: KeyId, requirement: Requirement, depth: usize) -> View<V> {
        let history = &self.slots[id.index()].history;
        let cursor = match requirement {
            Requirement::Since { .. } => Cursor::START,
            _ => Cursor::from_number(history.appended()),
        };
        let window = select(history, requirement, cursor).last(depth);
        view_of(
            id,
            self.commit_seq,
            window,
            Cursor::before(window.range().start),
        )
    }

    /// The newest value of every key that holds one.
    pub(crate) fn newest(&self) -> Vec<(KeyId, V)> {
        let mut id = KeyId::FIRST;
        let mut newest = Vec::with_capacity(self.counts.values);
        for slot in &self.slots {
            if let Some(entry) = slot.history.latest() {
                newest.push((id, entry.value.clone()));
            }
            id = id.next();
        }
        newest
    }

    /// Shrinks what has been too deep for the grace period. Takes up what is not needed there.
    pub(crate) fn maintain(
        &mut self,
        now: Instant,
        limits: &Limits,
    ) -> (Maintained, Vec<Displaced<V>>) {
        let mut maintained = Maintained::default();
        let mut displaced = Vec::new();
        let slots = &mut self.slots;
        self.too_deep.retain(|id| {
            let slot = &mut slots[id.index()];
            match slot.judge(limits.depth_default, limits.shrink_after, now) {
                Verdict::Wait => return true,
                Verdict::Keep => {}
                Verdict::Shrink(depth) => {
                    let values = slot.history.shrink(depth);
                    maintained.histories += 1;
                    maintained.displaced += values.len() as u64;
                    displaced.push(values);
                }
            }
            slot.unlist();
            false
        });
        self.counts.displaced += maintained.displaced;
        (maintained, displaced)
    }
}

impl<V: Clone> Slot<V> {
    fn view(&self, entry: &Entry, commit_seq: CommitSeq) -> View<V> {
        let window = select(&self.history, entry.requirement, entry.cursor);
        let window = match entry.requirement {
            // A history that others keep deeper only spares this reader a gap.
            Requirement::Since { .. } => window,
            Requirement::Count(count) => window.last(count.min(entry.need)),
            _ => window.last(entry.need),
        };
        view_of(entry.id, commit_seq, window, entry.cursor)
    }
}

fn select<V>(
    history: &History<V>,
    requirement: Requirement,
    cursor: Cursor,
) -> buffer_core::Window<'_, V> {
    match requirement {
        Requirement::Latest => history.window(1),
        Requirement::Count(count) => history.window(count),
        Requirement::All { count_max, .. } => history.window(count_max),
        Requirement::Since { .. } => history.since(cursor).window,
        Requirement::Span { span, .. } => {
            history.within(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
        }
    }
}

/// Tells every watcher of a key that it changed, and collects whom to wake.
fn tell(watched: &mut Watched, subscribers: &mut [Option<Subscriber>], wakes: &mut Wakes) {
    for watcher in &watched.watchers {
        let subscriber = present(subscribers, watcher.subscriber);
        let Some(entry) = &mut subscriber.entries[watcher.entry as usize] else {
            continue;
        };
        if !entry.dirty {
            entry.dirty = true;
            subscriber.dirty.push(watcher.entry);
            if subscriber.signal.mark() {
                wakes.push(Arc::clone(&subscriber.signal));
            }
        }
    }
    watched.all_dirty = true;
}

fn present(subscribers: &mut [Option<Subscriber>], number: u32) -> &mut Subscriber {
    subscribers[number as usize]
        .as_mut()
        .expect("a subscriber is present until it leaves")
}

fn as_number(index: usize) -> u32 {
    u32::try_from(index).expect("keys and subscribers are capped by the range of u32")
}

fn view_of<V: Clone>(
    id: KeyId,
    commit_seq: CommitSeq,
    window: buffer_core::Window<'_, V>,
    cursor: Cursor,
) -> View<V> {
    let range = window.range();
    let missed = Cursor::before(range.start)
        .number()
        .saturating_sub(cursor.number());
    View {
        id,
        commit_seq,
        appended: range.end.number() - 1,
        fresh: window.len(),
        missed,
        generation: buffer_core::Generation::default(),
        generation_start: buffer_core::KeySeq::FIRST,
        series: crate::Series::own(window.times().to_vec(), window.values().to_vec()),
    }
}
