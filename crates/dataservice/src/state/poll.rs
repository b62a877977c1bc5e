//! What a subscriber takes out.

use super::State;
use super::watch::{present, present_watch};
use crate::after::After;
use crate::builder::Settings;
use crate::subscriber::Entry;
use crate::watch::Watcher;
use crate::{Backpressure, Closed, CommitSeq, KeyId, Requirement, View};

/// Which keys a poll reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Changed,
    All,
}

/// What was taken out.
#[derive(Debug)]
pub(crate) struct Polled<V> {
    pub(crate) commit_seq: CommitSeq,
    pub(crate) is_reset: bool,
    pub(crate) revised: Vec<KeyId>,
    /// With the number of each entry.
    pub(crate) views: Vec<(u32, View<V>)>,
}

/// How far a subscriber has come, measured from its cursors.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Settled {
    /// Updates of its keys since it watches them.
    pub(crate) committed: u64,
    /// Those that it has not polled; of a closed one, those that it never will.
    pub(crate) pending: u64,
}

impl<V: Clone> State<V> {
    /// Takes out what a subscriber has not seen, or all it watches; then it has seen it. `None` if
    /// there is nothing unseen.
    pub(crate) fn poll(
        &mut self,
        number: u32,
        scope: Scope,
        settings: &Settings<V>,
        after: &mut After<V>,
    ) -> Option<Polled<V>> {
        let subscriber = present(&mut self.subscribers, number);
        if subscriber.closed.is_some() {
            return None;
        }
        if scope == Scope::Changed
            && (subscriber.is_paused
                || (subscriber.dirty.is_empty() && subscriber.revised.is_empty()))
        {
            return None;
        }
        let backpressure = subscriber.backpressure;
        let minds = matches!(backpressure, Backpressure::Disconnect | Backpressure::Reset);
        let is_reset = minds && self.is_overrun(number);
        if is_reset && backpressure == Backpressure::Disconnect {
            self.close(number, Closed::Overrun, settings, after);
            return None;
        }
        let views = self.views(number, scope, is_reset);
        self.see(number);
        let subscriber = present(&mut self.subscribers, number);
        Some(Polled {
            commit_seq: self.commit_seq,
            is_reset,
            revised: std::mem::take(&mut subscriber.revised),
            views,
        })
    }

    /// Copying comes first: if a value's `Clone` panics, nothing counts as seen.
    fn views(&self, number: u32, scope: Scope, is_reset: bool) -> Vec<(u32, View<V>)> {
        let Some(subscriber) = self.subscribers.get(number) else {
            return Vec::new();
        };
        let keeps_to_grant = subscriber.backpressure == Backpressure::DropOldest;
        let view = |at: u32| {
            let entry = subscriber.entries.get(at as usize)?.as_ref()?;
            Some((at, self.view(entry, keeps_to_grant, is_reset)))
        };
        if scope == Scope::All || is_reset {
            let entries = 0..subscriber.entries.len() as u32;
            entries.filter_map(view).collect()
        } else {
            let mut views = Vec::with_capacity(subscriber.dirty.len());
            views.extend(subscriber.dirty.iter().filter_map(|at| view(*at)));
            views
        }
    }

    fn view(&self, entry: &Entry, keeps_to_grant: bool, is_reset: bool) -> View<V> {
        let slot = self.slots.at(entry.id.index());
        let appended = slot.appended();
        let unseen = appended - entry.cursor;
        let granted = self.granted(entry.id, entry.need);
        let (requirement, count_max) = match entry.requirement {
            Requirement::Since { .. } if is_reset => (Requirement::Latest, 1),
            // A history that others keep deeper only spares this reader a gap.
            since @ Requirement::Since { .. } if !keeps_to_grant => (since, usize::MAX),
            other => (other, granted),
        };
        let series = slot.select(requirement, unseen, count_max);
        let fresh = unseen.min(series.len() as u64);
        let (generation, generation_start) = self.generation(entry.id);
        let watch = slot.watch().and_then(|at| self.watches.get(at.place()));
        View {
            id: entry.id,
            commit_seq: self.commit_seq,
            appended,
            fresh: fresh as usize,
            missed: unseen - fresh,
            generation,
            generation_start,
            is_cleared: slot.len() == 0,
            cleared_up_to: watch.map_or(0, |watch| watch.cleared_up_to),
            series,
        }
    }

    /// Everything is seen.
    fn see(&mut self, number: u32) {
        let Self {
            slots,
            subscribers,
            watches,
            ..
        } = self;
        let subscriber = present(subscribers, number);
        subscriber.is_stalled = false;
        if !subscriber.is_paused {
            subscriber.signal.clear();
        }
        if subscriber.is_paused {
            // A snapshot of a paused one sees all keys.
            for (at, entry) in (0..).zip(&mut subscriber.entries) {
                let Some(entry) = entry else { continue };
                let slot = slots.at(entry.id.index());
                entry.cursor = slot.appended();
                if std::mem::take(&mut entry.is_told)
                    && let Some(index) = slot.watch()
                {
                    present_watch(watches, index).clean.push(Watcher {
                        subscriber: number,
                        entry: at,
                    });
                }
            }
            return;
        }
        for at in subscriber.dirty.drain(..) {
            let Some(Some(entry)) = subscriber.entries.get_mut(at as usize) else {
                continue;
            };
            let slot = slots.at(entry.id.index());
            entry.cursor = slot.appended();
            if let Some(index) = slot.watch() {
                present_watch(watches, index).clean.push(Watcher {
                    subscriber: number,
                    entry: at,
                });
            }
        }
    }

    /// Whether a key whose every update is wanted has more unseen ones than were granted.
    pub(super) fn is_overrun(&self, number: u32) -> bool {
        let Some(subscriber) = self.subscribers.get(number) else {
            return false;
        };
        let overruns = |entry: &Entry| {
            let unseen = self.slots.at(entry.id.index()).appended() - entry.cursor;
            entry.wants_all() && unseen > self.granted(entry.id, entry.need) as u64
        };
        if subscriber.is_paused {
            return subscriber.entries.iter().flatten().any(overruns);
        }
        let dirty = subscriber.dirty.iter();
        let entries = dirty.filter_map(|at| subscriber.entries.get(*at as usize)?.as_ref());
        entries.into_iter().any(overruns)
    }

    /// How far a subscriber has come.
    pub(crate) fn settled(&self, number: u32) -> Settled {
        let mut settled = Settled::default();
        if let Some(subscriber) = self.subscribers.get(number) {
            settled = subscriber.settled;
            for entry in subscriber.entries.iter().flatten() {
                let appended = self.slots.at(entry.id.index()).appended();
                settled.committed += appended - entry.start;
                settled.pending += appended - entry.cursor;
            }
        }
        settled
    }

    pub(crate) fn closed(&self, number: u32) -> Option<Closed> {
        self.subscribers.get(number)?.closed
    }
}
