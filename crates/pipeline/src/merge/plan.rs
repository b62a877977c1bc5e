//! What a row will add, found out before any lock is taken.

use coalesce::{Aggregate, Change, Evidence, MinMax, Quantiles, Stats, SuccessFailure, Sum};
use record::{Malformed, NAME_BYTES_MAX, Record, Value};
use serde::Deserialize;
use sinks::Entry;

use super::aggregate::{Kept, Meta, New, Update};
use super::slots::Side;
use super::template::names;
use super::{CoalesceAggregate, CoalesceSpec};

/// The most that the weights of one record may be: what a tracker of trust takes at once.
const WEIGHT_MAX: f64 = 1e12;

/// What rows will add, and to which keys.
pub(super) struct Plans {
    plans: Vec<Plan>,
    /// The expanded keys of all of them, one behind the other.
    keys: String,
}

struct Plan {
    /// Where its key ends; it begins where that of the row before ends.
    key_end: usize,
    adds: Adds,
    is_tracked: bool,
}

enum Adds {
    /// The record itself, or its value.
    Record,
    Nothing,
    Number(f64),
    Evidence(Evidence),
    /// It cannot be merged; `None` where the row says why itself.
    Malformed(Option<Malformed>),
}

impl Plans {
    pub(super) fn of(
        spec: &CoalesceSpec,
        rows: &[Entry],
        is_tracked: &dyn Fn(&Entry) -> bool,
    ) -> Self {
        let mut keys = String::new();
        let mut plans = Vec::with_capacity(rows.len());
        for row in rows {
            let key_start = keys.len();
            let adds = match &row.content {
                Ok(record) => {
                    spec.key.expand(record, &mut keys);
                    plan(spec, record, &keys[key_start..]).unwrap_or_else(|reason| {
                        keys.truncate(key_start);
                        Adds::Malformed(Some(Malformed::new(reason, &row.original())))
                    })
                }
                Err(_) => Adds::Malformed(None),
            };
            plans.push(Plan {
                key_end: keys.len(),
                adds,
                is_tracked: is_tracked(row),
            });
        }
        Self { plans, keys }
    }

    /// The key of a row; `None` where it cannot be merged.
    pub(super) fn key(&self, row: usize) -> Option<&str> {
        let plan = &self.plans[row];
        if let Adds::Malformed(_) = plan.adds {
            return None;
        }
        let start = match row {
            0 => 0,
            row => self.plans[row - 1].key_end,
        };
        Some(&self.keys[start..plan.key_end])
    }

    /// Moves what the row adds out of it; what is left of the row is to be dropped.
    pub(super) fn take(
        &mut self,
        aggregate: CoalesceAggregate,
        row: usize,
        entry: &mut Entry,
    ) -> (Side, Update) {
        let plan = &mut self.plans[row];
        let mut meta = Meta {
            scope: entry.scope,
            position: entry.position,
            arrival: entry.arrival,
            timestamp: record::Timestamp::default(),
            quality: record::Quality::Good,
            priority: None,
            is_tracked: plan.is_tracked,
        };
        if let Ok(record) = &entry.content {
            meta.timestamp = record.timestamp;
            meta.quality = record.quality;
            meta.priority = record.priority;
        }
        let (side, new) = match (&mut plan.adds, &mut entry.content) {
            (Adds::Malformed(Some(malformed)), _) | (Adds::Malformed(None), Err(malformed)) => {
                let taken = std::mem::replace(malformed, Malformed::new("", b""));
                (Side::Whole, New::Malformed(taken))
            }
            (Adds::Evidence(evidence), _) => (Side::of(*evidence), New::Evidence(*evidence)),
            (Adds::Nothing, _) => (Side::Whole, New::Count),
            (Adds::Number(number), _) => (Side::Whole, numeric(aggregate, *number)),
            (Adds::Record, Ok(record)) => (Side::Whole, whole(aggregate, record)),
            (Adds::Record | Adds::Malformed(None), _) => {
                unreachable!("the plan was made of this row")
            }
        };
        (side, Update { meta, new })
    }
}

fn numeric(aggregate: CoalesceAggregate, number: f64) -> New {
    match aggregate {
        CoalesceAggregate::Sum => New::Sum(number),
        CoalesceAggregate::MinMax => New::MinMax(number),
        CoalesceAggregate::Stats => New::Stats(number),
        CoalesceAggregate::Quantiles => New::Quantiles(number),
        other => unreachable!("{other} is no aggregate of numbers"),
    }
}

fn whole(aggregate: CoalesceAggregate, record: &mut Record) -> New {
    let value = std::mem::take(&mut record.value);
    if aggregate == CoalesceAggregate::Append {
        return New::Append(value);
    }
    let kept = Kept {
        timestamp: record.timestamp,
        value,
        quality: record.quality,
        id: record.id.take(),
    };
    match aggregate {
        CoalesceAggregate::Last => New::Last(kept),
        CoalesceAggregate::First => New::First(kept),
        CoalesceAggregate::Changes if kept.value == Value::Null => New::Change(Change::Delete),
        CoalesceAggregate::Changes => New::Change(Change::Put(kept)),
        other => unreachable!("{other} keeps no records"),
    }
}

/// What the record adds.
///
/// # Errors
/// The reason for which it cannot be merged.
fn plan(spec: &CoalesceSpec, record: &Record, key: &str) -> Result<Adds, String> {
    let (source, tag) = names(key, spec.aggregate.as_str());
    for (field, name) in [("source", source), ("tag", tag)] {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "field `{field}` of the merged record has {} bytes, the limit is {NAME_BYTES_MAX}",
                name.len()
            ));
        }
    }
    let check = |checked: Result<(), coalesce::InvalidUpdate>| {
        checked.map_err(|error| format!("`value` cannot be merged: {error}"))
    };
    let adds = match spec.aggregate {
        CoalesceAggregate::Last
        | CoalesceAggregate::First
        | CoalesceAggregate::Append
        | CoalesceAggregate::Changes => Adds::Record,
        CoalesceAggregate::Count => Adds::Nothing,
        CoalesceAggregate::SuccessFailure => {
            let evidence = evidence(&record.value, WEIGHT_MAX / spec.updates_max as f64)?;
            check(SuccessFailure.check(&evidence))?;
            Adds::Evidence(evidence)
        }
        aggregate => {
            let number = number(aggregate, &record.value)?;
            check(match aggregate {
                CoalesceAggregate::MinMax => MinMax.check(&number),
                CoalesceAggregate::Stats => Stats.check(&number),
                CoalesceAggregate::Quantiles => Quantiles.check(&number),
                _ => Sum.check(&number),
            })?;
            Adds::Number(number)
        }
    };
    Ok(adds)
}

fn number(aggregate: CoalesceAggregate, value: &Value) -> Result<f64, String> {
    match value {
        Value::I64(number) => Ok(*number as f64),
        Value::F64(number) => Ok(*number),
        other => Err(format!(
            "`value` cannot be merged by {aggregate}: it is {}, expected int or float",
            other.kind()
        )),
    }
}

/// The form in which the tracker reads evidence, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evident {
    success: bool,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

fn evidence(value: &Value, weight_max: f64) -> Result<Evidence, String> {
    let Evident { success, weight } = match value {
        Value::Bool(success) => Evident {
            success: *success,
            weight: one(),
        },
        Value::Json(text) => serde_json::from_str(text.as_str())
            .map_err(|error| format!("`value` is no evidence: {error}"))?,
        other => {
            return Err(format!(
                "`value` is {}, expected true, false or {{\"success\":…,\"weight\":…}}",
                other.kind()
            ));
        }
    };
    if weight > weight_max {
        return Err(format!(
            "`weight` is {weight}, the limit is {weight_max:e}: no sum may be above {WEIGHT_MAX:e}"
        ));
    }
    Ok(if success {
        Evidence::Success(weight)
    } else {
        Evidence::Failure(weight)
    })
}
