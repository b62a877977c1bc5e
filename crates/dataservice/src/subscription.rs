//! A subscriber: woken when its keys change, and pulling when it likes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::after::After;
use crate::past::Past;
use crate::shared::Handle;
use crate::signal::Signal;
use crate::spec::{BoxedExtractor, boxed};
use crate::state::{Polled, Scope, Start};
use crate::{
    Backpressure, Closed, CommitSeq, Extract, Extractor, Grant, KeyId, KeyUpdate, Pace,
    Requirement, Snapshot, Spec, SubscribeError, SubscriptionStats, View,
};

/// A set of keys with an extractor each, and a cursor per key.
///
/// A commit that touches its keys wakes it, at most once until it polls; the wake carries no data,
/// so that a slow subscriber costs no memory and skips what it does not need. Dropping it
/// unsubscribes. It keeps the service's values alive, not its writers.
///
/// One owner polls. To wait for changes there is [`wait`](Self::wait) for threads,
/// [`poll_changed`](Self::poll_changed) for futures and [`set_waker`](Self::set_waker) for
/// everything else.
pub struct Subscription<V: Clone, O = Extract<V>> {
    shared: Handle<V>,
    signal: Arc<Signal>,
    number: u32,
    entries: HashMap<KeyId, Entry>,
    /// By the number of the entry.
    extractors: Vec<Option<BoxedExtractor<V, O>>>,
    min_interval: Duration,
    pub(crate) pace: Pace,
    /// The last commit that was polled.
    commit_seq: CommitSeq,
    stats: SubscriptionStats,
    /// The first poll has to say that it does not continue what was shown before.
    begins_anew: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u32,
    requirement: Requirement,
}

/// A key that is about to be watched, with everything that somebody else's code had to say.
struct Ask<V, O> {
    id: KeyId,
    extractor: BoxedExtractor<V, O>,
    requirement: Requirement,
}

impl<V: Clone, O> Subscription<V, O> {
    /// A subscription that begins now, or just after a commit; whether it does the latter.
    pub(crate) fn new(
        shared: Handle<V>,
        spec: Spec<V, O>,
        from: Option<CommitSeq>,
    ) -> Result<(Self, bool), SubscribeError> {
        let asks = spec
            .keys
            .into_iter()
            .map(|(id, extractor)| ask(&shared, id, extractor))
            .collect::<Result<Vec<_>, _>>()?;
        let signal = Arc::new(Signal::default());
        let number = enter(&shared, &signal, spec.backpressure)?;
        let mut subscription = Self {
            shared,
            signal,
            number,
            entries: HashMap::with_capacity(asks.len()),
            extractors: Vec::new(),
            min_interval: spec.min_interval,
            pace: Pace::default(),
            commit_seq: CommitSeq::START,
            stats: SubscriptionStats::default(),
            begins_anew: false,
        };
        let is_resumed = subscription.watch(asks, from);
        subscription.begins_anew = from.is_some() && !is_resumed;
        if let (Some(from), true) = (from, is_resumed) {
            subscription.commit_seq = from;
        }
        Ok((subscription, is_resumed))
    }

    /// Adds a key, whose first poll shows what it holds now. For a key that is already part of the
    /// subscription the extractor is replaced, and the cursor stays: nothing is seen twice.
    ///
    /// # Errors
    /// When the id is unknown, or the subscription was closed.
    pub fn add<E>(&mut self, id: KeyId, extractor: E) -> Result<Grant, SubscribeError>
    where
        O: 'static,
        E: Extractor<V, Output: Into<O>> + 'static,
    {
        let ask = ask(&self.shared, id, boxed(extractor))?;
        if let Some(closed) = self.closed() {
            return Err(SubscribeError::Closed(closed));
        }
        self.watch(vec![ask], None);
        // A neighbour's call may have closed it since.
        let closed = SubscribeError::Closed(Closed::Overrun);
        self.granted(id).ok_or(closed)
    }

    /// Takes a key out; whether it was in. Its history keeps its depth for a while, so that a
    /// subscription can be edited without losing it. What it had not polled of the key is no more
    /// counted as committed to it.
    pub fn remove(&mut self, id: KeyId) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        let settings = &self.shared.settings;
        let mut state = self.shared.state.lock();
        let settled = state.unwatch(self.number, entry.at, settings);
        self.shared.polled(state);
        self.stats.committed += settled;
        self.extractors[entry.at as usize] = None;
        true
    }

    /// The keys, in no particular order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = KeyId> {
        self.entries.keys().copied()
    }

    /// How deep the history of a key is kept for this subscriber now; `None` for a key that is not
    /// its own, or once it is closed. A lock and a look-up.
    #[must_use]
    pub fn granted(&self, id: KeyId) -> Option<Grant> {
        let entry = self.entries.get(&id)?;
        let state = self.shared.state.lock();
        let (id, need) = state.need_of(self.number, entry.at)?;
        let depth = state.granted(id, need);
        let limits = &self.shared.settings.limits;
        Some(entry.requirement.grant(limits, size_of::<V>(), depth))
    }

    /// The keys that changed since the last poll, or `None`. The first poll shows everything there
    /// is. Each key is shown once, however often it changed, as its extractor sees it; keys of
    /// which the extractor holds everything back are not shown.
    pub fn poll(&mut self) -> Option<Snapshot<O>> {
        if !self.signal.is_pending() {
            return None;
        }
        let scope = if self.begins_anew {
            Scope::All
        } else {
            Scope::Changed
        };
        let snapshot = self.pull(scope)?;
        let is_worth_showing =
            !snapshot.updates.is_empty() || !snapshot.revised.is_empty() || snapshot.is_reset;
        is_worth_showing.then_some(snapshot)
    }

    /// All keys, changed or not, as of now; none once it is closed. It is a poll: what it shows is
    /// seen, and the next poll continues from its commit without a gap and without a repetition.
    pub fn snapshot(&mut self) -> Snapshot<O> {
        let snapshot = self.pull(Scope::All);
        snapshot.unwrap_or(Snapshot {
            commit_seq: self.commit_seq,
            is_reset: false,
            revised: Vec::new(),
            updates: Vec::new(),
        })
    }

    /// Waits until a key changed; `false` if none did in this time. Returns at once while there is
    /// something to poll.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.signal.wait(timeout)
    }

    /// Ready while there is something to poll. Otherwise the task is woken once there is; only the
    /// last waker given is.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.signal.is_pending() || self.signal.register(context.waker().clone()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Has this waker called once when there is something to poll, at once if there already is.
    /// It takes the place of an earlier one. It is called in the thread that commits, after
    /// unlocking, and may do anything but take long; if it panics, that is counted in
    /// [`Stats::wakes_panicked`](crate::Stats::wakes_panicked).
    pub fn set_waker(&self, waker: Waker) {
        if self.signal.register(waker) {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }

    /// Stops being woken, and costs commits nothing, until it is [unpaused](Self::unpause): for a
    /// view that nobody sees. Its histories stay as deep as they are, its cursors where they are.
    pub fn pause(&mut self) {
        let mut state = self.shared.state.lock();
        state.pause(self.number);
        self.shared.polled(state);
    }

    /// Goes on after a pause. What changed meanwhile is there to poll at once.
    pub fn unpause(&mut self) {
        let is_pending = self.shared.state.lock().unpause(self.number);
        if is_pending {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }

    /// Why it was closed, if it was: then nothing comes any more.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.state.lock().closed(self.number)
    }

    /// How long after a poll the next one is due, as its spec said.
    #[must_use]
    pub fn min_interval(&self) -> Duration {
        self.min_interval
    }

    /// The last commit that its last poll contained: with the service's
    /// [`instance`](crate::DataService::instance) the point where it can be resumed.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// What became of the updates of its keys. Linear in the number of keys.
    #[must_use]
    pub fn stats(&self) -> SubscriptionStats {
        let state = self.shared.state.lock();
        let settled = state.settled(self.number);
        let mut stats = self.stats;
        stats.committed += settled.committed;
        if state.closed(self.number).is_some() {
            stats.missed += settled.pending;
        } else {
            stats.pending = settled.pending;
        }
        stats
    }

    fn pull(&mut self, scope: Scope) -> Option<Snapshot<O>> {
        let mut after = After::new();
        let mut state = self.shared.state.lock();
        let settings = &self.shared.settings;
        let polled = state.poll(self.number, scope, settings, &mut after);
        self.shared.polled(state);
        self.shared.finish(after);
        let Polled {
            commit_seq,
            is_reset,
            revised,
            views,
        } = polled?;
        self.commit_seq = commit_seq;
        self.stats.polls += 1;
        // An extractor that panics has lost what it was given, and those after it too.
        let lost = |view: &View<V>| view.missed() + view.fresh() as u64;
        self.stats.missed += views.iter().map(|(_, view)| lost(view)).sum::<u64>();
        let mut updates = Vec::with_capacity(views.len());
        for (at, view) in views {
            let Some(Some(extractor)) = self.extractors.get_mut(at as usize) else {
                continue;
            };
            let fresh = view.fresh() as u64;
            let (id, range, missed) = (view.id(), view.range(), view.missed());
            let is_cleared = view.is_cleared() && view.appended > 0;
            // Of a window of no values only the fact that the key changed is shown.
            let is_told = view.is_empty() && missed > 0;
            let extracted = extractor.extract(view);
            let filtered = extracted.filtered().min(fresh);
            self.stats.missed -= fresh;
            self.stats.filtered += filtered;
            self.stats.delivered += fresh - filtered;
            let extract = extracted.into_output();
            if extract.is_some() || is_cleared || is_told {
                updates.push(KeyUpdate {
                    id,
                    range,
                    missed,
                    filtered,
                    is_cleared,
                    extract,
                });
            }
        }
        Some(Snapshot {
            commit_seq,
            is_reset: is_reset | std::mem::take(&mut self.begins_anew),
            revised,
            updates,
        })
    }

    /// Watches all of these as of one commit: now, or just after `from`. Whether it is the latter.
    fn watch(&mut self, asks: Vec<Ask<V, O>>, from: Option<CommitSeq>) -> bool {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.settings;
        let mut past = from.and_then(|from| Past::after(&shared, from));
        let mut replaced = Vec::new();
        let mut after = After::new();
        let mut state = shared.state.lock();
        // Only what came since needs to be counted under this lock.
        let is_resumed = past.as_mut().is_some_and(|past| past.complete(&mut state));
        let since = past.as_ref().filter(|_| is_resumed);
        for ask in asks {
            let Ask {
                id,
                extractor,
                requirement,
            } = ask;
            let bytes_free = state.bytes_free();
            let need = requirement.need(&settings.limits, size_of::<V>(), bytes_free);
            let at = match self.entries.get(&id) {
                Some(Entry { at, .. }) => {
                    let at = *at;
                    state.rewatch(self.number, at, (requirement, need), settings);
                    at
                }
                None => {
                    let from = since.map_or(Start::Now, |past| past.of(id));
                    state.watch(self.number, id, (requirement, need), from, settings)
                }
            };
            self.entries.insert(id, Entry { at, requirement });
            if self.extractors.len() <= at as usize {
                self.extractors.resize_with(at as usize + 1, || None);
            }
            replaced.push(self.extractors[at as usize].replace(extractor));
        }
        state.keep_to_limit(&mut after);
        // Unlocked before extractors that were replaced are dropped.
        drop(state);
        shared.finish(after);
        let waiting = self.signal.is_pending();
        drop((replaced, past));
        if waiting {
            shared.wake(std::slice::from_ref(&self.signal));
        }
        is_resumed
    }
}

fn enter<V: Clone>(
    shared: &Handle<V>,
    signal: &Arc<Signal>,
    backpressure: Backpressure,
) -> Result<u32, SubscribeError> {
    let mut state = shared.state.lock();
    let limit = shared.settings.limits.subscribers_max;
    if state.readers_len() >= limit {
        return Err(SubscribeError::SubscriberLimit { limit });
    }
    Ok(state.enter(Arc::clone(signal), backpressure))
}

fn ask<V: Clone, O>(
    shared: &Handle<V>,
    id: KeyId,
    extractor: BoxedExtractor<V, O>,
) -> Result<Ask<V, O>, SubscribeError> {
    shared
        .check(id)
        .map_err(|keys| SubscribeError::UnknownKey { id, keys })?;
    let requirement = extractor.requirement();
    Ok(Ask {
        id,
        extractor,
        requirement,
    })
}

impl<V: Clone, O> Drop for Subscription<V, O> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.leave(self.number, &self.shared.settings);
        self.shared.room_made(state);
    }
}

impl<V: Clone, O> fmt::Debug for Subscription<V, O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subscription")
            .field("keys", &self.entries.len())
            .field("pending", &self.signal.is_pending())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{DataService, KeyId, Spec, WindowByCount};

    #[test]
    fn whoever_subscribes_makes_histories_grow_within_the_memory() {
        for depth in [2, 10, 300, 100_000] {
            let builder = DataService::builder().memory_max(100_000);
            let service: DataService<u32, i64> = builder.build().expect("the setting can work");
            for key in 0..400 {
                let put = service.insert(key, 1, 1);
                put.expect("there is memory for the newest values");
            }
            let subscriptions = (0..400).map(|number| {
                let id = KeyId::from_number(number);
                let spec = Spec::new().key(id, WindowByCount::new(depth));
                let subscription = service.subscribe(spec).expect("there is the key");
                {
                    let state = subscription.shared.state.lock();
                    let (bytes, limit) = (state.bytes(), state.memory.limit);
                    assert!(bytes <= limit, "{bytes} bytes of {limit}, depth {depth}");
                }
                subscription
            });
            assert_eq!(subscriptions.collect::<Vec<_>>().len(), 400);
        }
    }
}
