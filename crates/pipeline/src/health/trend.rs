//! What only several accounts show: which counters grew lately, and how flushes went lately.
//!
//! Counters only ever grow, so that a fault of last week would take points off for ever. Kept here
//! is when each of them grew last. Memory is bounded by the lanes of the newest account.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flush_policy::Reason;
use record::Priority;

use crate::{LaneStats, RouteStats, Stats};

/// What grew within so long is recent.
const RECENT: Duration = Duration::from_secs(60);
/// The share of timers is taken of at least so many flushes.
const FLUSHES_MIN: u64 = 20;
/// And over at least so long.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// When a counter grew last.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    seen: u64,
    last: Option<Instant>,
}

impl Growth {
    fn observe(&mut self, now: Instant, count: u64) {
        // A smaller count is that of a lane that was made anew, and began at 0.
        let before = if count < self.seen { 0 } else { self.seen };
        if count > before {
            self.last = Some(now);
        }
        self.seen = count;
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < RECENT)
    }
}

/// How the flushes of a span went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FlushShare {
    /// Those by timer, in percent.
    pub(super) timer_pct: f64,
    /// The part of the time that went into writing, in percent.
    pub(super) busy_pct: f64,
}

#[derive(Clone, Copy, Debug)]
struct Flushes {
    began: Instant,
    timer: u64,
    all: u64,
    share: Option<(Instant, Duration, FlushShare)>,
}

impl Flushes {
    fn observe(&mut self, now: Instant, lane: &LaneStats) {
        let (timer, all) = counted(lane);
        if all < self.all || timer < self.timer {
            (self.began, self.timer, self.all) = (now, timer, all);
            self.share = None;
            return;
        }
        let flushes = all - self.all;
        let span = now.saturating_duration_since(self.began);
        if flushes < FLUSHES_MIN || span < SPAN_MIN {
            return;
        }
        let share = FlushShare {
            timer_pct: (timer - self.timer) as f64 * 100.0 / flushes as f64,
            busy_pct: flushes as f64 * lane.write_ms.p50 / (span.as_secs_f64() * 10.0),
        };
        self.share = Some((now, span, share));
        (self.began, self.timer, self.all) = (now, timer, all);
    }

    /// The share of the last span, until as much time has gone by again.
    fn share(&self, now: Instant) -> Option<FlushShare> {
        let (ended, span, share) = self.share?;
        let age = now.saturating_duration_since(ended);
        (age < span.max(RECENT)).then_some(share)
    }
}

/// Flushes by timer, and all.
fn counted(lane: &LaneStats) -> (u64, u64) {
    let by = |reason| lane.flushes.of(reason).delivered;
    let timer = by(Reason::Age) + by(Reason::Interval);
    (timer, lane.flushes.total().delivered)
}

/// What is remembered of one lane.
#[derive(Clone, Debug)]
struct LaneTrend {
    delivered: Growth,
    rejected: Growth,
    expired: Growth,
    displaced: Growth,
    quarantined: Growth,
    restarts: Growth,
    flushes: Flushes,
}

impl LaneTrend {
    fn new(now: Instant) -> Self {
        Self {
            delivered: Growth::default(),
            rejected: Growth::default(),
            expired: Growth::default(),
            displaced: Growth::default(),
            quarantined: Growth::default(),
            restarts: Growth::default(),
            flushes: Flushes {
                began: now,
                timer: 0,
                all: 0,
                share: None,
            },
        }
    }

    fn observe(&mut self, now: Instant, lane: &LaneStats) {
        let totals = &lane.totals;
        for (growth, count) in [
            (&mut self.delivered, totals.delivered),
            (&mut self.rejected, totals.dropped.rejected),
            (&mut self.expired, totals.dropped.expired),
            (&mut self.displaced, totals.dropped.lower_priority),
            (&mut self.quarantined, totals.quarantined),
            (&mut self.restarts, lane.restarts),
        ] {
            growth.observe(now, count);
        }
        self.flushes.observe(now, lane);
    }
}

/// What happened to a lane lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lately {
    pub(super) delivered: bool,
    pub(super) rejected: bool,
    pub(super) expired: bool,
    pub(super) displaced: bool,
    pub(super) quarantined: bool,
    pub(super) restarted: bool,
    pub(super) flushes: Option<FlushShare>,
}

type LaneKey = (Option<String>, String, Priority);

/// What is remembered of earlier accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Trend {
    now: Option<Instant>,
    unrouted: Growth,
    lanes: HashMap<LaneKey, LaneTrend>,
}

fn key(route: &RouteStats, lane: &LaneStats) -> LaneKey {
    (route.route.clone(), route.sink.clone(), lane.lane)
}

impl Trend {
    /// Takes an account into memory; lanes that it does not have any more are forgotten.
    pub(super) fn observe(&mut self, now: Instant, stats: &Stats) {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        self.unrouted.observe(now, stats.unrouted);
        let mut before = std::mem::take(&mut self.lanes);
        // One that is drained may have the names of the one that takes its place.
        for route in stats.routes.iter().filter(|route| !route.is_ending) {
            for lane in &route.lanes {
                let key = key(route, lane);
                let known = before.remove(&key);
                let mut trend = known.unwrap_or_else(|| LaneTrend::new(now));
                trend.observe(now, lane);
                self.lanes.insert(key, trend);
            }
        }
    }

    /// Whether records that no route matched came lately.
    pub(super) fn is_unrouted(&self) -> bool {
        self.now.is_some_and(|now| self.unrouted.is_recent(now))
    }

    /// What happened to a lane lately.
    pub(super) fn of(&self, route: &RouteStats, lane: &LaneStats) -> Lately {
        let known = self.lanes.get(&key(route, lane));
        let (Some(now), Some(trend), false) = (self.now, known, route.is_ending) else {
            return Lately::default();
        };
        Lately {
            delivered: trend.delivered.is_recent(now),
            rejected: trend.rejected.is_recent(now),
            expired: trend.expired.is_recent(now),
            displaced: trend.displaced.is_recent(now),
            quarantined: trend.quarantined.is_recent(now),
            restarted: trend.restarts.is_recent(now),
            flushes: trend.flushes.share(now),
        }
    }
}
