//! What an extractor is given of a key's history.

use std::ops::Range;

use buffer_core::{Generation, KeySeq};

use crate::{CommitSeq, KeyId, Sample, Series};

/// The part of one key's history that a [`Requirement`](crate::Requirement) names, as of one
/// commit. It owns its values.
///
/// The newest [`fresh`](Self::fresh) values were committed since the last poll; those before them
/// were part of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<V> {
    pub(crate) id: KeyId,
    pub(crate) commit_seq: CommitSeq,
    /// How many updates the key ever had: the number of the newest value, if it is in here.
    pub(crate) appended: u64,
    pub(crate) fresh: usize,
    pub(crate) missed: u64,
    pub(crate) generation: Generation,
    /// The number of the first value of this generation.
    pub(crate) generation_start: KeySeq,
    /// The key holds no value; a view of what is new can be empty though it does.
    pub(crate) is_cleared: bool,
    /// The number of the newest value that a clear took away; 0 if none is known of.
    pub(crate) cleared_up_to: u64,
    pub(crate) series: Series<V>,
}

impl<V> View<V> {
    /// A view of these values, to test an extractor with: key 0, all of them fresh, none missed.
    ///
    /// ```
    /// use dataservice::{Extractor, LatestValue, View};
    ///
    /// let view = View::of([(1, 0.5), (2, 0.7)].into_iter().collect());
    /// let shown = LatestValue.extract(view).into_output().expect("there is a value");
    /// assert_eq!(shown.values(), [0.7]);
    /// ```
    #[must_use]
    pub fn of(series: Series<V>) -> Self {
        Self {
            id: KeyId::FIRST,
            commit_seq: CommitSeq::START,
            appended: series.len() as u64,
            fresh: series.len(),
            missed: 0,
            generation: Generation::default(),
            generation_start: KeySeq::FIRST,
            is_cleared: series.is_empty(),
            cleared_up_to: 0,
            series,
        }
    }

    /// The same, of which only the newest `uniform` values have the shape of the newest, as if it
    /// had changed before them. To be said after [`with_history`](Self::with_history).
    #[must_use]
    pub fn with_generation(mut self, generation: Generation, uniform: usize) -> Self {
        let before = self.len().saturating_sub(uniform) as u64;
        self.generation = generation;
        self.generation_start = self.seq(self.range().start.number() + before);
        self
    }

    /// The same, of which only the newest `fresh` values are new, and whose key had `appended`
    /// updates up to now, at least as many as there are values.
    #[must_use]
    pub fn with_history(mut self, fresh: usize, appended: u64) -> Self {
        self.appended = appended.max(self.len() as u64);
        self.fresh = fresh.min(self.len());
        self
    }

    pub(crate) fn at(mut self, id: KeyId, commit_seq: CommitSeq) -> Self {
        (self.id, self.commit_seq) = (id, commit_seq);
        self
    }

    /// The key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The last commit that is part of it.
    #[must_use]
    pub fn commit_seq(&self) -> CommitSeq {
        self.commit_seq
    }

    /// The numbers of the values: from the first up to, and without, the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<KeySeq> {
        let end = self.appended + 1;
        self.seq(end - self.len() as u64)..self.seq(end)
    }

    fn seq(&self, number: u64) -> KeySeq {
        KeySeq::new(number).expect("there are no more values than updates")
    }

    /// How many of the values, from the newest, were committed since the last poll.
    #[must_use]
    pub fn fresh(&self) -> usize {
        self.fresh
    }

    /// How many updates of the key were committed since the last poll and are not in here: those
    /// that were displaced, and those that the requirement leaves out.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether the key holds no value: it was cleared, or never had one. A view without values need
    /// not be of such a key: there may be nothing that the extractor has not seen.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.is_cleared
    }

    /// Counts how often the shape of the key's values changed; always 0 in a service that was not
    /// told what a shape is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The newest values in here that have the shape of the newest of all: its generation.
    #[must_use]
    pub fn uniform(&self) -> &[V] {
        self.values().get(self.foreign()..).unwrap_or_default()
    }

    /// The event time of each [uniform](Self::uniform) value, in microseconds.
    #[must_use]
    pub fn uniform_times_us(&self) -> &[i64] {
        self.times_us().get(self.foreign()..).unwrap_or_default()
    }

    /// How many values, from the oldest, are of an earlier generation.
    fn foreign(&self) -> usize {
        let first = self.range().start.number();
        let foreign = self.generation_start.number().saturating_sub(first);
        usize::try_from(foreign).unwrap_or(usize::MAX)
    }

    /// The values, oldest first.
    #[must_use]
    pub fn values(&self) -> &[V] {
        self.series.values()
    }

    /// The event time of each value, in microseconds.
    #[must_use]
    pub fn times_us(&self) -> &[i64] {
        self.series.times_us()
    }

    /// The values with their times, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Sample<&V>> + ExactSizeIterator {
        self.series.iter()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The newest value.
    #[must_use]
    pub fn latest(&self) -> Option<Sample<&V>> {
        self.series.latest()
    }

    /// All values.
    #[must_use]
    pub fn into_series(self) -> Series<V> {
        self.series
    }

    /// The same with other values in the place of its own, for an extractor that reads through
    /// another one. `fresh` is how many of them are new. They have the numbers of the newest values
    /// of the key; if there are fewer than before, number them with
    /// [`with_history`](Self::with_history) by how many there ever were.
    #[must_use]
    pub fn replaced<W>(self, series: Series<W>, fresh: usize) -> View<W> {
        View {
            id: self.id,
            commit_seq: self.commit_seq,
            appended: self.appended.max(series.len() as u64),
            fresh: fresh.min(series.len()),
            missed: self.missed,
            generation: self.generation,
            generation_start: self.generation_start,
            is_cleared: self.is_cleared,
            cleared_up_to: self.cleared_up_to,
            series,
        }
    }
}

impl<V: Clone> View<V> {
    /// The newest value.
    #[must_use]
    pub fn into_latest(self) -> Option<Sample<V>> {
        self.series.into_latest()
    }
}
