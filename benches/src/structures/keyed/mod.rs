//! Keyed aggregation: counting updates by key from several threads, all taken now and then.

mod keys;
mod maps;
mod pause;
mod sharded;
mod totals;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use dashmap::DashMap;

use super::ours;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::Pace;
use crate::report::Better;
pub(super) use keys::Key;
use keys::{Keys, Streams};
pub(super) use totals::Totals;

/// How often everything is taken.
const TAKE_INTERVAL: Duration = Duration::from_millis(50);
/// Adds between two looks at the stop sign.
const BLOCK: u64 = 256;

const DASHMAP: &str = "DashMap with foldhash";

type Foldhash = foldhash::fast::RandomState;

/// A structure that counts updates by key, and from which all can be taken without losing one.
pub(crate) trait Keyed<K: Key>: Sync + Sized {
    type Adder<'a>: Add<K>
    where
        Self: 'a;

    fn new() -> Self;
    /// A thread's end; made on the thread that uses it.
    fn adder(&self) -> Self::Adder<'_>;
    /// Takes out everything, and shows each key with the updates it had.
    fn take(&self, totals: &mut Totals<K>);
}

pub(crate) trait Add<K: Key> {
    /// Counts one update.
    fn add(&mut self, key: &K::Query);
}

/// Contenders for one type of key. With 1 and 4 threads only the interesting ones run.
macro_rules! contenders {
    ($key:ty, $run:expr, all: $all:expr) => {{
        let mut list = vec![
            contenders!(@ Ours, "ours", ours::Keyed<$key>, $key, $run),
            contenders!(@ Peer, DASHMAP, DashMap<$key, u64, Foldhash>, $key, $run),
            contenders!(@ Peer, "papaya with foldhash, keys kept", maps::Papaya<$key>, $key, $run),
            contenders!(@ Peer, "64 parking_lot Mutex shards, maps swapped",
                sharded::Sharded<$key>, $key, $run),
        ];
        if $all {
            list.extend([
                contenders!(@ Variant, "ours, hasher of std", ours::StdHasher<$key>, $key,
                    $run),
                contenders!(@ Peer, "DashMap with foldhash, keys kept", maps::DashKept<$key>,
                    $key, $run),
                contenders!(@ Peer, "DashMap, default hasher", DashMap<$key, u64>, $key, $run),
                contenders!(@ Peer, "scc with foldhash, keys kept", maps::Scc<$key>, $key, $run),
                contenders!(@ Peer, "std Mutex<HashMap> with foldhash", sharded::StdMutex<$key>,
                    $key, $run),
                contenders!(@ Peer, "parking_lot Mutex<HashMap> with foldhash",
                    sharded::ParkingLot<$key>, $key, $run),
            ]);
        }
        list
    }};
    (@ $kind:ident, $name:expr, $map:ty, $key:ty, $run:expr) => {{
        let run = $run.clone();
        Contender::new(Kind::$kind, $name, move |duration| {
            run.measure::<$key, $map>(duration)
        })
    }};
}

/// The cases of this family.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for threads in [2, 1, 4] {
        for keys in [Keys::Uniform, Keys::Zipf, Keys::Hot] {
            cases.push(case::<u64>(keys, threads));
            cases.push(case::<String>(keys, threads));
        }
    }
    cases.push(pause_case());
    cases
}

/// What a type of key adds to a case: its name and its contenders.
trait Family: Key {
    const NAME: &'static str;
    fn contenders(keys: Keys, threads: usize) -> Vec<Contender>;
}

macro_rules! family {
    ($key:ty, $name:expr) => {
        impl Family for $key {
            const NAME: &'static str = $name;

            fn contenders(keys: Keys, threads: usize) -> Vec<Contender> {
                let streams = Arc::new(Streams::<$key>::new(keys));
                let work = Work { streams, threads };
                contenders!($key, work, all: threads == 2)
            }
        }
    };
}

family!(u64, "u64");
family!(String, "str");

fn case<K: Family>(keys: Keys, threads: usize) -> Case {
    let (slug, title) = match keys {
        Keys::Uniform => ("uniform", "10k uniform"),
        Keys::Zipf => ("zipf", "Zipf over 1M"),
        Keys::Hot => ("hot", "one hot"),
    };
    let plural = if threads == 1 { "" } else { "s" };
    let noun = if keys == Keys::Hot { "key" } else { "keys" };
    let title = format!(
        "coalesce, {threads} thread{plural}, {title} {} {noun}",
        K::NAME
    );
    let mut metric = Metric::new(title, "M/s", Better::Higher);
    if threads == 2 {
        let ratio_min = match (keys, K::NAME) {
            (Keys::Uniform, "str") => 8.0,
            (Keys::Zipf, _) => 3.0,
            _ => 12.0,
        };
        metric = metric.aim(ratio_min, Against::BestOf(&[DASHMAP]));
        if keys == Keys::Zipf {
            metric = metric.aim(1.3, Against::BestPeer);
        }
    }
    Case {
        name: format!("coalesce-{slug}-{}/{threads}", K::NAME),
        metrics: vec![metric],
        contenders: K::contenders(keys, threads),
        duration: Duration::from_millis(if threads == 2 { 250 } else { 150 }),
    }
}

fn pause_case() -> Case {
    let title = "`take` of 350k keys while two threads add: longest pause of any `add`";
    let work = pause::Work::default();
    Case {
        name: "coalesce-pause".into(),
        metrics: vec![
            Metric::new(title, "ms", Better::Lower).aim(1.0, Against::Limit(pause::LIMIT_MS)),
        ],
        contenders: contenders!(u64, work, all: true),
        duration: Duration::from_millis(120),
    }
}

/// Threads that add the keys of their streams.
struct Work<K: Key> {
    streams: Arc<Streams<K>>,
    threads: usize,
}

impl<K: Key> Clone for Work<K> {
    fn clone(&self) -> Self {
        Self {
            streams: Arc::clone(&self.streams),
            threads: self.threads,
        }
    }
}

impl<K: Key> Work<K> {
    /// Millions of updates per second, all of which were taken.
    fn measure<Q: Key<Stream = K::Stream, Query = K::Query>, M: Keyed<K>>(
        &self,
        duration: Duration,
    ) -> Result<Vec<f64>> {
        let map = &M::new();
        let pace = &Pace::new(self.threads);
        let (mut taken, mut added) = (Totals::<K>::default(), Totals::<K>::default());
        let streams: Vec<_> = (0..self.threads).map(|t| self.streams.of(t)).collect();
        let (window, counts) = thread::scope(|scope| {
            let threads: Vec<_> = streams
                .iter()
                .enumerate()
                .map(|(index, stream)| scope.spawn(move || add_all(map, *stream, index, pace)))
                .collect();
            let interval = TAKE_INTERVAL.min(duration / 3);
            let window = pace.watch(duration, interval, || map.take(&mut taken));
            let counts: Vec<u64> = threads
                .into_iter()
                .map(|thread| thread.join().expect("an adder does not panic"))
                .collect();
            (window, counts)
        });
        map.take(&mut taken);
        for (stream, count) in streams.into_iter().zip(counts) {
            added.add_stream(stream, count);
        }
        taken.check_equal(&added)?;
        Ok(vec![window.millions_per_s()])
    }
}

/// Adds until told to stop; returns how many updates that were.
fn add_all<K: Key, M: Keyed<K>>(
    map: &M,
    (stream, length): (&K::Stream, usize),
    index: usize,
    pace: &Pace,
) -> u64 {
    let mut adder = map.adder();
    let (mut count, mut place) = (0, 0);
    pace.wait_for_start();
    while pace.goes_on() {
        for _ in 0..BLOCK {
            adder.add(K::at(stream, place));
            place += 1;
            if place == length {
                place = 0;
            }
        }
        count += BLOCK;
        pace.publish(index, count);
    }
    count
}
