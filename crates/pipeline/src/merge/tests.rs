//! Merging lanes against what they promise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod behaviour;
mod model;
mod rows;

use std::time::Instant;

use buffer_core::PushedMany;
use record::{Position, Quality, Record, Timestamp, Value};
use sinks::{Entry, ScopeIndex};

use super::store::{MergePolicy, Merger};
use super::{CoalesceAggregate, CoalesceSpec};

fn merger(aggregate: CoalesceAggregate) -> Merger {
    Merger::new(&CoalesceSpec::new(aggregate)).unwrap()
}

fn entry(scope: u16, position: u64, arrival: Instant, record: Record) -> Entry {
    Entry {
        scope: ScopeIndex(scope),
        position: Position::new(position),
        arrival,
        content: Ok(record),
    }
}

/// A record that happened so many microseconds after the epoch.
fn record(source: &str, tag: &str, at_us: i64, value: impl Into<Value>) -> Record {
    let timestamp = Timestamp::from_micros(at_us).unwrap();
    Record::new(source, tag, value.into(), timestamp)
        .unwrap()
        .with_quality(Quality::Good)
}

fn push(merger: &Merger, rows: Vec<Entry>) {
    let mut rows = rows;
    let pushed = merger.push_many(&mut rows, MergePolicy::Reject, &|_| false);
    assert_eq!(pushed.refusal, None);
    assert!(rows.is_empty());
}

/// Pushes rows of which nobody waits for the outcome.
fn offer(merger: &Merger, rows: &mut Vec<Entry>) -> PushedMany {
    merger.push_many(rows, MergePolicy::Reject, &|_| false)
}

fn is_balanced(merger: &Merger) {
    let stats = merger.stats();
    let held = (stats.buffered_updates + stats.leased_updates) as u64;
    assert_eq!(stats.offered, stats.accepted + stats.refused, "{stats:?}");
    assert_eq!(
        stats.accepted,
        stats.acked + stats.purged + held,
        "{stats:?}"
    );
    assert!(held <= stats.updates_max as u64, "{stats:?}");
    assert!(stats.keys <= stats.keys_max, "{stats:?}");
    assert_eq!(stats.keys == 0, held == 0, "{stats:?}");
}
