//! Which points of a curve to draw: `MinMaxLTTB` that minds gaps and uneven times.
//! [`downsample`](super::downsample) states the rules and the sources.
//!
//! Everything is an index into the caller's columns; nothing is copied but candidates.

use std::cmp::Reverse;
use std::ops::Range;

/// How many candidates there are for each point.
const CANDIDATES_PER_POINT: usize = 4;

/// Up to `points` indices, ascending. `points` is at least 2 and less than there are values.
pub(super) fn choose(times_us: &[i64], values: &[f64], points: usize) -> Vec<usize> {
    let curve = Curve { times_us, values };
    let gaps = curve.gaps();
    let len = values.len();
    if gaps.first().is_some_and(|gap| gap.len() == len) {
        return vec![0, len - 1];
    }
    let shown = curve.longest(gaps, points.saturating_sub(4) / 4);
    let mut chosen = Vec::with_capacity(points);
    let mut runs = Vec::with_capacity(shown.len() + 1);
    let mut start = 0;
    for gap in shown {
        if start < gap.start {
            runs.push(start..gap.start);
        }
        chosen.push(if gap.end == len { len - 1 } else { gap.start });
        start = gap.end;
    }
    if start < len {
        runs.push(start..len);
    }
    curve.share(runs, points - chosen.len(), |run, share| {
        curve.choose_in(run, share, &mut chosen);
    });
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[derive(Clone, Copy)]
struct Curve<'a> {
    times_us: &'a [i64],
    values: &'a [f64],
}

impl Curve<'_> {
    /// The runs of values that are no finite number.
    fn gaps(self) -> Vec<Range<usize>> {
        let mut gaps: Vec<Range<usize>> = Vec::new();
        for (at, value) in self.values.iter().enumerate() {
            if !value.is_finite() {
                match gaps.last_mut() {
                    Some(gap) if gap.end == at => gap.end = at + 1,
                    _ => gaps.push(at..at + 1),
                }
            }
        }
        gaps
    }

    /// Those at an end, and of the others the longest `count`, in order.
    fn longest(self, gaps: Vec<Range<usize>>, count: usize) -> Vec<Range<usize>> {
        let len = self.values.len();
        let (mut shown, mut inner): (Vec<_>, Vec<_>) = gaps
            .into_iter()
            .partition(|gap| gap.start == 0 || gap.end == len);
        if count < inner.len() {
            let length_us = |gap: &Range<usize>| self.elapsed_us(gap.start - 1, gap.end);
            inner.select_nth_unstable_by_key(count, |gap| (Reverse(length_us(gap)), gap.start));
            inner.truncate(count);
        }
        shown.append(&mut inner);
        shown.sort_unstable_by_key(|gap| gap.start);
        shown
    }

    /// Shares points among runs: two for each that is long enough, the rest half by time and half
    /// by count. There are at least two per run, but for a single run next to gaps at both ends.
    fn share(
        self,
        mut runs: Vec<Range<usize>>,
        points: usize,
        mut take: impl FnMut(Range<usize>, usize),
    ) {
        let len: usize = runs.iter().map(Range::len).sum();
        // Where times go back between runs, their durations add up to more than there is time.
        let durations_us = runs.iter().map(|run| self.duration_us(run) as f64);
        let time_us: f64 = durations_us.sum();
        let weight = |run: &Range<usize>| {
            self.duration_us(run) as f64 / time_us.max(1.0) + run.len() as f64 / len as f64
        };
        // What a short run cannot use is left to longer ones.
        runs.sort_by_key(Range::len);
        let mut left = points;
        let mut weight_left: f64 = runs.iter().map(weight).sum();
        let mut bases_left: usize = runs.iter().map(|run| run.len().min(2)).sum();
        for (at, run) in runs.iter().enumerate() {
            let base = run.len().min(2);
            let spare = left.saturating_sub(bases_left);
            let part = if at + 1 == runs.len() {
                spare
            } else {
                ((spare as f64 * weight(run) / weight_left) as usize).min(spare)
            };
            let share = (base + part).min(run.len()).min(left);
            left -= share;
            weight_left -= weight(run);
            bases_left -= base;
            take(run.clone(), share);
        }
    }

    /// Chooses `points` of a run, which begins and ends with a finite number.
    fn choose_in(self, run: Range<usize>, points: usize, chosen: &mut Vec<usize>) {
        match points {
            0 => {}
            1 if run.end == self.values.len() => chosen.push(run.end - 1),
            1 => chosen.push(run.start),
            _ if run.len() <= points => {
                chosen.extend(run.filter(|at| self.values[*at].is_finite()));
            }
            _ => self.largest_triangles(&self.candidates(run, points), points, chosen),
        }
    }

    /// The ends of a run, and the extremes of each of its bins; every number of a short run.
    fn candidates(self, run: Range<usize>, points: usize) -> Vec<usize> {
        if run.len() <= CANDIDATES_PER_POINT * points {
            return run.filter(|at| self.values[*at].is_finite()).collect();
        }
        let bins = CANDIDATES_PER_POINT / 2 * points;
        let mut candidates = Vec::with_capacity(2 * bins + 2);
        candidates.push(run.start);
        let inner = run.start + 1..run.end - 1;
        let position = self.position_in(&run);
        let mut start = inner.start;
        for bin in 1..=bins {
            let end = if bin == bins {
                inner.end
            } else {
                let edge = bin as f64 / bins as f64;
                first_where(start..inner.end, |at| position(at) >= edge)
            };
            if let Some((min, max)) = self.extremes(start..end) {
                // Two of each bin, be they the same: a sparse stretch counts as much as a burst.
                candidates.extend([min.min(max), min.max(max)]);
            }
            start = end;
        }
        candidates.push(run.end - 1);
        candidates
    }

    /// Where a point lies in a run, from 0 to 1: half by time and half by count, or by count alone
    /// where times do not ascend.
    fn position_in(self, run: &Range<usize>) -> impl Fn(usize) -> f64 {
        let duration_us = self.duration_us(run);
        let by_time = duration_us > 0 && self.times_us[run.clone()].is_sorted();
        let per_us = if by_time {
            0.5 / duration_us as f64
        } else {
            0.0
        };
        let per_point = if by_time { 0.5 } else { 1.0 } / (run.len() - 1) as f64;
        let start = run.start;
        move |at| self.elapsed_us(start, at) as f64 * per_us + (at - start) as f64 * per_point
    }

    /// Where the first of the smallest and the last of the largest finite values of a bin are.
    fn extremes(self, bin: Range<usize>) -> Option<(usize, usize)> {
        let start = bin.start;
        let mut extremes = None;
        let (mut smallest, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
        for (at, value) in self.values[bin].iter().enumerate() {
            if !value.is_finite() {
                continue;
            }
            let (min, max) = extremes.get_or_insert((start + at, start + at));
            if *value < smallest {
                (smallest, *min) = (*value, start + at);
            }
            if *value >= largest {
                (largest, *max) = (*value, start + at);
            }
        }
        extremes
    }

    /// The first and the last candidate, and one of each bucket between them: that which makes the
    /// largest triangle with the one chosen before it and the mean of the next bucket.
    fn largest_triangles(self, candidates: &[usize], points: usize, chosen: &mut Vec<usize>) {
        let [first, between @ .., last] = candidates else {
            chosen.extend(candidates);
            return;
        };
        if candidates.len() <= points {
            chosen.extend(candidates);
            return;
        }
        let buckets = points - 2;
        let edge = |bucket: usize| bucket * between.len() / buckets.max(1);
        // Times count from the run's first, since an `f64` does not hold microseconds of an epoch
        // times a value without loss.
        let point = |at: usize| {
            let (start_us, time_us) = (self.times_us[*first], self.times_us[at]);
            let distance_us = time_us.abs_diff(start_us) as f64;
            let is_before = time_us < start_us;
            let elapsed_us = if is_before { -distance_us } else { distance_us };
            (elapsed_us, self.values[at])
        };
        let (mut at, mut before) = (*first, point(*first));
        chosen.push(at);
        for bucket in 0..buckets {
            let after = match bucket + 1 {
                next if next == buckets => point(*last),
                next => mean(
                    between[edge(next)..edge(next + 1)]
                        .iter()
                        .map(|at| point(*at)),
                ),
            };
            let mut largest = f64::NEG_INFINITY;
            for candidate in &between[edge(bucket)..edge(bucket + 1)] {
                let (x, y) = point(*candidate);
                let area = (before.0 - after.0) * (y - before.1);
                let area = (area - (before.0 - x) * (after.1 - before.1)).abs();
                if area > largest {
                    (at, largest) = (*candidate, area);
                }
            }
            if largest == f64::NEG_INFINITY {
                // Only where numbers are so large that areas overflow.
                at = between[edge(bucket)];
            }
            before = point(at);
            chosen.push(at);
        }
        chosen.push(*last);
    }

    fn duration_us(self, run: &Range<usize>) -> u64 {
        self.elapsed_us(run.start, run.end - 1)
    }

    fn elapsed_us(self, from: usize, to: usize) -> u64 {
        let (from, to) = (self.times_us[from], self.times_us[to]);
        if to > from { to.abs_diff(from) } else { 0 }
    }
}

/// The first of these indices from which on this holds, or the end. It looks near the start first.
fn first_where(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut start, mut step) = (range.start, 1);
    let end = loop {
        let probe = start + step;
        if probe >= range.end {
            break range.end;
        }
        if holds(probe) {
            break probe;
        }
        start = probe;
        step *= 2;
    };
    let (mut low, mut high) = (start, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn mean(points: impl ExactSizeIterator<Item = (f64, f64)>) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    (x / count, y / count)
}
