//! Extractors around extractors.
//!
//! A sifted extractor sees the history as if only the values that passed had ever been committed:
//! they are numbered anew, so that an incremental extractor below it stays right. Which values of
//! a window passed is remembered by their numbers, eight bytes each.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use buffer_core::{Generation, KeySeq};

use super::{Extracted, Extractor, Rule};
use crate::{Requirement, Series, View};

/// An extractor that is given only what passes a [`Rule`].
///
/// - Fresh values are judged, once each. Those that do not pass count as filtered.
/// - A value that passed is shown for as long as it is in the window; one that was held back never
///   is. A value that left the window and comes back, because times went back, is not shown again.
/// - A poll with fresh values of which none passes shows nothing: for a reader, nothing happened.
///   A poll without fresh values ([`snapshot`](crate::Subscription::snapshot)) shows what passed.
/// - When the key is cleared or its values change their shape, the rule begins anew.
///
/// Of several rules, that which was added last judges first, and the next one only what passed.
pub struct Sifted<E, R, V> {
    extractor: E,
    rule: R,
    generation: Generation,
    /// The number of the newest value that a clear is known to have taken away.
    cleared_up_to: u64,
    /// The number after the last value that was judged.
    next: u64,
    /// The numbers of the values in the window that passed.
    passed: VecDeque<u64>,
    /// How many ever passed: the number of the last one for the extractor within.
    passed_total: u64,
    /// How many of them passed before the key was last cleared.
    passed_cleared: u64,
    value: PhantomData<fn(V)>,
}

impl<E, R, V> Sifted<E, R, V> {
    pub(super) fn new(extractor: E, rule: R) -> Self {
        Self {
            extractor,
            rule,
            generation: Generation::default(),
            cleared_up_to: 0,
            next: 0,
            passed: VecDeque::new(),
            passed_total: 0,
            passed_cleared: 0,
            value: PhantomData,
        }
    }
}

impl<E, R: Rule<V>, V> Sifted<E, R, V> {
    /// Judges what is new, and says how many of the fresh values passed.
    fn judge(&mut self, view: &View<V>) -> usize {
        let range = view.range();
        let (first, end) = (range.start.number(), range.end.number());
        let fresh_from = end - view.fresh() as u64;
        // A clear may have been followed by new values before anybody looked.
        let cleared_up_to = std::mem::replace(&mut self.cleared_up_to, view.cleared_up_to);
        if view.is_cleared() || self.cleared_up_to != cleared_up_to {
            self.rule.forget();
            self.passed.clear();
            self.passed_cleared = self.passed_total;
        } else if view.generation() != self.generation {
            self.rule.forget();
            self.generation = view.generation();
        }
        // What is fresh was never judged: the numbers began anew if it seems otherwise.
        while self.passed.back().is_some_and(|seq| *seq >= fresh_from) {
            self.passed.pop_back();
            self.passed_total -= 1;
        }
        while self.passed.front().is_some_and(|seq| *seq < first) {
            self.passed.pop_front();
        }
        let judged = self.next.min(fresh_from).max(first);
        self.next = end;
        let mut fresh = 0;
        for (seq, sample) in (first..end).zip(view.iter()).skip(as_index(judged - first)) {
            if self.rule.passes(sample) {
                self.pass(seq);
                fresh += usize::from(seq >= fresh_from);
            }
        }
        if view.fresh() == 0
            && let Some(newest) = view.latest()
            && self.passed.back() != Some(&(end - 1))
            && self.rule.settles(newest)
        {
            self.pass(end - 1);
        }
        fresh
    }

    fn pass(&mut self, seq: u64) {
        self.passed.push_back(seq);
        self.passed_total += 1;
    }
}

impl<E, R, V: Clone> Sifted<E, R, V> {
    /// The history as if only what passed were in it.
    fn through(&self, view: View<V>, fresh: usize) -> View<V> {
        let first = view.range().start.number();
        let of_generation = |seq: &&u64| **seq >= view.generation_start.number();
        let of_generation = self.passed.iter().rev().take_while(of_generation).count() as u64;
        let (id, commit_seq, missed) = (view.id, view.commit_seq, view.missed);
        let is_cleared = view.is_cleared;
        let cleared_up_to = self.passed_cleared;
        let generation_start = KeySeq::new(self.passed_total + 1 - of_generation)
            .expect("no more values are of this generation than ever passed");
        let newest_only = self.passed.front().is_none_or(|seq| {
            let from_end = view.range().end.number() - seq;
            from_end == self.passed.len() as u64
        });
        let series = if newest_only {
            view.series.last(self.passed.len())
        } else {
            let (times_us, values) = view.series.into_parts();
            let mut passed = self.passed.iter().copied().peekable();
            let samples = (first..).zip(times_us.into_iter().zip(values));
            let kept = samples.filter_map(|(seq, sample)| passed.next_if_eq(&seq).map(|_| sample));
            kept.collect::<Series<V>>()
        };
        View {
            id,
            commit_seq,
            appended: self.passed_total,
            fresh,
            missed,
            generation: self.generation,
            generation_start,
            is_cleared,
            cleared_up_to,
            series,
        }
    }
}

impl<E, R, V> Extractor<V> for Sifted<E, R, V>
where
    E: Extractor<V>,
    R: Rule<V>,
    V: Clone,
{
    type Output = E::Output;

    fn requirement(&self) -> Requirement {
        self.extractor.requirement()
    }

    fn extract(&mut self, view: View<V>) -> Extracted<E::Output> {
        let fresh = self.judge(&view);
        let held_back = view.fresh() - fresh;
        if fresh == 0 && held_back > 0 {
            return Extracted::held_back(held_back);
        }
        let view = self.through(view, fresh);
        self.extractor.extract(view).and_filtered(held_back)
    }
}

impl<E: Clone, R: Clone, V> Clone for Sifted<E, R, V> {
    fn clone(&self) -> Self {
        Self {
            extractor: self.extractor.clone(),
            rule: self.rule.clone(),
            generation: self.generation,
            cleared_up_to: self.cleared_up_to,
            next: self.next,
            passed: self.passed.clone(),
            passed_total: self.passed_total,
            passed_cleared: self.passed_cleared,
            value: PhantomData,
        }
    }
}

impl<E: fmt::Debug, R: fmt::Debug, V> fmt::Debug for Sifted<E, R, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sifted")
            .field("extractor", &self.extractor)
            .field("rule", &self.rule)
            .field("passed", &self.passed_total)
            .finish_non_exhaustive()
    }
}

/// An extractor whose output is turned into something else.
pub struct Mapped<E, F, V> {
    extractor: E,
    turn: F,
    value: PhantomData<fn(V)>,
}

impl<E, F, V> Mapped<E, F, V> {
    pub(super) fn new(extractor: E, turn: F) -> Self {
        Self {
            extractor,
            turn,
            value: PhantomData,
        }
    }
}

impl<E, F, V, P> Extractor<V> for Mapped<E, F, V>
where
    E: Extractor<V>,
    F: FnMut(E::Output) -> P + Send + Sync,
{
    type Output = P;

    fn requirement(&self) -> Requirement {
        self.extractor.requirement()
    }

    fn extract(&mut self, view: View<V>) -> Extracted<P> {
        self.extractor.extract(view).map(&mut self.turn)
    }
}

impl<E: Clone, F: Clone, V> Clone for Mapped<E, F, V> {
    fn clone(&self) -> Self {
        Self::new(self.extractor.clone(), self.turn.clone())
    }
}

impl<E: fmt::Debug, F, V> fmt::Debug for Mapped<E, F, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mapped")
            .field("extractor", &self.extractor)
            .finish_non_exhaustive()
    }
}

fn as_index(distance: u64) -> usize {
    usize::try_from(distance).expect("a distance between values of one view")
}
