//! The aggregate of a window that slides, from what arrives.
//!
//! Nothing is ever subtracted, so that nothing drifts and an infinity that left leaves no NaN. The
//! window is kept as two parts, as a queue is made of two stacks: of the older part, aggregates
//! from every 64th value up to its end; of the newer one, a single aggregate that absorbs what
//! arrives. A window is then up to 63 values (read from the view), one stored aggregate, and the
//! newer part. When the older part has left, all of it is computed from the view again, which
//! happens once per turnover: an update costs constant time, amortised.
//!
//! Values are identified by their numbers. Whatever does not continue what was absorbed (a gap, a
//! clear, another generation, a window that reaches further back) is computed from the view.

use buffer_core::Generation;

use super::Measure;
use crate::View;

/// How many values of the older part share a stored aggregate.
const BLOCK: usize = 64;

/// The aggregate of a run of values. Merging is associative, but for rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partial {
    sum: f64,
    /// What rounding took from the sum.
    carry: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// How many values are numbers, and how many of those count something.
    pub(super) numbers: u64,
    pub(super) counts: u64,
    pub(super) nans: u64,
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

impl Partial {
    pub(super) const EMPTY: Self = Self {
        sum: 0.0,
        carry: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        numbers: 0,
        counts: 0,
        nans: 0,
        start_us: i64::MAX,
        end_us: i64::MIN,
    };

    fn of<V: Measure>(times_us: &[i64], values: &[V]) -> Self {
        let mut all = Self::EMPTY;
        all.absorb(times_us, values);
        all
    }

    fn absorb<V: Measure>(&mut self, times_us: &[i64], values: &[V]) {
        for (time_us, value) in times_us.iter().zip(values) {
            self.start_us = self.start_us.min(*time_us);
            self.end_us = self.end_us.max(*time_us);
            match value.measure() {
                Some(number) if !number.is_nan() => {
                    self.add(number);
                    self.min = self.min.min(number);
                    self.max = self.max.max(number);
                    self.numbers += 1;
                    self.counts += u64::from(value.is_count());
                }
                _ => self.nans += 1,
            }
        }
    }

    fn merge(mut self, later: &Self) -> Self {
        self.add(later.sum);
        self.carry += later.carry;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.numbers += later.numbers;
        self.counts += later.counts;
        self.nans += later.nans;
        self.start_us = self.start_us.min(later.start_us);
        self.end_us = self.end_us.max(later.end_us);
        self
    }

    /// Adds with the exact rounding error (Knuth, *The Art of Computer Programming*, vol. 2,
    /// 4.2.2, theorem B) gathered on the side.
    fn add(&mut self, number: f64) {
        let sum = self.sum + number;
        let added = sum - self.sum;
        self.carry += (self.sum - (sum - added)) + (number - added);
        self.sum = sum;
    }

    pub(super) fn sum(&self) -> f64 {
        // Next to an infinity there is no rounding error, and what was gathered is NaN.
        if self.sum.is_finite() {
            self.sum + self.carry
        } else {
            self.sum
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Sliding {
    generation: Generation,
    /// The number of the first value of the older part.
    origin: u64,
    /// The number of the first value of the newer part.
    middle: u64,
    /// The number after the last value of the newer part.
    next: u64,
    /// Of the older part: from its first value, its 65th and so on, each up to the middle.
    suffixes: Vec<Partial>,
    newer: Partial,
}

impl Sliding {
    pub(super) fn new() -> Self {
        Self {
            generation: Generation::default(),
            origin: 0,
            middle: 0,
            next: 0,
            suffixes: Vec::new(),
            newer: Partial::EMPTY,
        }
    }

    /// The aggregate of the view's values of the newest generation.
    pub(super) fn cover<V: Measure>(&mut self, view: &View<V>) -> Partial {
        let (times_us, values) = (view.uniform_times_us(), view.uniform());
        let end = view.range().end.number();
        let first = end - values.len() as u64;
        let continues = view.generation() == self.generation
            && (self.origin..self.middle).contains(&first)
            && end - view.fresh() as u64 >= self.next;
        if continues {
            let seen = as_index(self.next - first);
            self.newer.absorb(&times_us[seen..], &values[seen..]);
            self.next = end;
        } else {
            self.generation = view.generation();
            self.rebuild(first, times_us, values);
        }
        let block = as_index(first - self.origin).div_ceil(BLOCK);
        let boundary = (self.origin + (block * BLOCK) as u64).min(self.middle);
        let head = as_index(boundary - first);
        let head = Partial::of(&times_us[..head], &values[..head]);
        let older = self.suffixes.get(block).unwrap_or(&Partial::EMPTY);
        head.merge(older).merge(&self.newer)
    }

    fn rebuild<V: Measure>(&mut self, first: u64, times_us: &[i64], values: &[V]) {
        self.suffixes.clear();
        let mut later = Partial::EMPTY;
        let blocks = times_us.chunks(BLOCK).zip(values.chunks(BLOCK));
        for (times_us, values) in blocks.rev() {
            later = Partial::of(times_us, values).merge(&later);
            self.suffixes.push(later);
        }
        self.suffixes.reverse();
        self.newer = Partial::EMPTY;
        self.origin = first;
        self.middle = first + values.len() as u64;
        self.next = self.middle;
    }
}

fn as_index(distance: u64) -> usize {
    usize::try_from(distance).expect("a distance between values of one view")
}
