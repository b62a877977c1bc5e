//! The tracker with a million keys, beside the one that it comes from in the language that it was
//! written in.
//!
//! Keys are strings of 12 bytes that come in no order, so that nearly every one of them is fetched
//! from memory; the larger a batch, the better that overlaps. Rows are made before time counts, and
//! the evidence is added up in the end. Both do the same work: no history in one pair of cases, ten
//! points of it per key in the other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use trust::{Outcome, TrustTracker};

use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::process;
use crate::report::Better;

const SCRIPT: &str = include_str!("peer.py");
const PYTHON: &str = "the tracker in CPython";
const KEYS: usize = 1_000_000;
const BATCHES: [usize; 3] = [100, 10_000, 1 << 20];
/// Points that each key keeps.
const HISTORIES: [usize; 2] = [0, 10];
/// Updates that are made beforehand, and used again and again.
const STREAM: usize = 1 << 20;

/// A case for each size of batches, without history and with it.
pub(super) fn cases() -> Vec<Case> {
    let cases = BATCHES
        .into_iter()
        .flat_map(|batch| HISTORIES.map(|history| case(batch, history)));
    cases.collect()
}

fn case(batch: usize, history: usize) -> Case {
    let (title, name) = if history == 0 {
        (String::new(), String::new())
    } else {
        (
            format!(", {history} points of history"),
            format!("-history-{history}"),
        )
    };
    let title = format!("tracker, 1M keys, batches of {batch}{title}");
    let mut metric = Metric::new(title, "M/s", Better::Higher);
    let mut contenders = vec![Contender::new(Kind::Ours, "ours", move |duration| {
        ours(batch, history, duration)
    })];
    if let Some(interpreter) = process::python() {
        metric = metric.aim(50.0, Against::BestOf(&[PYTHON]));
        contenders.push(Contender::new(Kind::Peer, PYTHON, move |duration| {
            let mut command = Command::new(&interpreter);
            let arguments = [KEYS, batch, history].map(|number| number.to_string());
            command.args(["-c", SCRIPT]).args(arguments);
            command.arg(duration.as_secs_f64().to_string());
            let finished = process::measure(&mut command)?;
            let done: Done =
                serde_json::from_str(&finished.stdout).with_context(|| finished.stdout)?;
            done.millions_per_s()
        }));
    } else {
        println!("SKIPPED: {PYTHON}, because there is no python3 here\n");
    }
    Case {
        name: format!("tracker{name}/{batch}"),
        metrics: vec![metric],
        contenders,
        duration: Duration::from_millis(1_000),
    }
}

/// What was added, and what the tracker says of it.
#[derive(Deserialize)]
struct Done {
    updates: u64,
    seconds: f64,
    evidence: f64,
}

impl Done {
    fn millions_per_s(&self) -> Result<Vec<f64>> {
        let Self {
            updates, evidence, ..
        } = self;
        // Each update weighs 1, and whole numbers add up exactly.
        ensure!(
            *evidence == *updates as f64,
            "{updates} updates became evidence of {evidence}"
        );
        Ok(vec![*updates as f64 / self.seconds / 1e6])
    }
}

fn ours(batch: usize, history: usize, duration: Duration) -> Result<Vec<f64>> {
    let names: Vec<String> = (0..KEYS).map(|key| format!("rule-{key:07}")).collect();
    let tracker = TrustTracker::<String>::builder().history(history).build()?;
    let nothing = names
        .iter()
        .map(|key| (key.as_str(), Outcome::Success, 0.0));
    tracker.batch_update(nothing)?;
    let mut draw = fastrand::Rng::with_seed(KEYS as u64);
    // New strings, as updates that arrive are.
    let stream: Vec<(String, Outcome, f64)> = (0..STREAM)
        .map(|number| {
            let key = format!("rule-{:07}", draw.usize(..KEYS));
            (key, Outcome::from(number % 4 != 0), 1.0)
        })
        .collect();
    let (started, mut updates) = (Instant::now(), 0u64);
    while started.elapsed() < duration {
        let first = updates as usize % STREAM;
        let part = &stream[first..STREAM.min(first + batch)];
        tracker.batch_update(
            part.iter()
                .map(|(key, how, weight)| (key.as_str(), *how, *weight)),
        )?;
        updates += part.len() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    let known = tracker.posteriors(names.iter().map(String::as_str));
    let done = Done {
        updates,
        seconds,
        evidence: known.iter().map(trust::Posterior::sample_size).sum(),
    };
    done.millions_per_s()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_counts_every_update_once() {
        let speed = ours(1_000, 3, Duration::from_millis(1)).unwrap();
        assert!(speed[0] > 0.0);
    }
}
