//! What a merged row looks like.

use coalesce::{Change, Sketch};
use record::{Malformed, Name, Quality, Record, Timestamp, VALUE_BYTES_MAX, Value};
use serde::Serialize;
use sinks::Entry;

use super::CoalesceAggregate;
use super::aggregate::{Kept, Part, Partial};
use super::slots::Side;
use super::template::names;

/// The row that this has become; `key` is the expanded key, and `None` for what is malformed.
pub(super) fn row(
    aggregate: CoalesceAggregate,
    key: Option<&str>,
    side: Side,
    partial: &Partial,
) -> Entry {
    let meta = &partial.meta;
    let content = match (&partial.part, key) {
        (Part::Malformed(malformed), _) => Err(malformed.clone()),
        (part, key) => record(aggregate, key.unwrap_or_default(), side, partial)
            // It cannot come to this, and if it does, the updates are kept as they can be.
            .map_err(|error| Malformed::new(error.to_string(), format!("{part:?}").as_bytes())),
    };
    Entry {
        scope: meta.scope,
        position: meta.position,
        arrival: meta.arrival,
        content,
    }
}

fn record(
    aggregate: CoalesceAggregate,
    key: &str,
    side: Side,
    partial: &Partial,
) -> Result<Record, record::RecordError> {
    let (source, tag) = names(key, aggregate.as_str());
    let meta = &partial.meta;
    let (timestamp, value, quality, id) = match &partial.part {
        Part::Last(kept) | Part::First(kept) => as_it_came(kept.value()),
        Part::Change(change) => match change.value() {
            Change::Put(kept) => as_it_came(kept),
            Change::Delete => (meta.timestamp, Value::Null, Quality::Bad, None),
        },
        computed => (meta.timestamp, value(computed, side)?, meta.quality, None),
    };
    Ok(Record {
        timestamp,
        source: Name::new("source", source)?,
        tag: Name::new("tag", tag)?,
        value,
        quality,
        priority: meta.priority,
        id,
    })
}

fn as_it_came(kept: &Kept) -> (Timestamp, Value, Quality, Option<Box<str>>) {
    let Kept {
        timestamp,
        value,
        quality,
        id,
    } = kept.clone();
    (timestamp, value, quality, id)
}

fn value(part: &Part, side: Side) -> Result<Value, record::RecordError> {
    match part {
        Part::Count(count) => Ok(Value::I64(i64::try_from(*count).unwrap_or(i64::MAX))),
        Part::Sum(sum) => Ok(Value::number(*sum)),
        Part::MinMax(range) => json(&MinMax {
            min: range.min(),
            max: range.max(),
        }),
        Part::Stats(moments) => json(&Stats {
            count: moments.count(),
            mean: moments.mean(),
            variance: moments.sample_variance(),
            min: moments.min(),
            max: moments.max(),
        }),
        Part::Weights(weights) => json(&Weight {
            success: side != Side::Failure,
            weight: match side {
                Side::Failure => weights.failure_weight(),
                _ => weights.success_weight(),
            },
        }),
        Part::Appended(appended) => {
            let values: Vec<&Value> = appended.values().collect();
            appended_json(&values, appended.dropped())
        }
        Part::Sketch(sketch) => json(&Quantiles::of(sketch)),
        Part::Last(_) | Part::First(_) | Part::Change(_) | Part::Malformed(_) => Ok(Value::Null),
    }
}

/// As many of the newest values as a value has room for.
fn appended_json(values: &[&Value], dropped: u64) -> Result<Value, record::RecordError> {
    let texts: Vec<String> = values.iter().map(text).collect();
    // The frame around the values, with the longest number.
    let mut left = VALUE_BYTES_MAX - 64;
    let newest = texts.iter().rev().take_while(|text| {
        let room = left.checked_sub(text.len() + 1);
        left = room.unwrap_or(left);
        room.is_some()
    });
    let first = texts.len() - newest.count();
    let dropped = dropped.saturating_add(first as u64);
    let values = texts[first..].join(",");
    Value::json(&format!(r#"{{"values":[{values}],"dropped":{dropped}}}"#))
}

#[derive(Serialize)]
struct MinMax {
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct Stats {
    count: u64,
    mean: f64,
    variance: Option<f64>,
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct Weight {
    success: bool,
    weight: f64,
}

#[derive(Serialize)]
struct Quantiles {
    count: u64,
    min: f64,
    max: f64,
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl Quantiles {
    fn of(sketch: &Sketch) -> Self {
        Self {
            count: sketch.count(),
            min: sketch.min(),
            max: sketch.max(),
            p50: sketch.quantile(0.50),
            p90: sketch.quantile(0.90),
            p95: sketch.quantile(0.95),
            p99: sketch.quantile(0.99),
        }
    }
}

fn json(value: &impl Serialize) -> Result<Value, record::RecordError> {
    Value::json(&text(value))
}

fn text(value: &impl Serialize) -> String {
    // Numbers, truth values and texts can always be written.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
