//! One key: its history and who watches it.

use std::time::{Duration, Instant};

use buffer_core::History;

/// Where a subscriber keeps what it knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watcher {
    pub(crate) subscriber: u32,
    pub(crate) entry: u32,
}

#[derive(Debug)]
pub(crate) struct Slot<V> {
    pub(crate) history: History<V>,
    /// Only keys that somebody watches pay for this.
    pub(crate) watched: Option<Box<Watched>>,
}

#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) watchers: Vec<Watcher>,
    /// Every watcher already knows that the key changed, so that a put has nobody to tell.
    pub(crate) all_dirty: bool,
    /// The depths that watchers count on, ascending; the last is the greediest.
    needs: Vec<usize>,
    /// In the list of histories that may shrink.
    pub(crate) listed: bool,
    /// Since when it has been seen to be too deep.
    too_deep_since: Option<Instant>,
}

/// What to do with a history on the list of those that may shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not yet.
    Wait,
    /// It is needed again.
    Keep,
    /// Down to this depth.
    Shrink(usize),
}

/// A history shrinks when what is needed fell to this part of its depth.
const SHRINK_RATIO: usize = 4;

impl<V> Slot<V> {
    pub(crate) fn new(history: History<V>) -> Self {
        Self {
            history,
            watched: None,
        }
    }

    pub(crate) fn attach(&mut self, watcher: Watcher, need: usize) {
        let watched = self.watched.get_or_insert_default();
        watched.watchers.push(watcher);
        watched.all_dirty = false;
        self.need(need);
    }

    pub(crate) fn detach(&mut self, watcher: Watcher, need: usize) {
        let Some(watched) = &mut self.watched else {
            return;
        };
        if let Some(at) = watched.watchers.iter().position(|other| *other == watcher) {
            watched.watchers.swap_remove(at);
        }
        watched.forget(need);
    }

    /// Somebody counts on this depth from now on. The history grows at once and loses nothing.
    pub(crate) fn need(&mut self, depth: usize) {
        self.history.grow(depth);
        let watched = self.watched.get_or_insert_default();
        let at = watched.needs.partition_point(|other| *other < depth);
        watched.needs.insert(at, depth);
        if depth.saturating_mul(SHRINK_RATIO) > self.history.depth() {
            watched.too_deep_since = None;
        }
    }

    /// Whether the history belongs on the list of those that may shrink and is not there yet.
    pub(crate) fn list_if_too_deep(&mut self, depth_default: usize) -> bool {
        let depth = self.history.depth();
        let Some(watched) = &mut self.watched else {
            return false;
        };
        let too_deep = watched.deepest(depth_default).saturating_mul(SHRINK_RATIO) <= depth;
        let enters = too_deep && !watched.listed;
        watched.listed |= too_deep;
        if watched.watchers.is_empty() && !watched.listed {
            self.watched = None;
        }
        enters
    }

    /// Whether a listed history shrinks now.
    pub(crate) fn judge(&mut self, depth_default: usize, grace: Duration, now: Instant) -> Verdict {
        let depth = self.history.depth();
        let Some(watched) = &mut self.watched else {
            return Verdict::Keep;
        };
        let need = watched.deepest(depth_default);
        if need.saturating_mul(SHRINK_RATIO) > depth {
            return Verdict::Keep;
        }
        let since = *watched.too_deep_since.get_or_insert(now);
        if now.saturating_duration_since(since) < grace {
            Verdict::Wait
        } else {
            Verdict::Shrink(need)
        }
    }

    /// It left the list.
    pub(crate) fn unlist(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.listed = false;
            watched.too_deep_since = None;
            if watched.watchers.is_empty() {
                self.watched = None;
            }
        }
    }
}

impl Watched {
    pub(crate) fn forget(&mut self, need: usize) {
        if let Ok(at) = self.needs.binary_search(&need) {
            self.needs.remove(at);
        }
    }

    fn deepest(&self, depth_default: usize) -> usize {
        self.needs.last().copied().unwrap_or(0).max(depth_default)
    }
}
