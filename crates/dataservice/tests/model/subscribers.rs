//! Subscriptions, and what each of their polls has to show.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataservice::{
    Backpressure, CommitSeq, Extract, Extracted, Extractor, Requirement, ResumePoint, Resumed,
    Snapshot, Spec, SubscribeError, Subscription, View,
};
use proptest::prelude::*;

use crate::actions::{Action, Kind};
use crate::values::Value;
use crate::world::{Checked, World};

/// Shows what it is given, and panics while it is told to.
struct Shows {
    kind: Kind,
    is_armed: Arc<AtomicBool>,
}

impl<V: Clone> Extractor<V> for Shows {
    type Output = Extract<V>;

    fn requirement(&self) -> Requirement {
        self.kind.requirement()
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Extract<V>> {
        if matches!(self.kind, Kind::Panics(_)) && self.is_armed.load(Ordering::Relaxed) {
            resume_unwind(Box::new(()));
        }
        if view.is_empty() {
            Extracted::nothing()
        } else {
            Extracted::show(Extract::Series(view.into_series()))
        }
    }
}

struct Watch {
    kind: Kind,
    cursor: u64,
    start: u64,
    is_cleared: bool,
}

/// How far a subscriber has to be.
#[derive(Default)]
struct Account {
    /// Of keys that it no longer watches.
    gone: u64,
    delivered: u64,
    missed: u64,
}

pub(crate) struct Subscriber<V: Value> {
    subscription: Subscription<V>,
    watches: BTreeMap<usize, Watch>,
    backpressure: Backpressure,
    is_armed: Arc<AtomicBool>,
    is_paused: bool,
    is_closed: bool,
    begins_anew: bool,
    account: Account,
}

impl<V: Value> Subscriber<V> {
    pub(crate) fn is_pending(&self) -> bool {
        self.subscription.wait(Duration::ZERO)
    }

    pub(crate) fn cleared(&mut self, key: usize) {
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.is_cleared = true;
        }
    }
}

impl<V: Value> World<V> {
    pub(crate) fn step_subscriber(&mut self, action: &Action) -> Checked {
        let pick = |at: &usize| (!self.subscribers.is_empty()).then(|| at % self.subscribers.len());
        match action {
            Action::Subscribe(watches, backpressure) => {
                self.subscribe(watches, *backpressure, None)
            }
            Action::Resume(watches, back) => {
                self.subscribe(watches, Backpressure::Conflate, Some(*back as u64))
            }
            Action::Unsubscribe(at) => {
                pick(at).map(|at| self.subscribers.remove(at));
                Ok(())
            }
            Action::Add(at, key, kind) => pick(at).map_or(Ok(()), |at| self.add(at, *key, *kind)),
            Action::TakeOut(at, key) => pick(at).map_or(Ok(()), |at| self.take_out(at, *key)),
            Action::Poll(at) => pick(at).map_or(Ok(()), |at| self.poll(at, false, false)),
            Action::PollPanicking(at) => pick(at).map_or(Ok(()), |at| self.poll(at, false, true)),
            Action::Snapshot(at) => pick(at).map_or(Ok(()), |at| self.poll(at, true, false)),
            Action::Pause(at) => {
                if let Some(at) = pick(at) {
                    let subscriber = &mut self.subscribers[at];
                    subscriber.subscription.pause();
                    subscriber.is_paused = true;
                    prop_assert!(subscriber.is_closed || !subscriber.is_pending());
                }
                Ok(())
            }
            Action::Unpause(at) => {
                if let Some(at) = pick(at) {
                    self.subscribers[at].subscription.unpause();
                    self.subscribers[at].is_paused = false;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        watches: &[(usize, Kind)],
        backpressure: Backpressure,
        back: Option<u64>,
    ) -> Checked {
        let is_armed = Arc::new(AtomicBool::new(false));
        let mut spec = Spec::new().backpressure(backpressure);
        for (key, kind) in watches {
            let is_armed = Arc::clone(&is_armed);
            spec = spec.key(
                self.keys[*key].id,
                Shows {
                    kind: *kind,
                    is_armed,
                },
            );
        }
        let short = self.is_short();
        let from = back.map(|back| self.commits.saturating_sub(back));
        let resumed = match from {
            None => Resumed::Reset(self.service.subscribe(spec).unwrap()),
            Some(from) => {
                let point = ResumePoint {
                    instance: self.service.instance(),
                    commit_seq: CommitSeq::from_number(from),
                };
                self.service.resume(spec, point).unwrap()
            }
        };
        let is_continued = resumed.is_continued();
        for key in self.keys.iter_mut().filter(|_| short) {
            // What waits in the log began to count as memory.
            key.len = key.len.min(self.service.key_stats(key.id).unwrap().values);
        }
        if let Some(from) = from {
            let since = self.log.iter().filter(|it| it.commit > from).count();
            let is_kept = (1..=self.setup.resume_updates).contains(&since);
            prop_assert!(
                is_continued || !is_kept || self.is_short(),
                "{} updates",
                since
            );
        }
        let seen = from.filter(|_| is_continued);
        let mut model = BTreeMap::new();
        for (at, kind) in watches {
            let key = &self.keys[*at];
            let appended = key.all.len() as u64;
            let since = |from| {
                self.log
                    .iter()
                    .filter(move |it| it.key == *at && it.commit > from)
            };
            let cursor = match seen {
                Some(from) => appended - since(from).count() as u64,
                None => appended - key.len as u64,
            };
            let is_cleared = |from| {
                self.clears
                    .iter()
                    .any(|(commit, key)| *commit > from && key == at)
            };
            let watch = Watch {
                kind: *kind,
                cursor,
                start: cursor,
                is_cleared: seen.is_some_and(is_cleared),
            };
            model.insert(*at, watch);
        }
        self.subscribers.push(Subscriber {
            subscription: resumed.into_inner(),
            watches: model,
            backpressure,
            is_armed,
            is_paused: false,
            is_closed: false,
            begins_anew: from.is_some() && !is_continued,
            account: Account::default(),
        });
        Ok(())
    }

    fn add(&mut self, at: usize, key: usize, kind: Kind) -> Checked {
        let subscriber = &mut self.subscribers[at];
        let is_armed = Arc::clone(&subscriber.is_armed);
        let held = &self.keys[key];
        let added = subscriber
            .subscription
            .add(held.id, Shows { kind, is_armed });
        if subscriber.is_closed {
            prop_assert!(matches!(added, Err(SubscribeError::Closed(_))));
            return Ok(());
        }
        prop_assert!(added.is_ok());
        let cursor = (held.all.len() - held.len) as u64;
        let new = Watch {
            kind,
            cursor,
            start: cursor,
            is_cleared: false,
        };
        subscriber.watches.entry(key).or_insert(new).kind = kind;
        Ok(())
    }

    fn take_out(&mut self, at: usize, key: usize) -> Checked {
        let subscriber = &mut self.subscribers[at];
        let watch = subscriber.watches.remove(&key);
        let removed = subscriber.subscription.remove(self.keys[key].id);
        prop_assert_eq!(removed, watch.is_some());
        if let Some(watch) = watch
            && !subscriber.is_closed
        {
            subscriber.account.gone += watch.cursor - watch.start;
        }
        Ok(())
    }

    fn granted(&self, at: usize, key: usize) -> usize {
        let granted = self.subscribers[at].subscription.granted(self.keys[key].id);
        granted.unwrap().depth
    }

    fn is_overrun(&self, at: usize) -> bool {
        let mut watches = self.subscribers[at].watches.iter();
        watches.any(|(key, watch)| {
            let unseen = self.keys[*key].all.len() as u64 - watch.cursor;
            watch.kind.wants_all() && unseen > self.granted(at, *key) as u64
        })
    }

    /// Which subscribers have to be closed now.
    pub(crate) fn overrun(&self) -> Vec<bool> {
        let asks = |it: &Subscriber<V>| {
            it.backpressure == Backpressure::Disconnect && !it.is_closed && !it.is_paused
        };
        let all = self.subscribers.iter().enumerate();
        all.map(|(at, it)| asks(it) && self.is_overrun(at))
            .collect()
    }

    pub(crate) fn closed_by_maintenance(&mut self, overrun: &[bool]) -> Checked {
        for (at, overrun) in overrun.iter().enumerate() {
            let subscriber = &self.subscribers[at];
            let is_new = subscriber.subscription.closed().is_some() && !subscriber.is_closed;
            prop_assert!(is_new == *overrun || self.is_short());
            if is_new {
                self.close(at);
            }
        }
        Ok(())
    }

    fn close(&mut self, at: usize) {
        let subscriber = &mut self.subscribers[at];
        subscriber.is_closed = true;
        for (key, watch) in &subscriber.watches {
            let appended = self.keys[*key].all.len() as u64;
            subscriber.account.gone += appended - watch.start;
            subscriber.account.missed += appended - watch.cursor;
        }
    }

    fn poll(&mut self, at: usize, all: bool, is_panicking: bool) -> Checked {
        let is_overrun = !self.subscribers[at].is_closed && self.is_overrun(at);
        let subscriber = &mut self.subscribers[at];
        let is_pending = subscriber.is_pending();
        subscriber.is_armed.store(is_panicking, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if all {
                Some(subscriber.subscription.snapshot())
            } else {
                subscriber.subscription.poll()
            }
        }));
        if subscriber.is_closed {
            let polled = polled.unwrap();
            prop_assert!(polled.is_none_or(|it| it.updates().is_empty()));
            return Ok(());
        }
        if !all && (subscriber.is_paused || !is_pending) {
            prop_assert!(polled.unwrap().is_none());
            return Ok(());
        }
        if is_overrun && subscriber.backpressure == Backpressure::Disconnect {
            prop_assert!(polled.unwrap().is_none_or(|it| it.updates().is_empty()));
            prop_assert!(subscriber.subscription.closed().is_some());
            self.close(at);
            return Ok(());
        }
        let Ok(polled) = polled else {
            prop_assert!(is_panicking);
            return self.settle_after_panic(at);
        };
        let is_reset = is_overrun && subscriber.backpressure == Backpressure::Reset;
        let all = all || is_reset || subscriber.begins_anew;
        let begins_anew = std::mem::take(&mut subscriber.begins_anew);
        if let Some(snapshot) = &polled {
            prop_assert_eq!(snapshot.is_reset(), is_reset || begins_anew);
            prop_assert_eq!(snapshot.commit_seq().number(), self.commits);
        }
        self.compare(at, polled.as_ref(), all, is_reset)?;
        prop_assert!(self.subscribers[at].subscription.poll().is_none(), "twice");
        Ok(())
    }

    /// Every key that is shown is as it has to be, and none is left out.
    fn compare(
        &mut self,
        at: usize,
        polled: Option<&Snapshot<Extract<V>>>,
        all: bool,
        is_reset: bool,
    ) -> Checked {
        let granted: BTreeMap<usize, usize> = self.subscribers[at]
            .watches
            .keys()
            .map(|key| (*key, self.granted(at, *key)))
            .collect();
        let subscriber = &mut self.subscribers[at];
        let mut shown_keys = 0;
        for (key, watch) in &mut subscriber.watches {
            let held = &self.keys[*key];
            let appended = held.all.len() as u64;
            let unseen = appended - watch.cursor;
            let update = polled.and_then(|it| it.update(held.id));
            if !(all || unseen > 0 || watch.is_cleared) {
                prop_assert!(update.is_none(), "it did not change");
                continue;
            }
            let granted = granted[key];
            let asked = match watch.kind {
                Kind::Latest => 1,
                Kind::Count(count) | Kind::All(count) => count.min(granted),
                Kind::Span(..) => update.map_or(0, |it| it.values().len()),
                _ if is_reset => 1,
                _ if subscriber.backpressure == Backpressure::DropOldest => {
                    (unseen as usize).min(granted)
                }
                _ => unseen as usize,
            };
            let len = asked.min(held.len);
            let fresh = unseen.min(len as u64);
            let missed = unseen - fresh;
            let is_cleared = held.len == 0 && appended > 0;
            prop_assert_eq!(update.is_some(), len > 0 || is_cleared || missed > 0);
            if let Some(update) = update {
                let expected: Vec<V> = held.all[held.all.len() - len..]
                    .iter()
                    .map(|it| V::of(*it))
                    .collect();
                prop_assert_eq!(update.values(), &expected[..]);
                let range = update.range();
                prop_assert_eq!(range.end.number(), appended + 1);
                prop_assert_eq!(range.start.number(), appended + 1 - len as u64);
                prop_assert_eq!((update.missed(), update.is_cleared()), (missed, is_cleared));
                shown_keys += 1;
            }
            if matches!(watch.kind, Kind::Span(..)) && held.len > 0 {
                prop_assert!((1..=granted).contains(&len));
            }
            subscriber.account.delivered += fresh;
            subscriber.account.missed += missed;
            watch.cursor = appended;
            watch.is_cleared = false;
        }
        prop_assert_eq!(polled.map_or(0, |it| it.updates().len()), shown_keys);
        Ok(())
    }

    /// Where the extractor stood in the poll is the service's own affair; the sum is not.
    fn settle_after_panic(&mut self, at: usize) -> Checked {
        let subscriber = &mut self.subscribers[at];
        let stats = subscriber.subscription.stats();
        let mut unseen = 0;
        for (key, watch) in &mut subscriber.watches {
            let appended = self.keys[*key].all.len() as u64;
            unseen += appended - watch.cursor;
            watch.cursor = appended;
            watch.is_cleared = false;
        }
        let account = &mut subscriber.account;
        let (delivered, missed) = (
            stats.delivered - account.delivered,
            stats.missed - account.missed,
        );
        prop_assert_eq!(delivered + missed, unseen);
        (account.delivered, account.missed) = (stats.delivered, stats.missed);
        Ok(())
    }

    pub(crate) fn check_subscribers(&self) -> Checked {
        for (at, subscriber) in self.subscribers.iter().enumerate() {
            let (mut committed, mut pending) = (subscriber.account.gone, 0);
            let mut is_changed = false;
            for (key, watch) in subscriber.watches.iter().filter(|_| !subscriber.is_closed) {
                let held = &self.keys[*key];
                let appended = held.all.len() as u64;
                committed += appended - watch.start;
                pending += appended - watch.cursor;
                is_changed |= appended > watch.cursor || watch.is_cleared;
                let is_counted = !matches!(watch.kind, Kind::Span(..)) && held.len > 0;
                let depth = self.service.key_stats(held.id).unwrap().depth;
                prop_assert!(
                    !is_counted || depth >= self.granted(at, *key),
                    "less than granted"
                );
            }
            let stats = subscriber.subscription.stats();
            let account = &subscriber.account;
            prop_assert_eq!(stats.committed, committed);
            prop_assert_eq!(stats.pending, pending);
            prop_assert_eq!(
                (stats.delivered, stats.missed),
                (account.delivered, account.missed)
            );
            let sum = stats.delivered + stats.missed + stats.filtered + stats.pending;
            prop_assert_eq!(sum, stats.committed);
            if !subscriber.is_closed {
                let is_told = is_changed && !subscriber.is_paused;
                let is_pending = subscriber.is_pending();
                prop_assert!(is_pending == is_told || (self.is_short() && is_pending));
            }
        }
        Ok(())
    }
}
