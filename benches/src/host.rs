//! `run`: the program on this host's own metrics, as a newcomer starts it. What it costs in
//! processor time and memory, against the limits that the project sets itself.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rusqlite::{Connection, OpenFlags};

use crate::process::{self, Running};
use crate::report::{self, Better, Comparison};
use crate::spread::Spread;

const CPU_LIMIT_PCT: f64 = 5.0;
const PEAK_MEMORY_LIMIT_MB: f64 = 80.0;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the process is asked whether it ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long the program may take to drain and end after its time.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// How long the program runs, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
}

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// Since the process was started.
    at_s: f64,
    /// Processor time used so far.
    cpu_s: f64,
    peak_memory_mb: f64,
}

/// Runs the program for a while, samples it once per second, prints and writes the comparison.
pub(crate) fn run(options: &Options, program: &Path, results: &Path) -> Result<()> {
    std::fs::create_dir_all(results)
        .with_context(|| format!("cannot create {}", results.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(results)?;
    let load_before = report::load_average();
    let samples = observe(
        program,
        scratch.path(),
        Duration::from_secs(options.seconds),
    )?;
    let load_after = report::load_average();
    let rows = rows_written(&scratch.path().join("forebay.sqlite"))?;

    let last = samples
        .last()
        .context("the program ended before the first look at it")?;
    let mean_pct = last.cpu_s / last.at_s * 100.0;
    let per_second = Spread::of(cpu_per_interval_pct(&samples)).context("a single look")?;
    println!("| figure | value | limit |\n|---|---:|---:|");
    println!("| mean CPU, % of one core | {mean_pct:.2} | {CPU_LIMIT_PCT} |");
    println!(
        "| busiest second, % of one core | {:.2} | |",
        per_second.max
    );
    println!(
        "| peak memory, MB | {:.1} | {PEAK_MEMORY_LIMIT_MB} |",
        last.peak_memory_mb
    );
    println!("\n{} s, {rows} rows written", options.seconds);
    println!("load average before: {load_before}, after: {load_after}");

    let cpu = ("run CPU", "% of one core", Better::Lower);
    let memory = ("run peak memory", "MB", Better::Lower);
    let comparisons = [
        Comparison::new(cpu, mean_pct, (report::LIMIT, CPU_LIMIT_PCT)),
        Comparison::new(
            memory,
            last.peak_memory_mb,
            (report::LIMIT, PEAK_MEMORY_LIMIT_MB),
        ),
    ];
    for comparison in &comparisons {
        println!("{}", comparison.goal(1.0));
    }
    report::write(&results.join("run.json"), &comparisons)
}

/// Starts the program and looks at it until it ends by itself.
fn observe(program: &Path, data: &Path, duration: Duration) -> Result<Vec<Sample>> {
    let log_path = data.join("log.txt");
    let log = std::fs::File::create(&log_path)?;
    let started = Instant::now();
    let child = process::with_defaults(program)
        .args(["run", "--for", &format!("{}s", duration.as_secs())])
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut running = Running(child);
    let (status, samples) = sample_until_end(&mut running, started, duration + GRACE)?;
    if !status.success() {
        let log = std::fs::read_to_string(&log_path).unwrap_or_default();
        anyhow::bail!("the program ended with {status}:\n{log}");
    }
    Ok(samples)
}

fn sample_until_end(
    running: &mut Running,
    started: Instant,
    duration_max: Duration,
) -> Result<(ExitStatus, Vec<Sample>)> {
    let pid = running.0.id();
    let mut samples = Vec::new();
    let mut due = started + SAMPLE_INTERVAL;
    loop {
        if let Some(status) = running.0.try_wait()? {
            return Ok((status, samples));
        }
        let now = Instant::now();
        ensure!(
            now - started <= duration_max,
            "the program did not end within {duration_max:?}"
        );
        if now >= due {
            due += SAMPLE_INTERVAL;
            // A process that is ending has no memory left to report; the last look stands.
            if let (Some(cpu_s), Some(peak_memory_mb)) =
                (process::cpu_time_s(pid), process::peak_memory_mb(pid))
            {
                let at_s = started.elapsed().as_secs_f64();
                samples.push(Sample {
                    at_s,
                    cpu_s,
                    peak_memory_mb,
                });
            }
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The load between one look and the next, in percent of one core.
fn cpu_per_interval_pct(samples: &[Sample]) -> Vec<f64> {
    let pct = |pair: &[Sample]| (pair[1].cpu_s - pair[0].cpu_s) / (pair[1].at_s - pair[0].at_s);
    samples.windows(2).map(|pair| pct(pair) * 100.0).collect()
}

/// A run that wrote nothing would be cheap and meaningless.
fn rows_written(database: &Path) -> Result<i64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let rows: i64 = Connection::open_with_flags(database, flags)
        .and_then(|connection| {
            connection.query_row("SELECT count(*) FROM tag_values", (), |row| row.get(0))
        })
        .with_context(|| format!("cannot count the rows in {}", database.display()))?;
    ensure!(rows > 0, "the program wrote no row");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn load_is_computed_between_looks() {
        let sample = |at_s, cpu_s| Sample {
            at_s,
            cpu_s,
            peak_memory_mb: 1.0,
        };
        let samples = [sample(1.0, 0.5), sample(2.0, 0.75), sample(4.0, 0.75)];
        assert_eq!(cpu_per_interval_pct(&samples), [25.0, 0.0]);
    }

    #[test]
    fn a_process_that_does_not_end_in_time_is_ended() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let mut running = Running(child);
        let limit = Duration::from_millis(100);
        let error = sample_until_end(&mut running, Instant::now(), limit).unwrap_err();
        assert!(
            error.to_string().contains("did not end within 100ms"),
            "{error}"
        );
        drop(running);
        assert_eq!(process::peak_memory_mb(pid), None);
    }

    #[test]
    fn a_database_without_rows_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.sqlite");
        let table = "CREATE TABLE tag_values(value ANY)";
        Connection::open(&path)
            .unwrap()
            .execute_batch(table)
            .unwrap();
        assert!(
            rows_written(&path)
                .unwrap_err()
                .to_string()
                .contains("no row")
        );
        assert!(rows_written(&scratch.path().join("none.sqlite")).is_err());
    }
}
