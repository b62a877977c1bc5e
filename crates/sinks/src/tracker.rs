//! Evidence into a tracker of trust.
//!
//! Each batch is added up by key and outcome before the tracker is called, once per batch. The
//! tracker lives in memory, so there is no connection, nothing to retry, and nothing that outlives
//! the process but its snapshots: what was written since the last one has to be sent again after a
//! restart. A write whose outcome is unknown counts twice when it is repeated. So the guarantee is
//! at least once, since the last snapshot. No ledger that outlives the process belongs around the
//! writer: it would skip what the tracker has lost. Rows that are no evidence are rejected one by
//! one, and the others count.
//!
//! The calls are made on the caller's task: a [`Tracker`] that blocks belongs behind a thread.

mod options;
mod stored;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use record::{Record, Value};
use serde::Deserialize;
use trust::{Outcome, TrustTracker, WEIGHT_MAX, Weights};

use crate::{Batch, BatchWriter, Cell, ErrorKind, Receipt, Refused, Row, WriteError, row};

pub use options::TrackerOptions;
pub use stored::StoredTracker;

/// One observation: how something ended, and how much that weighs.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustUpdate {
    /// Whom it is about.
    pub key: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How much it weighs, from 0 to [`WEIGHT_MAX`].
    pub weight: f64,
}

row! {
    TrustUpdate => "trust_updates" {
        "key": Text = |update| &update.key;
        "success": Bool = |update| update.outcome == Outcome::Success;
        "weight": F64 = |update| update.weight;
    }
}

/// Observations of a batch with the same key and outcome, added up: all of them, unless together
/// they weigh more than [`WEIGHT_MAX`], in which case another update has the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AggregatedUpdate<'a> {
    /// Whom they are about.
    pub key: &'a str,
    /// How they ended.
    pub outcome: Outcome,
    /// What they weigh together, from 0 to [`WEIGHT_MAX`].
    pub weight: f64,
}

/// What keeps evidence per key: a [`TrustTracker`], or anything else.
pub trait Tracker: Send + Sync + 'static {
    /// Adds the updates, each for itself, and says which it refuses by their index, each once.
    ///
    /// # Errors
    /// When none was added; the same can be offered again.
    fn batch_update(&self, updates: &[AggregatedUpdate<'_>]) -> Result<Vec<Refused>, WriteError>;
}

impl Tracker for TrustTracker<String> {
    fn batch_update(&self, updates: &[AggregatedUpdate<'_>]) -> Result<Vec<Refused>, WriteError> {
        let weighed = updates
            .iter()
            .map(|one| (one.key, Weights::of(one.outcome, one.weight)));
        if self.batch_add(weighed).is_ok() {
            return Ok(Vec::new());
        }
        // Nothing was added: one by one, to find out which ones are refused.
        let refused = updates.iter().enumerate().filter_map(|(row, one)| {
            let error = self.update(one.key, one.outcome, one.weight).err()?;
            let reason = error.to_string();
            Some(Refused { row, reason })
        });
        Ok(refused.collect())
    }
}

impl<T: Tracker> Tracker for Arc<T> {
    fn batch_update(&self, updates: &[AggregatedUpdate<'_>]) -> Result<Vec<Refused>, WriteError> {
        self.as_ref().batch_update(updates)
    }
}

/// A row that is evidence, or says why it is none.
pub trait TrustRow: Row {
    /// The key, how it ended, and how much that weighs.
    ///
    /// # Errors
    /// The reason for which the row is rejected.
    fn evidence(&self) -> Result<(Cow<'_, str>, Outcome, f64), String>;
}

impl TrustRow for TrustUpdate {
    fn evidence(&self) -> Result<(Cow<'_, str>, Outcome, f64), String> {
        Ok((Cow::Borrowed(&self.key), self.outcome, self.weight))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    success: bool,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

/// The key is `source/tag`; the value is a truth value, which weighs 1, or the JSON object
/// `{"success":true,"weight":2.5}`, whose weight is 1 where it says none.
impl TrustRow for Record {
    fn evidence(&self) -> Result<(Cow<'_, str>, Outcome, f64), String> {
        let (outcome, weight) = outcome_of(&self.value)?;
        let key = format!("{}/{}", self.source.as_str(), self.tag.as_str());
        Ok((Cow::Owned(key), outcome, weight))
    }
}

fn outcome_of(value: &Value) -> Result<(Outcome, f64), String> {
    match value {
        Value::Bool(is_success) => Ok((Outcome::from(*is_success), 1.0)),
        Value::Json(text) => {
            let evidence: Evidence = serde_json::from_str(text.as_str())
                .map_err(|error| format!("`value` is no evidence: {error}"))?;
            Ok((Outcome::from(evidence.success), evidence.weight))
        }
        other => {
            let cell = Cell::from(other);
            Err(format!(
                "`value` is {cell:?}, but must be true, false or {{\"success\":…,\"weight\":…}}"
            ))
        }
    }
}

/// What of a record is the key for which its evidence counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackerKey {
    /// `source/tag`.
    #[default]
    SourceAndTag,
    /// The source alone: all of its tags count for it. What was merged by a key without a slash
    /// has the name of the aggregate for a tag, which says nothing.
    Source,
    /// The tag alone: all sources count for it.
    Tag,
}

impl TrackerKey {
    fn reader(self) -> Reader<Record> {
        match self {
            Self::SourceAndTag => Record::evidence,
            Self::Source => |record| {
                let (outcome, weight) = outcome_of(&record.value)?;
                Ok((Cow::Borrowed(record.source.as_str()), outcome, weight))
            },
            Self::Tag => |record| {
                let (outcome, weight) = outcome_of(&record.value)?;
                Ok((Cow::Borrowed(record.tag.as_str()), outcome, weight))
            },
        }
    }
}

/// What reads the evidence of a row.
type Reader<R> = for<'a> fn(&'a R) -> Result<(Cow<'a, str>, Outcome, f64), String>;

/// Writes evidence to a tracker.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use record::Position;
/// use sinks::{Batch, BatchId, BatchWriter, Entry, ScopeIndex, TrackerWriter, TrustUpdate};
/// use trust::{Outcome, TrustTracker};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// let tracker = Arc::new(TrustTracker::<String>::new());
/// let writer = TrackerWriter::new(Arc::clone(&tracker));
/// let update = TrustUpdate { key: "rule 7".into(), outcome: Outcome::Success, weight: 2.0 };
/// let entry = Entry {
///     scope: ScopeIndex(0),
///     position: Position::START,
///     arrival: Instant::now(),
///     content: Ok(update),
/// };
/// let receipt = writer.write(&Batch::new(BatchId(1), vec![entry])).await?;
/// assert_eq!(receipt.delivered(), 1);
/// assert_eq!(tracker.posterior("rule 7").mean(), 0.75);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
pub struct TrackerWriter<T, R = TrustUpdate> {
    tracker: T,
    reader: Reader<R>,
}

impl<T: Tracker> TrackerWriter<T> {
    /// Feeds this tracker with updates.
    pub fn new(tracker: T) -> Self {
        Self::of_rows(tracker)
    }
}

impl<T: Tracker> TrackerWriter<T, Record> {
    /// Feeds this tracker with records whose values are evidence.
    pub fn of_records(tracker: T) -> Self {
        Self::of_rows(tracker)
    }

    /// Takes this of each record for the key; its source and its tag unless said otherwise.
    #[must_use]
    pub fn keyed_by(self, key: TrackerKey) -> Self {
        Self {
            reader: key.reader(),
            ..self
        }
    }
}

impl<T: Tracker, R: TrustRow> TrackerWriter<T, R> {
    /// Feeds this tracker with rows of any kind.
    pub fn of_rows(tracker: T) -> Self {
        Self {
            tracker,
            reader: R::evidence,
        }
    }

    /// The tracker, to read from.
    pub fn tracker(&self) -> &T {
        &self.tracker
    }

    /// Adds the batch, now.
    fn add(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let mut merged = Merged::of(batch, self.reader);
        let updates: Vec<_> = merged
            .sums
            .iter()
            .map(|(key, outcome, weight)| AggregatedUpdate {
                key,
                outcome: *outcome,
                weight: *weight,
            })
            .collect();
        if !updates.is_empty() {
            let refused = self.tracker.batch_update(&updates)?;
            merged.reject(refused)?;
        }
        merged.rejected.sort_by_key(|refused| refused.row);
        Ok(Receipt::delivered_all(batch.len()).with_rejected(merged.rejected))
    }
}

impl<T: Tracker, R: TrustRow> BatchWriter for TrackerWriter<T, R> {
    type Row = R;

    fn name(&self) -> &str {
        NAME
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        self.add(batch)
    }
}

/// The word for it in statistics and messages.
const NAME: &str = "tracker";

/// A batch added up, and which of its rows went where.
struct Merged<'a> {
    sums: Vec<(Cow<'a, str>, Outcome, f64)>,
    /// For each row that counts, its index and that of its sum.
    parts: Vec<(usize, usize)>,
    rejected: Vec<Refused>,
}

impl<'a> Merged<'a> {
    fn of<R>(batch: &'a Batch<R>, reader: Reader<R>) -> Self {
        let mut merged = Self {
            sums: Vec::new(),
            parts: Vec::with_capacity(batch.len()),
            rejected: Vec::new(),
        };
        let mut places = HashMap::<_, usize, foldhash::fast::RandomState>::default();
        for (row, entry) in batch.rows().iter().enumerate() {
            let evidence = match &entry.content {
                Ok(content) => reader(content),
                Err(malformed) => Err(malformed.reason().to_owned()),
            };
            // One bad weight must not spoil the sum that others are in.
            let evidence = evidence.and_then(|(key, outcome, weight)| {
                if (0.0..=WEIGHT_MAX).contains(&weight) {
                    Ok((key, outcome, weight))
                } else {
                    Err(no_weight(&key, weight))
                }
            });
            match evidence {
                Ok((key, outcome, weight)) => {
                    let next = merged.sums.len();
                    let place = places.entry((key.clone(), outcome)).or_insert(next);
                    // Rows that are good one by one must not become a weight that is none.
                    let sum = merged.sums.get(*place).map_or(0.0, |sum| sum.2) + weight;
                    if *place == next || sum > WEIGHT_MAX {
                        *place = next;
                        merged.sums.push((key, outcome, weight));
                    } else {
                        merged.sums[*place].2 = sum;
                    }
                    merged.parts.push((row, *place));
                }
                Err(reason) => merged.rejected.push(Refused { row, reason }),
            }
        }
        merged
    }

    /// Rejects the rows of sums that the tracker refused.
    fn reject(&mut self, refused: Vec<Refused>) -> Result<(), WriteError> {
        let updates = self.sums.len();
        let mut reasons = vec![None; updates];
        for Refused { row, reason } in refused {
            let Some(place) = reasons.get_mut(row) else {
                let message = format!("the tracker refused update {row} of {updates}");
                return Err(WriteError::new(ErrorKind::Fatal, message));
            };
            place.get_or_insert(reason);
        }
        for &(row, sum) in &self.parts {
            if let Some(reason) = reasons[sum].clone() {
                self.rejected.push(Refused { row, reason });
            }
        }
        Ok(())
    }
}

fn no_weight(key: &str, weight: f64) -> String {
    format!("key {key:?}: the weight {weight} is not from 0 to {WEIGHT_MAX:e}")
}

impl<T, R> std::fmt::Debug for TrackerWriter<T, R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TrackerWriter")
    }
}
