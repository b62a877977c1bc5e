//! `sqlite`: 200,000 records per second of all four lanes, from the offer to the commit.
//!
//! The peers have no lanes: their figures for a lane are those of its records in the one queue.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pipeline::{LaneSpec, Pipeline, SinkSpec};
use record::Priority;
use sinks::{BatchWriter, BoxWriter, ScopeIndex, ScopeName, SqliteOptions, SqliteWriter};

use super::batcher::{self, Collect};
use super::offer::{Offered, offer};
use super::probe::{Probe, Seen};
use super::{CHUNKS_TIMEOUT, HAND_WRITTEN};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::process_time;
use crate::report::Better;

const ROWS_PER_S: u64 = 200_000;
/// Records that each lane holds: more than arrive while the file is synced.
const LANE: usize = 100_000;

pub(super) fn case(folder: &Path) -> Case {
    let p99 = |lane: &str, limit_ms: f64| {
        let title = format!("sqlite, 200,000 records/s, p99 of {lane}");
        Metric::new(title, "ms", Better::Lower).aim(1.0, Against::Limit(limit_ms))
    };
    let delivered = "sqlite, 200,000 records/s, delivered";
    let cpu = "sqlite, 200,000 records/s, processor time";
    let file = |name: &str| folder.join(format!("{name}.sqlite"));
    let (of_ours, by_hand, by_chunks) = (file("ours"), file("by-hand"), file("chunks"));
    Case {
        name: "sqlite".to_owned(),
        metrics: vec![
            Metric::new(delivered, "% of what was offered", Better::Higher)
                .aim(1.0, Against::Limit(100.0)),
            Metric::new(cpu, "ns/record", Better::Lower)
                .aim(1.0 / 1.1, Against::BestOf(&[HAND_WRITTEN])),
            p99("critical", 50.0),
            p99("high", 50.0),
            p99("normal", 100.0),
            Metric::new(
                "sqlite, 200,000 records/s, p95 of normal",
                "ms",
                Better::Lower,
            )
            .aim(1.0, Against::Limit(50.0)),
            p99("low", 500.0),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours", move |duration| {
                run_ours(&of_ours, duration)
            }),
            Contender::new(Kind::Peer, HAND_WRITTEN, move |duration| {
                run_batcher(Collect::ByHand, &by_hand, duration)
            }),
            Contender::new(Kind::Peer, CHUNKS_TIMEOUT, move |duration| {
                run_batcher(Collect::ChunksTimeout, &by_chunks, duration)
            }),
        ],
        duration: Duration::from_millis(2_500),
    }
}

fn run_ours(path: &Path, duration: Duration) -> Result<Vec<f64>> {
    remove(path)?;
    let before = process_time();
    let runtime = super::runtime()?;
    let epoch = Instant::now();
    let writer = SqliteWriter::open(SqliteOptions::new(path))?;
    let (probe, seen) = Probe::new(writer, epoch);
    let _entered = runtime.enter();
    let lanes = LaneSpec::all().map(|lane| lane.size(LANE));
    let sink = SinkSpec::new("sqlite", BoxWriter::new(probe)).lanes(lanes);
    let pipeline = Pipeline::builder().sink(sink).start()?;
    let sender = pipeline.sender();
    let offered = offer(epoch, ROWS_PER_S, duration, |record| {
        sender.send(record).is_ok()
    });
    let report = runtime.block_on(pipeline.shutdown(Duration::from_secs(60)));
    ensure!(report.stats.pending == 0, "not all is delivered");
    ensure!(
        report.stats.delivered == seen.rows(),
        "the account is not that of the sink"
    );
    values(&seen, &offered, duration, process_time() - before)
}

fn run_batcher(collect: Collect, path: &PathBuf, duration: Duration) -> Result<Vec<f64>> {
    remove(path)?;
    let before = process_time();
    let runtime = super::runtime()?;
    let epoch = Instant::now();
    let writer: SqliteWriter = SqliteWriter::open(SqliteOptions::new(path))?;
    runtime.block_on(writer.open_scope(ScopeIndex(0), &ScopeName::new("batcher")))?;
    let (probe, seen) = Probe::new(writer, epoch);
    let _entered = runtime.enter();
    let (sender, task) = batcher::start(collect, probe);
    let offered = offer(epoch, ROWS_PER_S, duration, |record| {
        sender.blocking_send(record).is_ok()
    });
    drop(sender);
    runtime.block_on(task)?;
    values(&seen, &offered, duration, process_time() - before)
}

fn values(seen: &Seen, offered: &Offered, duration: Duration, cpu: Duration) -> Result<Vec<f64>> {
    seen.check_order()?;
    ensure!(
        offered.refused == 0,
        "{} rows were refused",
        offered.refused
    );
    let planned = (duration.as_secs_f64() * ROWS_PER_S as f64).floor();
    Ok(vec![
        seen.rows() as f64 / planned * 100.0,
        cpu.as_secs_f64() * 1e9 / seen.rows() as f64,
        seen.age_ms(Priority::Critical, 99.0),
        seen.age_ms(Priority::High, 99.0),
        seen.age_ms(Priority::Normal, 99.0),
        seen.age_ms(Priority::Normal, 95.0),
        seen.age_ms(Priority::Low, 99.0),
    ])
}

fn remove(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
