//! What metrics cost: nanoseconds per batch and per record without a recorder, with the gateway's,
//! and how long a question of Prometheus takes.
//!
//! `cargo run --release -p gateway --example metrics_cost`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::Exporter;
use pipeline::{LaneMetrics, Telemetry};
use record::Priority;

const BATCHES: usize = 20_000;
const REPEATS: usize = 7;

fn main() {
    println!("{:<44} {:>12} {:>12}", "", "ns/batch", "ns/record");
    let silent = Telemetry::new();
    let lane = silent.lane(Some("route"), "sink", Priority::Normal);
    measure("no recorder", &lane);

    let exporter = Exporter::new();
    let heard = Telemetry::new();
    let _attached = heard.attach(Arc::new(exporter.clone()));
    let lane = heard.lane(Some("route"), "sink", Priority::Normal);
    measure("the gateway's recorder", &lane);

    let lanes: Vec<LaneMetrics> = (0..100)
        .map(|route| heard.lane(Some(&format!("route{route}")), "sink", Priority::Normal))
        .collect();
    for lane in &lanes {
        batch(lane, &latencies(500, 1));
    }
    let (text, took) = best(|| exporter.render());
    let lines = text.lines().count();
    println!(
        "rendering 101 lanes: {lines} lines in {} µs",
        took.as_micros()
    );
}

fn measure(name: &str, lane: &LaneMetrics) {
    for (what, together) in [
        ("each record arrived by itself", 1),
        ("a hundred arrived together", 100),
        ("all arrived together", 500),
    ] {
        let latencies = latencies(500, together);
        let ((), took) = best(|| {
            for _ in 0..BATCHES {
                batch(black_box(lane), black_box(&latencies));
            }
        });
        let per_batch = took.as_secs_f64() * 1e9 / BATCHES as f64;
        let per_record = per_batch / 500.0;
        println!(
            "{:<44} {per_batch:>12.0} {per_record:>12.2}",
            format!("{name}, {what}")
        );
    }
}

/// A batch whose records came over 20 ms, the newest of them 5 ms ago.
fn latencies(rows: usize, together: usize) -> Vec<(Duration, usize)> {
    let runs = rows / together;
    let step_us = 20_000 / runs;
    let later = (0..runs).map(|run| (runs - run) * step_us);
    later
        .map(|us| (Duration::from_micros(5_000 + us as u64), together))
        .collect()
}

fn batch(lane: &LaneMetrics, latencies: &[(Duration, usize)]) {
    lane.batch(500, Duration::from_millis(3), latencies.iter().copied());
}

fn best<T>(mut run: impl FnMut() -> T) -> (T, Duration) {
    let mut once = || {
        let start = Instant::now();
        let result = run();
        (result, start.elapsed())
    };
    let mut best = once();
    for _ in 1..REPEATS {
        let next = once();
        if next.1 < best.1 {
            best = next;
        }
    }
    best
}
