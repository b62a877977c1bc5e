//! How long it takes to take the newest values of a thousand keys beside a writer at full speed.
//!
//! The writer puts the number of each transaction into the first and last of the keys that are
//! taken, as its first and last update. A snapshot in which they differ shows a part of a
//! transaction: it is torn, and counted.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ours::Ours;
use super::peers::{DashMap, MutexMap, Observables, Port, WatchPerKey};
use super::store::{Snapshots, TakeSnapshot, Write};
use super::stream::{Stream, percentile};
use super::{DASHMAP, OBSERVABLE, ONE_LOCK, PORT, TRANSACTION, WATCH};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::Pace;
use crate::report::Better;

const KEYS: u32 = if cfg!(test) { 5_000 } else { 100_000 };
const TAKEN: usize = 1_000;
const INTERVAL: Duration = Duration::from_micros(250);

/// The case.
pub(super) fn case() -> Case {
    let title = "snapshot of 1,000 of 100k keys beside a writer";
    let metric = |what| Metric::new(format!("{title}: {what}"), "ms", Better::Lower);
    Case {
        name: "snapshot-beside-writer".into(),
        metrics: vec![
            metric("p50"),
            metric("p99").aim(1.0, Against::Limit(2.0)),
            metric("longest"),
            Metric::new(format!("{title}: not torn"), "%", Better::Higher)
                .aim(1.0, Against::Limit(100.0)),
            Metric::new(format!("{title}: written meanwhile"), "M/s", Better::Higher),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours", measure::<Ours>),
            Contender::new(Kind::Peer, PORT, measure::<Port>),
            Contender::new(Kind::Peer, ONE_LOCK, measure::<MutexMap>),
            Contender::new(Kind::Peer, DASHMAP, measure::<DashMap>),
            Contender::new(Kind::Peer, WATCH, measure::<WatchPerKey>),
            Contender::new(Kind::Peer, OBSERVABLE, measure::<Observables>),
        ],
        duration: Duration::from_millis(500),
    }
}

fn measure<S: Snapshots>(duration: Duration) -> Result<Vec<f64>> {
    let stream = &Stream::over(KEYS);
    let store = &S::new(KEYS + 2, 1);
    let (first, last) = (KEYS, KEYS + 1);
    let mut keys = vec![first];
    let step = KEYS as usize / (TAKEN - 2);
    keys.extend((0..KEYS).step_by(step).take(TAKEN - 2));
    keys.push(last);
    let pace = &Pace::new(2);
    let (window, snapshots) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = store.writer();
            for key in 0..KEYS + 2 {
                writer.put(key, 0, 0.0);
            }
            writer.commit();
            pace.wait_for_start();
            let (mut next, mut number) = (1, 0);
            while pace.goes_on() {
                number += 1;
                writer.put(first, number, number as f64);
                for _ in 0..TRANSACTION - 2 {
                    writer.put(stream.key(next), next.cast_signed(), next as f64);
                    next += 1;
                }
                writer.put(last, number, number as f64);
                writer.commit();
                pace.publish(0, next + 2 * number.cast_unsigned());
            }
        });
        let reader = scope.spawn(|| take_until_stopped(store, &keys, pace));
        let window = pace.watch(duration, duration / 8, || {});
        (window, reader.join().expect("the reader does not panic"))
    });
    let Taken {
        mut times_ms,
        torn,
        old,
    } = snapshots;
    ensure!(old == 0, "{old} newest values were older than those before");
    let taken = times_ms.len().max(1) as f64;
    Ok(vec![
        percentile(&mut times_ms, 0.5),
        percentile(&mut times_ms, 0.99),
        percentile(&mut times_ms, 1.0),
        (1.0 - torn as f64 / taken) * 100.0,
        window.millions_per_s(),
    ])
}

/// What the snapshots of a run came to.
#[derive(Default)]
struct Taken {
    times_ms: Vec<f64>,
    torn: u64,
    /// Values older than those of the snapshot before.
    old: u64,
}

fn take_until_stopped<S: Snapshots>(store: &S, keys: &[u32], pace: &Pace) -> Taken {
    pace.wait_for_start();
    let mut reader = store.reader(keys);
    let mut outcome = Taken::default();
    let mut newest = vec![0.0; KEYS as usize + 2];
    while pace.goes_on() {
        let started = Instant::now();
        reader.take(|key, value| {
            let before = std::mem::replace(&mut newest[key as usize], value);
            outcome.old += u64::from(value < before);
        });
        outcome.times_ms.push(started.elapsed().as_secs_f64() * 1e3);
        let is_torn = newest[KEYS as usize] != newest[KEYS as usize + 1];
        outcome.torn += u64::from(is_torn);
        thread::sleep(INTERVAL);
    }
    outcome
}
