//! One writer and a million keys, and nobody who reads.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::ours::Ours;
use super::peers::{DashMap, MutexMap, Observables, Port, WatchPerKey};
use super::store::{Store, Write};
use super::stream::Stream;
use super::{DASHMAP, OBSERVABLE, ONE_LOCK, PORT, WATCH};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::thread_time;
use crate::report::{Better, thousands};

/// Scalars keys; fewer in tests.
pub(super) const KEYS: u32 = if cfg!(test) { 2_000 } else { 1_000_000 };

macro_rules! contender {
    ($kind:ident, $name:expr, $store:ty, $updates:expr) => {
        Contender::new(Kind::$kind, $name, move |duration| {
            measure::<$store>($updates, duration)
        })
    };
}

/// The case with so many updates in a transaction.
pub(super) fn case(updates: u64) -> Case {
    let title = format!(
        "1M keys, transactions of {}, no reader",
        thousands(updates as f64)
    );
    let mut metric = Metric::new(title, "M/s", Better::Higher);
    if updates >= 1_000 {
        metric = metric
            .aim(12.0, Against::BestOf(&[PORT]))
            .aim(1.0, Against::Limit(40.0));
    } else {
        metric = metric.aim(4.0, Against::BestOf(&[PORT]));
    }
    Case {
        name: format!("commit/{updates}"),
        metrics: vec![metric],
        contenders: vec![
            contender!(Ours, "ours", Ours, updates),
            contender!(Peer, PORT, Port, updates),
            contender!(Peer, ONE_LOCK, MutexMap, updates),
            contender!(Peer, DASHMAP, DashMap, updates),
            contender!(Peer, WATCH, WatchPerKey, updates),
            contender!(Peer, OBSERVABLE, Observables, updates),
        ],
        duration: Duration::from_millis(250),
    }
}

/// Millions of updates per second of the writer's processor time.
pub(super) fn measure<S: Store>(updates: u64, duration: Duration) -> Result<Vec<f64>> {
    let stream = Stream::over(KEYS);
    let store = S::new(stream.key_count(), 1);
    let mut writer = store.writer();
    // In small transactions, so that no set of changed keys grows larger than it will have to be.
    for key in 0..stream.key_count() {
        writer.put(key, 0, 0.0);
        if key % TRANSACTIONS_PER_LOOK == 0 {
            writer.commit();
        }
    }
    writer.commit();
    let (mut next, started, worked) = (0, Instant::now(), thread_time());
    while started.elapsed() < duration {
        // A look at the clock costs as much as a few updates.
        for _ in 0..TRANSACTIONS_PER_LOOK {
            next = stream.write(&mut writer, next, updates);
        }
    }
    let worked = thread_time() - worked;
    drop(writer);
    stream.check_newest(&store, next)?;
    Ok(vec![next as f64 / worked.as_secs_f64() / 1e6])
}

const TRANSACTIONS_PER_LOOK: u32 = 8;
