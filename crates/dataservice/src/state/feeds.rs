//! Readers of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::State;
use crate::after::After;
use crate::log::{Chunk, Cleared};
use crate::signal::Signal;
use crate::subscriber::{FeedState, KeySet};
use crate::{Backpressure, Closed, CommitSeq, FeedStats, KeyId, Sample};

/// What a feed is to be.
#[derive(Debug)]
pub(crate) struct FeedAsk {
    /// In ascending order, each once.
    pub(crate) keys: Option<Vec<KeyId>>,
    pub(crate) updates_max: usize,
    pub(crate) backpressure: Backpressure,
}

/// What a feed took out.
#[derive(Debug)]
pub(crate) struct FeedPolled<V> {
    pub(crate) chunks: Vec<Arc<Chunk<V>>>,
    /// The position of the first update that is new, and the last commit seen before.
    pub(crate) position: u64,
    pub(crate) after: CommitSeq,
    pub(crate) commit_seq: CommitSeq,
    pub(crate) missed: u64,
    /// Keys that were cleared by commits that the log dropped.
    pub(crate) cleared: Vec<Cleared>,
    /// The newest value of every key, if what was missed makes a new start necessary.
    pub(crate) reset: Option<Vec<(KeyId, Sample<V>)>>,
}

impl<V: Clone> State<V> {
    /// A feed from here on, or from just after an earlier commit that is still in the log.
    pub(crate) fn add_feed(
        &mut self,
        signal: Arc<Signal>,
        ask: FeedAsk,
        from: Option<CommitSeq>,
    ) -> (u32, bool) {
        if !self.is_logging() {
            self.log.begin(self.commit_seq);
        }
        let resumed = from.filter(|from| *from <= self.commit_seq);
        let position = resumed.and_then(|from| self.log.position_after(from));
        let (position, commit_seq) = match (position, resumed) {
            (Some(position), Some(from)) => (position, from),
            _ => (self.log.end(), self.commit_seq),
        };
        let is_resumed = resumed == Some(commit_seq);
        let mut feed = FeedState {
            signal,
            position,
            commit_seq,
            updates_max: ask.updates_max,
            backpressure: ask.backpressure,
            keys: ask.keys.as_ref().map(|_| Vec::new()),
            set: KeySet::default(),
            start: position,
            missed: 0,
            cleared: BTreeMap::new(),
            is_paused: false,
            is_stalled: false,
            closed: None,
            settled: FeedStats::default(),
        };
        for id in ask.keys.iter().flatten() {
            feed.set.insert(*id);
        }
        if let (Some(keys), Some(ids)) = (&mut feed.keys, ask.keys) {
            let appended = |id: KeyId| (id, self.slots.at(id.index()).appended());
            *keys = ids.into_iter().map(appended).collect();
            // What the log holds of a key from there on was committed to the feed.
            for chunk in self.log.all() {
                for update in chunk.from(position) {
                    if let Ok(at) = keys.binary_search_by_key(&update.id, |(id, _)| *id) {
                        keys[at].1 -= 1;
                    }
                }
            }
        }
        if commit_seq < self.commit_seq {
            feed.signal.mark();
        }
        self.blocking_feeds += usize::from(matches!(feed.backpressure, Backpressure::Block(_)));
        self.feeds_open += 1;
        (self.feeds.insert(feed), is_resumed)
    }

    pub(crate) fn add_to_feed(&mut self, number: u32, id: KeyId) -> bool {
        let appended = self.slots.at(id.index()).appended();
        let end = self.log.end();
        let feed = self.feeds.get_mut(number);
        let Some(feed) = feed.filter(|feed| feed.keys.is_some() && !feed.set.contains(id)) else {
            return false;
        };
        // What the log still holds of it would be shown too, and counts.
        let position = feed.position;
        let mut shown = 0;
        if position < end {
            let chunks = self.log.all().flat_map(|chunk| chunk.from(position));
            shown = chunks.filter(|update| update.id == id).count() as u64;
        }
        feed.add(id, appended - shown);
        true
    }

    pub(crate) fn remove_feed(&mut self, number: u32, after: &mut After<V>) {
        if let Some(feed) = self.feeds.remove(number)
            && feed.closed.is_none()
        {
            self.feed_left(feed.backpressure, after);
        }
    }

    /// Closes a feed: it reads nothing any more, and what waits is missed.
    fn close_feed(&mut self, number: u32, why: Closed, after: &mut After<V>) {
        let stats = self.feed_stats(number);
        let Some(feed) = self.feeds.get_mut(number) else {
            return;
        };
        feed.closed = Some(why);
        feed.settled = FeedStats {
            missed: stats.missed + stats.pending,
            pending: 0,
            ..stats
        };
        if feed.signal.mark() {
            after.wakes.push(Arc::clone(&feed.signal));
        }
        let backpressure = feed.backpressure;
        self.feed_left(backpressure, after);
    }

    fn feed_left(&mut self, backpressure: Backpressure, after: &mut After<V>) {
        self.feeds_open -= 1;
        let is_blocking = matches!(backpressure, Backpressure::Block(_));
        self.blocking_feeds -= usize::from(is_blocking);
        if !self.is_logging() {
            self.log.seal();
        }
        self.trim_log(after);
    }

    /// Keeps so many updates for those who resume from now on.
    pub(super) fn retain(&mut self, updates: usize, after: &mut After<V>) {
        let was_logging = self.is_logging();
        self.log.retain = updates;
        if !self.is_logging() {
            self.log.seal();
        } else if !was_logging {
            self.log.begin(self.commit_seq);
        }
        self.trim_log(after);
    }

    /// Closes feeds that are overrun and asked for that, also if they never poll.
    pub(super) fn disconnect_feeds(&mut self, after: &mut After<V>) {
        let is_overrun = |feed: &FeedState| {
            feed.missed > 0
                && feed.backpressure == Backpressure::Disconnect
                && feed.closed.is_none()
                && !feed.is_paused
        };
        let all = self.feeds.iter();
        let overrun: Vec<u32> = all
            .filter(|(_, it)| is_overrun(it))
            .map(|(n, _)| n)
            .collect();
        for number in overrun {
            self.close_feed(number, Closed::Overrun, after);
        }
    }

    pub(crate) fn poll_feed(&mut self, number: u32, after: &mut After<V>) -> Option<FeedPolled<V>> {
        self.seal_log(after);
        let feed = self.feeds.get_mut(number)?;
        if feed.is_paused {
            return None;
        }
        if feed.closed.is_some() {
            return None;
        }
        feed.signal.clear();
        if feed.commit_seq == self.commit_seq && feed.missed == 0 {
            return None;
        }
        let is_overrun = feed.missed > 0;
        if is_overrun && feed.backpressure == Backpressure::Disconnect {
            self.close_feed(number, Closed::Overrun, after);
            return None;
        }
        let is_reset = is_overrun && feed.backpressure == Backpressure::Reset;
        // Copying comes first: if a clone panics, nothing counts as seen.
        let newest = is_reset.then(|| self.newest());
        let feed = self.feeds.get_mut(number)?;
        let mut polled = FeedPolled {
            chunks: self.log.after(feed.position, feed.commit_seq),
            position: feed.position,
            after: feed.commit_seq,
            commit_seq: self.commit_seq,
            missed: std::mem::take(&mut feed.missed),
            cleared: std::mem::take(&mut feed.cleared).into_values().collect(),
            reset: None,
        };
        feed.position = self.log.end();
        feed.commit_seq = self.commit_seq;
        feed.is_stalled = false;
        if let Some(newest) = newest {
            let chunks = polled.chunks.drain(..);
            let skipped = chunks.map(|chunk| feed.count(chunk.from(polled.position)));
            polled.missed += skipped.sum::<u64>();
            let contained = newest.into_iter().filter(|(id, _)| feed.contains(*id));
            polled.reset = Some(contained.collect());
        }
        self.trim_log(after);
        Some(polled)
    }

    pub(crate) fn pause_feed(&mut self, number: u32, after: &mut After<V>) {
        if let Some(feed) = self.feeds.get_mut(number) {
            feed.is_paused = true;
            feed.signal.clear();
        }
        self.trim_log(after);
    }

    /// Whether there is something to poll.
    pub(crate) fn unpause_feed(&mut self, number: u32) -> bool {
        let commit_seq = self.commit_seq;
        let Some(feed) = self.feeds.get_mut(number) else {
            return false;
        };
        feed.is_paused = false;
        let is_pending = feed.commit_seq < commit_seq;
        if is_pending {
            feed.signal.mark();
        }
        is_pending
    }

    pub(crate) fn feed_closed(&self, number: u32) -> Option<Closed> {
        self.feeds.get(number)?.closed
    }

    /// What was committed to a feed, what it has not polled, and what is gone since its last poll;
    /// each counted where it lies.
    pub(crate) fn feed_stats(&self, number: u32) -> FeedStats {
        let Some(feed) = self.feeds.get(number) else {
            return FeedStats::default();
        };
        if feed.closed.is_some() {
            return feed.settled;
        }
        let committed = match &feed.keys {
            None => self.log.end() - feed.start,
            Some(keys) => keys
                .iter()
                .map(|(id, before)| self.slots.at(id.index()).appended() - before)
                .sum(),
        };
        let chunks = self.log.all();
        let pending = chunks.map(|chunk| feed.count(chunk.from(feed.position)));
        FeedStats {
            committed,
            missed: feed.missed,
            pending: pending.sum(),
            ..FeedStats::default()
        }
    }

    /// Drops what no feed and nobody who resumes needs. What a feed has not read of that counts as
    /// missed.
    pub(crate) fn trim_log(&mut self, after: &mut After<V>) {
        while self.log.oldest().is_some_and(|it| !self.is_needed(it)) {
            self.drop_chunk(after);
        }
    }

    /// Whether a chunk holds something that a feed has not seen, or that is kept for those who
    /// resume.
    fn is_needed(&self, chunk: &Chunk<V>) -> bool {
        let end = self.log.end();
        if chunk.end() > end.saturating_sub(self.log.retain as u64) {
            return true;
        }
        let mut feeds = self.feeds.iter();
        feeds.any(|(_, feed)| {
            let is_reading = !feed.is_paused && feed.closed.is_none();
            let is_allowed = chunk.end().saturating_add(feed.updates_max as u64) >= end;
            // There may be commits without updates, which only cleared keys.
            let is_unseen = chunk.end() > feed.position || chunk.last_commit() > feed.commit_seq;
            is_reading && is_unseen && is_allowed
        })
    }

    /// Ends the chunk that is being filled. From then on it counts as memory.
    pub(super) fn seal_log(&mut self, after: &mut After<V>) {
        self.log.seal();
        self.keep_to_limit(after);
    }

    /// Drops the oldest chunk of the log, whoever may need it.
    pub(super) fn drop_chunk(&mut self, after: &mut After<V>) {
        let Some(chunk) = self.log.pop() else { return };
        for (_, feed) in self.feeds.iter_mut() {
            if feed.closed.is_none() && feed.position < chunk.end() {
                feed.missed += feed.count(chunk.from(feed.position));
                feed.position = chunk.end();
            }
            if feed.closed.is_none() {
                // That a key was cleared is told all the same: once for each.
                for cleared in chunk.cleared_after(feed.commit_seq) {
                    if feed.contains(cleared.id) {
                        feed.cleared.insert(cleared.id, cleared);
                    }
                }
            }
        }
        after.chunk(chunk);
    }
}

impl FeedState {
    fn add(&mut self, id: KeyId, appended: u64) {
        if self.set.insert(id)
            && let Some(keys) = &mut self.keys
        {
            let at = keys.partition_point(|(other, _)| *other < id);
            keys.insert(at, (id, appended));
        }
    }

    fn count<V>(&self, updates: &[crate::Update<V>]) -> u64 {
        match self.keys {
            None => updates.len() as u64,
            Some(_) => updates.iter().filter(|it| self.set.contains(it.id)).count() as u64,
        }
    }
}
