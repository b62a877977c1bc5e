//! The sum over the frames of a window, element by element, kept up to date.
//!
//! Work goes in parts that stay in the first-level cache: each part of the sums meets everything
//! that leaves and enters before the next one is touched. Sums are `f64`: exact for integers up to
//! 32 bits (below 2⁵³ in all), so that nothing drifts there. For floats each update rounds, by
//! 2⁻⁵³ of the largest sum that was met; therefore the parts are summed anew in turn, so many per
//! frame that each part had its turn when the window turned over. No update is slower than others
//! for it, and no error outlives a window.
//!
//! NaN is left out, and counted where it occurs. An infinity goes into the sum; a part that one
//! leaves is summed anew at once, since no subtraction brings the number back.

use std::ops::Range;

use buffer_core::Shape;

use super::{Element, Frame, FramePool};

/// How many elements a part has: their sums take 8 KB.
const PART: usize = 1024;

pub(super) struct Total {
    sums: Frame<f64>,
    absent: Absent,
    turn: Turn,
}

/// What becomes of a window: its first `leaving` frames go, its last `entering` are new.
pub(super) struct Change<'a, E> {
    pub(super) window: &'a [&'a [E]],
    pub(super) leaving: usize,
    pub(super) entering: usize,
}

/// How often each element was NaN in the frames of the window.
#[derive(Default)]
pub(super) struct Absent {
    /// Empty until the first.
    counts: Vec<u32>,
    total: u64,
}

/// Whose turn it is to be summed anew.
#[derive(Default)]
struct Turn {
    next: usize,
    /// Parts times frames that entered, less what was spent on parts.
    credit: usize,
}

impl Total {
    /// The sum of these frames, each of which has the elements of the shape.
    pub(super) fn of<E: Element>(shape: Shape, window: &[&[E]], pool: &FramePool<f64>) -> Self {
        let mut absent = Absent::default();
        let sums = pool.fill(shape, |sums| {
            for (index, part) in sums.chunks_mut(PART).enumerate() {
                Part::new(index, part, &mut absent).sum(window);
            }
        });
        Self {
            sums,
            absent,
            turn: Turn::default(),
        }
    }

    /// Follows a change of the window. Sums that a reader still holds stay as they are; the new
    /// ones lie elsewhere then.
    pub(super) fn update<E: Element>(&mut self, change: &Change<'_, E>, pool: &FramePool<f64>) {
        let parts = self.sums.as_slice().len().div_ceil(PART);
        let due = if E::SUMS_EXACTLY {
            0..0
        } else {
            let frames = change.window.len() - change.leaving;
            self.turn.take(parts, change.entering, frames)
        };
        let absent = &mut self.absent;
        let mut apply = |index: usize, sums: &mut [f64]| {
            // The range may go over the end, and then goes on from the front.
            let anew = due.contains(&index) || due.contains(&(index + parts));
            Part::new(index, sums, absent).change(change, anew);
        };
        if let Some(sums) = self.sums.as_mut_slice() {
            for (index, part) in sums.chunks_mut(PART).enumerate() {
                apply(index, part);
            }
            return;
        }
        let before = self.sums.as_slice().chunks(PART);
        let sums = pool.fill(self.sums.shape(), |sums| {
            for (index, (part, before)) in sums.chunks_mut(PART).zip(before).enumerate() {
                part.copy_from_slice(before);
                apply(index, part);
            }
        });
        self.sums = sums;
    }

    /// The sums, shared.
    pub(super) fn sums(&self) -> Frame<f64> {
        self.sums.clone()
    }

    /// The means over `frames` frames: NaN where all of them were.
    pub(super) fn means(&self, frames: usize, pool: &FramePool<f64>) -> Frame<f64> {
        let sums = self.sums.as_slice();
        let count = frames as f64;
        pool.fill(self.sums.shape(), |means| {
            if self.absent.total > 0 {
                let present = self.absent.counts.iter().map(|absent| f64::from(*absent));
                for ((mean, sum), absent) in means.iter_mut().zip(sums).zip(present) {
                    *mean = sum / (count - absent);
                }
            } else if frames.is_power_of_two() {
                // Exact, and several times faster than to divide.
                let weight = 1.0 / count;
                for (mean, sum) in means.iter_mut().zip(sums) {
                    *mean = sum * weight;
                }
            } else {
                for (mean, sum) in means.iter_mut().zip(sums) {
                    *mean = sum / count;
                }
            }
        })
    }

    /// How many elements of all frames were left out.
    pub(super) fn absent(&self) -> u64 {
        self.absent.total
    }
}

impl Turn {
    /// The parts to sum anew when so many frames entered a window of so many; may go over the end.
    fn take(&mut self, parts: usize, entering: usize, frames: usize) -> Range<usize> {
        let frames = frames.max(1);
        self.credit = self.credit.saturating_add(parts.saturating_mul(entering));
        let due = (self.credit / frames).min(parts);
        self.credit %= frames;
        let first = self.next;
        self.next = (first + due) % parts.max(1);
        first..first + due
    }
}

/// A part of the sums, and where it lies.
struct Part<'a> {
    range: Range<usize>,
    sums: &'a mut [f64],
    absent: &'a mut Absent,
}

impl<'a> Part<'a> {
    fn new(index: usize, sums: &'a mut [f64], absent: &'a mut Absent) -> Self {
        let first = index * PART;
        Self {
            range: first..first + sums.len(),
            sums,
            absent,
        }
    }

    fn change<E: Element>(mut self, change: &Change<'_, E>, anew: bool) {
        let (leaving, staying) = change.window.split_at(change.leaving);
        let entering = &staying[staying.len() - change.entering..];
        if anew || !self.follow(leaving, entering) {
            self.sum(staying);
        }
    }

    /// Whether the sums could follow; if not, they have to be made anew.
    fn follow<E: Element>(&mut self, leaving: &[&[E]], entering: &[&[E]]) -> bool {
        let pairs = leaving.len().min(entering.len());
        for (old, new) in leaving.iter().zip(entering) {
            if !self.replace(&old[self.range.clone()], &new[self.range.clone()]) {
                return false;
            }
        }
        for old in &leaving[pairs..] {
            if !self.subtract(&old[self.range.clone()]) {
                return false;
            }
        }
        for new in &entering[pairs..] {
            self.add(&new[self.range.clone()]);
        }
        true
    }

    fn sum<E: Element>(&mut self, frames: &[&[E]]) {
        self.sums.fill(0.0);
        self.absent.forget(self.range.clone());
        for frame in frames {
            self.add(&frame[self.range.clone()]);
        }
    }

    fn replace<E: Element>(&mut self, old: &[E], new: &[E]) -> bool {
        if E::all_finite(old) && E::all_finite(new) {
            // What leaves goes first: the sum of what stays is no larger than what was there.
            for ((sum, old), new) in self.sums.iter_mut().zip(old).zip(new) {
                *sum = (*sum - old.to_f64()) + new.to_f64();
            }
            return true;
        }
        let followed = self.subtract(old);
        if followed {
            self.add(new);
        }
        followed
    }

    fn add<E: Element>(&mut self, new: &[E]) {
        if E::all_finite(new) {
            for (sum, new) in self.sums.iter_mut().zip(new) {
                *sum += new.to_f64();
            }
            return;
        }
        let places = self.range.clone();
        for ((sum, new), place) in self.sums.iter_mut().zip(new).zip(places) {
            let new = new.to_f64();
            if new.is_nan() {
                self.absent.add(place);
            } else {
                *sum += new;
            }
        }
    }

    /// Whether there was no infinity.
    fn subtract<E: Element>(&mut self, old: &[E]) -> bool {
        if E::all_finite(old) {
            for (sum, old) in self.sums.iter_mut().zip(old) {
                *sum -= old.to_f64();
            }
            return true;
        }
        let places = self.range.clone();
        for ((sum, old), place) in self.sums.iter_mut().zip(old).zip(places) {
            let old = old.to_f64();
            if old.is_nan() {
                self.absent.subtract(place);
            } else if old.is_infinite() {
                return false;
            } else {
                *sum -= old;
            }
        }
        true
    }
}

impl Absent {
    fn add(&mut self, place: usize) {
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        self.total += 1;
    }

    fn subtract(&mut self, place: usize) {
        self.counts[place] -= 1;
        self.total -= 1;
    }

    fn forget(&mut self, range: Range<usize>) {
        if self.total == 0 {
            return;
        }
        let end = range.end.min(self.counts.len());
        for count in &mut self.counts[range.start.min(end)..end] {
            self.total -= u64::from(*count);
            *count = 0;
        }
    }
}
