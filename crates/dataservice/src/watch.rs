//! What is known of a key that somebody watches, or watched until lately.

use std::num::NonZeroU32;

/// Where a key's watch is kept: one more than its place, so that `None` takes no room in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchIndex(NonZeroU32);

impl WatchIndex {
    pub(crate) fn new(place: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(place))
    }

    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        self.0.get() - 1
    }
}

/// Where a subscriber keeps what it knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watcher {
    pub(crate) subscriber: u32,
    pub(crate) entry: u32,
}

/// What one watcher counts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Need {
    /// How many values; for a span, to begin with.
    pub(crate) depth: usize,
    /// How many at most, if the span needs as many; `depth` where there is no span.
    pub(crate) depth_max: usize,
    /// The span in microseconds; 0 if it reads none.
    pub(crate) span_us: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) watchers: Vec<Watcher>,
    /// Watchers that have seen everything, to be told of the next put. Each watcher is either in
    /// here, or on its subscriber's list of what changed; a paused one may be on neither.
    pub(crate) clean: Vec<Watcher>,
    /// A watcher makes commits wait.
    pub(crate) blocking: u32,
    /// What watchers count on with how many do, ascending.
    needs: Vec<(Need, u32)>,
    /// The mark of its place in the list of histories that may shrink. It loses it when it is
    /// needed again.
    pub(crate) listed: Option<u32>,
    /// The deepest that there is memory for, if less than what was asked.
    pub(crate) cut_to: Option<usize>,
    pub(crate) resizes: u64,
    pub(crate) evicted: u64,
    /// The number of the newest value that a clear took away while somebody watched; 0 if none.
    pub(crate) cleared_up_to: u64,
}

impl Watch {
    pub(crate) fn add(&mut self, need: Need) {
        match self.needs.binary_search_by(|(other, _)| other.cmp(&need)) {
            Ok(at) => self.needs[at].1 += 1,
            Err(at) => self.needs.insert(at, (need, 1)),
        }
    }

    pub(crate) fn forget(&mut self, need: Need) {
        if let Ok(at) = self.needs.binary_search_by(|(other, _)| other.cmp(&need)) {
            self.needs[at].1 -= 1;
            if self.needs[at].1 == 0 {
                self.needs.remove(at);
            }
        }
        if self.needs.is_empty() {
            self.cut_to = None;
        }
    }

    /// Takes a watcher out; whether it had seen everything.
    pub(crate) fn remove(&mut self, watcher: Watcher) -> bool {
        take(&mut self.watchers, watcher);
        take(&mut self.clean, watcher)
    }

    /// How deep the greediest watcher wants it, at least `depth_default`, and no deeper than there
    /// is memory for.
    pub(crate) fn deepest(&self, depth_default: usize) -> usize {
        // They are in the order of their depth.
        let asked = self.needs.last().map_or(0, |(need, _)| need.depth);
        let deepest = asked.max(depth_default);
        self.cut_to.map_or(deepest, |cut| deepest.min(cut))
    }

    /// The longest span that is read, and the depth up to which it may grow.
    pub(crate) fn span(&self) -> (i64, usize) {
        let spans = self.needs.iter().filter(|(need, _)| need.span_us > 0);
        let (span_us, depth_max) = spans.fold((0, 0), |(span_us, depth_max), (need, _)| {
            (need.span_us.max(span_us), need.depth_max.max(depth_max))
        });
        let cut_to = self.cut_to.unwrap_or(usize::MAX);
        (span_us, depth_max.min(cut_to))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.watchers.is_empty() && self.listed.is_none()
    }
}

fn take(watchers: &mut Vec<Watcher>, watcher: Watcher) -> bool {
    let at = watchers.iter().position(|other| *other == watcher);
    at.map(|at| watchers.swap_remove(at)).is_some()
}
