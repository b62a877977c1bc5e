//! One report when a ring fills up, one when it has emptied again.

use crate::error::RingError;

/// The marks between which a ring counts as filling or emptied, in percent of its capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermark {
    high_pct: f64,
    low_pct: f64,
}

impl Watermark {
    /// Reports at `high_pct` on the way up and at `low_pct` on the way down.
    ///
    /// # Errors
    /// Unless 0 ≤ `low_pct` < `high_pct` ≤ 100.
    pub fn new(high_pct: f64, low_pct: f64) -> Result<Self, RingError> {
        if (0.0..100.0).contains(&low_pct) && low_pct < high_pct && high_pct <= 100.0 {
            Ok(Self { high_pct, low_pct })
        } else {
            Err(RingError::Watermark { high_pct, low_pct })
        }
    }

    /// The mark on the way up, in percent.
    #[must_use]
    pub fn high_pct(&self) -> f64 {
        self.high_pct
    }

    /// The mark on the way down, in percent.
    #[must_use]
    pub fn low_pct(&self) -> f64 {
        self.low_pct
    }
}

impl Default for Watermark {
    /// Up at 80 %, back at 70 %.
    fn default() -> Self {
        Self {
            high_pct: 80.0,
            low_pct: 70.0,
        }
    }
}

/// Which way the fill of a ring crossed its watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// At the high mark, or above.
    Up,
    /// Back at the low mark, or below.
    Down,
}

/// A watermark was crossed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    /// Which way.
    pub direction: Direction,
    /// Items in the ring then, leased ones included.
    pub current_size: usize,
    /// The capacity then.
    pub max_size: usize,
    /// Counts the crossings of this ring from 1. Listeners run after the lock is released, so two
    /// threads may report out of order; the greater number is the newer state.
    pub number: u64,
}

impl Crossing {
    /// The fill in percent of the capacity.
    #[must_use]
    pub fn utilization_pct(&self) -> f64 {
        percent(self.current_size, self.max_size)
    }
}

/// The hysteresis: remembers on which side of the marks the fill was.
#[derive(Debug)]
pub(crate) struct Gauge {
    marks: Watermark,
    /// The marks in items: at `high` or more the fill is above, at `low` or less it is back.
    high: usize,
    low: usize,
    above: bool,
    crossings: u64,
}

impl Gauge {
    pub(crate) fn new(marks: Watermark, max_size: usize) -> Self {
        let mut gauge = Self {
            marks,
            high: 0,
            low: 0,
            above: false,
            crossings: 0,
        };
        gauge.resize(max_size);
        gauge
    }

    /// Works out the marks for a new capacity.
    pub(crate) fn resize(&mut self, max_size: usize) {
        let items = |pct: f64| pct * max_size as f64 / 100.0;
        // A mark of 0 items would be reached by an empty ring.
        // Percentages are seldom exact: 16.1 % of 1,000 is a little more than 161.
        const SLACK: f64 = 1e-6;
        self.high = ((items(self.marks.high_pct) - SLACK).ceil() as usize).max(1);
        self.low = (items(self.marks.low_pct) + SLACK).floor() as usize;
    }

    /// Whether a fill of so many items is on the other side.
    #[inline]
    pub(crate) fn crosses_at(&self, current_size: usize) -> bool {
        if self.above {
            current_size <= self.low
        } else {
            current_size >= self.high
        }
    }

    /// How many items are missing to a crossing upwards; the greatest number above the mark.
    pub(crate) fn distance_up(&self, current_size: usize) -> usize {
        if self.above {
            usize::MAX
        } else {
            self.high.saturating_sub(current_size)
        }
    }

    /// Looks at the fill after a change.
    pub(crate) fn observe(&mut self, current_size: usize, max_size: usize) -> Option<Crossing> {
        if !self.crosses_at(current_size) {
            return None;
        }
        self.above = !self.above;
        self.crossings += 1;
        Some(Crossing {
            direction: if self.above {
                Direction::Up
            } else {
                Direction::Down
            },
            current_size,
            max_size,
            number: self.crossings,
        })
    }
}

pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}
