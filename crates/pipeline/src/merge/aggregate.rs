//! What the updates of one key become.
//!
//! The aggregates are those of `coalesce`; here they carry in addition what a row needs: the last
//! position, the oldest arrival, the newest time of event, the worst quality and the highest
//! priority. All of that merges in any order.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Instant;

use coalesce::{
    Aggregate, Append, Appended, Change, Changes, Count, Evidence, First, Last, MinMax, Moments,
    Quantiles, Range, Sketch, Stamp, Stamped, Stats, SuccessFailure, Sum, Weights,
};
use record::{Malformed, Position, Priority, Quality, Timestamp, Value};
use serde::{Deserialize, Serialize};
use sinks::ScopeIndex;

use super::CoalesceError;
use crate::opening::order_of;

/// The most values of a key that [`CoalesceAggregate::Append`] keeps.
pub const APPENDED_VALUES_MAX: usize = 100;

/// What the updates of a key become: one record, which has the source and the tag that the key
/// says.
///
/// For [`Last`](Self::Last), [`First`](Self::First) and [`Changes`](Self::Changes) it is one of the
/// updates, with its own time, value, quality and id. For the others the time is the newest time of
/// event, the quality is the worst, and the value is computed. The priority is always the highest.
/// Numbers are whole numbers and floats, taken as floats of 64 bits.
///
/// An update that does not fit its aggregate, such as text in a sum, is not merged: it goes to the
/// quarantine of the sink, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CoalesceAggregate {
    /// `last`: the update that was accepted last, as it came.
    Last,
    /// `first`: the update that was accepted first since the last delivery, as it came.
    First,
    /// `count`: the number of updates, whatever their values are.
    Count,
    /// `sum`: the sum of the numbers.
    Sum,
    /// `min-max`: `{"min":1.5,"max":3.5}`.
    MinMax,
    /// `stats`: `{"count":2,"mean":2.5,"variance":2.0,"min":1.5,"max":3.5}`; the variance is that
    /// of a sample, and null for one number.
    Stats,
    /// `success-failure`: `{"success":true,"weight":2.5}`, one record for each outcome of a key,
    /// with the weights added up: what the tracker of trust reads. A value is a truth value, which
    /// weighs 1, or such an object, whose weight is 1 where it says none. A weight is at most
    /// 1e12 divided by the most updates, so that no sum is more than a tracker takes.
    SuccessFailure,
    /// `append`: `{"values":[1,2],"dropped":0}`: the newest [`APPENDED_VALUES_MAX`] values, oldest
    /// first, and how many older ones are not there any more. Where they are longer together than a
    /// value may be, the oldest are left out, and counted as dropped.
    Append,
    /// `quantiles`: `{"count":2,"min":1.5,"max":3.5,"p50":1.5,"p90":3.5,"p95":3.5,"p99":3.5}`; the
    /// quantiles are within 1 %.
    Quantiles,
    /// `changes`: the change that was accepted last, as it came; null says that the key is deleted,
    /// and becomes a record of quality bad whose value is null.
    Changes,
}

impl CoalesceAggregate {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Last,
        Self::First,
        Self::Count,
        Self::Sum,
        Self::MinMax,
        Self::Stats,
        Self::SuccessFailure,
        Self::Append,
        Self::Quantiles,
        Self::Changes,
    ];

    /// The name that it has in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::First => "first",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::MinMax => "min-max",
            Self::Stats => "stats",
            Self::SuccessFailure => "success-failure",
            Self::Append => "append",
            Self::Quantiles => "quantiles",
            Self::Changes => "changes",
        }
    }
}

impl FromStr for CoalesceAggregate {
    type Err = CoalesceError;

    fn from_str(name: &str) -> Result<Self, CoalesceError> {
        Self::ALL
            .into_iter()
            .find(|aggregate| aggregate.as_str() == name)
            .ok_or_else(|| CoalesceError::Aggregate {
                found: name.chars().take(64).collect(),
                expected: Self::ALL.map(Self::as_str).join(", "),
            })
    }
}

impl std::fmt::Display for CoalesceAggregate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What of a row is the same for all aggregates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) scope: ScopeIndex,
    pub(super) position: Position,
    pub(super) arrival: Instant,
    pub(super) timestamp: Timestamp,
    pub(super) quality: Quality,
    pub(super) priority: Option<Priority>,
    /// Whether somebody waits for the outcome of the row.
    pub(super) is_tracked: bool,
}

/// An update that is merged as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) timestamp: Timestamp,
    pub(super) value: Value,
    pub(super) quality: Quality,
    pub(super) id: Option<Box<str>>,
}

/// What a row adds to its key.
#[derive(Debug)]
pub(super) enum New {
    Last(Kept),
    First(Kept),
    Change(Change<Kept>),
    Count,
    Sum(f64),
    MinMax(f64),
    Stats(f64),
    Evidence(Evidence),
    Append(Value),
    Quantiles(f64),
    /// It cannot be merged, and its key is its own.
    Malformed(Malformed),
}

#[derive(Debug)]
pub(super) struct Update {
    pub(super) meta: Meta,
    pub(super) new: New,
}

/// What the updates of a key have become.
#[derive(Debug)]
pub(super) enum Part {
    Last(Stamped<Kept>),
    First(Stamped<Kept>),
    Change(Stamped<Change<Kept>>),
    Count(u64),
    Sum(f64),
    MinMax(Range),
    Stats(Moments),
    Weights(Weights),
    Appended(Appended<Value>),
    Sketch(Sketch),
    Malformed(Malformed),
}

#[derive(Debug)]
pub(super) struct Partial {
    /// The last position, the oldest arrival, the newest time of event, the worst quality, the
    /// highest priority.
    pub(super) meta: Meta,
    /// Positions of those rows whose outcome somebody waits for, in no order.
    pub(super) tracked: Vec<Position>,
    pub(super) part: Part,
}

const APPEND: Append<Value> =
    Append::new(NonZeroUsize::new(APPENDED_VALUES_MAX).expect("the number is not 0"));
const LAST: Last<Kept> = Last::new();
const FIRST: First<Kept> = First::new();
const CHANGES: Changes<Kept> = Changes::new();

/// Merges rows; each key has updates of one kind only.
#[derive(Debug)]
pub(super) struct Merging;

impl Aggregate for Merging {
    type Update = Update;
    type Partial = Partial;

    fn start(&self, update: Update, stamp: Stamp) -> Partial {
        let Update { meta, new } = update;
        let part = match new {
            New::Last(kept) => Part::Last(LAST.start(kept, stamp)),
            New::First(kept) => Part::First(FIRST.start(kept, stamp)),
            New::Change(change) => Part::Change(CHANGES.start(change, stamp)),
            New::Count => Part::Count(Count.start((), stamp)),
            New::Sum(number) => Part::Sum(Sum.start(number, stamp)),
            New::MinMax(number) => Part::MinMax(MinMax.start(number, stamp)),
            New::Stats(number) => Part::Stats(Stats.start(number, stamp)),
            New::Evidence(evidence) => Part::Weights(SuccessFailure.start(evidence, stamp)),
            New::Append(value) => Part::Appended(APPEND.start(value, stamp)),
            New::Quantiles(number) => Part::Sketch(Quantiles.start(number, stamp)),
            New::Malformed(malformed) => Part::Malformed(malformed),
        };
        let tracked = meta.is_tracked.then_some(meta.position);
        Partial {
            meta,
            tracked: tracked.into_iter().collect(),
            part,
        }
    }

    fn absorb(&self, partial: &mut Partial, update: Update, stamp: Stamp) -> Option<Update> {
        let Update { meta, new } = update;
        partial.meta.absorb(&meta);
        partial
            .tracked
            .extend(meta.is_tracked.then_some(meta.position));
        let displaced = match (&mut partial.part, new) {
            (Part::Last(part), New::Last(kept)) => LAST.absorb(part, kept, stamp).map(New::Last),
            (Part::First(part), New::First(kept)) => {
                FIRST.absorb(part, kept, stamp).map(New::First)
            }
            (Part::Change(part), New::Change(change)) => {
                CHANGES.absorb(part, change, stamp).map(New::Change)
            }
            (Part::Count(part), New::Count) => Count.absorb(part, (), stamp).map(|()| New::Count),
            (Part::Sum(part), New::Sum(number)) => Sum.absorb(part, number, stamp).map(New::Sum),
            (Part::MinMax(part), New::MinMax(number)) => {
                MinMax.absorb(part, number, stamp).map(New::MinMax)
            }
            (Part::Stats(part), New::Stats(number)) => {
                Stats.absorb(part, number, stamp).map(New::Stats)
            }
            (Part::Weights(part), New::Evidence(evidence)) => SuccessFailure
                .absorb(part, evidence, stamp)
                .map(New::Evidence),
            (Part::Appended(part), New::Append(value)) => {
                APPEND.absorb(part, value, stamp).map(New::Append)
            }
            (Part::Sketch(part), New::Quantiles(number)) => {
                Quantiles.absorb(part, number, stamp).map(New::Quantiles)
            }
            _ => unreachable!("a key has updates of one kind"),
        };
        displaced.map(|new| Update { meta, new })
    }

    fn merge(&self, partial: &mut Partial, other: Partial) -> Option<Partial> {
        let Partial {
            meta,
            tracked,
            part,
        } = other;
        partial.meta.absorb(&meta);
        partial.tracked.extend(&tracked);
        let displaced = match (&mut partial.part, part) {
            (Part::Last(part), Part::Last(other)) => LAST.merge(part, other).map(Part::Last),
            (Part::First(part), Part::First(other)) => FIRST.merge(part, other).map(Part::First),
            (Part::Change(part), Part::Change(other)) => {
                CHANGES.merge(part, other).map(Part::Change)
            }
            (Part::Count(part), Part::Count(other)) => Count.merge(part, other).map(Part::Count),
            (Part::Sum(part), Part::Sum(other)) => Sum.merge(part, other).map(Part::Sum),
            (Part::MinMax(part), Part::MinMax(other)) => {
                MinMax.merge(part, other).map(Part::MinMax)
            }
            (Part::Stats(part), Part::Stats(other)) => Stats.merge(part, other).map(Part::Stats),
            (Part::Weights(part), Part::Weights(other)) => {
                SuccessFailure.merge(part, other).map(Part::Weights)
            }
            (Part::Appended(part), Part::Appended(other)) => {
                APPEND.merge(part, other).map(Part::Appended)
            }
            (Part::Sketch(part), Part::Sketch(other)) => {
                Quantiles.merge(part, other).map(Part::Sketch)
            }
            _ => unreachable!("a key has updates of one kind"),
        };
        displaced.map(|part| Partial {
            meta,
            tracked,
            part,
        })
    }
}

impl Meta {
    fn absorb(&mut self, other: &Self) {
        self.position = std::cmp::max_by_key(self.position, other.position, |at| order_of(*at));
        self.arrival = self.arrival.min(other.arrival);
        self.timestamp = self.timestamp.max(other.timestamp);
        self.quality = worse(self.quality, other.quality);
        self.priority = self.priority.max(other.priority);
    }
}

fn worse(a: Quality, b: Quality) -> Quality {
    match (a, b) {
        (Quality::Bad, _) | (_, Quality::Bad) => Quality::Bad,
        (Quality::Uncertain, _) | (_, Quality::Uncertain) => Quality::Uncertain,
        (Quality::Good, Quality::Good) => Quality::Good,
    }
}
