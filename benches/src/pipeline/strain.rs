//! `overload`: twice what the sink can take. `outage`: a sink that is dead for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pipeline::{LaneSpec, Pipeline, SinkSpec};
use record::Priority;
use sinks::{BoxWriter, RetryPolicy};

use super::offer::{Offered, offer};
use super::probe::{Probe, Seen};
use super::slow::Slow;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::process;
use crate::report::Better;

/// What the sink takes in `overload`.
const SINK_ROWS_PER_S: u64 = 50_000;
/// What arrives in `outage`, so that the dead time fits into the lanes.
const OUTAGE_ROWS_PER_S: u64 = 5_000;
/// Records that each lane holds in `outage`.
const OUTAGE_LANE: usize = 400_000;
/// Rows this young are the usual ones again: the target of the lane that takes its time, and half.
const USUAL: Duration = Duration::from_millis(750);
/// How long it is waited for the usual at most.
const USUAL_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn overload() -> Case {
    let metric = |what: &str, unit, limit| {
        Metric::new(format!("overload, {what}"), unit, Better::Lower)
            .aim(1.0, Against::Limit(limit))
    };
    Case {
        name: "overload".to_owned(),
        metrics: vec![
            metric("p99 of critical", "ms", 50.0),
            metric("growth of memory after a quarter", "MB", 8.0),
            Metric::new(
                "overload, delivered",
                "% of what was offered",
                Better::Higher,
            ),
        ],
        contenders: vec![Contender::new(Kind::Ours, "ours", run_overload)],
        duration: Duration::from_secs(60),
    }
}

pub(super) fn outage() -> Case {
    let title = "outage, until the rows are as young as usual";
    Case {
        name: "outage".to_owned(),
        metrics: vec![
            Metric::new(title, "s", Better::Lower).aim(1.0, Against::Limit(5.0)),
            Metric::new("outage, delivered", "% of what was offered", Better::Higher)
                .aim(1.0, Against::Limit(100.0)),
        ],
        contenders: vec![Contender::new(Kind::Ours, "ours", run_outage)],
        duration: Duration::from_secs(30),
    }
}

/// A pipeline with all lanes into a sink of this speed, and what it is seen to write.
struct Strained {
    runtime: tokio::runtime::Runtime,
    pipeline: Pipeline,
    seen: Arc<Seen>,
    is_dead: Arc<AtomicBool>,
    epoch: Instant,
}

impl Strained {
    fn new(rows_per_s: u64, lanes: [LaneSpec; 4]) -> Result<Self> {
        let runtime = super::runtime()?;
        let epoch = Instant::now();
        let is_dead = Arc::new(AtomicBool::new(false));
        let slow = Slow {
            rows_per_s,
            is_dead: Arc::clone(&is_dead),
        };
        let (probe, seen) = Probe::new(slow, epoch);
        let entered = runtime.enter();
        // Two writes at once, of which one is kept free for what is urgent.
        let retry = RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(1), None);
        let sink = SinkSpec::new("slow", BoxWriter::new(probe))
            .lanes(lanes)
            .concurrency(2)
            .retry(retry);
        let pipeline = Pipeline::builder().sink(sink).start()?;
        drop(entered);
        Ok(Self {
            runtime,
            pipeline,
            seen,
            is_dead,
            epoch,
        })
    }

    fn offer(&self, rows_per_s: u64, duration: Duration) -> Offered {
        let _entered = self.runtime.enter();
        let sender = self.pipeline.sender();
        offer(self.epoch, rows_per_s, duration, |record| {
            sender.send(record).is_ok()
        })
    }

    /// Ends it, and says what share was delivered. Every record has to be accounted for.
    fn finish(self, offered: u64, refused: u64) -> Result<f64> {
        let stats = self
            .runtime
            .block_on(self.pipeline.shutdown(Duration::from_secs(60)))
            .stats;
        ensure!(stats.offered == offered, "the account misses an offer");
        ensure!(stats.refused == refused, "the account misses a refusal");
        ensure!(
            stats.accepted == stats.delivered + stats.dropped.total() && stats.pending == 0,
            "the account does not balance: {stats:?}"
        );
        ensure!(
            stats.delivered == self.seen.rows(),
            "the account is not that of the sink"
        );
        self.seen.check_order()?;
        Ok(stats.delivered as f64 / offered as f64 * 100.0)
    }
}

fn run_overload(duration: Duration) -> Result<Vec<f64>> {
    let lanes = LaneSpec::all().map(|lane| match lane.priority() {
        Priority::Critical => lane.reserved(1),
        _ => lane,
    });
    let strained = Strained::new(SINK_ROWS_PER_S, lanes)?;
    let memory = || process::resident_memory_mb(std::process::id()).context("no memory is shown");
    let rate = 2 * SINK_ROWS_PER_S;
    let warm = strained.offer(rate, duration / 4);
    // What the probe keeps is not the pipeline's.
    strained.seen.forget_ages();
    let before = memory()?;
    let mut p99_ms: f64 = 0.0;
    let mut growth: f64 = 0.0;
    let (mut rows, mut refused) = (warm.rows, warm.refused);
    for _ in 0..LOOKS {
        let offered = strained.offer(rate, duration * 3 / 4 / LOOKS);
        rows += offered.rows;
        refused += offered.refused;
        p99_ms = p99_ms.max(strained.seen.age_ms(Priority::Critical, 99.0));
        strained.seen.forget_ages();
        growth = growth.max(memory()? - before);
    }
    let delivered = strained.finish(rows, refused)?;
    Ok(vec![p99_ms, growth.max(0.0), delivered])
}

/// How often memory is looked at, and latencies are summed up; the worst counts.
const LOOKS: u32 = 6;

fn run_outage(duration: Duration) -> Result<Vec<f64>> {
    let lanes = LaneSpec::all().map(|lane| lane.size(OUTAGE_LANE));
    let strained = Strained::new(SINK_ROWS_PER_S, lanes)?;
    let (mut rows, mut refused) = (0, 0);
    let mut offer = |duration| {
        let offered = strained.offer(OUTAGE_ROWS_PER_S, duration);
        rows += offered.rows;
        refused += offered.refused;
    };
    offer(duration / 10);
    strained.is_dead.store(true, Ordering::SeqCst);
    offer(duration);
    strained.is_dead.store(false, Ordering::SeqCst);
    let back = Instant::now();
    let look = Duration::from_millis(250);
    let usual = loop {
        strained.seen.forget_ages();
        let looked = back.elapsed();
        offer(look);
        if strained.seen.age_max().is_some_and(|age| age < USUAL) {
            break looked;
        }
        ensure!(
            back.elapsed() < USUAL_WITHIN,
            "not as usual within {USUAL_WITHIN:?}"
        );
    };
    let delivered = strained.finish(rows, refused)?;
    Ok(vec![usual.as_secs_f64(), delivered])
}
