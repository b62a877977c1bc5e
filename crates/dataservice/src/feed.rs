//! Every update of many keys, exactly once, in the order of commits.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::after::After;
use crate::log::{Chunk, Cleared, Update};
use crate::shared::Handle;
use crate::signal::Signal;
use crate::state::{FeedAsk, FeedPolled};
use crate::subscriber::KeySet;
use crate::{Backpressure, Closed, CommitSeq, FeedStats, KeyId, Pace, Sample, SubscribeError};

/// What a [`Feed`] is to be.
#[derive(Debug, Clone)]
#[must_use = "a spec does nothing before `feed`"]
pub struct FeedSpec {
    keys: Option<Vec<KeyId>>,
    updates_max: usize,
    backpressure: Backpressure,
    min_interval: Duration,
}

impl FeedSpec {
    /// All keys, and those that will be registered.
    pub fn all() -> Self {
        Self {
            keys: None,
            updates_max: 65_536,
            backpressure: Backpressure::default(),
            min_interval: Duration::ZERO,
        }
    }

    /// These keys; others can be [added](Feed::add) later.
    pub fn keys(ids: impl IntoIterator<Item = KeyId>) -> Self {
        Self {
            keys: Some(ids.into_iter().collect()),
            ..Self::all()
        }
    }

    /// How many updates, over all keys of the service, may wait between two polls, at least 1. What
    /// is more is counted as missed, oldest first. Default 65,536.
    pub fn updates_max(mut self, updates: usize) -> Self {
        self.updates_max = updates.max(1);
        self
    }

    /// Sets what happens when it does not poll often enough. A feed reads what the log holds:
    /// [`Backpressure::Conflate`] and [`Backpressure::DropOldest`] are the same for it.
    pub fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Sets how long after a poll the next one is due, for what waits and then polls. Default 0.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }
}

/// Every update of all keys, or of some, exactly once, in the order of commits.
///
/// All feeds read one log, each with a cursor of its own, and share its chunks: neither a commit
/// nor a poll costs more for a million keys than for one. For a few of many keys, a
/// [`Subscription`](crate::Subscription) with [`SinceLast`](crate::SinceLast) is the better choice:
/// its keys' own histories wait for it, however busy other keys are.
///
/// ```
/// use dataservice::{DataService, FeedSpec};
///
/// let service: DataService<&str, i64> = DataService::new();
/// let (left, right) = (service.register("left")?, service.register("right")?);
/// let mut feed = service.feed(FeedSpec::all())?;
/// service.put(right, 1, 20)?;
/// service.put(left, 2, 30)?;
/// service.put(right, 3, 40)?;
///
/// let batch = feed.poll().expect("there were commits");
/// let seen: Vec<_> = batch.iter().map(|update| (update.id, update.value)).collect();
/// assert_eq!(seen, [(right, 20), (left, 30), (right, 40)]);
/// assert_eq!(batch.iter().last().unwrap().seq.number(), 2);
/// assert!(feed.poll().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Feed<V: Clone> {
    shared: Handle<V>,
    signal: Arc<Signal>,
    number: u32,
    set: Option<Arc<KeySet>>,
    min_interval: Duration,
    pub(crate) pace: Pace,
    commit_seq: CommitSeq,
    stats: FeedStats,
}

/// What a feed's poll returns: the updates of whole commits, in their order. It shares them with
/// other feeds.
pub struct FeedBatch<V> {
    chunks: Vec<Arc<Chunk<V>>>,
    set: Option<Arc<KeySet>>,
    position: u64,
    after: CommitSeq,
    commit_seq: CommitSeq,
    len: usize,
    missed: u64,
    /// By commits that are not in the chunks any more.
    cleared: Vec<Cleared>,
    reset: Option<Newest<V>>,
}

/// The newest value of every key of a feed that holds one, as of one commit.
pub type Newest<V> = Vec<(KeyId, Sample<V>)>;

/// The state of a feed's keys, the feed from there on, and whether it was resumed.
pub(crate) type Begun<V> = (Newest<V>, Feed<V>, bool);

impl<V: Clone> Feed<V> {
    /// A feed that begins now, with the newest values of its keys if they are wanted, or just after
    /// a commit; whether it does the latter.
    pub(crate) fn new(
        shared: Handle<V>,
        spec: FeedSpec,
        from: Option<CommitSeq>,
        wants_state: bool,
    ) -> Result<Begun<V>, SubscribeError> {
        let mut set = KeySet::default();
        for id in spec.keys.iter().flatten() {
            shared
                .check(*id)
                .map_err(|keys| SubscribeError::UnknownKey { id: *id, keys })?;
            set.insert(*id);
        }
        let set = spec.keys.is_some().then(|| Arc::new(set));
        let mut keys = spec.keys;
        if let Some(keys) = &mut keys {
            keys.sort_unstable();
            keys.dedup();
        }
        let signal = Arc::new(Signal::default());
        let limit = shared.settings.limits.subscribers_max;
        let mut state = shared.state.lock();
        if state.readers_len() >= limit {
            return Err(SubscribeError::SubscriberLimit { limit });
        }
        let ask = FeedAsk {
            keys,
            updates_max: spec.updates_max,
            backpressure: spec.backpressure,
        };
        let mut values = if wants_state {
            state.newest()
        } else {
            Vec::new()
        };
        let (number, is_resumed) = state.add_feed(Arc::clone(&signal), ask, from);
        let commit_seq = match from {
            Some(from) if is_resumed => from,
            _ => state.commit_seq,
        };
        drop(state);
        if let Some(set) = &set {
            values.retain(|(id, _)| set.contains(*id));
        }
        let feed = Self {
            shared,
            signal,
            number,
            set,
            min_interval: spec.min_interval,
            pace: Pace::default(),
            commit_seq,
            stats: FeedStats::default(),
        };
        Ok((values, feed, is_resumed))
    }

    /// Adds a key to a feed of some keys, from now on and with what waits already; whether it was
    /// not in before. A feed of all keys has it.
    ///
    /// # Errors
    /// When the id is unknown.
    pub fn add(&mut self, id: KeyId) -> Result<bool, SubscribeError> {
        self.shared
            .check(id)
            .map_err(|keys| SubscribeError::UnknownKey { id, keys })?;
        let Some(set) = &mut self.set else {
            return Ok(false);
        };
        let is_new = self.shared.state.lock().add_to_feed(self.number, id);
        Arc::make_mut(set).insert(id);
        Ok(is_new)
    }

    /// What was committed since the last poll, or `None`.
    pub fn poll(&mut self) -> Option<FeedBatch<V>> {
        if !self.signal.is_pending() {
            return None;
        }
        let mut after = After::new();
        let mut state = self.shared.state.lock_modestly();
        let polled = state.poll_feed(self.number, &mut after);
        self.shared.polled(state);
        self.shared.finish(after);
        let FeedPolled {
            chunks,
            position,
            after,
            commit_seq,
            missed,
            cleared,
            reset,
        } = polled?;
        let mut batch = FeedBatch {
            chunks,
            set: self.set.clone(),
            position,
            after,
            commit_seq,
            len: 0,
            missed,
            cleared,
            reset,
        };
        batch.len = match &batch.set {
            None => batch.slices().map(<[_]>::len).sum(),
            Some(_) => batch.iter().count(),
        };
        self.commit_seq = commit_seq;
        self.stats.polls += 1;
        self.stats.delivered += batch.len as u64;
        self.stats.missed += missed;
        let is_worth_showing =
            batch.len > 0 || missed > 0 || batch.is_reset() || batch.cleared().next().is_some();
        is_worth_showing.then_some(batch)
    }

    /// Waits until there was a commit; `false` if there was none in this time.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.signal.wait(timeout)
    }

    /// Ready while there is something to poll, or perhaps, in a feed of some keys, only updates of
    /// others. Otherwise the task is woken once there is.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.signal.is_pending() || self.signal.register(context.waker().clone()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Has this waker called once when there is something to poll; see
    /// [`Subscription::set_waker`](crate::Subscription::set_waker).
    pub fn set_waker(&self, waker: Waker) {
        if self.signal.register(waker) {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }

    /// Stops being woken, and keeps no updates in the log, until it is [unpaused](Self::unpause).
    /// What the log drops meanwhile is counted as missed.
    pub fn pause(&mut self) {
        let mut after = After::new();
        let mut state = self.shared.state.lock();
        state.pause_feed(self.number, &mut after);
        self.shared.polled(state);
        self.shared.finish(after);
    }

    /// Goes on after a pause.
    pub fn unpause(&mut self) {
        let is_pending = self.shared.state.lock().unpause_feed(self.number);
        if is_pending {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }

    /// Why it was closed, if it was: then nothing comes any more.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.state.lock().feed_closed(self.number)
    }

    /// How long after a poll the next one is due, as its spec said.
    #[must_use]
    pub fn min_interval(&self) -> Duration {
        self.min_interval
    }

    /// The last commit that was seen: with the service's
    /// [`instance`](crate::DataService::instance) the point where it can be resumed.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// What became of the updates of its keys. It counts what waits, in linear time.
    #[must_use]
    pub fn stats(&self) -> FeedStats {
        let there = self.shared.state.lock().feed_stats(self.number);
        FeedStats {
            committed: there.committed,
            pending: there.pending,
            missed: self.stats.missed + there.missed,
            ..self.stats
        }
    }
}

impl<V> FeedBatch<V> {
    /// The last commit that is part of it, or of what was missed.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// How many updates of its keys were committed before these and are lost.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether it does not continue what was shown before: then [`state`](Self::state) is where to
    /// begin.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.reset.is_some()
    }

    /// The newest value of every key, after a reset.
    #[must_use]
    pub fn state(&self) -> &[(KeyId, Sample<V>)] {
        self.reset.as_deref().unwrap_or_default()
    }

    /// How many updates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none: something was missed, or keys were cleared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The updates, in the order of commits.
    pub fn iter(&self) -> impl Iterator<Item = &Update<V>> {
        let set = self.set.as_deref();
        let all = self.raw().flatten();
        all.filter(move |update| set.is_none_or(|set| set.contains(update.id)))
    }

    /// The updates in a few long runs, the quickest way through them. For a feed of some keys they
    /// hold those of other keys too.
    pub fn slices(&self) -> impl Iterator<Item = &[Update<V>]> {
        self.raw()
    }

    /// The keys that were cleared by these commits, in their order, each with the last of its
    /// updates that it lost.
    pub fn cleared(&self) -> impl Iterator<Item = Cleared> {
        let set = self.set.as_deref();
        let chunks = self.chunks.iter();
        let all = chunks.flat_map(move |chunk| chunk.cleared_after(self.after));
        self.cleared
            .iter()
            .copied()
            .chain(all)
            .filter(move |it| set.is_none_or(|set| set.contains(it.id)))
    }

    fn raw(&self) -> impl Iterator<Item = &[Update<V>]> {
        self.chunks.iter().map(|chunk| chunk.from(self.position))
    }
}

impl<V: Clone> Drop for Feed<V> {
    fn drop(&mut self) {
        let mut after = After::new();
        let mut state = self.shared.state.lock();
        state.remove_feed(self.number, &mut after);
        self.shared.room_made(state);
        self.shared.finish(after);
    }
}

impl<V: Clone> fmt::Debug for Feed<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Feed")
            .field("commit_seq", &self.commit_seq)
            .field("pending", &self.signal.is_pending())
            .finish_non_exhaustive()
    }
}

impl<V: fmt::Debug> fmt::Debug for FeedBatch<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FeedBatch")
            .field("commit_seq", &self.commit_seq)
            .field("missed", &self.missed)
            .field("updates", &self.iter().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
