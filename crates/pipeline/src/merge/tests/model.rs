//! Mergers against a model that keeps every update and folds them when asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use record::{Malformed, Value};
use sinks::Entry;

use super::{entry, is_balanced, offer, record};
use crate::merge::lease::MergedLease;
use crate::merge::store::{MergePolicy, Merger};
use crate::merge::{CoalesceAggregate, CoalesceSpec};

#[derive(Clone, Debug)]
enum Step {
    /// Rows of a scope: the tag and the number, or something malformed.
    Push(u16, Vec<Option<(u8, i16)>>),
    PushAll(u16, Vec<Option<(u8, i16)>>),
    Lease,
    Ack,
    /// Brings the lease back to be merged.
    Fail,
    /// Brings the lease back as it is.
    FailSent,
    Drain,
}

/// An update as it was accepted.
#[derive(Clone, Debug, PartialEq)]
struct Update {
    scope: u16,
    position: u64,
    arrival: Instant,
    /// `None` of what is malformed.
    tag: Option<u8>,
    number: i16,
}

#[derive(Default)]
struct Model {
    waiting: Vec<Update>,
    /// What came back after it was sent: the next batch.
    aside: Option<Vec<Update>>,
    leased: Vec<Update>,
    delivered: Vec<Update>,
    accepted: usize,
    purged: usize,
    last: [u64; 2],
}

const KEYS_MAX: usize = 5;
const UPDATES_MAX: usize = 40;
const TAGS: [&str; 4] = ["a", "b", "c", "d"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || prop::collection::vec(prop::option::weighted(0.9, (0..4_u8, any::<i16>())), 0..8);
    let step = prop_oneof![
        6 => (0..2_u16, rows()).prop_map(|(scope, rows)| Step::Push(scope, rows)),
        2 => (0..2_u16, rows()).prop_map(|(scope, rows)| Step::PushAll(scope, rows)),
        4 => Just(Step::Lease),
        3 => Just(Step::Ack),
        2 => Just(Step::Fail),
        1 => Just(Step::FailSent),
        1 => Just(Step::Drain),
    ];
    prop::collection::vec(step, 1..60)
}

/// Rows of a batch: each a tag and a number.
fn tagged() -> impl Strategy<Value = Vec<(u8, i16)>> {
    prop::collection::vec((0..4_u8, any::<i16>()), 1..10)
}

impl Model {
    /// What the rows are, at the positions that come next, and as the pipeline gives them.
    fn updates(
        &self,
        scope: u16,
        rows: &[Option<(u8, i16)>],
        now: Instant,
    ) -> (Vec<Update>, Vec<Entry>) {
        let first = self.last[usize::from(scope)] + 1;
        let updates: Vec<Update> = rows
            .iter()
            .zip(first..)
            .map(|(row, position)| Update {
                scope,
                position,
                arrival: now,
                tag: row.map(|(tag, _)| tag),
                number: row.map_or(0, |(_, number)| number),
            })
            .collect();
        let entry = |update: &Update| {
            let tag = update.tag.map_or("x", |tag| TAGS[usize::from(tag)]);
            let value = i64::from(update.number);
            let record = record("plc", tag, update.position as i64, value);
            let mut entry = entry(scope, update.position, now, record);
            if update.tag.is_none() {
                entry.content = Err(Malformed::new("bad", b"bad"));
            }
            entry
        };
        let entries = updates.iter().map(entry).collect();
        (updates, entries)
    }

    fn accept(&mut self, updates: &[Update]) {
        if let Some(last) = updates.last() {
            self.last[usize::from(last.scope)] = last.position;
        }
        self.accepted += updates.len();
        self.waiting.extend_from_slice(updates);
    }

    fn keys<'a>(updates: impl Iterator<Item = &'a Update>) -> usize {
        fold(updates).len()
    }

    fn held(&self) -> impl Iterator<Item = &Update> {
        let aside = self.aside.iter().flatten();
        self.waiting.iter().chain(aside).chain(&self.leased)
    }

    /// How many of the updates fit, from the front.
    fn fitting(&self, updates: &[Update]) -> usize {
        let fits = |count: &usize| {
            let all = self.held().chain(&updates[..*count]);
            self.held().count() + count <= UPDATES_MAX && Self::keys(all) <= KEYS_MAX
        };
        (0..=updates.len()).take_while(fits).count() - 1
    }
}

/// Updates by row: those of a key of a scope, and each malformed one by itself.
fn fold<'a>(
    updates: impl Iterator<Item = &'a Update>,
) -> BTreeMap<(u16, Option<u8>, u64), Vec<&'a Update>> {
    let mut rows: BTreeMap<_, Vec<&Update>> = BTreeMap::new();
    for update in updates {
        let alone = update.tag.map_or(update.position, |_| 0);
        rows.entry((update.scope, update.tag, alone))
            .or_default()
            .push(update);
    }
    for updates in rows.values_mut() {
        updates.sort_by_key(|update| update.position);
    }
    rows
}

/// What a row of these updates has to be.
fn expected(aggregate: CoalesceAggregate, updates: &[&Update]) -> Entry {
    let (first, last) = (updates[0], updates[updates.len() - 1]);
    let sum: i64 = updates.iter().map(|update| i64::from(update.number)).sum();
    let tag = last.tag.map_or("x", |tag| TAGS[usize::from(tag)]);
    let (value, at) = match aggregate {
        CoalesceAggregate::Sum => (Value::F64(sum as f64), last.position),
        CoalesceAggregate::Count => (Value::I64(updates.len() as i64), last.position),
        CoalesceAggregate::First => (Value::I64(first.number.into()), first.position),
        _ => (Value::I64(last.number.into()), last.position),
    };
    let oldest = updates.iter().map(|update| update.arrival).min();
    let record = record("plc", tag, at as i64, value);
    let mut entry = entry(last.scope, last.position, oldest.unwrap(), record);
    if last.tag.is_none() {
        entry.content = Err(Malformed::new("bad", b"bad"));
    }
    entry
}

fn check_lease(aggregate: CoalesceAggregate, lease: &MergedLease, model: &Model) {
    let mut rows: Vec<(Entry, u64)> = fold(model.leased.iter())
        .values()
        .map(|updates| (expected(aggregate, updates), updates.len() as u64))
        .collect();
    rows.sort_by_key(|(row, _)| (row.position, row.scope));
    let found = lease.rows();
    let found: Vec<(Entry, u64)> = found
        .iter()
        .enumerate()
        .map(|(index, row)| (row.clone(), lease.updates_of(index)))
        .collect();
    assert_eq!(found, rows);
    assert_eq!(lease.updates() as usize, model.leased.len());
    // A take is a prefix of each scope: what waits comes behind the last row of its scope.
    for update in &model.waiting {
        let ahead = found.iter().filter(|(row, _)| row.scope.0 == update.scope);
        assert!(
            ahead
                .clone()
                .all(|(row, _)| row.position.number() < update.position)
        );
    }
}

fn check_counts(merger: &Merger, model: &Model) {
    is_balanced(merger);
    let stats = merger.stats();
    let aside = || model.aside.iter().flatten();
    let waiting = || model.waiting.iter().chain(aside());
    assert_eq!(stats.accepted as usize, model.accepted);
    assert_eq!(stats.acked as usize, model.delivered.len());
    assert_eq!(stats.purged as usize, model.purged);
    assert_eq!(stats.leased_updates, model.leased.len());
    assert_eq!(stats.keys, Model::keys(model.held()));
    let load = merger.load();
    assert_eq!(load.updates, waiting().count());
    assert_eq!(load.keys, Model::keys(waiting()));
    assert_eq!(load.oldest, waiting().map(|update| update.arrival).min());
}

fn run(aggregate: CoalesceAggregate, steps: &[Step]) {
    let spec = CoalesceSpec::new(aggregate)
        .keys_max(KEYS_MAX)
        .updates_max(UPDATES_MAX);
    let merger = Merger::new(&spec).unwrap();
    let mut model = Model::default();
    let mut lease: Option<MergedLease> = None;
    let start = Instant::now();
    for (step, after) in steps.iter().zip(0..) {
        let now = start + Duration::from_millis(after);
        match step {
            Step::Push(scope, rows) => {
                let (updates, mut entries) = model.updates(*scope, rows, now);
                let fitting = model.fitting(&updates);
                let refused = entries[fitting..].to_vec();
                assert_eq!(offer(&merger, &mut entries).accepted, fitting);
                assert_eq!(entries, refused, "what is refused is handed back whole");
                model.accept(&updates[..fitting]);
            }
            Step::PushAll(scope, rows) => {
                let (updates, mut entries) = model.updates(*scope, rows, now);
                let fits = model.fitting(&updates) == updates.len();
                assert_eq!(merger.try_push_all(&mut entries, &|_| false).is_ok(), fits);
                if fits {
                    model.accept(&updates);
                }
            }
            Step::Lease => {
                let has_some =
                    lease.is_none() && (model.aside.is_some() || !model.waiting.is_empty());
                let next = merger.lease();
                assert_eq!(next.is_some(), has_some);
                if let Some(next) = next {
                    model.leased = model
                        .aside
                        .take()
                        .unwrap_or_else(|| std::mem::take(&mut model.waiting));
                    check_lease(aggregate, &next, &model);
                    lease = Some(next);
                }
            }
            Step::Ack => {
                if let Some(lease) = lease.take() {
                    lease.ack();
                    model.delivered.append(&mut model.leased);
                }
            }
            Step::Fail | Step::FailSent => {
                if let Some(lease) = lease.take() {
                    let is_sent = lease.is_sent() || matches!(step, Step::FailSent);
                    if is_sent {
                        lease.mark_sent();
                        model.aside = Some(std::mem::take(&mut model.leased));
                    } else {
                        model.waiting.append(&mut model.leased);
                    }
                    drop(lease);
                }
            }
            Step::Drain => {
                let waited = model.waiting.len() + model.aside.iter().flatten().count();
                assert_eq!(merger.drain().updates as usize, waited);
                model.purged += waited;
                model.waiting.clear();
                model.aside = None;
            }
        }
        check_counts(&merger, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_update_is_in_one_row_and_the_account_balances_at_each_step(steps in steps()) {
        for aggregate in [
            CoalesceAggregate::Sum,
            CoalesceAggregate::Count,
            CoalesceAggregate::First,
            CoalesceAggregate::Last,
        ] {
            run(aggregate, &steps);
        }
    }

    #[test]
    fn a_failure_in_between_changes_nothing(
        batches in prop::collection::vec((tagged(), any::<bool>()), 1..12),
    ) {
        for aggregate in CoalesceAggregate::ALL {
            if aggregate == CoalesceAggregate::SuccessFailure {
                continue;
            }
            let spec = CoalesceSpec::new(aggregate);
            let (failing, steady) = (Merger::new(&spec).unwrap(), Merger::new(&spec).unwrap());
            let now = Instant::now();
            let mut position = 0;
            for (batch, fails) in &batches {
                let lease = if *fails { failing.lease() } else { None };
                let rows: Vec<Entry> = batch
                    .iter()
                    .map(|(tag, number)| {
                        position += 1;
                        // Halves, so that no sum depends on the order.
                        let value = f64::from(*number) / 2.0;
                        let tag = TAGS[usize::from(*tag)];
                        entry(0, position, now, record("plc", tag, 0, value))
                    })
                    .collect();
                assert_eq!(offer(&failing, &mut rows.clone()).refusal, None);
                assert_eq!(offer(&steady, &mut rows.clone()).refusal, None);
                drop(lease);
            }
            let (failed, steady) = (failing.lease().unwrap(), steady.lease().unwrap());
            let (failed, steady) = (failed.rows(), steady.rows());
            if aggregate != CoalesceAggregate::Stats {
                assert_eq!(failed.to_vec(), steady.to_vec(), "{aggregate}");
                continue;
            }
            // Means and variances merge with the rounding of their order.
            assert_eq!(failed.len(), steady.len());
            for (a, b) in failed.iter().zip(steady.iter()) {
                assert_eq!(a.position, b.position);
                assert_close(a, b);
            }
        }
    }
}

/// Compares the numbers of two records of statistics.
fn assert_close(a: &Entry, b: &Entry) {
    let read = |row: &Entry| match &row.content.as_ref().unwrap().value {
        Value::Json(text) => serde_json::from_str::<serde_json::Value>(text.as_str()).unwrap(),
        other => panic!("{other:?}"),
    };
    let (a, b) = (read(a), read(b));
    for field in ["count", "mean", "variance", "min", "max"] {
        let (a, b) = (a[field].as_f64(), b[field].as_f64());
        assert_eq!(a.is_some(), b.is_some());
        let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
        assert!(
            (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            "{field}: {a} and {b}"
        );
    }
}

/// Ends the waiting of those who push, also when the test fails.
struct ClosedAtTheEnd(Merger);

impl Drop for ClosedAtTheEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Two scopes push at the same time while batches are taken, some of which fail.
#[test]
fn nothing_is_lost_or_doubled_while_threads_push_and_batches_fail() {
    const ROWS: u64 = 20_000;
    let spec = CoalesceSpec::new(CoalesceAggregate::Sum).updates_max(500);
    let merger = Merger::new(&spec).unwrap();
    let is_done = AtomicBool::new(false);
    let mut delivered = [0.0, 0.0];
    let mut watermark = [0, 0];
    std::thread::scope(|scope| {
        let pushing = [0_u16, 1].map(|index| {
            let merger = merger.clone();
            scope.spawn(move || {
                let wait = MergePolicy::Block(Duration::from_secs(600));
                for first in (1..=ROWS).step_by(10) {
                    let now = Instant::now();
                    let mut rows = (first..first + 10)
                        .map(|position| {
                            let tag = TAGS[position as usize % 4];
                            entry(index, position, now, record("plc", tag, 0, position as i64))
                        })
                        .collect();
                    let pushed = merger.push_many(&mut rows, wait, &|_| false);
                    assert_eq!(pushed.accepted, 10);
                }
            })
        });
        let _closed = ClosedAtTheEnd(merger.clone());
        let is_done = &is_done;
        scope.spawn(move || {
            for pushing in pushing {
                pushing.join().unwrap();
            }
            is_done.store(true, Ordering::SeqCst);
        });
        for round in 0_u64.. {
            let was_done = is_done.load(Ordering::SeqCst);
            let Some(lease) = merger.lease() else {
                if was_done {
                    break;
                }
                std::thread::yield_now();
                continue;
            };
            is_balanced(&merger);
            if round % 3 == 1 {
                drop(lease);
                continue;
            }
            let mut updates = [0, 0];
            let mut last = watermark;
            for (index, row) in lease.rows().iter().enumerate() {
                let scope = usize::from(row.scope.0);
                let Value::F64(sum) = row.content.as_ref().unwrap().value else {
                    panic!("{row:?}");
                };
                delivered[scope] += sum;
                updates[scope] += lease.updates_of(index);
                assert!(row.position.number() > watermark[scope]);
                last[scope] = last[scope].max(row.position.number());
            }
            // Positions are dense here: the batch is all that lies between the watermarks.
            assert_eq!(updates, [last[0] - watermark[0], last[1] - watermark[1]]);
            watermark = last;
            lease.ack();
        }
    });
    let all = (ROWS * (ROWS + 1) / 2) as f64;
    assert_eq!(delivered, [all, all]);
    assert_eq!(merger.stats().acked, 2 * ROWS);
    is_balanced(&merger);
}
