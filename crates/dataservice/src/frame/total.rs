//! The sum over the frames of a window, element by element, kept up to date.
//!
//! Work goes in parts that stay in the first-level cache: each part of the sums meets everything
//! that leaves and enters before the next one is touched. Sums are `f64`: exact for integers up to
//! 32 bits (below 2⁵³ in all), so that nothing drifts there. For floats each update rounds, by
//! 2⁻⁵³ of the largest sum that was met; therefore the parts are summed anew in turn, so many per
//! frame that each part had its turn when the window turned over twice. That costs half a pass over
//! a frame, no update is slower than others for it, and no error outlives two windows.
//!
//! NaN is left out, and counted where it occurs. An infinity goes into the sum; a part that one
//! leaves is summed anew at once, since no subtraction brings the number back. For the same reason
//! an element is summed anew when a number leaves it that is far larger than what stays, or so
//! large that sums of it overflow: it took the digits of the others with it.

#![allow(
    unsafe_code,
    reason = "calls what is compiled for wider registers where there are some"
)]

use std::ops::Range;

use buffer_core::Shape;

use super::{Element, Frame, FramePool};

/// How many elements a part has: their sums take 8 KB.
const PART: usize = 1024;
/// How often the window turns over until each part was summed anew.
const TURNOVERS: usize = 2;
/// How many times larger than what stays a number may be that leaves a sum. It left an error of
/// 2⁻⁵³ of itself, which is 2⁻³³ of what stays at most.
const OUTWEIGHS: f64 = (1_u64 << 20) as f64;
/// The largest number of which any count of frames can be summed without overflow.
const SUMMED_SAFELY: f64 = f64::MAX / (1_u64 << 40) as f64;

pub(super) struct Total {
    show: Show,
    /// Elements of an earlier frame before the first update.
    sums: Frame<f64>,
    absent: Absent,
    turn: Turn,
}

/// What is shown of a window.
#[derive(Debug, Clone, Copy)]
pub(super) enum Show {
    Sum,
    Mean,
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
struct Turn {
    parts: usize,
    next: usize,
    /// Parts times frames that entered, less what was spent on parts.
    credit: usize,
    begun: bool,
}

impl Total {
    /// Of frames of this shape; every frame of the first update enters.
    pub(super) fn new(show: Show, shape: Shape, pool: &FramePool<f64>) -> Self {
        Self {
            show,
            sums: pool.fill(shape, |_| ()),
            absent: Absent::default(),
            turn: Turn {
                parts: shape.elements().div_ceil(PART),
                next: 0,
                credit: 0,
                begun: false,
            },
        }
    }

    /// Follows a change of the window, whose frames have the elements of the shape, and shows the
    /// result. Sums that a reader still holds stay as they are; the new ones lie elsewhere then.
    pub(super) fn update<E: Element>(
        &mut self,
        change: &Change<'_, E>,
        pool: &FramePool<f64>,
    ) -> Frame<f64> {
        let shape = self.sums.shape();
        let frames = change.window.len() - change.leaving;
        let due = self.turn.take::<E>(change.entering, frames);
        let parts = self.turn.parts;
        let absent = &mut self.absent;
        let mut apply = |index: usize, sums: &mut [f64], means: Option<&mut [f64]>| {
            // The range may go over the end, and then goes on from the front.
            let anew = due.contains(&index) || due.contains(&(index + parts));
            Part::new(index, sums, absent).change(change, anew);
            if let Some(means) = means {
                write_means(means, sums, frames);
                absent.mend_means(index * PART, means, sums, frames);
            }
        };
        match (self.show, self.sums.as_mut_slice()) {
            (Show::Mean, sums) => {
                let sums = sums.expect("sums are not shown where means are");
                return pool.fill(shape, |means| {
                    let pairs = sums.chunks_mut(PART).zip(means.chunks_mut(PART));
                    for (index, (sums, means)) in pairs.enumerate() {
                        apply(index, sums, Some(means));
                    }
                });
            }
            (Show::Sum, Some(sums)) => {
                for (index, part) in sums.chunks_mut(PART).enumerate() {
                    apply(index, part, None);
                }
            }
            (Show::Sum, None) => {
                let before = self.sums.as_slice().chunks(PART);
                self.sums = pool.fill(shape, |sums| {
                    for (index, (part, before)) in sums.chunks_mut(PART).zip(before).enumerate() {
                        part.copy_from_slice(before);
                        apply(index, part, None);
                    }
                });
            }
        }
        self.sums.clone()
    }

    /// How many elements of all frames were left out.
    pub(super) fn absent(&self) -> u64 {
        self.absent.total
    }
}

/// The means of elements that were never absent.
fn write_means(means: &mut [f64], sums: &[f64], frames: usize) {
    let count = frames as f64;
    if frames.is_power_of_two() {
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
}

impl Turn {
    /// The parts to sum anew when so many frames entered a window of so many; may go over the end.
    fn take<E: Element>(&mut self, entering: usize, frames: usize) -> Range<usize> {
        if !std::mem::replace(&mut self.begun, true) {
            return 0..self.parts;
        }
        if E::SUMS_EXACTLY {
            return 0..0;
        }
        let round = frames.max(1).saturating_mul(TURNOVERS);
        let credit = self
            .credit
            .saturating_add(self.parts.saturating_mul(entering));
        let due = (credit / round).min(self.parts);
        self.credit = credit % round;
        let first = self.next;
        self.next = (first + due) % self.parts;
        first..first + due
    }
}

/// A part of the sums, and where it lies.
struct Part<'a> {
    range: Range<usize>,
    sums: &'a mut [f64],
    absent: &'a mut Absent,
    /// A number left that was far larger than what stays.
    has_outweighed: bool,
}

impl<'a> Part<'a> {
    fn new(index: usize, sums: &'a mut [f64], absent: &'a mut Absent) -> Self {
        let first = index * PART;
        Self {
            range: first..first + sums.len(),
            sums,
            absent,
            has_outweighed: false,
        }
    }

    fn change<E: Element>(self, change: &Change<'_, E>, anew: bool) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            unsafe { self.change_wide(change, anew) };
            return;
        }
        self.change_any(change, anew);
    }

    /// The same code, compiled for twice as many numbers at a time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn change_wide<E: Element>(self, change: &Change<'_, E>, anew: bool) {
        self.change_any(change, anew);
    }

    // From here on all is inlined, so that it is compiled for each of the two.

    #[inline(always)]
    fn change_any<E: Element>(mut self, change: &Change<'_, E>, anew: bool) {
        let (leaving, staying) = change.window.split_at(change.leaving);
        let entering = &staying[staying.len() - change.entering..];
        if anew || !self.follow(leaving, entering) {
            self.sums.fill(0.0);
            self.absent.forget(self.range.clone());
            for frame in staying {
                self.add(&frame[self.range.clone()]);
            }
        } else if self.has_outweighed {
            self.mend(leaving, staying);
        }
    }

    /// Sums those elements anew that a number left which took the digits of the others with it.
    #[cold]
    #[inline(never)]
    fn mend<E: Element>(&mut self, leaving: &[&[E]], staying: &[&[E]]) {
        for (at, sum) in self.range.clone().zip(self.sums.iter_mut()) {
            if leaving.iter().any(|old| outweighs(old[at].to_f64(), *sum)) {
                *sum = staying
                    .iter()
                    .map(|new| zero_for_nan(new[at].to_f64()))
                    .sum();
            }
        }
    }

    /// Whether the sums could follow; if not, they have to be made anew.
    #[inline(always)]
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

    #[inline(always)]
    fn replace<E: Element>(&mut self, old: &[E], new: &[E]) -> bool {
        if E::all_finite(old) && E::all_finite(new) {
            // What leaves goes first: the sum of what stays is no larger than what was there.
            let mut outweighed = false;
            for ((sum, old), new) in self.sums.iter_mut().zip(old).zip(new) {
                let old = old.to_f64();
                *sum = (*sum - old) + new.to_f64();
                outweighed |= !E::SUMS_EXACTLY && outweighs(old, *sum);
            }
            self.has_outweighed |= outweighed;
            return true;
        }
        let followed = self.subtract(old);
        if followed {
            self.add(new);
        }
        followed
    }

    #[inline(always)]
    fn add<E: Element>(&mut self, new: &[E]) {
        if E::all_finite(new) {
            for (sum, new) in self.sums.iter_mut().zip(new) {
                *sum += new.to_f64();
            }
            return;
        }
        for (sum, new) in self.sums.iter_mut().zip(new) {
            *sum += zero_for_nan(new.to_f64());
        }
        for_each_nan(&self.range, new, |place| self.absent.add(place));
    }

    /// Whether there was no infinity; otherwise nothing is done.
    #[inline(always)]
    fn subtract<E: Element>(&mut self, old: &[E]) -> bool {
        if E::all_finite(old) {
            let mut outweighed = false;
            for (sum, old) in self.sums.iter_mut().zip(old) {
                let old = old.to_f64();
                *sum -= old;
                outweighed |= !E::SUMS_EXACTLY && outweighs(old, *sum);
            }
            self.has_outweighed |= outweighed;
            return true;
        }
        let infinite = |any, old: &E| any | old.to_f64().is_infinite();
        if old.iter().fold(false, infinite) {
            return false;
        }
        for (sum, old) in self.sums.iter_mut().zip(old) {
            let old = zero_for_nan(old.to_f64());
            *sum -= old;
            self.has_outweighed |= outweighs(old, *sum);
        }
        for_each_nan(&self.range, old, |place| self.absent.subtract(place));
        true
    }
}

/// Whether a number that left is too large for what stays to be known by subtraction.
#[inline(always)]
fn outweighs(left: f64, stays: f64) -> bool {
    let left = left.abs();
    (left > stays.abs() * OUTWEIGHS) | (left > SUMMED_SAFELY)
}

#[inline(always)]
fn zero_for_nan(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number }
}

#[inline(always)]
fn for_each_nan<E: Element>(range: &Range<usize>, elements: &[E], mut found: impl FnMut(usize)) {
    // Looked for in runs that the compiler compares at once, since most have none.
    const RUN: usize = 32;
    let is_nan = |element: &E| element.to_f64().is_nan();
    for (start, run) in range.clone().step_by(RUN).zip(elements.chunks(RUN)) {
        if run.iter().fold(false, |any, element| any | is_nan(element)) {
            let placed = (start..).zip(run);
            placed
                .filter(|(_, element)| is_nan(element))
                .for_each(|(place, _)| found(place));
        }
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

    /// Divides where frames were left out by how many were not: NaN if that is none.
    fn mend_means(&self, first: usize, means: &mut [f64], sums: &[f64], frames: usize) {
        if self.total == 0 {
            return;
        }
        let counts = self.counts.get(first..).unwrap_or_default();
        for ((mean, sum), absent) in means.iter_mut().zip(sums).zip(counts) {
            if *absent > 0 {
                *mean = sum / (frames as f64 - f64::from(*absent));
            }
        }
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
