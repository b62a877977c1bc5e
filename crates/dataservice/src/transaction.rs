//! Updates that become visible together, or not at all.

use std::fmt;

use crate::buffer::len_within;
use crate::shared::Handle;
use crate::state::Staged;
use crate::{
    CommitError, CommitSeq, KeyId, PutError, Refusal, Requirement, Savepoint, Series, View,
};

/// Updates staged by one owner, invisible to everybody else, without any lock.
///
/// [`commit`](Self::commit) makes all keys visible at once and wakes each subscriber at most once.
/// Dropping the transaction, on an error or in a panic, discards it. Several transactions may be
/// open at a time; their order is that of their commits. A part of it can be
/// [rolled back](Self::begin).
///
/// ```
/// use dataservice::DataService;
///
/// let service: DataService<&str, i64> = DataService::new();
/// let (debit, credit) = (service.register("debit")?, service.register("credit")?);
///
/// let mut transfer = service.begin();
/// transfer.put(debit, 1, -50)?;
/// transfer.put(credit, 1, 50)?;
/// assert_eq!(transfer.get(debit), Some(-50));
/// assert_eq!(service.get("debit"), None);
///
/// assert_eq!(transfer.commit()?.number(), 1);
/// assert_eq!((service.get("debit"), service.get("credit")), (Some(-50), Some(50)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a transaction that is dropped commits nothing"]
pub struct Transaction<V> {
    shared: Handle<V>,
    staged: Vec<Staged<V>>,
    /// What the staged values weigh, beside their places.
    weight: usize,
}

/// How far a transaction had come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    len: usize,
    weight: usize,
}

impl<V: Clone> Transaction<V> {
    pub(crate) fn new(shared: Handle<V>) -> Self {
        let staged = shared.spare();
        Self {
            shared,
            staged,
            weight: 0,
        }
    }

    /// Stages one value, which happened at `time_us`.
    ///
    /// # Errors
    /// When the transaction is full or too large, the id is unknown, or the value is not what was
    /// declared; the value is handed back, and what was staged before stays.
    #[inline]
    pub fn put(&mut self, id: KeyId, time_us: i64, value: V) -> Result<(), PutError<V>> {
        let settings = &self.shared.settings;
        let weight = self.weight + settings.weigh.map_or(0, |weigh| weigh(&value));
        let len = self.staged.len() + 1;
        let bytes = weight.saturating_add(len * size_of::<Staged<V>>());
        let limits = &settings.limits;
        let refusal = if len > limits.transaction_updates_max {
            let limit = limits.transaction_updates_max;
            Some(Refusal::TransactionFull { limit })
        } else if bytes > limits.transaction_bytes_max {
            let limit = limits.transaction_bytes_max;
            Some(Refusal::TransactionTooLarge { bytes, limit })
        } else {
            self.shared.refusal(id, &value)
        };
        if let Some(refusal) = refusal {
            return Err(PutError { refusal, value });
        }
        self.weight = weight;
        self.staged.push(Staged { id, time_us, value });
        Ok(())
    }

    /// Stages values of one key, each with its time in microseconds. All or none.
    ///
    /// # Errors
    /// As for [`put`](Self::put), with the first value that did not fit.
    pub fn put_many(
        &mut self,
        id: KeyId,
        values: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<usize, PutError<V>> {
        let mark = self.mark();
        for (time_us, value) in values {
            if let Err(error) = self.put(id, time_us, value) {
                self.roll_back(mark);
                return Err(error);
            }
        }
        Ok(self.len() - mark.len)
    }

    /// Begins a nested transaction, a savepoint: what is put into it becomes part of this one when
    /// it is committed, and is discarded when it is dropped.
    pub fn begin(&mut self) -> Savepoint<'_, V> {
        Savepoint::new(self)
    }

    /// The newest value of a key as this transaction would leave it. Linear in what is staged.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<V> {
        let mut staged = self.staged.iter().rev();
        if let Some(update) = staged.find(|update| update.id == id) {
            return Some(update.value.clone());
        }
        let view = self.shared.read(id, Requirement::Latest)?;
        view.into_latest().map(|sample| sample.value)
    }

    /// A part of a key's history as this transaction would leave it; `None` if the id is unknown.
    /// What others commit meanwhile is part of it. Linear in what is staged.
    #[must_use]
    pub fn read(&self, id: KeyId, requirement: Requirement) -> Option<View<V>> {
        let view = self.shared.read(id, requirement)?;
        let staged = self.staged.iter().filter(|update| update.id == id);
        let (times, values): (Vec<i64>, Vec<V>) = staged
            .map(|update| (update.time_us, update.value.clone()))
            .unzip();
        if values.is_empty() {
            return Some(view);
        }
        let appended = view.appended + values.len() as u64;
        let (mut all_times, mut all) = view.series.into_parts();
        all_times.extend(times);
        all.extend(values);
        let len = match requirement {
            Requirement::Latest => 1,
            Requirement::Count(count) => count,
            Requirement::Span { span, .. } => {
                let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                len_within(&all_times, span_us)
            }
            Requirement::All { count_max, .. } | Requirement::Since { count_max } => count_max,
        };
        let series = Series::own(all_times, all).last(len);
        Some(View {
            appended,
            fresh: series.len(),
            is_cleared: false,
            series,
            ..View::of(Series::empty()).at(id, view.commit_seq)
        })
    }

    /// Makes everything visible at once and returns the number of the commit. An empty transaction
    /// is no commit and returns the number of the last one.
    ///
    /// It waits while a subscriber that asked for it would lose something; see
    /// [`Backpressure::Block`](crate::Backpressure::Block).
    ///
    /// # Errors
    /// When there is no memory for it, or callbacks set each other off too often; nothing is
    /// visible then, and the transaction is handed back.
    pub fn commit(mut self) -> Result<CommitSeq, CommitError<V>> {
        match self.shared.commit(&mut self.staged) {
            Ok(commit_seq) => Ok(commit_seq),
            Err(refusal) => Err(CommitError {
                refusal,
                transaction: self,
            }),
        }
    }
}

impl<V> Transaction<V> {
    /// How many updates are staged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.staged.len()
    }

    /// Whether nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            len: self.staged.len(),
            weight: self.weight,
        }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.staged.truncate(mark.len);
        self.weight = mark.weight;
    }

    pub(crate) fn len_since(&self, mark: Mark) -> usize {
        self.staged.len() - mark.len
    }
}

impl<V> Drop for Transaction<V> {
    fn drop(&mut self) {
        self.shared.keep_spare(std::mem::take(&mut self.staged));
    }
}

impl<V> fmt::Debug for Transaction<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transaction")
            .field("updates", &self.staged.len())
            .finish_non_exhaustive()
    }
}
