//! A sink in memory that says what was written when, takes its time, and hangs where it is told;
//! and the account of a pipeline, checked lane by lane.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipeline::{Intake, LaneSpec, LaneStats, Pipeline, SinkSpec, Stats, Totals};
use record::{Position, Priority, Record, Timestamp, Value};
use sinks::{
    Batch, BatchWriter, BoxWriter, Entry, MemoryWriter, OpenScope, Receipt, ScopeIndex, ScopeName,
    WriteError,
};
use tokio::time::Instant;

/// A batch as it was when its write began.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) scope: String,
    pub(crate) numbers: Vec<i64>,
}

#[derive(Clone, Default)]
pub(crate) struct Probe {
    pub(crate) memory: MemoryWriter,
    state: Arc<Mutex<State>>,
    pub(crate) closed: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<ScopeIndex, String>,
    seen: Vec<Seen>,
    write_time: Duration,
    row_time: Duration,
    /// Scopes whose names contain this get no answer.
    hangs: Option<String>,
    in_flight: BTreeSet<String>,
    in_flight_max: usize,
    /// Scopes that had two batches under way at once.
    doubled: Vec<String>,
}

/// Counts a write as under way until it is dropped.
struct Flying {
    state: Arc<Mutex<State>>,
    scope: String,
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.state.lock().unwrap().in_flight.remove(&self.scope);
    }
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn boxed(&self) -> BoxWriter {
        BoxWriter::new(self.clone())
    }

    pub(crate) fn spec(&self, name: &str) -> SinkSpec {
        SinkSpec::new(name, self.boxed())
    }

    /// Each write takes so long, and so much more for each of its rows.
    pub(crate) fn takes(&self, write: Duration, row: Duration) {
        let mut state = self.state.lock().unwrap();
        (state.write_time, state.row_time) = (write, row);
    }

    pub(crate) fn hang(&self, scope: Option<&str>) {
        self.state.lock().unwrap().hangs = scope.map(str::to_owned);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn in_flight_max(&self) -> usize {
        self.state.lock().unwrap().in_flight_max
    }

    pub(crate) fn doubled(&self) -> Vec<String> {
        self.state.lock().unwrap().doubled.clone()
    }

    /// What is delivered, of scopes whose names contain this.
    pub(crate) fn numbers(&self, scope: &str) -> Vec<i64> {
        let rows = self.memory.delivered().into_iter();
        let rows = rows.filter(|(name, _, _)| name.as_str().contains(scope));
        rows.map(|(_, _, record)| number(&record)).collect()
    }

    /// What is delivered of a tag, in order.
    pub(crate) fn of_tag(&self, tag: &str) -> Vec<i64> {
        let rows = self.memory.delivered().into_iter();
        let rows = rows.filter(|(_, _, record)| record.tag.as_str() == tag);
        rows.map(|(_, _, record)| number(&record)).collect()
    }

    fn begin(&self, batch: &Batch) -> (Flying, Duration, bool) {
        let mut state = self.state.lock().unwrap();
        let scope = state.names[&batch.rows()[0].scope].clone();
        let rows = batch.rows().iter();
        let numbers = rows.filter_map(|row| row.content.as_ref().ok().map(number));
        let seen = Seen {
            at: Instant::now(),
            scope: scope.clone(),
            numbers: numbers.collect(),
        };
        state.seen.push(seen);
        if !state.in_flight.insert(scope.clone()) {
            state.doubled.push(scope.clone());
        }
        state.in_flight_max = state.in_flight_max.max(state.in_flight.len());
        let takes = state.write_time + state.row_time * u32::try_from(batch.len()).unwrap();
        let hangs = state
            .hangs
            .as_ref()
            .is_some_and(|part| scope.contains(part));
        let state = Arc::clone(&self.state);
        (Flying { state, scope }, takes, hangs)
    }
}

impl BatchWriter for Probe {
    type Row = Record;

    fn name(&self) -> &str {
        "probe"
    }

    async fn open_scope(&self, at: ScopeIndex, name: &ScopeName) -> Result<OpenScope, WriteError> {
        let name_text = name.as_str().to_owned();
        self.state.lock().unwrap().names.insert(at, name_text);
        self.memory.open_scope(at, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.memory.scopes(prefix).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let (_flying, takes, hangs) = self.begin(batch);
        if hangs {
            std::future::pending::<()>().await;
        }
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.memory.write(batch).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) fn number(record: &Record) -> i64 {
    match &record.value {
        Value::I64(number) => *number,
        other => panic!("not a whole number: {other:?}"),
    }
}

pub(crate) fn numbers_of(rows: &[Entry]) -> Vec<i64> {
    let records = rows.iter().filter_map(|row| row.content.as_ref().ok());
    records.map(number).collect()
}

/// A record with a tag, a number and a priority of its own.
pub(crate) fn of(tag: &str, value: i64, priority: impl Into<Option<Priority>>) -> Record {
    let mut record = Record::new("PLC01", tag, Value::I64(value), Timestamp::default()).unwrap();
    record.priority = priority.into();
    record
}

/// Hands over records with a tag and these numbers, and says how many were accepted.
pub(crate) fn push(intake: &Intake, tag: &str, numbers: std::ops::Range<i64>) -> usize {
    let rows = numbers.map(|number| Ok(of(tag, number, None))).collect();
    let accepted = intake.push(Instant::now().into_std(), rows);
    accepted.unwrap().accepted
}

/// A lane that flushes each record at once.
pub(crate) fn at_once(priority: Priority) -> LaneSpec {
    LaneSpec::new(priority).flush(flush_policy::FlushSpec::new().size(1))
}

/// One lane of the only route.
pub(crate) fn lane(stats: &Stats, priority: Priority) -> LaneStats {
    lane_of(stats, 0, priority)
}

pub(crate) fn lane_of(stats: &Stats, route: usize, priority: Priority) -> LaneStats {
    let mut lanes = stats.routes[route].lanes.iter();
    lanes.find(|lane| lane.lane == priority).unwrap().clone()
}

fn assert_totals(what: &str, totals: &Totals) {
    let settled = totals.delivered + totals.dropped.total() + totals.quarantined;
    assert_eq!(
        totals.offered,
        totals.accepted + totals.refused,
        "{what}: {totals:?}"
    );
    assert_eq!(
        totals.accepted,
        settled + totals.pending,
        "{what}: {totals:?}"
    );
}

/// Law 1 in every lane, every route and the whole, and each is the sum of its parts.
pub(crate) fn assert_conserved(stats: &Stats) {
    let mut whole = [0; 7];
    for route in &stats.routes {
        let name = format!("{:?} into {}", route.route, route.sink);
        assert_totals(&name, &route.totals);
        let mut sum = [0; 7];
        for lane in &route.lanes {
            assert_totals(&format!("{} of {name}", lane.lane.as_str()), &lane.totals);
            add(&mut sum, &lane.totals);
        }
        let mut total = [0; 7];
        add(&mut total, &route.totals);
        assert_eq!(sum, total, "{name} is the sum of its lanes");
        add(&mut whole, &route.totals);
    }
    let total = Totals {
        offered: stats.offered,
        accepted: stats.accepted,
        refused: stats.refused,
        delivered: stats.delivered,
        dropped: stats.dropped,
        quarantined: stats.quarantined,
        pending: stats.pending,
    };
    assert_totals("the whole", &total);
    let mut expected = [0; 7];
    add(&mut expected, &total);
    let is_more = expected
        .iter()
        .zip(whole)
        .all(|(total, parts)| *total >= parts);
    assert!(
        is_more,
        "the whole has what its routes have: {expected:?} {whole:?}"
    );
}

fn add(sum: &mut [u64; 7], totals: &Totals) {
    let more = [
        totals.offered,
        totals.accepted,
        totals.refused,
        totals.delivered,
        totals.dropped.total(),
        totals.quarantined,
        totals.pending,
    ];
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The account, checked.
pub(crate) fn account(pipeline: &Pipeline) -> Stats {
    let stats = pipeline.stats();
    assert_conserved(&stats);
    stats
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) async fn sleep_ms(milliseconds: u64) {
    tokio::time::sleep(ms(milliseconds)).await;
}
