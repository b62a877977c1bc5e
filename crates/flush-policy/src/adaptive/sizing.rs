//! How the size moves: one write at a time, with evidence counted in rows, never averaged.
//!
//! Invariants: the size stays in its range; a step needs several writes in a row that ask for it.
//! The thresholds are apart: slow is above the target, quick is where the next larger size would
//! meet the target too, so that a step up after quick writes is not followed by a step down where
//! writes grow no faster than their batches. A step that turns out to be wrong is taken back, and
//! doubles the evidence that the next one needs, up to a limit: what is left is a rare probe. One
//! that turns out to be right ends that.

use std::time::{Duration, Instant};

use super::settings::Limits;
use crate::{Flushed, Outcome, Written};

/// Slow writes in a row before a step down.
const SLOW_NEEDED: u32 = 2;
/// Evidence for a step up: three quick writes in a row, or nine that are not quick but in time.
const UP_NEEDED: u32 = 9;
const UP_BY_QUICK: u32 = 3;
const UP_BY_TIMELY: u32 = 1;
/// Flushes in a row that leave next to nothing before a step towards the base.
const CALM_NEEDED: u32 = 8;
/// How often the evidence needed is doubled at most.
const DOUBLINGS_MAX: u32 = 5;

/// The size and the evidence for its next step.
#[derive(Debug, Clone)]
pub(super) struct Sizing {
    limits: Limits,
    size: usize,
    slow: Streak,
    up: Streak,
    calm: Streak,
    /// The last step, if that was one up.
    grown: Option<Grown>,
    trial: Option<Trial>,
    /// When a write last ended.
    last_write: Option<Instant>,
}

/// A step up, and how far the writes since show that it was right.
#[derive(Debug, Clone, Copy)]
struct Grown {
    /// The size before it.
    from: usize,
    /// The evidence of full batches in time, in a row.
    proof: u32,
    by: GrownBy,
}

/// What a step up went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GrownBy {
    /// Writes for which the size before it was too small.
    Writes,
    /// Calm, below the base.
    Calm,
}

/// A step down of which it is not known yet whether it makes writes shorter.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The size before it.
    from: usize,
    /// What the slow write took.
    before: Duration,
    /// The shorter one of the writes since.
    since: Option<Duration>,
}

impl Sizing {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            size: limits.base,
            limits,
            slow: Streak::of(SLOW_NEEDED),
            up: Streak::of(UP_NEEDED),
            calm: Streak::of(CALM_NEEDED),
            grown: None,
            trial: None,
            last_write: None,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Time has passed with `items` in the buffer: after a pause, what was learned is out of date.
    pub(super) fn pass(&mut self, now: Instant, items: usize) {
        if items == 0
            && let Some(last_write) = self.last_write
            && now.saturating_duration_since(last_write) >= self.limits.quiet
        {
            self.forget();
        }
    }

    /// A flush has ended.
    pub(super) fn learn(&mut self, now: Instant, flushed: &Flushed) {
        let Some(written) = flushed.written().filter(|written| written.items() > 0) else {
            return;
        };
        self.last_write = Some(now);
        let full = self.is_full(written);
        let delivered = flushed.outcome() == Outcome::Delivered;
        if written.took() > self.limits.write_target {
            self.up.end();
            self.calm.end();
            if let Some(grown) = &mut self.grown {
                grown.proof = 0;
            }
            // A failed flush stays due, so it must not be the one that takes a step down back.
            if full && !(delivered && self.judge(written)) {
                self.learn_slow(written);
            }
        } else if delivered {
            if full {
                self.slow.end();
                self.judge(written);
                self.prove(written);
            }
            self.learn_timely(written, flushed.remainder().items());
        }
    }

    /// A full batch took too long.
    fn learn_slow(&mut self, written: Written) {
        let enough = self.slow.add(1);
        if let Some(Grown { from, by, .. }) = self.grown {
            // What was hard to learn about steps down does not hold up the end of a step up.
            if self.slow.length >= SLOW_NEEDED {
                self.evidence_for(by).need_more();
                self.step(from);
            }
            return;
        }
        if !enough {
            return;
        }
        let from = self.size;
        let to = half(from).max(self.limits.size_min);
        if to < from {
            self.step(to);
            self.trial = Some(Trial {
                from,
                before: written.took(),
                since: None,
            });
        }
    }

    /// A batch was written in time, and `queued` items are left.
    fn learn_timely(&mut self, written: Written, queued: usize) {
        let base = self.limits.base;
        let (backlog, below_base) = (queued >= self.size, self.size < base);
        let larger = match below_base {
            true => larger(self.size).min(base),
            false => larger(self.size).min(self.limits.size_max),
        };
        let full = self.is_full(written);
        // Below the base, a full batch asks for the next size without a queue behind it too.
        let evidence = match self.would_meet_target(written, larger) {
            true if backlog || (below_base && full) => UP_BY_QUICK,
            false if backlog => UP_BY_TIMELY,
            _ => 0,
        };
        if evidence > 0 && larger > self.size {
            if backlog {
                self.calm.end();
            }
            if self.up.add(evidence) {
                self.grow(larger, GrownBy::Writes);
            }
            return;
        }
        // What a small batch takes says little about larger ones, whose fixed part is the same.
        let small = below_base && !full;
        if !small {
            self.up.end();
        }
        if (small || self.size > base) && queued <= smaller(self.size) / 2 {
            self.learn_calm();
        } else {
            self.calm.end();
        }
    }

    /// Next to nothing was left: enough of that in a row is a step towards the base.
    fn learn_calm(&mut self) {
        let base = self.limits.base;
        if !self.calm.add(1) {
            return;
        }
        if self.size < base {
            // That one led to the next says that it was not wrong.
            if self.grown.is_some_and(|grown| grown.by == GrownBy::Calm) {
                self.calm.need_least();
            }
            self.grow(larger(self.size).min(base), GrownBy::Calm);
            return;
        }
        self.calm.need_least();
        self.step(smaller(self.size).max(base));
        if self.size == base {
            self.forget();
        }
    }

    /// Looks at the first two full batches after a step down, and takes it back if they took about
    /// as long as before. Says whether it did.
    fn judge(&mut self, written: Written) -> bool {
        let Some(trial) = &mut self.trial else {
            return false;
        };
        let Some(other) = trial.since else {
            trial.since = Some(written.took());
            return false;
        };
        let after = other.min(written.took());
        let (before, from) = (trial.before, trial.from);
        self.trial = None;
        // Without a fixed part, half the items take half the time; this is half of that saving.
        if after.saturating_mul(4) <= before.saturating_mul(3) {
            self.slow.need_least();
            return false;
        }
        self.slow.need_more();
        self.step(from);
        true
    }

    /// Looks at the batches in time after a step up that are really full. When they would be enough
    /// for another step, had none been taken back before, those before no longer count.
    fn prove(&mut self, written: Written) {
        let evidence = match self.would_meet_target(written, larger(self.size)) {
            true => UP_BY_QUICK,
            false => UP_BY_TIMELY,
        };
        if let Some(grown) = &mut self.grown
            && written.items() >= self.size
        {
            grown.proof = grown.proof.saturating_add(evidence);
            if grown.proof >= UP_NEEDED {
                let by = grown.by;
                self.evidence_for(by).need_least();
            }
        }
    }

    /// Whether the size was what limited a batch: one that the next smaller size would not have
    /// split says nothing about that size.
    fn is_full(&self, written: Written) -> bool {
        written.items() > half(self.size)
    }

    /// Whether a batch of `larger` would meet the target if writes took in proportion to their
    /// items. What a write costs whatever its size makes that estimate too high, never too low.
    fn would_meet_target(&self, written: Written, larger: usize) -> bool {
        let took = written.took().as_nanos().saturating_mul(larger as u128);
        let target = self.limits.write_target.as_nanos();
        took <= target.saturating_mul(written.items() as u128)
    }

    fn evidence_for(&mut self, by: GrownBy) -> &mut Streak {
        match by {
            GrownBy::Writes => &mut self.up,
            GrownBy::Calm => &mut self.calm,
        }
    }

    fn grow(&mut self, to: usize, by: GrownBy) {
        let from = self.size;
        self.step(to);
        self.grown = Some(Grown { from, proof: 0, by });
    }

    fn step(&mut self, size: usize) {
        self.size = size;
        self.grown = None;
        self.trial = None;
        self.slow.end();
        self.up.end();
        self.calm.end();
    }

    /// Back to the beginning.
    fn forget(&mut self) {
        *self = Self::new(self.limits.clone());
    }
}

/// Evidence in a row, and how much of it a step takes.
#[derive(Debug, Clone)]
struct Streak {
    length: u32,
    needed: u32,
    needed_least: u32,
}

impl Streak {
    const fn of(needed: u32) -> Self {
        Self {
            length: 0,
            needed,
            needed_least: needed,
        }
    }

    /// So much more; says whether it is enough now.
    fn add(&mut self, evidence: u32) -> bool {
        self.length = self.length.saturating_add(evidence);
        self.length >= self.needed
    }

    fn end(&mut self) {
        self.length = 0;
    }

    fn need_more(&mut self) {
        self.needed = (self.needed * 2).min(self.needed_least << DOUBLINGS_MAX);
    }

    fn need_least(&mut self) {
        self.needed = self.needed_least;
    }
}

/// The size after a step down for a slow sink.
const fn half(size: usize) -> usize {
    size / 2
}

/// The next larger size: 1.4 times, which is about √2, and at least one more.
const fn larger(size: usize) -> usize {
    let step = size / 5 * 2;
    size.saturating_add(if step > 1 { step } else { 1 })
}

/// The size after a step towards the base: about 1/√2, and at least one less.
const fn smaller(size: usize) -> usize {
    let step = size / 7 * 2;
    size - if step > 1 { step } else { 1 }
}
