//! `idle`: what a pipeline costs that has nothing to do. `metrics`: what it costs to be
//! measured.

use std::time::Duration;

use anyhow::{Context, Result};
use pipeline::{Pipeline, SinkSpec};
use sinks::BoxWriter;

use super::accept::{self, Metrics};
use super::counting::Counting;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::process_time;
use crate::report::Better;

/// The same pipeline without a recorder.
const METRICS_OFF: &str = "ours, metrics off";

pub(super) fn idle() -> Case {
    Case {
        name: "idle".to_owned(),
        metrics: vec![
            Metric::new("idle, processor time", "% of one core", Better::Lower)
                .aim(1.0, Against::Limit(0.5)),
            Metric::new("idle, wake-ups of all threads", "per second", Better::Lower),
        ],
        contenders: vec![Contender::new(Kind::Ours, "ours, four lanes", run_idle)],
        duration: Duration::from_secs(10),
    }
}

pub(super) fn metrics() -> Case {
    Case {
        name: "metrics".to_owned(),
        metrics: vec![
            Metric::new(
                "metrics on, accept with 1 producer",
                "M records/s",
                Better::Higher,
            )
            .aim(0.98, Against::BestOf(&[METRICS_OFF])),
            Metric::new("metrics on, processor time", "ns/record", Better::Lower)
                .aim(0.98, Against::BestOf(&[METRICS_OFF])),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours, metrics on", |duration| {
                accept::of_one(Metrics::On, duration)
            }),
            Contender::new(Kind::Peer, METRICS_OFF, |duration| {
                accept::of_one(Metrics::Off, duration)
            }),
        ],
        duration: Duration::from_secs(2),
    }
}

fn run_idle(duration: Duration) -> Result<Vec<f64>> {
    let runtime = super::runtime()?;
    let pipeline = {
        let _entered = runtime.enter();
        let sink = SinkSpec::new("counting", BoxWriter::new(Counting::default()));
        Pipeline::builder().sink(sink).start()?
    };
    let sender = {
        let _entered = runtime.enter();
        pipeline.sender()
    };
    // Scopes are opened.
    std::thread::sleep(duration / 20);
    let (time, switches) = (process_time(), voluntary_switches()?);
    std::thread::sleep(duration);
    let used = process_time() - time;
    // One of them is this thread's own sleep.
    let woken = (voluntary_switches()? - switches).saturating_sub(1);
    drop(sender);
    runtime.block_on(pipeline.shutdown(None));
    let seconds = duration.as_secs_f64();
    Ok(vec![
        used.as_secs_f64() / seconds * 100.0,
        woken as f64 / seconds,
    ])
}

/// How often the threads of this process went to sleep by themselves so far.
fn voluntary_switches() -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let line = |line: &str| {
            line.strip_prefix("voluntary_ctxt_switches:")?
                .trim()
                .parse()
                .ok()
        };
        let count: u64 = status
            .lines()
            .find_map(line)
            .context("no count of switches")?;
        sum += count;
    }
    Ok(sum)
}
