//! Feeds, and what each of their batches has to hold.

use std::collections::BTreeMap;
use std::time::Duration;

use dataservice::{Backpressure, CommitSeq, Feed, FeedSpec, ResumePoint, Resumed};
use proptest::prelude::*;

use crate::actions::Action;
use crate::values::Value;
use crate::world::{Checked, Committed, World, time_us};

pub(crate) struct Follower<V: Value> {
    feed: Feed<V>,
    /// Its keys, with the place in the log from which on they count; all keys if `None`.
    keys: Option<BTreeMap<usize, usize>>,
    /// The place in the log up to which it has read, and the commit.
    cursor: usize,
    commit: u64,
    start: usize,
    updates_max: usize,
    backpressure: Backpressure,
    is_paused: bool,
    /// It may miss something though not too much waits.
    was_paused: bool,
    /// What was committed to it until it was closed.
    closed: Option<u64>,
    delivered: u64,
}

impl<V: Value> Follower<V> {
    pub(crate) fn is_pending(&self) -> bool {
        self.feed.wait(Duration::ZERO)
    }

    fn contains(&self, place: usize, update: &Committed) -> bool {
        match &self.keys {
            None => place >= self.start,
            Some(keys) => keys.get(&update.key).is_some_and(|from| place >= *from),
        }
    }

    fn committed(&self, log: &[Committed]) -> u64 {
        let all = log.iter().enumerate();
        all.filter(|(place, it)| self.contains(*place, it)).count() as u64
    }
}

impl<V: Value> World<V> {
    pub(crate) fn step_follower(&mut self, action: &Action) -> Checked {
        let pick = |at: &usize| (!self.followers.is_empty()).then(|| at % self.followers.len());
        match action {
            Action::Feed(keys, updates_max, backpressure) => {
                self.follow(keys.as_deref(), *updates_max, *backpressure, None)
            }
            Action::ResumeFeed(keys, back) => {
                let from = self.commits.saturating_sub(*back as u64);
                self.follow(keys.as_deref(), 1_000, Backpressure::Conflate, Some(from))
            }
            Action::AddToFeed(at, key) => pick(at).map_or(Ok(()), |at| self.follow_too(at, *key)),
            Action::PollFeed(at) => pick(at).map_or(Ok(()), |at| self.poll_feed(at)),
            Action::PauseFeed(at) => {
                if let Some(at) = pick(at) {
                    let follower = &mut self.followers[at];
                    follower.feed.pause();
                    (follower.is_paused, follower.was_paused) = (true, true);
                }
                Ok(())
            }
            Action::UnpauseFeed(at) => {
                if let Some(at) = pick(at) {
                    self.followers[at].feed.unpause();
                    self.followers[at].is_paused = false;
                }
                Ok(())
            }
            Action::DropFeed(at) => {
                if let Some(at) = pick(at) {
                    self.followers.remove(at);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn follow(
        &mut self,
        keys: Option<&[usize]>,
        updates_max: usize,
        backpressure: Backpressure,
        from: Option<u64>,
    ) -> Checked {
        let spec = match keys {
            None => FeedSpec::all(),
            Some(keys) => FeedSpec::keys(keys.iter().map(|key| self.keys[*key].id)),
        };
        let spec = spec.updates_max(updates_max).backpressure(backpressure);
        let resumed = match from {
            None => {
                let (state, feed) = self.service.feed_with_state(spec).unwrap();
                for (id, sample) in &state {
                    let newest = self.newest(id.number() as usize).map(V::of);
                    prop_assert_eq!(Some(&sample.value), newest.as_ref());
                }
                Resumed::Reset(feed)
            }
            Some(from) => {
                let point = ResumePoint {
                    instance: self.service.instance(),
                    commit_seq: CommitSeq::from_number(from),
                };
                self.service.resume_feed(spec, point).unwrap()
            }
        };
        let is_continued = resumed.is_continued();
        let (mut cursor, mut commit) = (self.log.len(), self.commits);
        if let Some(from) = from {
            let first = self.log.partition_point(|it| it.commit <= from);
            let is_kept = (1..=self.setup.resume_updates).contains(&(cursor - first));
            prop_assert!(is_continued || !is_kept || self.is_short());
            if is_continued {
                (cursor, commit) = (first, from);
            }
        }
        self.followers.push(Follower {
            feed: resumed.into_inner(),
            keys: keys.map(|keys| keys.iter().map(|key| (*key, cursor)).collect()),
            cursor,
            commit,
            start: cursor,
            updates_max,
            backpressure,
            is_paused: false,
            was_paused: false,
            closed: None,
            delivered: 0,
        });
        Ok(())
    }

    fn follow_too(&mut self, at: usize, key: usize) -> Checked {
        let follower = &mut self.followers[at];
        let before = follower.feed.stats();
        let is_new = follower.feed.add(self.keys[key].id).unwrap();
        let Some(keys) = &mut follower.keys else {
            prop_assert!(!is_new);
            return Ok(());
        };
        if follower.closed.is_some() {
            return Ok(());
        }
        prop_assert_eq!(is_new, !keys.contains_key(&key));
        if is_new {
            // What waits counts, as far as the log still holds it.
            let places = (follower.cursor..self.log.len()).filter(|at| self.log[*at].key == key);
            let waiting: Vec<usize> = places.collect();
            let counted = (follower.feed.stats().committed - before.committed) as usize;
            prop_assert!(counted <= waiting.len());
            let from = waiting[waiting.len() - counted..].first();
            keys.insert(key, from.copied().unwrap_or(self.log.len()));
        }
        Ok(())
    }

    fn poll_feed(&mut self, at: usize) -> Checked {
        let follower = &mut self.followers[at];
        let is_pending = follower.is_pending();
        let batch = follower.feed.poll();
        if follower.closed.is_some() || follower.is_paused {
            prop_assert!(batch.is_none());
            return Ok(());
        }
        prop_assert_eq!(is_pending, follower.commit < self.commits);
        if !is_pending || follower.feed.closed().is_some() {
            prop_assert!(batch.is_none());
            return Ok(());
        }
        let places = follower.cursor..self.log.len();
        let waits = places.len();
        let places = places.filter(|place| follower.contains(*place, &self.log[*place]));
        let expected: Vec<Committed> = places.map(|place| self.log[place]).collect();
        let missed = batch.as_ref().map_or(0, dataservice::FeedBatch::missed);
        let may_miss =
            waits > follower.updates_max || follower.was_paused || self.setup.memory_max.is_some();
        prop_assert!(missed == 0 || may_miss, "{} of {}", missed, waits);
        let cleared = self.clears.iter().filter(|(commit, key)| {
            let is_own = follower
                .keys
                .as_ref()
                .is_none_or(|keys| keys.contains_key(key));
            *commit > follower.commit && is_own
        });
        let cleared: Vec<usize> = cleared.map(|(_, key)| *key).collect();
        if let Some(batch) = &batch {
            prop_assert_eq!(batch.commit_seq().number(), self.commits);
            if batch.is_reset() {
                prop_assert!(batch.is_empty() && missed == expected.len() as u64);
                for (id, sample) in batch.state() {
                    let newest = self.keys[id.number() as usize].all.last();
                    let newest = newest.map(|it| V::of(*it));
                    prop_assert_eq!(Some(&sample.value), newest.as_ref());
                }
            } else {
                let rest = &expected[missed as usize..];
                prop_assert_eq!(batch.len(), rest.len());
                for (update, expected) in batch.iter().zip(rest) {
                    prop_assert_eq!(update.id, self.keys[expected.key].id);
                    prop_assert_eq!(update.seq.number(), expected.nth);
                    prop_assert_eq!(update.time_us, time_us(expected.number));
                    prop_assert_eq!(&update.value, &V::of(expected.number));
                }
            }
        } else {
            prop_assert!(expected.is_empty() && (cleared.is_empty() || may_miss));
        }
        if !may_miss {
            let told = batch.iter().flat_map(dataservice::FeedBatch::cleared);
            let told: Vec<usize> = told.map(|it| it.id.number() as usize).collect();
            prop_assert_eq!(told, cleared);
        }
        let is_overrun = missed > 0 && follower.backpressure == Backpressure::Reset;
        prop_assert_eq!(
            batch.as_ref().is_some_and(dataservice::FeedBatch::is_reset),
            is_overrun
        );
        follower.delivered += batch.as_ref().map_or(0, |it| it.len() as u64);
        (follower.cursor, follower.commit) = (self.log.len(), self.commits);
        follower.was_paused = false;
        prop_assert!(follower.feed.poll().is_none(), "twice");
        Ok(())
    }

    pub(crate) fn check_followers(&mut self) -> Checked {
        for follower in &mut self.followers {
            let stats = follower.feed.stats();
            let sum = stats.delivered + stats.missed + stats.pending;
            prop_assert_eq!(sum, stats.committed);
            if follower.feed.closed().is_some() && follower.closed.is_none() {
                prop_assert_eq!(follower.backpressure, Backpressure::Disconnect);
                follower.closed = Some(follower.committed(&self.log));
                prop_assert_eq!(stats.pending, 0);
            }
            let committed = follower
                .closed
                .unwrap_or_else(|| follower.committed(&self.log));
            prop_assert_eq!(stats.committed, committed);
            prop_assert_eq!(stats.delivered, follower.delivered);
            if follower.closed.is_none() && !follower.is_paused {
                prop_assert_eq!(follower.is_pending(), follower.commit < self.commits);
            }
        }
        Ok(())
    }
}
