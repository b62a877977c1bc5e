//! One row per pattern and policy, as Markdown or CSV.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use flush_policy::PolicyError;

use crate::scenario::{Contender, Pattern};
use crate::sim::{Run, simulate};

/// How one policy did under one pattern. Times are in milliseconds unless the name says other.
pub(crate) struct Row {
    pub(crate) pattern: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) batches: usize,
    pub(crate) mean_size: f64,
    pub(crate) wait_p50_ms: f64,
    pub(crate) wait_p99_ms: f64,
    pub(crate) wait_max_ms: f64,
    pub(crate) write_p99_ms: f64,
    pub(crate) busy_s: f64,
    /// What the policy wanted a batch to hold, by the time since the start in seconds.
    pub(crate) sizes: Vec<(f64, usize)>,
}

/// Simulates every pattern under every policy.
pub(crate) fn rows(
    patterns: &[Pattern],
    contenders: &[Contender],
) -> Result<Vec<Row>, PolicyError> {
    let mut rows = Vec::new();
    for pattern in patterns {
        for contender in contenders {
            rows.push(row(pattern, contender)?);
        }
    }
    Ok(rows)
}

fn row(pattern: &Pattern, contender: &Contender) -> Result<Row, PolicyError> {
    let mut policy = contender.spec.build()?;
    let start = Instant::now();
    let run = simulate(policy.as_mut(), start, &pattern.arrivals, &pattern.sink);
    let Run {
        attempts,
        mut waits,
        left,
        ..
    } = run;
    assert_eq!(left, 0, "{} left items in the buffer", contender.name);
    waits.sort_unstable();
    let mut writes: Vec<_> = attempts.iter().map(|attempt| attempt.took).collect();
    writes.sort_unstable();
    let sizes = attempts
        .iter()
        .filter_map(|attempt| Some(((attempt.at - start).as_secs_f64(), attempt.batch_items?)))
        .collect();
    Ok(Row {
        pattern: pattern.name,
        policy: contender.name,
        batches: attempts.len(),
        mean_size: waits.len() as f64 / attempts.len() as f64,
        wait_p50_ms: quantile_ms(&waits, 50),
        wait_p99_ms: quantile_ms(&waits, 99),
        wait_max_ms: quantile_ms(&waits, 100),
        write_p99_ms: quantile_ms(&writes, 99),
        busy_s: writes.iter().sum::<Duration>().as_secs_f64(),
        sizes,
    })
}

/// The smallest value that `pct` per cent do not exceed.
fn quantile_ms(sorted: &[Duration], pct: usize) -> f64 {
    let rank = (sorted.len() * pct).div_ceil(100).max(1);
    sorted[rank - 1].as_secs_f64() * 1_000.0
}

/// A Markdown table, aligned so that it reads as text too.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| pattern   | policy                 | batches | mean size \
         |  p50, ms |  p99, ms |  max, ms | write p99, ms | sink, s |\n\
         |-----------|------------------------|--------:|----------:\
         |---------:|---------:|---------:|--------------:|--------:|\n",
    );
    for row in rows {
        let [p50, p99, max, write] = [
            row.wait_p50_ms,
            row.wait_p99_ms,
            row.wait_max_ms,
            row.write_p99_ms,
        ]
        .map(brief);
        let _ = writeln!(
            text,
            "| {:<9} | {:<22} | {:>7} | {:>9.1} | {p50:>8} | {p99:>8} | {max:>8} \
             | {write:>13} | {:>7.1} |",
            row.pattern, row.policy, row.batches, row.mean_size, row.busy_s,
        );
    }
    text
}

/// One decimal where it says something.
fn brief(ms: f64) -> String {
    match ms {
        ..100.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// Comma-separated values under a header.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "pattern,policy,batches,mean_size,wait_p50_ms,wait_p99_ms,wait_max_ms,\
         write_p99_ms,sink_busy_s\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{},\"{}\",{},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3}",
            row.pattern,
            row.policy,
            row.batches,
            row.mean_size,
            row.wait_p50_ms,
            row.wait_p99_ms,
            row.wait_max_ms,
            row.write_p99_ms,
            row.busy_s,
        );
    }
    text
}
